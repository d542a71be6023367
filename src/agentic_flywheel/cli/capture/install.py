"""`capture install` and `capture uninstall`: put our hooks into the programs' settings, and give these back."""

import os
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from agentic_flywheel.cli import config_files
from agentic_flywheel.cli.capture import codex_notify, hook_settings, installed, opencode_plugin
from agentic_flywheel.cli.capture.installed import NOTHING, Installed, Part
from agentic_flywheel.cli.capture.programs import HOOKED, Program, named
from agentic_flywheel.cli.capture.shelf import look
from agentic_flywheel.cli.parser import PROGRAM
from agentic_flywheel.cli.program_start import program_start
from agentic_flywheel.cli.terminal import complain, plainly, say
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import WHICH_REDIS

_WAITS_OFFLINE = (
    "Where opencode cannot reach npm's registry, it waits two minutes at each start for what any plugin needs;"
    " npm_config_offline=true in its environment spares that."
)
"""What is told of opencode 1.18."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it was, as it is to be, and the pieces that this puts in."""

    path: Path
    before: bytes | None
    after: bytes
    pieces: list[str]


def install(settings: Settings, options: Namespace) -> int:
    """Install the hooks of the programs that are named, or of all that are there; 0 if all are in."""
    return _each(settings, options, _install)


def uninstall(settings: Settings, options: Namespace) -> int:
    """Take the hooks out again; 0 if none is left."""
    return _each(settings, options, _uninstall)


def our_command(program: str, data_dir: Path, *, recall: bool) -> list[str]:
    """The command that a hook of this program runs."""
    recalls = ["--recall"] if recall else []
    return [*program_start(), "capture", "hook", program, "--into", str(data_dir), *recalls]


def _each(settings: Settings, options: Namespace, do: Callable[[Settings, Program, Namespace], None]) -> int:
    if bool(options.clients) == options.all:
        raise InvalidArgument(f"name programs ({', '.join(each.name for each in HOOKED)}), or --all.")
    failed = 0
    for program in named(options.clients, HOOKED):
        try:
            do(settings, program, options)
        except InvalidArgument as exc:
            failed = 1
            complain(f"{program.shown}: {exc}")
    return failed


def _install(settings: Settings, program: Program, options: Namespace) -> None:
    home, place = Path.home(), settings.data_dir / "capture"
    if options.all and not _is_here(program, home):
        say(f"{program.shown}: not found on this machine.")
        return
    known = installed.all_of(place)
    before = known.get(program.name, NOTHING)
    command = our_command(program.name, settings.data_dir, recall=options.recall)
    changes, told = _changes(program, command, before)
    parts = [_part(change, before.part(change.path)) for change in changes]
    # Noted before it is done: what is killed in between can be taken out all the same.
    now = Installed(command, options.recall, parts, before.at or time.time())
    installed.write(place, known | {program.name: now})
    for number, change in enumerate(changes):
        try:
            if change.before != change.after:
                config_files.write(change.path, change.before, change.after)
        except InvalidArgument:
            if number == 0:
                installed.write(place, known)
            raise
    say(f"{program.shown}: hooks are in {', '.join(part.path for part in parts)}.")
    if look(program, place, os.environ, home).not_yet:
        told.append(f"What it wrote before comes in with: {PROGRAM} capture backfill {program.name}")
    for line in (*told, *_redis_hint(settings)):
        say(f"  {line}")


def _is_here(program: Program, home: Path) -> bool:
    """Whether the program was used here; opencode's settings are there before its talks."""
    settings = opencode_plugin.path(os.environ, home).parents[1]
    return program.folder(os.environ, home).is_dir() or (program.name == "opencode" and settings.is_dir())


def _part(change: Change, before: Part) -> Part:
    """What is noted of a change, with what an earlier one made."""
    folders: list[str] = []
    folder = change.path.parent
    while not folder.exists():
        folders.append(str(folder))
        folder = folder.parent
    return Part(str(change.path), change.pieces, change.before is None or before.made, folders or before.folders)


def _redis_hint(settings: Settings) -> list[str]:
    """What is to be said where a Redis is named by a variable that hooks may not have."""
    alone = [name for name, source in settings.sources if name in WHICH_REDIS and source.startswith("environment")]
    if not alone:
        return []
    return [
        f"{alone[0]} stands in the environment alone, which a hook may not have. So that what hooks keep gets to Redis,"
        f" too: {PROGRAM} config set {alone[0]} …"
    ]


def _changes(program: Program, command: list[str], known: Installed) -> tuple[list[Change], list[str]]:
    """The files to be changed, and what there is to tell beside.

    Raises:
        InvalidArgument: one of them cannot be; nothing has been.

    """
    if program.name == "opencode":
        return [_plugin(program, command)], [_WAITS_OFFLINE]
    changes = [_hooks(program, command, known)]
    if program.name != "codex":
        return changes, []
    told = ["Codex runs hooks once you have reviewed them: it asks at its next start (or /hooks)."]
    if notify := _notify(program, command, known):
        changes.append(notify)
    else:
        told.append("Its config.toml has a notify of its own, which stays; until the review nothing is captured.")
    return changes, told


def _plugin(program: Program, command: list[str]) -> Change:
    home = Path.home()
    path = opencode_plugin.path(os.environ, home)
    before = config_files.read_to_change(path)
    if before is not None and not opencode_plugin.is_ours(before.decode(errors="replace")):
        raise InvalidArgument(f"{path} is there and not ours. Move it away first.")
    text = opencode_plugin.text(command, program.folder(os.environ, home) / "opencode.db")
    return Change(path, before, text.encode(), [text])


def _hooks(program: Program, command: list[str], known: Installed) -> Change:
    path = program.settings_file(os.environ, Path.home())
    before = config_files.read_to_change(path)
    mark, text = config_files.text_of(path, before or b"")
    groups = [(event, _group(program, [*command, "--at", event])) for event in program.hooks]
    try:
        clean = _without(text, known.part(path))
        after, pieces = hook_settings.with_hooks(clean, groups)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Nothing was changed.") from None
    return Change(path, before, (mark + after).encode(), pieces)


def _group(program: Program, command: list[str]) -> JSONObject:
    return {"hooks": [{"type": "command", "command": join(command), "timeout": program.timeout}]}


def _notify(program: Program, command: list[str], known: Installed) -> Change | None:
    path = program.folder(os.environ, Path.home()) / "config.toml"
    before = config_files.read_to_change(path)
    mark, text = config_files.text_of(path, before or b"")
    for piece in known.part(path).pieces:
        text = codex_notify.without_notify(text, piece)
    try:
        made = codex_notify.with_notify(text, command)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Nothing was changed.") from None
    return Change(path, before, (mark + made[0]).encode(), [made[1]]) if made else None


def _without(text: str, part: Part) -> str:
    """The settings as they are without us, to the byte where that can be."""
    if part.pieces and (clean := hook_settings.without_pieces(text, part.pieces)) is not None:
        return clean
    return hook_settings.without_hooks(text) if text.strip() else text


def _uninstall(settings: Settings, program: Program, options: Namespace) -> None:
    place = settings.data_dir / "capture"
    known = installed.all_of(place)
    entry = known.get(program.name, NOTHING)
    changed = [_give_back(part, program) for part in entry.parts or [_where_ours_may_be(program)]]
    if known.pop(program.name, None):
        try:
            installed.write(place, known)
        except OSError as exc:
            raise InvalidArgument(f"the hooks are out, but {plainly(exc)[:-1]}, so status asks for them.") from None
    if any(changed) or not options.all:
        say(f"{program.shown}: {'the hooks are out' if any(changed) else 'there were no hooks of ours'}.")


def _where_ours_may_be(program: Program) -> Part:
    """The file that may have hooks of ours of which nothing is noted."""
    if program.name == "opencode":
        return Part(str(opencode_plugin.path(os.environ, Path.home())), made=True)
    return Part(str(program.settings_file(os.environ, Path.home())))


def _give_back(part: Part, program: Program) -> bool:
    """Take our part out of a file; whether there was one."""
    path = Path(part.path)
    before = config_files.read_to_change(path)
    if before is None:
        return False
    mark, text = config_files.text_of(path, before)
    try:
        after = _given_back(path, text, part)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Take out by hand what runs `capture hook {program.name}`.") from None
    if after == text:
        return False
    if part.made and not after.strip("{} \t\r\n"):
        config_files.take_away(path, before, part.folders)
    else:
        config_files.write(path, before, (mark + after).encode())
    return True


def _given_back(path: Path, text: str, part: Part) -> str:
    if path.suffix == ".js":
        return "" if opencode_plugin.is_ours(text) else text
    if path.suffix == ".toml":
        for piece in part.pieces:
            text = codex_notify.without_notify(text, piece)
        return text
    return _without(text, part)

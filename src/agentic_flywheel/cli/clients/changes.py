"""Changes a client's file to one with our server, or without it: whole, or not at all, with a sentence why."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from agentic_flywheel.cli import config_files
from agentic_flywheel.cli.clients import entries, json_entries, record, toml_entries, yaml_file
from agentic_flywheel.cli.clients.entries import Server
from agentic_flywheel.cli.clients.record import Installed, digest
from agentic_flywheel.cli.clients.table import Client
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

UNKNOWN = "unknown"
"""The digest of a file of which no content without our server is known."""

FORMATS: dict[str, ModuleType] = {"json": json_entries, "toml": toml_entries, "yaml": yaml_file}


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it is and as it is to be; `after` is `None` where there is to be none."""

    path: Path
    """As the client names it: maybe a link to the file that is changed."""
    target: Path
    before: bytes | None
    after: bytes | None
    known: Installed
    """What is noted of it: of the change that is to be done, or of the one that is taken back."""


def server_of(client: Client, path: Path, name: str) -> Server | None:
    """How the client starts the server of this name; `None` if it has none.

    Raises:
        InvalidArgument: the file cannot be read as its format.

    """
    _, text, _ = _read(path, to_write=False)
    found = _entry(client, path, text, name)
    return None if found is None else entries.read(client.shape, found)


def servers_of(client: Client, path: Path) -> dict[str, Server]:
    """How the client starts each of its servers, by name; none where there is no file. Raises as `server_of` does."""
    _, text, _ = _read(path, to_write=False)
    try:
        found = FORMATS[client.format].all_entries(text, client.key)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}.") from None
    return {name: entries.read(client.shape, entry) for name, entry in found.items()}


def to_install(client: Client, path: Path, name: str, server: Server, home: Path, *, force: bool) -> Change:
    """The change that puts the server in; none, where it is in as it should be.

    Raises:
        InvalidArgument: the file cannot be changed, or has another server of this name.

    """
    before, text, mark = _read(path)
    target = _target(path)
    found = _entry(client, path, text, name)
    if found is not None and not force and not (there := entries.read(client.shape, found)).runs_us:
        runs = there.command[0] if there.command else "something else"
        raise InvalidArgument(
            f"{path} has another server called {name!r}, which runs {runs}. Nothing was changed: --name gives ours"
            " another name, --force puts it in that one's place."
        )
    ours = found if found is not None and entries.read(client.shape, found).runs_us else None
    wanted = entries.written(client.shape, server, ours)
    after = before if wanted == found else _encoded(mark, _with(client, path, text, name, wanted))
    known = record.find(home, path, name)
    if known and digest(before) == known.after:
        return Change(path, target, before, after, replace(known, after=digest(after)))
    noted = _noted(client, path, name, before, after)
    if ours is not None:  # what it was is to come back without us
        noted = replace(known or noted, before=UNKNOWN, after=digest(after))
    return Change(path, target, before, after, noted)


def to_uninstall(client: Client, path: Path, name: str, home: Path) -> Change | None:
    """The change that takes the server out again; `None` if it is not there.

    Raises:
        InvalidArgument: the file cannot be changed, or the server of this name is not ours.

    """
    known = record.find(home, path, name) or Installed(str(path), name, UNKNOWN, UNKNOWN)
    if not os.path.lexists(path):
        return None
    before, text, mark = _read(path)
    if before is None:
        return None
    target = _target(path)
    is_known, original = _original(known)
    if digest(before) == known.after and is_known:
        return Change(path, target, before, original, known)
    found = _entry(client, path, text, name)
    if found is None:
        return None
    if not entries.read(client.shape, found).runs_us:
        raise InvalidArgument(f"{path}: the server called {name!r} is not ours. Nothing was changed.")
    after = _encoded(mark, _without(client, path, text, name, with_key=known.made_key))
    gone = not after.strip(b"{} \t\r\n") and (not known.before or client.format == "yaml")
    return Change(path, target, before, None if gone else after, known)


def install(change: Change, home: Path) -> str:
    """Do a change that puts a server in; where the backup is, if there was a file.

    Raises:
        InvalidArgument: it cannot be done; the file is as it was.

    """
    known, is_new = change.known, False
    if known.before and not known.backup:
        backup, is_new = record.back_up(change.path, change.before or b"")
        known = replace(known, backup=backup)
    noted = record.find(home, change.path, known.server)
    try:
        # Noted before it is done: what is killed in between can be taken out all the same.
        record.note(home, known)
        config_files.write(change.target, change.before, change.after or b"")
    except InvalidArgument:
        with suppress(InvalidArgument):
            if is_new:
                config_files.take_away(Path(known.backup), change.before or b"", [])
            record.note(home, noted) if noted else record.forget(home, change.path, known.server)
        raise
    return known.backup


def uninstall(change: Change, home: Path) -> str:
    """Do a change that takes a server out; where the backup is, if the file is not what it was before.

    Raises:
        InvalidArgument: it cannot be done; the file is as it was.

    """
    known = change.known
    if change.after is None:
        config_files.take_away(change.target, change.before or b"", known.folders)
    else:
        config_files.write(change.target, change.before, change.after)
    record.forget(home, change.path, known.server)
    if not known.backup:
        return ""
    backup = Path(known.backup)
    content = config_files.read(backup)
    if content is not None and content == change.after:
        config_files.take_away(backup, content, [])
        return ""
    return "" if content is None else known.backup


def _noted(client: Client, path: Path, name: str, before: bytes | None, after: bytes | None) -> Installed:
    """What is noted of a change to a file that was not changed by us before."""
    folders: list[str] = []
    folder = path.parent
    while not folder.exists():
        folders.append(str(folder))
        folder = folder.parent
    made_key = before is None or not _has_key(client, before)
    return Installed(str(path), name, digest(before), digest(after), "", made_key, folders)


def _has_key(client: Client, content: bytes) -> bool:
    text = content.decode().removeprefix("\ufeff")
    return client.format != "json" or client.key in json_entries.parsed(text)


def _original(known: Installed) -> tuple[bool, bytes | None]:
    """Whether it is known what the file was, and that: `None` if there was none."""
    if not known.before:
        return True, None
    content = config_files.read(Path(known.backup)) if known.backup else None
    return digest(content) == known.before, content


def _read(path: Path, *, to_write: bool = True) -> tuple[bytes | None, str, str]:
    """The file's bytes, its text, and the byte order mark before it."""
    content = config_files.read(_target(path) if to_write else Path(os.path.realpath(path)))
    mark, text = config_files.text_of(path, content or b"")
    return content, text, mark


def _target(path: Path) -> Path:
    """The file itself, where the path is a link to it.

    Raises:
        InvalidArgument: it is not ours to change.

    """
    target = Path(os.path.realpath(path))
    if os.path.lexists(target):
        config_files.check_ours(target)
    elif os.path.islink(path):  # noqa: PTH114  no error
        raise InvalidArgument(f"{path} is a link to nothing. Nothing was changed.")
    return target


def _entry(client: Client, path: Path, text: str, name: str) -> JSONObject | None:
    try:
        return FORMATS[client.format].entry(text, client.key, name)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Nothing was changed.") from None


def _with(client: Client, path: Path, text: str, name: str, value: JSONObject) -> str:
    try:
        return FORMATS[client.format].with_entry(text, client.key, name, value)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Nothing was changed.") from None


def _without(client: Client, path: Path, text: str, name: str, *, with_key: bool) -> str:
    try:
        return FORMATS[client.format].without_entry(text, client.key, name, with_key=with_key)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path} {exc}. Nothing was changed: take {name!r} out by hand.") from None


def _encoded(mark: str, text: str) -> bytes:
    return (mark + text).encode()

"""`doctor --as CLIENT`: starts our server as a client does, and says where it keeps talks that we would not look for.

What the client's own settings say is run: their command, variables and folder, in what the client passes on of this
environment. Where they name no server of ours, this program is, to say what would be. The rules are those of Codex
0.171.0, Gemini CLI 0.61.0, Claude Code 2.1.332 and opencode; of what a desktop starts, the least that any passes on.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from agentic_flywheel.cli.clients.changes import servers_of
from agentic_flywheel.cli.clients.table import DEFAULT_NAME, Client, Machine, named
from agentic_flywheel.cli.terminal import complain, say
from agentic_flywheel.errors import InvalidArgument, SettingError
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import NAMES, PASSABLE, SECRETS, WHICH_KEY, WHICH_REDIS, default_path, gather

CODEX_PASSES = frozenset(
    ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE", "TERM", "TMPDIR", "TZ", "USER")
)
GEMINI_DROPS = re.compile("KEY|SECRET|TOKEN|PASSWORD|PASSWD|AUTH|CRED|PRIVATE|CERT", re.IGNORECASE)

DESKTOP_PASSES = frozenset(("HOME", "LOGNAME", "SHELL", "TERM", "USER"))
BARE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""What a program has that no shell has started."""

PASSES: dict[str, Callable[[str], bool]] = {
    "codex": lambda name: name in CODEX_PASSES,
    "gemini-cli": lambda name: not GEMINI_DROPS.search(name),
}
"""Which variables a client passes on, where that is not all."""

ANSWER_SECONDS = 30.0
"""How long the server may take to start and to answer: no client waits longer."""


SET = "agentic-flywheel-state config set"

CHOOSE_A_STORE = (
    "REDIS_ENABLED",
    *WHICH_REDIS,
    "FLYWHEEL_DATA_DIR",
    "FLYWHEEL_JOURNAL",
    "FLYWHEEL_KEY_PREFIX",
    "FLYWHEEL_USER",
    "FLYWHEEL_SECRETS",
    *WHICH_KEY,
)
"""What the server's own status is asked for."""


HIDDEN = ("REDIS_URL", *SECRETS)
"""Variables whose value is no word of a report."""


@dataclass(frozen=True, slots=True)
class _Fact:
    """Something by which stores differ: what it is called, the settings that make it, what it is here and there."""

    what: str
    settings: tuple[str, ...]
    here: str
    there: str


@dataclass(frozen=True, slots=True)
class _Start:
    """How a client starts the server: its command, its environment, its folder; `place` is the file that says so."""

    command: list[str]
    environ: dict[str, str]
    folder: Path
    place: Path | None


def passed_on(client: Client, environ: Mapping[str, str]) -> dict[str, str]:
    """What a client passes on of an environment to a server that it starts."""
    passes = PASSES.get(client.name, lambda name: not client.on_desktop or name in DESKTOP_PASSES)
    passed = {name: text for name, text in environ.items() if passes(name)}
    return passed | {"PATH": BARE_PATH} if client.on_desktop else passed


def doctor_as(settings: Settings, client: str) -> int:
    """Print what a client's server would keep elsewhere; 1 if there is anything, else 0; 2 if it does not start."""
    (known,) = named([client])
    name = known.shown
    try:
        start = _start(known)
        status = _status(start)
    except (SettingError, InvalidArgument) as exc:
        complain(f"as {name} starts it, the server does not answer: {exc}")
        return 2
    if start.place:
        say(f"{name} starts {shlex.join(start.command)}, as {start.place} says; it answers.")
    else:
        say(f"{name} has no server of ours. To put it in: agentic-flywheel-state install {known.name}")
    passed = len(passed_on(known, os.environ))
    say(f"{name} passes on {passed} of {len(os.environ)} variables to a server that it starts.")
    cures: list[str] = []
    facts = [*_facts(settings, status), *_other_facts(start.environ)]
    for fact in facts:
        if fact.here == fact.there:
            say(f"✓ {fact.what:<13} {fact.here}", 32, 1)
            continue
        say(f"✗ {fact.what:<13} {fact.here} here, {fact.there} there", 31, 1)
        cures += _cures(settings, name, fact)
    if start.place and shutil.which(start.command[0], path=BARE_PATH) is None:
        say(
            f"✗ {'Command':<13} {start.command[0]} is found on your PATH alone, and not wherever {name} is started",
            31,
            1,
        )
        cures.append(f"agentic-flywheel-state install {known.name}")
    for line in dict.fromkeys(cures):
        say(f"  Try: {line}")
    if not cures:
        say(f"All well: {name} uses the same store.", 32)
    return int(bool(cures))


def _start(client: Client) -> _Start:
    """How the client starts our server.

    Raises:
        InvalidArgument: its settings cannot be read.

    """
    environ, machine = passed_on(client, os.environ), Machine(Path.home(), os.environ, sys.platform)
    folder = Path("/") if client.on_desktop else Path.cwd()
    for path in client.files(machine, DEFAULT_NAME):
        for server in servers_of(client, path).values():
            if server.runs_us:
                folder = Path(server.folder) if server.folder else folder
                return _Start(server.command, environ | server.env, folder, path)
    return _Start([sys.executable, "-P", "-m", "agentic_flywheel"], environ, folder, None)


def _status(start: _Start) -> JSONObject:
    """The status that the server gives when it is started so.

    Raises:
        SettingError: it refused to start, or gave none; the message is what it said.

    """
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "doctor", "version": "1"}}
    lines: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": info},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "persistence_status", "arguments": {}}},
    ]
    try:
        answered = subprocess.run(
            start.command,
            env=start.environ,
            cwd=start.folder,
            input="".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SettingError(f"it was silent for {ANSWER_SECONDS:g} s.") from None
    except OSError as exc:
        missing = isinstance(exc, FileNotFoundError) and not Path(start.command[0]).is_absolute()
        why = f"is not on its PATH ({start.environ.get('PATH', '')})" if missing else f"cannot be run ({exc.strerror})"
        raise SettingError(f"{start.command[0]} {why}. `agentic-flywheel-state install` mends it.") from None
    for line in answered.stdout.splitlines():
        answer = _answer(line)
        if answer.get("id") == lines[-1]["id"] and "result" in answer:
            return answer["result"]["structuredContent"]
    raise SettingError((answered.stderr.strip().splitlines() or ["it ended without a word."])[-1])


def _answer(line: str) -> JSONObject:
    """A message of the server; nothing, where the line is none."""
    try:
        found: object = json.loads(line)
    except ValueError:
        return {}
    return cast("JSONObject", found) if isinstance(found, dict) else {}


def _facts(settings: Settings, status: JSONObject) -> list[_Fact]:
    """What tells our store from that of a server with this status."""
    redis, path = status.get("redis") or {"state": "not used"}, status["journal"]["path"]
    target = settings.redis_target if settings.redis_enabled else "this machine"
    their_target = str(redis["target"]) if redis["state"] != "not used" else "this machine"
    folder = str(settings.data_dir) if settings.journal else "none"
    return [
        _Fact("Destination", ("REDIS_ENABLED", *WHICH_REDIS), target, their_target),
        _Fact(
            "Data folder", ("FLYWHEEL_DATA_DIR", "FLYWHEEL_JOURNAL"), folder, str(Path(path).parent) if path else "none"
        ),
        _Fact("Prefix", ("FLYWHEEL_KEY_PREFIX",), settings.key_prefix, status["key_prefix"]),
        _Fact("User", ("FLYWHEEL_USER",), settings.user or "none", status["user"] or "none"),
        _Fact("Redaction", ("FLYWHEEL_SECRETS",), settings.secrets, status["redaction"]),
        _Fact("Keys", WHICH_KEY, settings.seal.named if settings.seal else "none", status.get("sealed") or "none"),
    ]


def _other_facts(environ: Mapping[str, str]) -> list[_Fact]:
    """The settings that choose no store, and differ."""
    here, there = (gather(each, default_path()).texts for each in (os.environ, environ))
    return [
        _Fact(PASSABLE.get(name, name), (name,), *(_shown(name, each.get(name)) for each in (here, there)))
        for name in NAMES
        if name not in CHOOSE_A_STORE and here.get(name, "") != there.get(name, "")
    ]


def _shown(name: str, text: str | None) -> str:
    return "default" if text is None else "one of its own" if name in HIDDEN else text


def _cures(settings: Settings, client: str, fact: _Fact) -> list[str]:
    """What to do that the client's server agrees with ours in this."""
    sources = dict(settings.sources)
    named = settings.redis_enabled and settings.redis_named
    if "REDIS_URL" in fact.settings and named and settings.redis_url == settings.redis_target:
        return [f"{SET} REDIS_URL {shlex.quote(settings.redis_url)}"]  # one line, and there is no password in it
    lines: list[str] = []
    for name in fact.settings:
        variable = sources.get(name, "").removeprefix("environment variable ")
        if variable == "XDG_DATA_HOME":
            folder = shlex.quote(str(settings.data_dir))
            lines.append(f"{SET} FLYWHEEL_DATA_DIR {folder} ({client} does not pass XDG_DATA_HOME on)")
        elif variable in HIDDEN:
            lines.append(f"printenv {variable} | {SET} {PASSABLE.get(variable, variable)} -")
        elif variable in os.environ:
            lines.append(f"{SET} {PASSABLE.get(name, name)} {shlex.quote(os.environ[variable])}")
    return lines or [f"{client}'s own settings: none of our variables says why."]

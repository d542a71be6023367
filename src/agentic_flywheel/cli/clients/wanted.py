"""Works out the server that is to be installed: an absolute command, and the settings that a client must hand on."""

import os
import re
from argparse import Namespace
from pathlib import Path

from agentic_flywheel.cli.clients.entries import Server
from agentic_flywheel.cli.program_start import program_start
from agentic_flywheel.errors import InvalidArgument, SettingError
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import ALIASES, NAMES, WHICH_REDIS, default_path, unknown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"(?:FLYWHEEL|REDIS)_")


def wanted(settings: Settings, options: Namespace) -> tuple[Server, list[str]]:
    """The server, and the names of the settings that were taken from this environment.

    What stands in the environment alone reaches no client that a desktop starts, and few others (Codex hands on none);
    what stands in the settings file reaches all, and is not repeated.

    Raises:
        InvalidArgument: a variable is none, or the server would not start with it.

    """
    taken = _from_environment(settings)
    given = dict(map(_pair, options.env))
    if options.redis_url:
        given = {"REDIS_URL": options.redis_url, **given}
    if any(name in WHICH_REDIS for name in given):
        taken = {name: value for name, value in taken.items() if name not in WHICH_REDIS}
    resolved = {ALIASES.get(name, name) for name in given}
    taken = {name: value for name, value in taken.items() if ALIASES.get(name, name) not in resolved}
    env = {**taken, **given}
    try:
        Settings.from_env({**_home(), **{name: value for name, value in env.items() if value}}, default_path())
    except SettingError as exc:
        raise InvalidArgument(f"the server would not start: {exc}") from None
    return Server(program_start(), env), sorted(taken)


def in_a_cache(server: Server) -> bool:
    """Whether the command lies in uv's cache, which may be emptied at any time."""
    return bool(re.search(r"[/\\]uv[/\\](?:cache[/\\])?(?:archive|environments|builds)-v\d", server.command[0]))


def _from_environment(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, source in settings.sources:
        variable = source.removeprefix("environment variable ")
        if variable == "XDG_DATA_HOME":
            found["FLYWHEEL_DATA_DIR"] = str(settings.data_dir)
        elif variable != source and (value := os.environ.get(variable, "")):
            found[variable] = str(settings.data_dir) if name == "FLYWHEEL_DATA_DIR" else value
    return found


def _home() -> dict[str, str]:
    return {"HOME": str(Path.home())}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise InvalidArgument(f"--env takes NAME=VALUE, not {name[:60]!r}.")
    if _OURS.match(name) and name not in (*NAMES, *ALIASES):
        raise InvalidArgument(f"--env: {unknown(name.lower())}")
    return name, value

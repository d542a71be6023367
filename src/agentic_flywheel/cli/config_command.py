"""`config`: shows each setting and where it stands, and changes the settings file a line at a time."""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from getpass import getpass
from pathlib import Path

from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.terminal import complain, finish, say, say_json, say_table, tell
from agentic_flywheel.errors import SettingError
from agentic_flywheel.private_files import OF_OTHERS, NotPrivate, changing, put
from agentic_flywheel.redis_url import without_password
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import (
    ALIASES,
    IN_FILE,
    NAMES,
    PASSABLE,
    SECRETS,
    WHICH_REDIS,
    default_path,
    gather,
    parse,
    read_bytes,
    tilde,
    unknown,
)

FIELDS = {
    "REDIS_ENABLED": "redis_enabled",
    "REDIS_URL": "redis_target",
    "REDIS_CLUSTER": "redis_cluster",
    "REDIS_TTL_SECONDS": "session_ttl_seconds",
    "FLYWHEEL_EXECUTION_TTL_SECONDS": "execution_ttl_seconds",
    "FLYWHEEL_KEY_PREFIX": "key_prefix",
    "FLYWHEEL_DATA_DIR": "data_dir",
    "FLYWHEEL_SECRETS": "secrets",
    "FLYWHEEL_KEY": "seal",
}
"""What each setting is called in `Settings`, where that is not the end of its name."""


def config(options: argparse.Namespace) -> int:
    """Run the verb; 2, and a line on standard error, where a setting or the file is wrong."""
    return finish(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    path = default_path()
    try:
        if path is None:
            raise SettingError("There is no home to keep a settings file in: set HOME.")
        match options.verb:
            case "path":
                say(str(path))
            case "set" | "unset":
                value = getattr(options, "value", "")
                value = _typed(options.name) if value == "-" else value
                with changing(path.parent):
                    change(path, options.name, value)
            case _:
                return _show(path, as_json=getattr(options, "json", False))
    except (SettingError, NotPrivate) as exc:
        complain(str(exc))
    except OSError as exc:
        complain(f"{path} cannot be written: {exc.strerror}.")
    else:
        return 0
    return 2


def _typed(name: str) -> str:
    """A value from standard input, which a terminal does not show: it may have a password."""
    with interruptible():  # so that `getpass` sets the terminal back
        if sys.stdin.isatty():
            return getpass(f"{name}: ")
        return sys.stdin.readline().rstrip("\r\n")


def _show(path: Path, *, as_json: bool) -> int:
    settings = Settings.of_this_process()
    sources = dict(settings.sources)
    if made_of := [sources[name] for name in WHICH_REDIS if name in sources]:
        sources.setdefault("REDIS_URL", made_of[0])
    rows = [
        (PASSABLE.get(name, name), _value(settings, name), sources.get(name, "default"))
        for name in NAMES
        if name in sources or hasattr(settings, _field(name))
    ]
    if as_json:
        return say_json({name: {"value": value, "from": source} for name, value, source in rows})
    say_table([("SETTING", "VALUE", "FROM"), *rows])
    with suppress(OSError):
        if hasattr(os, "geteuid") and path.stat().st_mode & OF_OTHERS:
            say(f"Others can read {tilde(path)}: chmod 600 it.")
            return 0
    say(f"Settings file: {tilde(path)}{'' if path.exists() else ' (there is none)'}")
    return 0


def _field(name: str) -> str:
    return FIELDS.get(name, name.partition("_")[2].lower())


def _value(settings: Settings, name: str) -> str:
    """What a setting is, without passwords."""
    if name == "REDIS_URL":
        return settings.redis_target if settings.redis_enabled else "none: this machine"
    if name == "FLYWHEEL_KEY":
        return settings.seal.named if settings.seal else "none: kept in clear"
    if not hasattr(settings, _field(name)):  # a part of what names a Redis or a Langfuse
        text = gather(os.environ, default_path()).texts[name]
        return "***" if name in SECRETS else without_password(text)
    value = getattr(settings, _field(name))
    if name == "FLYWHEEL_COAIA_COMMAND":
        return shlex.join(settings.coaia_command)
    return str(value).lower() if isinstance(value, bool) else str(value)


def change(path: Path, name: str, value: str) -> None:
    """Write a setting into the file, or take it out if the value is empty; all other lines stay as they are.

    Raises:
        SettingError: there is no such setting, its value is not allowed, or the file cannot be changed by the line.
        OSError: the file cannot be written.

    """
    setting = IN_FILE.get(name.upper(), name.upper())
    line = f"{name.lower()} = {_toml(value)}" if value.strip() else ""
    if line and setting not in NAMES:
        raise SettingError(unknown(name))
    spellings = [name.upper(), setting, *(alias for alias in IN_FILE if IN_FILE[alias] == setting)]
    content = read_bytes(path)
    try:
        changed = _edited(content.decode(), spellings, line).encode()
    except UnicodeError:
        raise SettingError(f"{path} and the value must be UTF-8 text.") from None
    _check(content, changed, spellings, path)
    if line:
        theirs = {each: text for each, text in os.environ.items() if each not in (*NAMES, *ALIASES)}
        given = {IN_FILE.get(each, each): text for each, text in parse(changed, path).items()}
        if setting in Settings.from_env({**theirs, **given}).overridden:
            tell(f"{setting} does not count beside the URL in the file, which wins whole.")
    if changed == content:
        tell(f"{tilde(path)} says so already." if line else f"{tilde(path)} has no {name.lower()}.")
        return
    put(path, changed)
    say(f"{name.lower()} is {'set' if line else 'removed'} in {tilde(path)}.")
    if not line and setting in WHICH_REDIS:
        _tell_what_is_hidden(parse(content, path), parse(changed, path))
    if winning := [each for each in spellings if os.environ.get(each, "").strip()]:
        tell(f"The environment variable {winning[0]} is set here, and wins.")


def _tell_what_is_hidden(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Say where the talks are that are not listed any more, if no Redis is named now."""
    theirs = {each: text for each, text in os.environ.items() if each not in (*NAMES, *ALIASES)}
    with suppress(SettingError):
        was, now = Settings.from_env({**theirs, **before}), Settings.from_env({**os.environ, **after})
        if was.redis_enabled and not now.redis_enabled:
            tell(
                f"What {was.redis_target} has stays there, and is not shown while no Redis is named. To see it again:"
                " agentic-flywheel-state config set REDIS_URL, with its address."
            )


def _edited(text: str, names: list[str], line: str) -> str:
    """The text with the line in place of the first that sets one of the names, and without the others that do."""
    ours = re.compile(rf"""[ \t]*["']?({"|".join(map(re.escape, names))})["']?[ \t]*=""", re.IGNORECASE)
    lines: list[str] = []
    for old in text.removesuffix("\n").split("\n") if text else []:
        if not ours.match(old):
            lines.append(old)
        elif line:
            lines.append(line)
            line = ""
    return "".join(f"{each}\n" for each in ([*lines, line] if line else lines))


def _toml(value: str) -> str:
    """A value as it is written in the file; JSON's escapes are TOML's, which wants one more."""
    if re.fullmatch(r"true|false|0|[1-9]\d{0,15}", value):
        return value
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check(content: bytes, changed: bytes, names: list[str], path: Path) -> None:
    """Check that a change of lines changed no other setting, as it would where a text has several lines.

    Raises:
        SettingError: it did.

    """
    import tomllib

    try:
        before = tomllib.loads(content.decode())
    except ValueError:
        return  # no settings to lose: it is being mended
    with suppress(ValueError):
        after = tomllib.loads(changed.decode())
        others = [{key: table[key] for key in table if key.upper() not in names} for table in (before, after)]
        if others[0] == others[1]:
            return
    raise SettingError(f"{path} cannot be changed line by line: edit it yourself.")

"""Reads the person's settings file, and says of each setting where it was given: the environment wins over the file.

The file lies below HOME whatever `XDG_CONFIG_HOME` says, since some clients pass on HOME and little else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic_flywheel.errors import SettingError
from agentic_flywheel.langfuse_access import VARIABLES as WHICH_LANGFUSE
from agentic_flywheel.private_files import WRITE_OF_OTHERS, read_secret

PLACE = Path(".config", "agentic-flywheel-state", "config.toml")
"""The file, below HOME."""

MAX_BYTES = 65_536
"""Of the file; one with all settings has a fiftieth of it."""

MAX_NUMBER = 10**18
"""Above all that is allowed anywhere."""

WHICH_REDIS = (
    "REDIS_URL",
    "REDIS_URL_FILE",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_DB",
    "REDIS_USERNAME",
    "REDIS_PASSWORD",
    "REDIS_CLUSTER",
)
"""What names a Redis, as one: a password in the file never goes to a host that the environment names."""

WHICH_KEY = ("FLYWHEEL_KEY", "FLYWHEEL_KEY_FILE")
"""What gives the keys, as one likewise."""

SECRETS = ("REDIS_PASSWORD", "FLYWHEEL_KEY", "FLYWHEEL_SEAL", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
"""Of whose values nothing is shown; of a `REDIS_URL` all but its password."""

NAMES = (
    "REDIS_ENABLED",
    *WHICH_REDIS,
    "REDIS_TTL_SECONDS",
    "FLYWHEEL_EXECUTION_TTL_SECONDS",
    "FLYWHEEL_KEY_PREFIX",
    "FLYWHEEL_USER",
    "FLYWHEEL_USER_ONLY",
    "FLYWHEEL_DATA_DIR",
    "FLYWHEEL_JOURNAL",
    "FLYWHEEL_REPLICA_BYTES",
    "FLYWHEEL_TIMEOUT_SECONDS",
    "FLYWHEEL_MAX_SESSION_BYTES",
    "FLYWHEEL_REVISIONS",
    "FLYWHEEL_SECRETS",
    "FLYWHEEL_COAIA_COMMAND",
    "FLYWHEEL_COAIA_PYTHON",
    "FLYWHEEL_LOG_LEVEL",
    "FLYWHEEL_TOOLS",
    "FLYWHEEL_ASK",
    "FLYWHEEL_TRACE",
    "FLYWHEEL_TRACE_CONTENT",
    *WHICH_LANGFUSE,
    *WHICH_KEY,
)
"""Every setting, by its variable; its key in the file is the same in lower case."""

ALIASES = {
    "FLYWHEEL_PREFIX": "FLYWHEEL_KEY_PREFIX",
    "FLYWHEEL_REDACTION": "FLYWHEEL_SECRETS",
    "FLYWHEEL_SEAL": "FLYWHEEL_KEY",
    "FLYWHEEL_SEAL_FILE": "FLYWHEEL_KEY_FILE",
}
"""Names without KEY and SECRET: some clients pass no variable on that has such a word in its name."""

IN_FILE = {**ALIASES, "SEAL": "FLYWHEEL_KEY"}
"""The names that only the file may use as well: a variable of so short a name may be another program's."""

PASSABLE = {setting: alias for alias, setting in ALIASES.items()}
"""Of each such setting, the name that every client passes on."""


@dataclass(frozen=True, slots=True)
class Given:
    """All variables, aliases and file resolved, and for each setting that was given what an error calls it and where it
    stands.
    """  # noqa: D205  one sentence, too long for a line

    texts: dict[str, str]
    labels: dict[str, str]
    sources: dict[str, str]


def default_path() -> Path | None:
    """Where the file of whoever runs us lies, be it there or not; `None` if they have no home."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / PLACE if home.is_absolute() else None


def gather(environ: Mapping[str, str], file: Path | None = None) -> Given:
    """What the environment gives, and the file where that gives nothing. An empty variable counts as absent.

    Raises:
        SettingError: two names of one setting say different things; or the file is refused, as `read` does.

    """
    here = _by_setting({name: environ.get(name, "") for name in (*NAMES, *ALIASES)}, str)
    there = _by_setting(read(file), lambda name: f"{file}: {name.lower()}") if file else {}
    for together in (WHICH_REDIS, WHICH_LANGFUSE, WHICH_KEY):
        if any(name in here for name in together):
            there = {name: given for name, given in there.items() if name not in together}
    place = f"file {tilde(file)}" if file else ""
    return Given(
        {**environ, **{name: text for name, (text, _) in {**there, **here}.items()}},
        {name: label for name, (_, label) in {**there, **here}.items()},
        {**dict.fromkeys(there, place), **{name: f"environment variable {label}" for name, (_, label) in here.items()}},
    )


def _by_setting(texts: Mapping[str, str], label: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """The text of each setting that has one, and what an error calls it."""
    found: dict[str, tuple[str, str]] = {}
    for name, text in texts.items():
        setting = IN_FILE.get(name, name)
        if text.strip() and setting in found and found[setting][0].strip() != text.strip():
            raise SettingError(
                f"{found[setting][1]} and {label(name)} are two names of one setting, and differ; remove one of them."
            )
        if text.strip():
            found.setdefault(setting, (text, label(name)))
    return found


def tilde(path: Path) -> str:
    """A path as a person writes it, with ~ for their home."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def read(path: Path) -> dict[str, str]:
    """The texts in the file, by variable as it is spelt there; none if there is no file.

    Raises:
        SettingError: others can write the file, it is not ours, a link, or no TOML; or a key or its value is wrong. The
            line names the file, and of its content the key alone: what stands in a wrong place may be a password.

    """
    return parse(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """What is in the file; nothing if there is none. Raises as `read` does."""
    try:
        content = read_secret(path, MAX_BYTES + 1, WRITE_OF_OTHERS)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as exc:
        raise SettingError(f"{path} cannot be read: {exc.strerror}." if exc.errno else str(exc)) from None
    if len(content) > MAX_BYTES:
        raise SettingError(f"{path} is longer than {MAX_BYTES:,} bytes, which no settings are. Move it out of the way.")
    return content


def parse(content: bytes, path: Path) -> dict[str, str]:
    """What `read` answers for a file with this content. Raises as `read` does."""
    if not content:
        return {}
    import tomllib  # most people have no such file

    try:
        table = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise SettingError(f"{path} is not UTF-8 text. Save it as such.") from None
    except (ValueError, RecursionError) as exc:
        raise SettingError(f'{path} is not TOML{_where(exc)}; a line is written as name = "value".') from None
    return {key.upper(): _text(key, value, path) for key, value in table.items()}


def _where(error: Exception) -> str:
    """The place of a mistake, without a word of what is there."""
    import re

    found = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
    return f" at {found[1]}" if found else ""


def _text(key: str, value: object, path: Path) -> str:
    """A value as the environment would have it."""
    if key.upper() not in (*NAMES, *IN_FILE) or key != key.lower():
        raise SettingError(f"{path}: {unknown(key)}")
    match value:
        case bool():
            return str(value).lower()
        case str() if "\0" not in value:
            return value
        case int() | float() if abs(value) < MAX_NUMBER:
            return str(value)
        case _:
            raise SettingError(f"{path}: {key} is not allowed; allowed: a number, true, false, or text in quotes.")


def unknown(key: str) -> str:
    """A sentence on a name that is not one of ours, with the nearest that is."""
    from difflib import get_close_matches

    keys = [name.lower() for name in (*NAMES, *IN_FILE)]
    ends = [each for each in keys if each.endswith("_" + key.lower())]
    near = ends or get_close_matches(key.lower(), keys, 1, 0.5)
    hint = f"the nearest is {near[0]}" if near else "`agentic-flywheel-state config show` lists them"
    return f"there is no setting {key[:60]!r}; {hint}."

"""Reads the environment and the settings file once: every setting of the contract, validated, a wrong one in a line.

Nothing below `sessions.wiring` sees this object: lower layers take plain values. Long: lines for each setting.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import platformdirs

from agentic_flywheel.errors import SettingError
from agentic_flywheel.keys import PREFIX_RULE, RESERVED
from agentic_flywheel.langfuse_access import VARIABLES, LangfuseAccess, read_access
from agentic_flywheel.private_files import NotPrivate, read_secret
from agentic_flywheel.redis_url import address, is_ipv6, url_problem, without_password
from agentic_flywheel.sealing import KeyRing, ring_given
from agentic_flywheel.settings_file import default_path, gather

MAX_TTL_SECONDS = 100 * 365 * 86_400
"""A hundred years. Longer than any promise we can keep, and far from the year 9999 where datetimes end."""

YEAR_SECONDS = 365 * 86_400
"""How long the server keeps a session after its last save or resume, by default."""

MAX_SECRET_BYTES = 8192
"""Of a file with a URL; none is that long."""

_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, with the contract's defaults. Seconds and bytes are whole numbers."""

    redis_enabled: bool
    redis_url: str = field(repr=False)
    redis_cluster: bool
    session_ttl_seconds: int
    execution_ttl_seconds: int
    key_prefix: str
    user: str
    user_only: bool
    data_dir: Path
    journal: bool
    replica_bytes: int
    timeout_seconds: float
    max_session_bytes: int
    revisions: int
    secrets: str
    coaia_command: tuple[str, ...]
    coaia_python: str
    log_level: str
    tools: str
    """`all`, or `conversations`: without those for flows."""
    seal: KeyRing | None  # the keys with which everything is sealed; `None`: it is kept in clear
    ask: str
    """`auto`: a person is asked before a deletion, where the client says that it can; `never`."""
    trace: str = "off"
    """`langfuse`: what the tools do is traced there; `off`."""
    trace_content: bool = True
    """Whether what the tools are given and answer is traced, or their names and times alone."""
    langfuse: LangfuseAccess | str = "off"
    """Where it is traced, or why it is not: what is missing."""
    overridden: tuple[str, ...] = ()
    """Variables that `REDIS_URL` overrides, for `doctor`."""
    redis_named: bool = False
    """Whether a variable names a Redis, or `REDIS_ENABLED=true` the one on localhost; else no answer speaks of one."""
    sources: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Each setting that was given, by its variable, and where: `environment variable …` or `file …`."""

    @property
    def redis_target(self) -> str:
        """Where Redis is, without the password."""
        return without_password(self.redis_url)

    @property
    def redis_shown(self) -> str:
        """The same, as answers name it; empty where no Redis is named, of which no answer speaks."""
        return self.redis_target if self.redis_named else ""

    @property
    def told(self) -> dict[str, Any]:
        """What a status says of the settings: where each stands that is no default, and what tells stores apart."""
        return {
            "settings": dict(self.sources),
            "key_prefix": self.key_prefix,
            "user": self.user,
            "redaction": self.secrets,
            "sealed": self.seal.named if self.seal else None,
        }

    @property
    def redis_place(self) -> str:
        """What tells this Redis, database and key prefix from others, in any spelling; nothing can be read from it."""
        return _digest(f"{address(self.redis_url)} {self.key_prefix}")

    @property
    def redis_place_before(self) -> str:
        """What told them apart up to journal version 3, where another spelling was another Redis."""
        parts = urlsplit(self.redis_url)
        place = f"{(parts.hostname or '').lower()}:{parts.port or 6379}{parts.path}?{parts.query}"
        return _digest(f"{place} {self.key_prefix}")

    @classmethod
    def of_this_process(cls, overrides: Mapping[str, str] | None = None) -> "Settings":
        """What this process' environment and its person's settings file say; `overrides` win. Raises as `from_env`."""
        return cls.from_env({**os.environ, **(overrides or {})}, default_path())

    @classmethod
    def from_env(cls, environ: Mapping[str, str], file: Path | None = None) -> "Settings":
        """Read and validate; what is absent, or empty, may stand in the file. Long: a line a setting.

        Raises:
            SettingError: names the variable, or file and key, the value (never a password) and what is allowed.

        """
        given = gather(environ, file)
        environ, env = given.texts, Environment(given.texts, given.labels)
        redis_url, redis_cluster = _redis_url(env), env.boolean("REDIS_CLUSTER", default=False)
        if redis_cluster and redis_url.startswith("unix:"):
            raise env.wrong("REDIS_CLUSTER", "allowed: a URL with a host; a unix socket reaches one node only")
        named = any(env.text(name, "") for name in (*_URLS, *_REDIS_PARTS, "REDIS_CLUSTER"))
        redis_enabled = env.boolean("REDIS_ENABLED", default=named)
        trace = env.one_of("FLYWHEEL_TRACE", "off", ("off", "langfuse"))
        unsaid = VARIABLES if trace == "off" else ()  # they may be there for others
        data_dir = env.text("FLYWHEEL_DATA_DIR", "") or platformdirs.user_data_dir("agentic-flywheel-state", False)  # noqa: FBT003
        return cls(
            redis_enabled=redis_enabled,
            redis_url=redis_url,
            redis_cluster=redis_cluster,
            session_ttl_seconds=env.integer("REDIS_TTL_SECONDS", YEAR_SECONDS, 0, MAX_TTL_SECONDS),
            execution_ttl_seconds=env.integer("FLYWHEEL_EXECUTION_TTL_SECONDS", 86_400, 0, MAX_TTL_SECONDS),
            key_prefix=_key_prefix(env),
            user=env.text("FLYWHEEL_USER", ""),
            user_only=_user_only(env),
            data_dir=_folder(env, data_dir),
            journal=env.boolean("FLYWHEEL_JOURNAL", default=True),
            replica_bytes=env.integer("FLYWHEEL_REPLICA_BYTES", 500_000_000, 1_000_000, 10**15),
            timeout_seconds=env.number("FLYWHEEL_TIMEOUT_SECONDS", 2.0, 0.05, 60.0),
            max_session_bytes=env.integer("FLYWHEEL_MAX_SESSION_BYTES", 16 * 2**20, 1024, 64 * 2**20),
            revisions=env.integer("FLYWHEEL_REVISIONS", 10, 0, 100),
            secrets=env.one_of("FLYWHEEL_SECRETS", "redact", ("redact", "warn", "off")),
            coaia_command=env.command("FLYWHEEL_COAIA_COMMAND"),
            coaia_python=env.text("FLYWHEEL_COAIA_PYTHON", ""),
            log_level=env.one_of("FLYWHEEL_LOG_LEVEL", "WARNING", _LOG_LEVELS),
            tools=env.one_of("FLYWHEEL_TOOLS", "all", ("all", "conversations")),
            seal=ring_given(env.text, env.labels),
            ask=env.one_of("FLYWHEEL_ASK", "auto", ("auto", "never")),
            trace=trace,
            trace_content=env.boolean("FLYWHEEL_TRACE_CONTENT", default=True),
            langfuse=read_access(environ) if trace == "langfuse" else "off",
            overridden=tuple(filter(partial(env.text, default=""), _REDIS_PARTS)) if _names_url(env) else (),
            redis_named=named or redis_enabled,
            sources=tuple(
                (name, source)
                for name, source in {**_by_default(given.texts, data_dir), **given.sources}.items()
                if name not in unsaid
            ),
        )


_URLS = ("REDIS_URL", "REDIS_URL_FILE")
_REDIS_PARTS = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD")


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed reads of environment variables; an empty one counts as absent. A wrong value raises `SettingError`."""

    variables: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """What an error calls a variable, where that is not its name."""

    def text(self, name: str, default: str) -> str:
        """The text, or the default."""
        return self.variables.get(name, "").strip() or default

    def boolean(self, name: str, *, default: bool) -> bool:
        """true/1/yes/on or false/0/no/off."""
        text = self.text(name, "")
        if not text:
            return default
        if text.lower() not in _BOOLEANS:
            raise self.wrong(name, "allowed: true or false")
        return _BOOLEANS[text.lower()]

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within the limits."""
        text = self.text(name, str(default))
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or not low <= int(text) <= high:
            raise self.wrong(name, f"allowed: a whole number from {low} to {high}")
        return int(text)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number within the limits."""
        text = self.text(name, str(default))
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}", text) or not low <= float(text) <= high:
            raise self.wrong(name, f"allowed: a number from {low:g} to {high:g}")
        return float(text)

    def one_of(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """One of the allowed texts, in whatever case it is written."""
        text = self.text(name, default)
        for each in allowed:
            if text.casefold() == each.casefold():
                return each
        raise self.wrong(name, f"allowed: {', '.join(allowed)}")

    def command(self, name: str) -> tuple[str, ...]:
        """A command line, split as a shell does."""
        try:
            return tuple(shlex.split(self.text(name, "")))
        except ValueError as exc:
            raise self.wrong(name, f"allowed: a command line as a shell splits it ({exc})") from None

    def wrong(self, name: str, allowed: str, shown: str | None = None) -> SettingError:
        """The error for a variable, naming its value (or what may be `shown` of it)."""
        value = self.text(name, "") if shown is None else shown
        return SettingError(f"{self.labels.get(name, name)}={value[:200]!r} is not allowed; {allowed}.")


def _key_prefix(env: Environment) -> str:
    prefix = env.text("FLYWHEEL_KEY_PREFIX", "agentic_flywheel")
    if not PREFIX_RULE.fullmatch(prefix) or RESERVED & set(prefix.split(":")[1:]):
        allowed = f"allowed: 1 to 128 of A-Z a-z 0-9 _ . : - without {', '.join(sorted(RESERVED))} after a colon"
        raise env.wrong("FLYWHEEL_KEY_PREFIX", allowed)
    return prefix


def _user_only(env: Environment) -> bool:
    user_only = env.boolean("FLYWHEEL_USER_ONLY", default=False)
    if user_only and not env.text("FLYWHEEL_USER", ""):
        raise env.wrong("FLYWHEEL_USER_ONLY", "set FLYWHEEL_USER as well, to say whose sessions these are")
    return user_only


def _by_default(texts: Mapping[str, str], data_dir: str) -> dict[str, str]:
    """Where the default of the data folder comes from, if it is no constant."""
    base = texts.get("XDG_DATA_HOME", "").strip()
    return {"FLYWHEEL_DATA_DIR": "environment variable XDG_DATA_HOME"} if base and data_dir.startswith(base) else {}


def _folder(env: Environment, text: str) -> Path:
    """The data folder: never one that depends on where the program was started, or is named by a forgotten variable."""
    allowed = "allowed: an absolute path, in which ~ and ${NAME} are replaced by your home and a variable that is set"
    path = Path(re.sub(r"\$\{(\w+)\}", lambda name: env.text(name[1], name[0]), text))
    try:
        path = path.expanduser()
    except RuntimeError:
        raise env.wrong("FLYWHEEL_DATA_DIR", f"{allowed}; there is no such user's home") from None
    if not path.is_absolute() or "${" in str(path):
        raise env.wrong("FLYWHEEL_DATA_DIR", allowed)
    return path


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _names_url(env: Environment) -> str:
    """The variable that gives the URL whole; empty if none does."""
    named = [name for name in _URLS if env.text(name, "")]
    if len(named) > 1:
        raise env.wrong("REDIS_URL_FILE", "allowed: REDIS_URL or REDIS_URL_FILE, not both")
    return "".join(named)


def _secret(env: Environment, name: str) -> str:
    """The text of the file that the variable names, which nobody else may read."""
    path = Path(env.text(name, "")).expanduser()
    if not path.is_absolute():
        raise env.wrong(name, "allowed: an absolute path, of a file that only you can read")
    try:
        return read_secret(path, MAX_SECRET_BYTES).decode().strip()
    except UnicodeDecodeError:
        raise env.wrong(name, "allowed: a file with a URL in UTF-8") from None
    except OSError as exc:
        why = str(exc) if isinstance(exc, NotPrivate) else f"{path} cannot be read: {exc.strerror}."
        raise SettingError(f"{env.labels.get(name, name)} is not allowed: {why}") from None


def _redis_url(env: Environment) -> str:
    """The one URL the child gets: `REDIS_URL` whole, or one made of the other variables.

    It is validated here because coaiapy, given a URL it cannot use, silently writes to localhost:6379 instead.
    """
    if name := _names_url(env):
        url = env.text(name, "") if name == "REDIS_URL" else _secret(env, name)
        problem = url_problem(url)
        if problem:
            raise env.wrong(name, problem, without_password(url) if name == "REDIS_URL" else None)  # nothing of a file
        return url
    host = env.text("REDIS_HOST", "localhost")
    if not re.fullmatch(r"[\w.-]{1,253}", host) and not is_ipv6(re.sub(r"^\[(.*)\]$", r"\1", host)):
        # What is pasted here may be a URL with its password, so only plain text is repeated.
        shown = host if re.fullmatch(r"[\w.:\[\] -]*", host) else "…"
        raise env.wrong(
            "REDIS_HOST",
            "allowed: a host name or address (a port goes into REDIS_PORT, a URL goes into REDIS_URL)",
            shown,
        )
    port = env.integer("REDIS_PORT", 6379, 1, 65_535)
    database = env.integer("REDIS_DB", 0, 0, 2**31)
    username, password = env.text("REDIS_USERNAME", ""), env.variables.get("REDIS_PASSWORD", "")
    credentials = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
    host = f"[{host}]" if is_ipv6(host) else host
    return f"redis://{credentials}{host}:{port}/{database}"

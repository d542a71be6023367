"""Reads the environment, once: every variable of the contract, validated, with a one-line error for a wrong one.

Nothing below `open_store` sees this object: lower layers take plain values.
"""

import contextlib
import hashlib
import ipaddress
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import platformdirs

from agentic_flywheel.errors import SettingError
from agentic_flywheel.keys import PREFIX_RULE, RESERVED

MAX_TTL_SECONDS = 100 * 365 * 86_400
"""A hundred years. Longer than any promise we can keep, and far from the year 9999 where datetimes end."""

_SECONDS = r"\d{1,6}(\.\d{1,6})?", "seconds"
_FILE = ".+", "a path"
_URL_OPTIONS = {
    "db": (r"\d{1,9}", "a number"),
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "ssl_cert_reqs": ("none|optional|required", "none, optional or required"),
    "ssl_check_hostname": ("(?i:true|false|yes|no|0|1)", "true or false"),
    "ssl_ca_certs": _FILE,
    "ssl_ca_path": _FILE,
    "ssl_certfile": _FILE,
    "ssl_keyfile": _FILE,
    "ssl_password": (".+", "the password of that key"),
}
"""The options of a Redis URL that redis-py 4.3 (coaiapy's) understands and that make sense here; what each may be."""
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
    overridden: tuple[str, ...] = ()
    """Variables that `REDIS_URL` overrides, for `doctor`."""
    redis_named: bool = False
    """Whether a variable names a Redis: without one, and without `REDIS_ENABLED=true`, none is meant."""

    @property
    def redis_target(self) -> str:
        """Where Redis is, without the password."""
        return without_password(self.redis_url)

    @property
    def redis_place(self) -> str:
        """What tells this Redis, database and key prefix from others, in any spelling; nothing can be read from it."""
        return _digest(f"{_address(self.redis_url)} {self.key_prefix}")

    @property
    def redis_place_before(self) -> str:
        """What told them apart up to journal version 3, where another spelling was another Redis."""
        parts = urlsplit(self.redis_url)
        place = f"{(parts.hostname or '').lower()}:{parts.port or 6379}{parts.path}?{parts.query}"
        return _digest(f"{place} {self.key_prefix}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and validate. An empty variable counts as absent.

        Raises:
            SettingError: names the variable, its value (never a password) and what is allowed.

        """
        env = Environment(environ)
        log_level = env.text("FLYWHEEL_LOG_LEVEL", "WARNING").upper()
        if log_level not in _LOG_LEVELS:
            raise env.wrong("FLYWHEEL_LOG_LEVEL", f"allowed: {', '.join(_LOG_LEVELS)}")
        secrets = env.text("FLYWHEEL_SECRETS", "redact").lower()
        if secrets not in _SECRETS:
            raise env.wrong("FLYWHEEL_SECRETS", f"allowed: {', '.join(_SECRETS)}")
        prefix = _key_prefix(env)
        redis_url, redis_cluster = _redis_url(env), env.boolean("REDIS_CLUSTER", default=False)
        if redis_cluster and redis_url.startswith("unix:"):
            raise env.wrong("REDIS_CLUSTER", "allowed: a URL with a host; a unix socket reaches one node only")
        data_dir = env.text("FLYWHEEL_DATA_DIR", "") or platformdirs.user_data_dir("agentic-flywheel-state", False)  # noqa: FBT003
        return cls(
            redis_enabled=env.boolean("REDIS_ENABLED", default=True),
            redis_url=redis_url,
            redis_cluster=redis_cluster,
            session_ttl_seconds=env.integer("REDIS_TTL_SECONDS", 2_592_000, 0, MAX_TTL_SECONDS),
            execution_ttl_seconds=env.integer("FLYWHEEL_EXECUTION_TTL_SECONDS", 86_400, 0, MAX_TTL_SECONDS),
            key_prefix=prefix,
            user=env.text("FLYWHEEL_USER", ""),
            data_dir=_folder(env, data_dir),
            journal=env.boolean("FLYWHEEL_JOURNAL", default=True),
            replica_bytes=env.integer("FLYWHEEL_REPLICA_BYTES", 500_000_000, 1_000_000, 10**15),
            timeout_seconds=env.number("FLYWHEEL_TIMEOUT_SECONDS", 2.0, 0.05, 60.0),
            max_session_bytes=env.integer("FLYWHEEL_MAX_SESSION_BYTES", 16 * 2**20, 1024, 64 * 2**20),
            revisions=env.integer("FLYWHEEL_REVISIONS", 10, 0, 100),
            secrets=secrets,
            coaia_command=env.command("FLYWHEEL_COAIA_COMMAND"),
            coaia_python=env.text("FLYWHEEL_COAIA_PYTHON", ""),
            log_level=log_level,
            overridden=tuple(name for name in _REDIS_PARTS if env.text(name, "")) if env.text("REDIS_URL", "") else (),
            redis_named=any(environ.get(name, "").strip() for name in ("REDIS_URL", *_REDIS_PARTS, "REDIS_CLUSTER")),
        )


_SECRETS = ("redact", "warn", "off")
_REDIS_PARTS = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD")


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed reads of environment variables; an empty one counts as absent. A wrong value raises `SettingError`."""

    variables: Mapping[str, str]

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

    def command(self, name: str) -> tuple[str, ...]:
        """A command line, split as a shell does."""
        try:
            return tuple(shlex.split(self.text(name, "")))
        except ValueError as exc:
            raise self.wrong(name, f"allowed: a command line as a shell splits it ({exc})") from None

    def wrong(self, name: str, allowed: str, shown: str | None = None) -> SettingError:
        """The error for a variable, naming its value (or what may be `shown` of it)."""
        value = self.text(name, "") if shown is None else shown
        return SettingError(f"{name}={value[:200]!r} is not allowed; {allowed}.")


def _key_prefix(env: Environment) -> str:
    prefix = env.text("FLYWHEEL_KEY_PREFIX", "agentic_flywheel")
    if not PREFIX_RULE.fullmatch(prefix) or RESERVED & set(prefix.split(":")[1:]):
        allowed = f"allowed: 1 to 128 of A-Z a-z 0-9 _ . : - without {', '.join(sorted(RESERVED))} after a colon"
        raise env.wrong("FLYWHEEL_KEY_PREFIX", allowed)
    return prefix


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


_THIS_MACHINE = frozenset({"", "localhost", "127.0.0.1", "::1"})


def _address(url: str) -> str:
    """Host, port and database of a Redis URL, or socket and database, as redis-py reads them, in one spelling.

    Left out is what does not choose the data: the way there (TLS, time-outs) and who asks.
    """
    parts = urlsplit(url)
    options = dict(reversed(parse_qsl(parts.query)))  # of several the first counts
    if parts.scheme == "unix":
        return f"unix:{os.path.realpath(unquote(parts.path))}/{int(options.get('db', 0))}"
    host = unquote(parts.hostname or "").lower().rstrip(".")
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    host = "localhost" if host in _THIS_MACHINE else host
    return f"{host}:{parts.port or 6379}/{int(options.get('db') or parts.path.strip('/') or 0)}"


def _redis_url(env: Environment) -> str:
    """The one URL the child gets: `REDIS_URL` whole, or one made of the other variables.

    It is validated here because coaiapy, given a URL it cannot use, silently writes to localhost:6379 instead.
    """
    url = env.text("REDIS_URL", "")
    if url:
        problem = _url_problem(url)
        if problem:
            raise env.wrong("REDIS_URL", problem, without_password(url))
        return url
    host = env.text("REDIS_HOST", "localhost")
    if not re.fullmatch(r"[\w.-]{1,253}", host) and not _is_ipv6(re.sub(r"^\[(.*)\]$", r"\1", host)):
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
    host = f"[{host}]" if _is_ipv6(host) else host
    return f"redis://{credentials}{host}:{port}/{database}"


def _url_problem(url: str) -> str | None:
    """What is wrong with a Redis URL; `None` for a good one."""
    shape = "allowed: redis://[user:password@]host[:port][/db], rediss://… or unix:///path[?db=n]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return shape
    if parts.scheme not in ("redis", "rediss", "unix") or parts.fragment or re.search(r"\s", url):
        return shape
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            return shape
    elif not parts.hostname or port == 0 or not re.fullmatch(r"(/\d{0,9})?", parts.path):
        return shape
    options = parse_qsl(parts.query, keep_blank_values=True)
    return next((problem for name, value in options if (problem := _option_problem(name, value, parts.scheme))), None)


def _option_problem(name: str, value: str, scheme: str) -> str | None:
    """What is wrong with an option of a Redis URL; `None` for a good one."""
    if name not in _URL_OPTIONS:
        return "its options may be db=n, socket_timeout=seconds, and for rediss:// the ssl_ ones of redis-py"
    allowed, words = _URL_OPTIONS[name]
    if not re.fullmatch(allowed, value):
        return f"allowed for its option {name}: {words}"
    if name.startswith("ssl_") and scheme != "rediss":
        return "its ssl_ options go with rediss:// only"
    if name == "socket_connect_timeout" and scheme == "unix":
        return "a unix socket takes no socket_connect_timeout"
    return None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def without_password(url: str) -> str:
    """The URL as it may be shown, whatever its shape: what could be part of a password is `***`."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url.removeprefix("//"))
    shape = re.match(r"([^/?#]*)([^?#]*)(.*)", rest, re.DOTALL)
    authority, path, options = shape.groups() if shape else ("", "", "")
    if "@" in path + options:  # in a password with a slash, or in an option: no telling where the password ends
        return f"{scheme}{separator}***"
    credentials, at, host = authority.rpartition("@")
    user, colon, _ = credentials.partition(":")
    place = re.fullmatch(r"(\[[^\]]*\]|[^:\[]*)(?::(.*))?", host, re.DOTALL)
    name, port = place.groups() if place else ("", "?")
    if port and not (name and re.fullmatch(r"\d{1,5}", port)):  # a password whose host was forgotten
        host = f"{name}:***"
    hidden = f"{user if colon else ''}:***@" if at else ""
    options = re.sub(r"(?i)(\w*(?:pass|token|secret)\w*=)[^&]*", r"\1***", options)
    return f"{scheme}{separator}{hidden}{host}{path}{options}"

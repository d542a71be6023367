"""Judges and compares Redis URLs, and shows them without their passwords; it connects nowhere."""

import contextlib
import ipaddress
import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

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

_NO = ("false", "no", "0")

_THIS_MACHINE = frozenset({"", "localhost", "127.0.0.1", "::1"})


def address(url: str) -> str:
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


def url_problem(url: str) -> str | None:
    """What is wrong with a Redis URL; `None` for a good one."""
    shape = "allowed: redis://[user:password@]host[:port][/db], rediss://… or unix:///path[?db=n]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return shape
    if "sentinel" in parts.scheme:
        return f"a Sentinel is not asked: name the primary, which SENTINEL GET-MASTER-ADDR-BY-NAME tells; {shape}"
    if parts.scheme not in ("redis", "rediss", "unix") or parts.fragment or re.search(r"\s", url):
        return shape
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            return shape
    elif not parts.hostname or port == 0 or not re.fullmatch(r"(/\d{0,9})?", parts.path):
        return shape
    options = parse_qsl(parts.query, keep_blank_values=True)
    if problem := next(filter(None, (_option_problem(name, value, parts.scheme) for name, value in options)), None):
        return problem
    if ("ssl_cert_reqs", "none") in options and not unchecked(url):
        return "its option ssl_cert_reqs=none needs ssl_check_hostname=false beside it: nothing is checked then"
    return None


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


def with_name_checked(url: str) -> str:
    """The URL that a client is given: over TLS it checks the host's name, unless the URL says that it shall not.

    redis-py checks it by itself from version 6 on; coaiapy pins 4.3.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_check_hostname" in dict(parse_qsl(parts.query)):
        return url
    return parts._replace(query="&".join(filter(None, [parts.query, "ssl_check_hostname=true"]))).geturl()


def unchecked(url: str) -> str:
    """What of a certificate the URL leaves unchecked, in words; empty where all is checked, or there is no TLS."""
    options = dict(reversed(parse_qsl(urlsplit(url).query)))
    if options.get("ssl_check_hostname", "true").lower() not in _NO:
        return ""
    return "certificate" if options.get("ssl_cert_reqs") == "none" else "host name in its certificate"


def is_ipv6(host: str) -> bool:
    """Whether it is an IPv6 address."""
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
    options = "&".join(map(_shown, options.split("&")))
    return f"{scheme}{separator}{hidden}{host}{path}{options}"


def _shown(option: str) -> str:
    """An option as it may be shown."""
    name, equals, _ = option.partition("=")
    hide = equals and any(word in name.lower() for word in ("pass", "token", "secret"))
    return f"{name}=***" if hide else option

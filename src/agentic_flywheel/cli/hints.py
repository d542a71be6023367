"""Says what to do about an error of Redis, or of the way to it: one hint for each kind."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentic_flywheel.coaia.rights import access_list
from agentic_flywheel.settings import Settings


@dataclass(frozen=True, slots=True)
class _Hint:
    """A hint for errors that a pattern is found in, whatever their case."""

    pattern: str
    text: Callable[[Settings], str]


def _always(text: str) -> Callable[[Settings], str]:
    return lambda _: text


def _rights(settings: Settings) -> str:
    rules = access_list(settings.key_prefix, cluster=settings.redis_cluster)
    line = f"ACL SETUSER flywheel reset on >PASSWORD {rules}"
    return f"give the user of REDIS_URL the rights that it needs. All of them, in one line: {line}"


def _unreachable(settings: Settings) -> str:
    return (
        f"start the Redis at {settings.redis_target}, or set REDIS_URL to another. Without a Redis set "
        "REDIS_ENABLED=false or name none, and this machine's journal serves."
    )


def _silent(settings: Settings) -> str:
    text = (
        f"see whether the Redis at {settings.redis_target} runs and can be reached, is frozen or overloaded, or paused "
        "(CLIENT UNPAUSE ends that). FLYWHEEL_TIMEOUT_SECONDS is how long an answer may take."
    )
    if settings.redis_url.startswith("rediss:"):  # what has no TLS waits for the rest of a command
        return f"is redis:// meant? A Redis without TLS does not answer rediss:// either. Else {text}"
    return text


_HINTS = (
    _Hint("CROSSSLOT|MOVED", _always("this Redis is a cluster: set REDIS_CLUSTER=true.")),
    _Hint(
        "cluster support disabled|cluster mode is not enabled",
        _always("REDIS_CLUSTER=true is set, but this Redis is no cluster: unset REDIS_CLUSTER."),
    ),
    _Hint(
        "CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN",
        _always("Redis misses some of its nodes or replicas: bring them back; what is pending is sent then."),
    ),
    _Hint("NOPERM|no permissions|has no access|can't access", _rights),
    _Hint(
        "READONLY|read.only replica",
        _always("this is a replica, or was made one in a failover: REDIS_URL must name the primary."),
    ),
    _Hint(
        "DB index|invalid DB",
        _always("this Redis has no database of that number: end REDIS_URL with /0, or raise its `databases`."),
    ),
    _Hint(
        "WRONGPASS|NOAUTH|AUTH|password",
        _always("check the user and the password in REDIS_URL (special characters in them as %XX)."),
    ),
    _Hint(
        "certificate is not valid for",
        _always(
            "REDIS_URL must have the host name that the certificate names, or the Redis a certificate for the host "
            "that REDIS_URL names. ?ssl_check_hostname=false in REDIS_URL turns this check off."
        ),
    ),
    _Hint(
        "certificate|hostname mismatch",
        _always(
            "REDIS_URL must have the host name that the certificate names; for an authority of your own add "
            "?ssl_ca_certs=FILE to it."
        ),
    ),
    _Hint(
        "SSL|TLS|WRONG_VERSION_NUMBER",
        _always("rediss:// is for a Redis that speaks TLS, redis:// for one that does not: try the other."),
    ),
    _Hint(
        "unknown (redis )?command",
        _always(
            "this may be a Sentinel, or a proxy: REDIS_URL must name the address of the primary itself. A Sentinel "
            "tells it: SENTINEL GET-MASTER-ADDR-BY-NAME. Or its configuration took that command away "
            "(rename-command): give it back, or use a Redis that has it."
        ),
    ),
    _Hint("no list of ours", _always("delete that key, once you know whose it is: the list is made anew by itself.")),
    _Hint("MISCONF", _always("Redis cannot write its snapshots: see its log, and whether its disk is full.")),
    _Hint("OOM|maxmemory", _always("its memory is full: raise maxmemory, or make room; what is pending is sent then.")),
    _Hint(
        r"\bBUSY\b",
        _always(
            "somebody's script holds Redis up: SCRIPT KILL ends one that wrote nothing; what is pending is sent then."
        ),
    ),
    _Hint("LOADING", _always("Redis is reading its data from disk: wait until it has.")),
    _Hint("max number of clients", _always("Redis has too many clients: raise maxclients, or end some of them.")),
    _Hint(
        "Protocol error|bulk length",
        _always("what was sent is larger than this Redis takes at once: raise its proto-max-bulk-len."),
    ),
    _Hint("not answer in time|no answer to coaia_|broke off at", _silent),
    _Hint(
        "coaia child",
        _always("check FLYWHEEL_COAIA_PYTHON and FLYWHEEL_COAIA_COMMAND, or install agentic-flywheel-state again."),
    ),
    _Hint("", _unreachable),
)
"""The first one whose pattern is found counts; the last one is found in everything."""


def hint(error: str, settings: Settings) -> str:
    """What to do about this error."""
    return next(each.text(settings) for each in _HINTS if re.search(each.pattern, error, re.IGNORECASE))

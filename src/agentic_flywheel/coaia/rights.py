"""Lists the rights that a Redis user needs: the commands that the child sends, and the keys."""

NEEDED = (
    "ping", "select", "eval",
    "get", "set", "del", "exists", "getrange", "strlen",
    "zadd", "zrem", "zcount", "zrevrange", "zrevrank", "zscore",
    "hset", "hdel", "hmget",
)  # fmt: skip
"""Commands without which sessions are not saved, resumed, listed, searched, deleted or put back."""

BETTER_WITH = {
    "evalsha": "scripts are run by their names and not sent whole each time",
    "copy": "an older revision is kept without its text going through a script",
    "setrange": "a large session is written where it changed and not as a whole",
    "pexpire": "older revisions live as long as their session",
    "pttl": "a list lives as long as the longest life in it, and no longer",
    "hpexpire": "titles leave the list with their sessions, though no program of ours runs (Redis 7.4, Valkey 9)",
    "persist": "older revisions of a session that never expires are kept",
    "xadd": "other machines learn at once what was deleted here",
    "xtrim": "deletions are forgotten when their tombstones have expired",
    "xrange": "this machine learns at once what was deleted elsewhere",
    "scan": "sessions missing in the list are found, and the flow histories of a deleted session go with it",
    "zscan": "sessions that are gone leave the list, however many there are",
    "dbsize": "a small list is compared with what is stored each time it is shown",
    "zrange": "a small list is compared with what is stored each time it is shown",
    "zcard": "a list that has lost sessions is noticed",
    "zmscore": "the times of what a search finds are asked for in one command",
    "time": "what is saved is listed by Redis' clock, whatever this machine's says",
    "info": "a restart is noticed; durability, version and eviction are told",
}
"""Commands that may be missing, and what is so only where they are allowed."""

IN_A_CLUSTER = ("cluster|slots", "asking")
"""Commands that the nodes of a cluster must allow as well."""


def access_list(prefix: str, *, cluster: bool = False) -> str:
    """The rules of `ACL SETUSER` for a user of ours: every command of these, on the keys of this prefix alone."""
    commands = (*NEEDED, *BETTER_WITH, *(IN_A_CLUSTER if cluster else ()))
    return " ".join([f"~{prefix}:*", *(f"+{command}" for command in commands)])

"""Asks Redis about itself: whether it is there and still the same, and what it says of itself.

What Redis does not tell (INFO counts as dangerous in access lists) is unknown, never an error.
"""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
from redis.exceptions import NoPermissionError

ANNOUNCED_AT_ONCE = 1_000
"""Deletions that one call reads; the next one goes on from there."""

OTHERS = ("Valkey", "Redict", "Dragonfly")
"""Servers that speak Redis' protocol, and name their own version in INFO beside the Redis that they are like."""

TOLD = (
    "redis_version", "role", "aof_enabled", "rdb_last_save_time", "maxmemory", "maxmemory_policy", "evicted_keys",
)  # fmt: skip
"""What the status tells of INFO."""

ROOMY = 0.9
"""The part of `maxmemory` below which Redis need not evict anything for a while."""

Reply = dict[str, Any]
Time = tuple[int, int]
"""Seconds and microseconds."""
Answer = TypeVar("Answer")


class Health:
    """The verbs about Redis, over the child's client."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  it is untyped
        self._redis = client
        self._one_node = type(client) is redis.Redis

    def coaia_watch(self, epoch: str, offer: str, deletions: str, after: str, index: str) -> Reply:
        """What tells whether Redis lost something, and what was deleted meanwhile.

        epoch: a key that holds a random text; without one it is set to `offer`.
        deletions, after: the stream of deletions, and the id of the last one known.
        index: a listing, of which the number of members and the newest score are told.

        What Redis does not let us know is null.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(epoch)
            time, _, number = after.partition("-")  # the next id, since Redis before 6.2 knows no exclusive ranges
            pipe.xrange(deletions, min=f"{time}-{int(number or 0) + 1}", count=ANNOUNCED_AT_ONCE)
            pipe.zcard(index)
            pipe.zrevrange(index, 0, 0, withscores=True)
            found, announced, count, newest = pipe.execute(raise_on_error=False)
        current = self._epoch(epoch, offer, found)
        if isinstance(announced, Exception):  # no right to streams, or a Redis older than they are
            announced = []
        nodes, time_there = self._info("server", "memory", "stats")
        evicted = [int(node["evicted_keys"]) for node in nodes if "evicted_keys" in node]
        return {
            "success": True,
            "epoch": current,
            "deleted": [[identity, entry.get("key"), entry.get("text")] for identity, entry in announced],
            "run": " ".join(sorted(str(node.get("run_id", "")) for node in nodes)),
            "time": time_there,
            "evicted": sum(evicted) if evicted else None,
            "roomy": all(_has_room(node) for node in nodes),
            "policy": next((node["maxmemory_policy"] for node in nodes if "maxmemory_policy" in node), None),
            "listed": _listed(count, newest),
        }

    def coaia_status(self) -> Reply:
        """What Redis says of itself: its kind and version, role, persistence, what it evicts."""
        nodes, _ = self._info("server", "replication", "persistence", "memory", "stats")
        info = min(nodes, key=lambda node: node.get("aof_enabled", 0), default={})  # the least durable node
        return {"success": True, "server": server_named(info)} | {name: info.get(name) for name in TOLD}

    def _epoch(self, epoch: str, offer: str, found: str | Exception | None) -> str | None:
        """The epoch that was found, or else begins now (on whichever machine is first); none without the right."""
        if isinstance(found, NoPermissionError):
            return None
        if isinstance(found, Exception):
            raise found
        if found is not None:
            return found
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(epoch, offer, nx=True)
            pipe.get(epoch)
            _, begun = pipe.execute(raise_on_error=False)
        if isinstance(begun, Exception):
            raise begun
        return begun

    def _info(self, *sections: str) -> tuple[list[dict[str, Any]], int | None]:
        """What Redis, or each node of a cluster, says of itself, and its time in microseconds."""
        nodes, time = self._info_of_one(sections) if self._one_node else self._info_of_all(sections)
        return nodes, time and time[0] * 1_000_000 + time[1]

    def _info_of_one(self, sections: Sequence[str]) -> tuple[list[dict[str, Any]], Time | None]:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for section in sections:
                pipe.info(section)
            time, *answers = pipe.execute(raise_on_error=False)
        told: dict[str, Any] = {}
        for answer in answers:
            told |= {} if isinstance(answer, Exception) else answer
        return [told], None if isinstance(time, Exception) else time

    def _info_of_all(self, sections: Sequence[str]) -> tuple[list[dict[str, Any]], Time | None]:
        time = _unless_refused(self._redis.time)
        nodes: dict[str, dict[str, Any]] = {}
        for section in sections:
            for number, told in (_unless_refused(partial(self._redis.info, section)) or {}).items():
                nodes.setdefault(number, {}).update(told)
        return [nodes[number] for number in sorted(nodes)], time


def server_named(info: dict[str, Any]) -> str | None:
    """The server's name and version: others than Redis call themselves Redis 7.2.4 as well, or so."""
    for name in OTHERS:
        if version := info.get(f"{name.lower()}_version"):
            return f"{name} {version}"
    return f"Redis {info['redis_version']}" if "redis_version" in info else None


def _has_room(node: dict[str, Any]) -> bool:
    """Whether a node certainly need not evict anything for a while."""
    most = node.get("maxmemory")
    return most == 0 or (most is not None and node["used_memory"] < ROOMY * most)


def _unless_refused(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except redis.ResponseError:
        return None


def _listed(count: Any, newest: Any) -> list[int] | None:  # noqa: ANN401  what redis-py makes of an answer or a refusal
    if isinstance(count, Exception) or isinstance(newest, Exception):
        return None
    return [count, int(newest[0][1]) if newest else 0]

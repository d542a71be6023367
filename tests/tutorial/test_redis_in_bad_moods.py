"""Redis in bad moods, a row each: saves are kept here within the bound, the cause is told, and they get there later."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support.conversations import turns
from ..support.moods import (
    TIMEOUT_SECONDS,
    MoodyRedis,
    TimedServer,
    arrives,
    ids,
    kept_here,
    kept_in_redis,
    timed,
)
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Scene:
    """A Redis, another one beside it, and the network before it."""

    redis: MoodyRedis
    other: RedisServer
    proxy: Proxy

    def config(self, name: str, value: object) -> None:
        with self.redis.client() as client:
            client.config_set(name, str(value))

    def forbid(self, *rules: str) -> None:
        self.redis.require(6, 0, "ACL")
        with self.redis.client() as client:
            client.execute_command("ACL", "SETUSER", "default", *rules)

    def fall_behind_another(self) -> None:
        """What happens in a failover: a replica is promoted, and the old master has to follow it.

        It is said in the words that Redis before 5 knows too.
        """
        self.config("repl-diskless-sync-delay", 0)
        self.other.arguments = ["--slaveof", "127.0.0.1", str(self.redis.port), "--repl-diskless-sync-delay", "0"]
        self.other.start()
        with self.other.client() as other, self.redis.client() as ours:
            wait_until(lambda: other.info("replication")["master_link_status"] == "up", what="the replica to follow")
            other.execute_command("SLAVEOF", "NO", "ONE")
            ours.execute_command("SLAVEOF", "127.0.0.1", self.other.port)
            wait_until(lambda: ours.info("replication").get("master_link_status") == "up", what="the master to follow")

    def promote(self) -> None:
        with self.redis.client() as client:
            client.execute_command("SLAVEOF", "NO", "ONE")


@dataclass(frozen=True)
class Mood:
    """How Redis gets into a mood and out of it; `cause` is a pattern of what a person is told."""

    enter: Callable[[Scene], object]
    leave: Callable[[Scene], object]
    cause: str
    reads: bool = False  # whether Redis still answers who only asks
    proxied: bool = False


def bent(*, cuts: bool = False, delay: float = 0) -> Callable[[Scene], None]:
    """A change of the network's ways."""

    def bend(scene: Scene) -> None:
        scene.proxy.cuts, scene.proxy.delay = cuts, delay

    return bend


MOODS = {
    "killed and started again": Mood(
        lambda s: s.redis.save_and_kill(), lambda s: s.redis.start(), "connect|refused|closed"
    ),
    "frozen": Mood(lambda s: s.redis.freeze(), lambda s: s.redis.thaw(), "time|answer|broke off"),
    "loading its data": Mood(lambda s: s.redis.start_loading(), lambda s: s.redis.loaded(), "loading"),
    "cut off in the middle of every answer": Mood(bent(cuts=True), bent(), "connect|closed", proxied=True),
    "slower than the bound": Mood(bent(delay=3 * TIMEOUT_SECONDS), bent(), "time|answer|broke off", proxied=True),
    "out of memory": Mood(
        lambda s: s.config("maxmemory", 1), lambda s: s.config("maxmemory", 0), "OOM|memory", reads=True
    ),
    "a read-only replica": Mood(
        lambda s: s.fall_behind_another(), lambda s: s.promote(), "READONLY|read.only", reads=True
    ),
    "forbidding all writes": Mood(
        lambda s: s.forbid("-@write"), lambda s: s.forbid("+@all"), "NOPERM|permission", reads=True
    ),
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    redis, other = MoodyRedis(tmp_path / "redis").start(), RedisServer(tmp_path / "other")
    with Proxy(redis.port) as proxy:
        yield Scene(redis, other, proxy)
    other.kill()
    redis.kill()


@pytest.mark.parametrize("name", MOODS)
def test_while_redis_is_in_a_bad_mood_all_is_kept_here_and_gets_there_by_itself_afterwards(
    name: str, scene: Scene, lonely_env: dict[str, str]
):
    mood = MOODS[name]
    url = f"redis://127.0.0.1:{scene.proxy.port}/0" if mood.proxied else scene.redis.url
    with TimedServer(timed(lonely_env, url)) as server:
        server.warm()
        kept_in_redis(server.save("quiet", turns("q1")))
        kept_in_redis(server.save("known", turns("k1")))
        mood.enter(scene)

        kept_here(server.save("known", turns("k2")))
        kept_here(server.save("new", turns("n1")))
        kept_here(server.save("known", turns("k3")))
        assert server.said("known") == ["k1", "k2", "k3"]
        assert server.said("new") == ["n1"]
        quiet = server.resume("quiet")
        from_where = ("redis", False) if mood.reads else ("journal", True)
        assert (quiet["found"], quiet["source"], quiet["stale"]) == (True, *from_where), quiet
        nobody = server.resume("nobody")
        assert (nobody["found"], nobody["reason"]) == (False, "not_found" if mood.reads else "unavailable"), nobody
        listed = server.call("list_sessions")
        assert ids(listed) == {"quiet", "known", "new"}
        assert listed["scope"] == ("shared" if mood.reads else "this machine"), listed
        status = server.blames(mood.cause)
        assert mood.reads or status["redis"]["state"] != "answering", status
        assert status["journal"]["pending"] >= 2

        mood.leave(scene)
        expected = {"quiet": ["q1"], "known": ["k1", "k2", "k3"], "new": ["n1"]}
        arrives(scene.redis, expected)
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        kept_in_redis(server.save("known", turns("k4")))
        assert ids(server.call("list_sessions")) == {"quiet", "known", "new"}
        server.is_well()
        arrives(scene.redis, expected | {"known": ["k1", "k2", "k3", "k4"]}, within=0)


def test_a_frozen_redis_holds_up_only_the_first_save(scene: Scene, lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, scene.redis.url)) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("before")))
        scene.redis.freeze()
        kept_here(server.save("s", turns("first")))
        seconds: list[float] = []
        for i in range(10):
            began = time.monotonic()
            saved = server.save("s" if i % 2 else f"other-{i}", turns(f"then {i}"))
            seconds.append(time.monotonic() - began)
            kept_here(saved)
        assert statistics.median(seconds) < TIMEOUT_SECONDS / 2, "only the first waits for a frozen Redis"
        scene.redis.thaw()
        said = ["before", "first", *(f"then {i}" for i in range(1, 10, 2))]
        expected = {"s": said} | {f"other-{i}": [f"then {i}"] for i in range(0, 10, 2)}
        arrives(scene.redis, expected)
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        arrives(scene.redis, expected, within=0)


def test_a_redis_that_is_slow_within_the_bound_is_used(scene: Scene, lonely_env: dict[str, str]):
    scene.proxy.delay = 0.05
    with TimedServer(timed(lonely_env, f"redis://127.0.0.1:{scene.proxy.port}/0")) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("slowly")))
        kept_in_redis(server.save("s", turns("but surely")))
        assert (server.said("s"), server.resume("s")["source"]) == (["slowly", "but surely"], "redis")
        server.is_well()

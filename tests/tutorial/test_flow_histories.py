"""Flow histories that grow large: every execution is there once, as long as it shall be, and what leaves is said."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place, clean_env
from ..support.moods import BACK_WITHIN, TimedServer
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_two_machines import machine

pytestmark = pytest.mark.slow

LARGE = "x" * 200_000
"""Of four such results, a history is no more looked at as a whole, and changed in place by Redis."""


def put(server: WireServer, sid: str, n: int, text: str = "", **more: Any) -> dict[str, Any]:
    answer = server.call("cache_result", result={"n": n, "text": text}, session_id=sid, flow_id="f", **more)
    assert answer["cached"]
    assert "could not" not in answer["message"]
    return answer


def fill(server: WireServer, sid: str) -> None:
    for n in range(4):
        put(server, sid, n, LARGE)


def numbers(server: WireServer, sid: str, **more: Any) -> list[int]:
    history = server.call("get_flow_history", session_id=sid, flow_id="f", **more)
    return [execution["result"]["n"] for execution in history["executions"]]


def stored(redis: RedisServer, sid: str) -> dict[str, Any]:
    return json.loads(redis.get(f"{redis.prefix}:history:{sid}:f") or "{}")


def traffic(redis: RedisServer) -> int:
    """Bytes that Redis was sent and has answered."""
    with redis.client() as client:
        info = client.info("stats")
    return int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"])


@pytest.fixture
def own(own_redis: RedisServer) -> RedisServer:
    return own_redis.start()


@pytest.fixture
def here(own: RedisServer, tmp_path: Path) -> Iterator[TimedServer]:
    with machine(own.port, tmp_path / "here") as server:
        yield server


@pytest.fixture
def patient(own: RedisServer, tmp_path: Path) -> Iterator[WireServer]:
    """A server that waits long for Redis, so that what is counted is not what a busy test machine does."""
    env = clean_env(tmp_path / "patient", own.url, own.prefix) | {"FLYWHEEL_TIMEOUT_SECONDS": "20"}
    with WireServer(env) as server:
        yield server.warm()


# growing


@pytest.mark.parametrize("ids", [[""] * 6, ["a", "b", "a", "c", "b", "d"]], ids=["generated ids", "given ids"])
def test_a_large_history_grows_on_and_each_execution_is_in_it_once(place: Place, sid: str, ids: list[str]):
    with place.server() as server:
        if place.shared:
            server.warm()
        fill(server, sid)
        for n, identity in enumerate(ids, start=4):
            put(server, sid, n, execution_id=identity)
        shown = numbers(server, sid)
        server.kill()
    assert shown == [0, 1, 2, 3, *([6, 7, 8, 9] if any(ids) else [4, 5, 6, 7, 8, 9])]
    with place.server() as server:
        if place.shared:
            server.warm()
        assert numbers(server, sid) == shown
        assert numbers(server, sid, limit=3) == shown[-3:]


def test_an_append_to_a_large_history_sends_redis_only_what_is_new(own: RedisServer, patient: WireServer, sid: str):
    fill(patient, sid)
    put(patient, sid, 4, execution_id="given")
    before = traffic(own)
    for n in range(5, 9):
        put(patient, sid, n, execution_id=f"given {n}" if n % 2 else "")
    assert traffic(own) - before < 100_000
    assert [each["result"]["n"] for each in stored(own, sid)["executions"]] == [*range(9)]


def test_a_large_history_is_not_read_again_while_it_is_as_it_was(own: RedisServer, patient: WireServer, sid: str):
    fill(patient, sid)
    before = traffic(own)
    assert numbers(patient, sid, limit=2) == [2, 3]
    assert numbers(patient, sid) == [0, 1, 2, 3]
    assert traffic(own) - before < 100_000


def test_two_servers_of_one_machine_add_to_one_history(place: Place, sid: str):
    with place.server() as one, place.server() as other:
        if place.shared:
            one.warm()
            other.warm()
        fill(one, sid)
        for n in range(4, 12):
            put(other if n % 2 else one, sid, n, execution_id=f"{sid}{n}" if n % 4 < 2 else "")
        assert numbers(one, sid) == numbers(other, sid) == [*range(12)]


def test_two_machines_that_add_to_one_history_at_once_lose_nothing(
    own: RedisServer, here: TimedServer, tmp_path: Path, sid: str
):
    fill(here, sid)
    with machine(own.port, tmp_path / "there") as there:
        expected = {*range(4)}
        for first in range(4, 24, 5):
            arguments = [(server, first + 100 * i + n) for n in range(5) for i, server in enumerate((here, there))]
            requests = [
                (server, server.send_call("cache_result", {"result": {"n": n}, "session_id": sid, "flow_id": "f"}))
                for server, n in arguments
            ]
            for server, request in requests:
                assert server.reply(request)["result"]["structuredContent"]["cached"] is True
            expected |= {n for _, n in arguments}
        for shown in (numbers(here, sid), numbers(there, sid)):
            assert sorted(shown) == sorted(expected)
            assert shown[:4] == [0, 1, 2, 3]


def test_executions_that_are_kept_while_redis_is_away_are_each_added_once_when_it_is_back(
    own: RedisServer, here: TimedServer, tmp_path: Path, sid: str
):
    fill(here, sid)
    with Proxy(own.port) as proxy, machine(proxy.port, tmp_path / "there") as there:
        assert numbers(there, sid) == [0, 1, 2, 3]
        call = {"session_id": sid, "flow_id": "f"}
        requests = [there.send_call("cache_result", {"result": {"n": n}, **call}) for n in range(10, 20)]
        assert there.reply(requests[0])["result"]["structuredContent"]["cached"] is True
        proxy.shut_off()
        for request in requests[1:]:
            assert there.reply(request)["result"]["structuredContent"]["cached"] is True
        for n in (20, 21):
            assert put(there, sid, n, execution_id=f"given {n}")["stored_in"] == "journal"
            put(here, sid, 80 + n)
        assert {20, 21} < {*numbers(there, sid)}
        proxy.shut = False
        wait_until(lambda: there.pending() == 0, within=BACK_WITHIN, what="the outbox to be empty")
        assert sorted(numbers(there, sid)) == sorted(numbers(here, sid)) == [0, 1, 2, 3, *range(10, 22), 100, 101]


def test_a_history_that_an_older_version_wrote_goes_on(server_env: dict[str, str], redis: RedisServer, sid: str):
    records = [{"id": f"e{n}", "session_id": sid, "flow_id": "f", "result": {"n": n, "text": LARGE}} for n in range(4)]
    document = {
        "schema_version": 1, "revision": 4, "session_id": sid, "flow_id": "f", "executions": records,
        "saved_at": "2026-11-05T12:00:00.123456+00:00", "kept_until": None, "ttl_seconds": 0,
        "operations": [[0, 0, 0, "0123456789abcdef.8"]],
    }  # fmt: skip
    with redis.client() as client:
        client.set(f"{redis.prefix}:history:{sid}:f", json.dumps(document, separators=(",", ":")))
    with WireServer(server_env) as server:
        server.warm()
        assert numbers(server, sid) == [0, 1, 2, 3]
        put(server, sid, 4, execution_id="e1")
        put(server, sid, 5)
        assert numbers(server, sid) == [0, 2, 3, 4, 5]
    assert (stored(redis, sid)["revision"], stored(redis, sid)["count"]) == (6, 5)


# how long


def test_a_short_lived_result_leaves_the_others_of_its_flow_alone(place: Place, sid: str):
    with place.server() as server:
        if place.shared:
            server.warm()
        put(server, sid, 0, ttl_seconds=0)
        put(server, sid, 1, ttl_seconds=1)
        over = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > over, what="the end of the one that was kept for a second")
        assert numbers(server, sid) == [0]


def test_redis_keeps_a_history_as_long_as_its_longest_living_execution(
    server_env: dict[str, str], redis: RedisServer, sid: str
):
    key = f"{redis.prefix}:history:{sid}:f"
    with WireServer(server_env) as server:
        server.warm()
        put(server, sid, 0, ttl_seconds=1000)
        put(server, sid, 1, ttl_seconds=10)
        assert 900 < redis.ttl(key) <= 1000
        put(server, sid, 2, ttl_seconds=0)
        put(server, sid, 3, ttl_seconds=10)
        assert redis.ttl(key) == -1


# how much


def test_what_leaves_a_full_history_is_said_when_it_goes_and_when_the_history_is_read(place: Place, sid: str):
    with WireServer(place.env | {"FLYWHEEL_MAX_SESSION_BYTES": "20000"}) as server:
        if place.shared:
            server.warm()
        answers = [put(server, sid, n, "x" * 1000) for n in range(40)]
        history = server.call("get_flow_history", session_id=sid, flow_id="f")
        newest = server.call("get_flow_history", session_id=sid, flow_id="f", limit=1)
    dropped = [answer["dropped"] for answer in answers if "dropped" in answer]
    assert 0 < len(dropped) < 20, "room is made for several at once"
    assert min(dropped) > 1
    shown = [execution["result"]["n"] for execution in history["executions"]]
    assert shown == [*range(sum(dropped), 40)]
    assert (history["dropped"], newest["dropped"]) == (sum(dropped), sum(dropped))
    assert f"{sum(dropped)} older ones have left the history for room" in history["message"]
    for answer in answers:
        if "dropped" in answer:
            assert f"its {answer['dropped']} oldest executions had to leave" in answer["message"]
        else:
            assert "had to leave" not in answer["message"]

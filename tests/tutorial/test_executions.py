"""Results of flows: kept by execution id, and in order by session and flow."""

import json

import pytest

from ..conftest import Place
from ..support.conversations import exact, turns
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

RUN = {
    "result": {"text": "ok", "items": [], "n": 2**70},
    "flow_id": "f",
    "input": {"q": "?"},
    "parameters": {"temperature": 0.5},
    "metrics": {"ms": 12},
}


def results(answer: dict) -> list:
    return [execution["result"]["n"] for execution in answer["executions"]]


def test_an_execution_survives_the_killing_of_every_process(place: Place, sid: str):
    with place.server() as server:
        if place.shared:
            server.warm()
        cached = server.call("cache_result", session_id=sid, execution_id="e-1", **RUN)
        server.kill()
    assert (cached["cached"], cached["execution_id"], cached["stored_in"]) == (True, "e-1", place.stored_in)
    with place.server() as server:
        found = server.call("get_result", execution_id="e-1")
        history = server.call("get_flow_history", session_id=sid, flow_id="f")
    assert found["found"] is True
    wanted = RUN | {"session_id": sid}
    assert exact({name: found["execution"][name] for name in wanted}) == exact(wanted)
    assert history["found"] is True
    assert [exact(execution["result"]) for execution in history["executions"]] == [exact(RUN["result"])]


def test_an_execution_without_an_id_gets_one(server: WireServer):
    one = server.call("cache_result", result={"n": 1})
    two = server.call("cache_result", result={"n": 2})
    assert one["execution_id"] != two["execution_id"]
    assert server.call("get_result", execution_id=one["execution_id"])["execution"]["result"] == {"n": 1}


def test_an_unknown_execution_is_not_found_and_says_so(server: WireServer):
    answer = server.call("get_result", execution_id="nobody's")
    assert (answer["found"], answer["reason"]) == (False, "not_found")
    assert server.call("get_flow_history", session_id="nobody", flow_id="none")["found"] is False


def test_a_flows_history_is_oldest_first_and_its_limit_keeps_the_newest(server: WireServer, sid: str):
    for n in range(5):
        server.call("cache_result", result={"n": n}, session_id=sid, flow_id="f")
    server.call("cache_result", result={"n": 99}, session_id=sid, flow_id="another")
    server.call("cache_result", result={"n": 98}, flow_id="f")
    assert results(server.call("get_flow_history", session_id=sid, flow_id="f")) == [0, 1, 2, 3, 4]
    assert results(server.call("get_flow_history", session_id=sid, flow_id="f", limit=2)) == [3, 4]


def test_executions_cached_together_are_all_in_the_history(server: WireServer, sid: str):
    requests = [
        server.send_call("cache_result", {"result": {"n": n}, "session_id": sid, "flow_id": "f"}) for n in range(20)
    ]
    for request in requests:
        assert server.reply(request)["result"]["structuredContent"]["cached"] is True
    assert sorted(results(server.call("get_flow_history", session_id=sid, flow_id="f"))) == list(range(20))


def test_deleting_a_session_takes_its_flow_histories_with_it_and_no_others(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"))
    for session_id in (sid, f"{sid}:f", f"{sid}x"):
        for flow in ("f", "g"):
            server.call("cache_result", result={"n": 1}, session_id=session_id, flow_id=flow)
    assert server.call("delete_session", session_id=sid)["deleted"] is True
    for flow in ("f", "g"):
        assert server.call("get_flow_history", session_id=sid, flow_id=flow)["found"] is False
        assert server.call("get_flow_history", session_id=f"{sid}:f", flow_id=flow)["found"] is True
        assert server.call("get_flow_history", session_id=f"{sid}x", flow_id=flow)["found"] is True


def test_deleting_a_session_removes_the_redis_keys_of_its_histories(
    server_env: dict[str, str], redis: RedisServer, sid: str
):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id=sid, history=turns("a"))
        server.call("cache_result", result={"n": 1}, session_id=sid, flow_id="f")
        wait_until(lambda: f"{redis.prefix}:history:{sid}:f" in redis.all_keys(), what="the history's key")
        server.call("delete_session", session_id=sid)
        assert f"{redis.prefix}:history:{sid}:f" not in redis.all_keys()


def test_an_executions_key_is_json_text_and_lives_a_day_unless_told_otherwise(
    server_env: dict[str, str], redis: RedisServer
):
    with WireServer(server_env) as server:
        server.warm()
        server.call("cache_result", execution_id="day", result={"items": []})
        server.call("cache_result", execution_id="minute", result={"n": 1}, ttl_seconds=60)
        server.call("cache_result", execution_id="forever", result={"n": 1}, ttl_seconds=0)
    key = f"{redis.prefix}:execution:".__add__
    assert 86400 - 300 <= redis.ttl(key("day")) <= 86400
    assert 0 < redis.ttl(key("minute")) <= 60
    assert redis.ttl(key("forever")) == -1
    assert json.loads(redis.get(key("day")) or "")["result"] == {"items": []}


def test_an_expired_execution_is_hidden(place: Place):
    with place.server() as server:
        if place.shared:
            server.warm()
        server.call("cache_result", execution_id="e", result={"n": 1}, ttl_seconds=1)
        wait_until(lambda: not server.call("get_result", execution_id="e")["found"], what="its end")
        assert server.call("get_result", execution_id="e")["reason"] in ("expired", "not_found", "unavailable")


@pytest.mark.parametrize("ttl", [1])
def test_the_servers_execution_ttl_is_the_environments(ttl: int, disabled_env: dict[str, str]):
    with WireServer(disabled_env | {"FLYWHEEL_EXECUTION_TTL_SECONDS": str(ttl)}) as server:
        assert server.call("cache_result", execution_id="e", result={"n": 1})["expires_at"]
        wait_until(lambda: not server.call("get_result", execution_id="e")["found"], what="its end")

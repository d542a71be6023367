"""Deleted is deleted: when the answer is given no byte of a session is left in our files, and soon none in Redis."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ..conftest import AS_USUAL, NOBODY_LISTENS, Place, clean_env
from ..support.files import contents
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

SESSIONS, MARKED = 20, 50
MARK = re.compile(rb"planted-\d{5}-x")
TRACES = 2
"""Pieces of a thousand that SQLite may leave in unused parts of pages, until the file is written anew soon after."""
SOON = 30.0  # seconds; a sixth of that where nobody else uses the machine
"""Seconds within which Redis and other machines have nothing of it either."""


class Planted:
    """Marks, each to be found in one place of a session."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> str:
        self.count += 1
        return f"planted-{self.count:05}-x"

    def turns(self, count: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"{self.next()} {'words ' * (number % 7)}"} for number in range(count)]


def plant(server: WireServer, session_id: str, planted: Planted) -> None:
    """Fifty marks: turns, an older revision, context, title, summary, tags, executions with a flow and without."""
    mark = planted.next
    server.call(
        "save_session", session_id=session_id, history=planted.turns(21), title=mark(), summary=mark(),
        tags=[mark(), mark()], context={"note": mark(), mark(): 1},
    )  # fmt: skip
    server.call("save_session", session_id=session_id, history=planted.turns(10), mode="replace", title=mark())
    for flow in (mark(), mark()):
        for _ in range(2):
            server.call("cache_result", session_id=session_id, flow_id=flow, result={"a": mark()}, input={"b": mark()})
    for _ in range(2):
        server.call("cache_result", session_id=session_id, result={"answer": mark()})


def marks_in_files(env: dict[str, str]) -> list[tuple[str, int, bytes]]:
    """The marks in the raw bytes of every file below HOME and the data folder: which file, where, and the mark."""
    files = contents(Path(env["HOME"]), Path(env["FLYWHEEL_DATA_DIR"]))
    return [(file.name, mark.start(), mark[0]) for file, data in files for mark in MARK.finditer(data)]


def marks_in_redis(redis: RedisServer, prefix: str) -> set[tuple[str, bytes]]:
    """The marks in every key of the prefix, and in what is stored under it: where, and the mark."""
    found: set[tuple[str, bytes]] = set()
    with redis.client() as client:
        for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            kind = client.type(key)
            held = {
                "string": client.get, "zset": lambda name: client.zrange(name, 0, -1), "hash": client.hgetall,
                "stream": client.xrange, "none": lambda _name: "it has just gone",
            }[kind](key)  # fmt: skip
            found.update((key, mark) for mark in MARK.findall(f"{key} {held}".encode()))
    return found


def gone_from_redis(redis: RedisServer, prefix: str, within: float) -> None:
    """Wait until Redis has no mark; then, what is left and where."""
    with suppress(AssertionError):
        wait_until(lambda: not marks_in_redis(redis, prefix), within=within)
    assert marks_in_redis(redis, prefix) == set()


def warm(server: WireServer, place: Place) -> WireServer:
    return server.warm() if place.shared else server


def test_no_byte_of_a_thousand_marks_is_left_when_the_answer_is_given(place: Place, worker_redis: RedisServer):
    planted = Planted()
    names = [f"s{number}" for number in range(SESSIONS)]
    with place.server() as server:
        warm(server, place)
        for name in names:
            plant(server, name, planted)
            server.call("save_session", session_id=f"kept-{name}", history=[{"role": "user", "content": "stays"}])
        assert planted.count >= SESSIONS * MARKED
        server.call("list_sessions", query="planted")  # makes the index of words
        assert marks_in_files(place.env)
        for name in names:
            deleted = server.call("delete_session", session_id=name)
            away = place.env["REDIS_URL"] == NOBODY_LISTENS and not place.env.get("REDIS_ENABLED")
            said = "Deleted, but Redis does not answer: there, and on other machines, it goes by itself once it does."
            assert (deleted["deleted"], deleted["message"]) == (True, said if away else "Deleted.")
        left = marks_in_files(place.env)
        assert len({mark for *_, mark in left}) <= TRACES, left  # one piece may have its mark several times
        wait_until(lambda: not marks_in_files(place.env), within=SOON, what="the trace to go")
        if place.shared:
            prefix = place.env["FLYWHEEL_KEY_PREFIX"]
            gone_from_redis(worker_redis, prefix, SOON)
        kept = server.call("list_sessions", limit=100)["sessions"]
        assert {row["id"] for row in kept} == {f"kept-{name}" for name in names}
    assert marks_in_files(place.env) == []
    with place.server() as server:
        warm(server, place)
        assert server.call("resume_session", session_id=names[0])["reason"] == "deleted"


@pytest.fixture
def own(own_redis: RedisServer) -> RedisServer:
    return own_redis.start()


def machine(port: int, folder: Path) -> WireServer:
    return WireServer(clean_env(folder, f"redis://127.0.0.1:{port}/0", "agentic_flywheel") | AS_USUAL)


def test_another_machine_forgets_it_when_it_sees_the_deletion(own: RedisServer, tmp_path: Path):
    planted = Planted()
    with machine(own.port, tmp_path / "here") as here, machine(own.port, tmp_path / "there") as there:
        here.warm()
        plant(here, "s", planted)
        there.warm().call("cache_result", execution_id="e", session_id="s", flow_id="f", result={"n": planted.next()})
        assert there.call("resume_session", session_id="s")["found"] is True
        wait_until(lambda: marks_in_files(there.env), what="the copies there")
        assert here.call("delete_session", session_id="s")["deleted"] is True
        gone_from_redis(own, "agentic_flywheel", SOON)
        for server in (here, there):
            wait_until(lambda server=server: not marks_in_files(server.env), within=SOON, what="the files to have none")
        assert there.call("get_result", execution_id="e")["found"] is False


def test_what_was_deleted_while_redis_was_away_goes_there_when_it_is_back(own: RedisServer, tmp_path: Path):
    planted = Planted()
    with machine(own.port, tmp_path / "here") as here:
        plant(here.warm(), "s", planted)
        own.kill()
        here.call("save_session", session_id="s", history=planted.turns(3))
        here.call("cache_result", session_id="s", flow_id="f", result={"n": planted.next()})
        assert here.call("delete_session", session_id="s")["deleted"] is True
        wait_until(lambda: not marks_in_files(here.env), within=SOON, what="this machine to have none")
        own.start()
        gone_from_redis(own, "agentic_flywheel", SOON)
        assert here.warm().call("resume_session", session_id="s")["reason"] == "deleted"


def test_a_pending_deletion_leaves_what_others_saved_since(own: RedisServer, tmp_path: Path):
    def save(server: WireServer, text: str) -> dict[str, Any]:
        return server.call("save_session", session_id="s", history=[{"role": "user", "content": text}])

    with machine(own.port, tmp_path / "there") as there, Proxy(own.port) as proxy:
        with machine(proxy.port, tmp_path / "here") as here:
            save(here.warm(), "one")
            proxy.shut_off()
            assert save(here, "two")["stored_in"] == "journal"
            assert here.call("delete_session", session_id="s")["deleted"] is True
            save(there.warm(), "theirs")
            proxy.shut = False
            status = lambda: here.call("persistence_status")["journal"]  # noqa: E731
            wait_until(lambda: status()["pending"] == 0, what="the deletion to be decided")
            assert [aside["key"] for aside in status()["set_aside"]] == ["agentic_flywheel:session:s"]
        found = there.call("resume_session", session_id="s")
        assert [turn["content"] for turn in found["session"]["history"]] == ["one", "theirs"]


def test_titles_leave_the_list_with_their_sessions_though_no_program_runs(own: RedisServer, tmp_path: Path):
    with machine(own.port, tmp_path / "here") as here:
        here.warm().call("save_session", session_id="s", title="planted-00001-x", ttl_seconds=4)
        wait_until(lambda: marks_in_redis(own, "agentic_flywheel"), what="it to arrive")
    assert own.ttl("agentic_flywheel:index:notes") in (-2, 0, 1, 2, 3, 4), "it ends, or has"
    wait_until(lambda: not own.get("agentic_flywheel:session:s"), what="its end")
    gone_from_redis(own, "agentic_flywheel", SOON)


def test_a_list_lives_as_long_as_the_longest_life_in_it(own: RedisServer, tmp_path: Path):
    index, notes = "agentic_flywheel:index", "agentic_flywheel:index:notes"
    with machine(own.port, tmp_path / "here") as here:
        here.warm().call("save_session", session_id="brief", title="a", ttl_seconds=60)
        here.call("save_session", session_id="long", title="b", ttl_seconds=6000)
        here.call("save_session", session_id="brief", summary="again")
        for key in (index, notes):
            assert 5900 < own.ttl(key) <= 6000
        here.call("save_session", session_id="forever", title="c", ttl_seconds=0)
        assert (own.ttl(index), own.ttl(notes)) == (-1, -1)
        assert len(here.call("list_sessions")["sessions"]) == 3


def test_deletions_are_forgotten_by_age(own: RedisServer, tmp_path: Path):
    stream = "agentic_flywheel:deletions"
    with own.client() as client:
        client.xadd(stream, {"key": "k", "text": "{}"}, id="1000-0")
        with machine(own.port, tmp_path / "here") as here:
            here.warm().call("save_session", session_id="s", title="t")
            here.call("delete_session", session_id="s")
        assert [entry["key"] for _, entry in client.xrange(stream)] == ["agentic_flywheel:session:s"]
        assert client.ttl(stream) > 0


def test_an_execution_that_redis_lost_and_got_back_goes_with_its_session(own: RedisServer, tmp_path: Path):
    with machine(own.port, tmp_path / "here") as here:
        here.warm().call("cache_result", execution_id="e", session_id="s", result={"n": "planted-00001-x"})
        members = "agentic_flywheel:index:executions:s"
        wait_until(lambda: members in own.all_keys(), what="its set")
        with own.client() as client:
            client.flushall()
        wait_until(lambda: members in own.all_keys(), what="it to come back")


def test_what_is_kept_after_a_deletion_stays_though_redis_hears_of_both_later(own: RedisServer, tmp_path: Path):
    with machine(own.port, tmp_path / "here") as here:
        here.warm().call("save_session", session_id="s", history=[{"role": "user", "content": "ferns"}])
        here.call("cache_result", execution_id="before", session_id="s", flow_id="f", result={"a": 0})
        own.freeze()
        assert here.call("delete_session", session_id="s")["deleted"] is True
        for name in ("first", "second"):
            kept = here.call("cache_result", execution_id=name, session_id="s", flow_id="f", result={"a": 1})
            assert (kept["cached"], kept["stored_in"]) == (True, "journal")
        own.thaw()
        pending = lambda: here.call("persistence_status")["journal"]["pending"]  # noqa: E731
        wait_until(lambda: pending() == 0, within=SOON, what="all to be sent")
        with machine(own.port, tmp_path / "there") as there:
            there.warm()
            for name, is_there in (("before", False), ("first", True), ("second", True)):
                assert there.call("get_result", execution_id=name)["found"] is is_there
            history = there.call("get_flow_history", session_id="s", flow_id="f")
            assert [each["id"] for each in history["executions"]] == ["first", "second"]

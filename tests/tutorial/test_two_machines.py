"""Two machines and one Redis: who wins, what is kept of the other's work, and what comes back when Redis loses all."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ..conftest import clean_env
from ..support.conversations import turns, words
from ..support.moods import BACK_WITHIN, TimedServer, timed
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until

pytestmark = pytest.mark.slow

SESSIONS = 200


@pytest.fixture
def own(own_redis: RedisServer) -> RedisServer:
    return own_redis.start()


@pytest.fixture
def here(own: RedisServer, tmp_path: Path) -> Iterator[TimedServer]:
    with machine(own.port, tmp_path / "here") as server:
        yield server


@contextmanager
def machine(port: int, folder: Path) -> Iterator[TimedServer]:
    """A server with a HOME and a data folder of its own; the same ones for the same folder."""
    url = f"redis://127.0.0.1:{port}/0"
    with TimedServer(timed(clean_env(folder, url, "agentic_flywheel"), url)) as server:
        yield server.warm()


def sees(server: TimedServer, session_id: str, said: list[str] | None) -> bool:
    resumed = server.resume(session_id)
    return (words(resumed["session"]["history"]) if resumed["found"] else None) == said


def test_a_deletion_wins_over_a_save_that_did_not_know_of_it_and_nothing_is_lost(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with machine(own.port, tmp_path / "there") as there:
        assert there.said("s") == ["one"]
        assert here.call("delete_session", session_id="s")["deleted"] is True
        saved = there.save("s", turns("two"))
        assert (saved["saved"], saved["reason"], saved["revision"], saved["deleted_revision"]) == (
            False, "conflict", 1, 1,
        )  # fmt: skip
        assert "revision=1" in saved["message"]
        assert there.resume("s")["reason"] == here.resume("s")["reason"] == "deleted"
        kept = there.call("resume_session", session_id="s", revision=1)
        assert (kept["source"], words(kept["session"]["history"])) == ("journal", ["one", "two"])
        assert here.call("resume_session", session_id="s", revision=1)["found"] is False
        afresh = there.save("s", turns("three"))
        assert (afresh["saved"], afresh["revision"]) == (True, 2)
        assert here.said("s") == ["three"]


def test_after_a_save_to_a_deleted_session_was_refused_the_next_one_begins_it_anew_at_once(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with machine(own.port, tmp_path / "there") as there:
        assert there.said("s") == ["one"]
        here.call("delete_session", session_id="s")
        first, second = there.save("s", turns("two")), there.save("s", turns("two"))
        assert (first["saved"], first["reason"]) == (False, "conflict")
        assert "Save again to begin the session anew" in first["message"]
        assert (second["saved"], second["revision"], second["stored_in"]) == (True, 2, "redis")


def test_who_never_saw_a_deleted_session_may_use_its_id(own: RedisServer, here: TimedServer, tmp_path: Path):
    here.save("s", turns("one"))
    here.call("delete_session", session_id="s")
    with machine(own.port, tmp_path / "there") as there:
        saved = there.save("s", turns("two"))
    assert (saved["saved"], saved["revision"], saved["turns"]) == (True, 2, 1)


def test_what_was_saved_offline_to_a_session_deleted_meanwhile_stays_on_that_machine(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with Proxy(own.port) as proxy, machine(proxy.port, tmp_path / "there") as there:
        assert there.said("s") == ["one"]
        proxy.shut_off()
        assert there.save("s", turns("two"))["stored_in"] == "journal"
        assert there.save("s", turns("three"))["stored_in"] == "journal"
        assert here.call("delete_session", session_id="s")["deleted"] is True
        proxy.shut = False
        wait_until(lambda: there.pending() == 0, within=BACK_WITHIN, what="the outbox to be empty")
        assert there.resume("s")["reason"] == here.resume("s")["reason"] == "deleted"
        kept = there.call("resume_session", session_id="s", revision=1)
        assert words(kept["session"]["history"]) == ["one", "two", "three"]
        ((aside),) = there.status()["journal"]["set_aside"]
        assert aside["key"] == "agentic_flywheel:session:s"
        assert "revision 1" in aside["reason"]


def test_a_deletion_made_offline_does_not_take_what_others_saved_since(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with Proxy(own.port) as proxy, machine(proxy.port, tmp_path / "there") as there:
        assert there.said("s") == ["one"]
        proxy.shut_off()
        assert there.call("delete_session", session_id="s")["deleted"] is True
        here.save("s", turns("two"))
        proxy.shut = False
        wait_until(lambda: there.pending() == 0, within=BACK_WITHIN, what="the outbox to be empty")
        assert there.said("s") == here.said("s") == ["one", "two"]
        assert there.status()["journal"]["set_aside"]


def test_a_replace_that_came_too_late_is_an_older_revision_for_everybody(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with Proxy(own.port) as proxy, machine(proxy.port, tmp_path / "there") as there:
        assert there.said("s") == ["one"]
        proxy.shut_off()
        assert there.save("s", turns("mine"), mode="replace")["provisional"] is True
        here.save("s", turns("two"))
        proxy.shut = False
        wait_until(lambda: there.pending() == 0, within=BACK_WITHIN, what="the outbox to be empty")
        for server in (here, there):
            assert server.said("s") == ["one", "two"]
            older = server.call("resume_session", session_id="s", revision=3)
            assert (older["revision"], words(older["session"]["history"])) == (3, ["mine"])


def test_what_a_replace_took_away_is_an_older_revision(here: TimedServer):
    here.save("s", turns("one"))
    here.save("s", turns("two"))
    here.save("s", [], mode="replace")
    assert here.said("s") == []
    older = here.call("resume_session", session_id="s", revision=2)
    assert (older["found"], words(older["session"]["history"])) == (True, ["one", "two"])
    assert here.call("resume_session", session_id="s", revision=9)["reason"] == "not_found"
    here.call("delete_session", session_id="s")
    assert here.call("resume_session", session_id="s", revision=2)["found"] is False


def test_what_redis_lost_is_resumed_at_once_and_put_back_and_what_was_deleted_stays_deleted(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    for number in range(SESSIONS):
        here.save(f"s{number}", turns(f"{number}"))
    here.call("cache_result", result={"n": 1}, execution_id="e", session_id="s1", flow_id="f")
    here.call("delete_session", session_id="s0")
    with machine(own.port, tmp_path / "there") as there:
        assert there.said("s2") == ["2"]
        there.call("delete_session", session_id="s2")

        if own.version < (5, 0):  # it has no stream of deletions: a machine learns of one when it looks
            assert here.resume("s2")["reason"] == "deleted"
        wait_until(lambda: knows_of_the_end(tmp_path / "here", "s2"), what="the deletion to be seen here")
        with own.client() as client:
            client.flushall()
        assert here.said("s1") == ["1"]

        def back() -> int:
            with own.client() as client:
                return len(list(client.scan_iter("agentic_flywheel:session:*", count=1000)))

        wait_until(lambda: back() >= SESSIONS - 2, within=BACK_WITHIN, what="all sessions to be back")
        for server in (here, there):
            assert server.resume("s0")["reason"] == server.resume("s2")["reason"] == "deleted"
        assert here.call("get_result", execution_id="e")["execution"]["result"] == {"n": 1}
        assert len(there.call("list_sessions", limit=1000)["sessions"]) == SESSIONS - 2
        assert back() == SESSIONS - 2


def knows_of_the_end(folder: Path, session_id: str) -> bool:
    """Whether the journal of that machine has a tombstone for the session."""
    with closing(sqlite3.connect(folder / "data" / "journal.sqlite3")) as db:
        key = f"agentic_flywheel:session:{session_id}"
        return db.execute("SELECT tombstone FROM documents WHERE key = ?", (key,)).fetchone() == (1,)


def test_a_deletion_that_nobody_alive_has_seen_comes_back_into_force_with_its_machine(
    own: RedisServer, here: TimedServer, tmp_path: Path
):
    here.save("s", turns("one"))
    with machine(own.port, tmp_path / "there") as there:
        there.said("s")
    here.call("delete_session", session_id="s")
    here.close()
    with own.client() as client:
        client.flushall()
    with machine(own.port, tmp_path / "there") as there:
        wait_until(lambda: own.get("agentic_flywheel:session:s"), within=BACK_WITHIN, what="the session to be back")
        with machine(own.port, tmp_path / "here") as again:
            wait_until(lambda: sees(there, "s", None), within=BACK_WITHIN, what="the deletion to be in force again")
            assert again.resume("s")["reason"] == there.resume("s")["reason"] == "deleted"
            assert own.get("agentic_flywheel:session:s") is None

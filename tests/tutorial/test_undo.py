"""Undo: a mistake is taken back, an earlier revision is looked at, a branch begins where another session was."""

from typing import Any

import pytest

from ..conftest import Place
from ..support.conversations import CONTEXT, TALK, exact, turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

KEPT = 10
EVERYTHING = {
    "title": "Harvest",
    "summary": "When to harvest.",
    "tags": ["farm", "2026"],
    "status": "running",
    "backend": "flowise",
    "current_flow_id": "flow-1",
    "user_id": "ana",
    "context": CONTEXT,
    "history": TALK,
}
CHANGES_WITH_EACH_SAVE = {"revision", "updated_at", "saved_at", "kept_until", "expires_at"}


def there(server: WireServer, session_id: str, **more: Any) -> dict[str, Any]:
    found = server.call("resume_session", session_id=session_id, max_tokens=1_000_000, **more)
    assert found["found"] is True, found
    return found["session"]


def lasting(session: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in session.items() if name not in CHANGES_WITH_EACH_SAVE}


def warm(server: WireServer, place: Place) -> WireServer:
    return server.warm() if place.shared else server


def test_a_history_emptied_by_mistake_comes_back_equal(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        saved = server.call("save_session", session_id=sid, **EVERYTHING)
        before = there(server, sid)
        server.call("save_session", session_id=sid, history=[], mode="replace")
        assert there(server, sid)["history"] == []
        restored = server.call("restore_session", session_id=sid, revision=saved["revision"])
        assert (restored["restored"], restored["revision"]) == (True, 3)
        assert exact(lasting(there(server, sid))) == exact(lasting(before))
        again = server.call("restore_session", session_id=sid, revision=2)
        assert (again["restored"], there(server, sid)["history"]) == (True, [])
    with place.server() as server:
        warm(server, place)
        assert words(there(server, sid, revision=3)["history"]) == words(TALK)


def test_revisions_are_listed_newest_first_with_what_each_was(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=turns("one"))
        server.call("save_session", session_id=sid, history=turns("two", "three"))
        server.call("save_session", session_id=sid, history=turns("else"), mode="replace")
        server.call("restore_session", session_id=sid, revision=2)
        answer = server.call("list_revisions", session_id=sid)
        assert answer["found"] is True
        rows = answer["revisions"]
        assert [(row["revision"], row["turns"]) for row in rows] == [(4, 3), (3, 1), (2, 3), (1, 1)]
        assert [row["note"] for row in rows] == ["restored from revision 2", "replaced", "2 turns added", ""]
        assert [row["saved_at"] for row in rows] == sorted((row["saved_at"] for row in rows), reverse=True)
        assert words(there(server, sid, revision=1)["history"]) == ["one"]
        assert words(there(server, sid, revision=3)["history"]) == ["else"]


def test_the_last_ten_are_kept_and_older_ones_are_gone_from_redis_too(
    redis: RedisServer, server_env: dict[str, str], sid: str
):
    with WireServer(server_env) as server:
        server.warm()
        for number in range(KEPT + 5):
            server.call("save_session", session_id=sid, history=turns(f"version {number}"), mode="replace")
        rows = server.call("list_revisions", session_id=sid)["revisions"]
        assert [row["revision"] for row in rows] == [*range(KEPT + 5, 4, -1)]
        assert words(there(server, sid, revision=5)["history"]) == ["version 4"]
        missing = server.call("resume_session", session_id=sid, revision=4)
        assert (missing["found"], missing["reason"]) == (False, "not_found")
        older = f"{redis.prefix}:revision:*"
        with redis.client() as client:
            wait_until(lambda: len([*client.scan_iter(match=older, count=1000)]) == KEPT, what="older keys to go")


def test_only_revisions_that_can_be_had_back_are_listed(redis: RedisServer, server_env: dict[str, str], sid: str):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id=sid, history=turns("one"))
        server.call("save_session", session_id=sid, history=turns("other"), mode="replace")
        server.call("save_session", session_id=sid, history=turns("more"))
    with redis.client() as client:
        client.delete(f"{redis.prefix}:revision:{sid}:1")
    with WireServer(server_env | {"FLYWHEEL_JOURNAL": "false"}) as server:
        server.warm()
        listed = server.call("list_revisions", session_id=sid)["revisions"]
        assert [row["revision"] for row in listed] == [3, 2]
        assert server.call("restore_session", session_id=sid, revision=1)["restored"] is False
        assert server.call("restore_session", session_id=sid, revision=2)["restored"] is True


def test_what_is_kept_of_a_session_lives_as_long_as_it(redis: RedisServer, server_env: dict[str, str], sid: str):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id=sid, history=turns("one"), ttl_seconds=100)
        server.call("save_session", session_id=sid, history=turns("two"), mode="replace")
        with redis.client() as client:
            (older,) = client.scan_iter(match=f"{redis.prefix}:revision:*", count=1000)
            assert 50_000 < client.pttl(older) <= 100_000
            server.call("save_session", session_id=sid, history=turns("three"), ttl_seconds=5000)
            assert 4_900_000 < client.pttl(older) <= 5_000_000
            server.call("save_session", session_id=sid, ttl_seconds=0)
            assert client.pttl(older) == -1, "pinned, as the session is"
        assert server.call("delete_session", session_id=sid)["deleted"] is True
        with redis.client() as client:
            assert not [*client.scan_iter(match=f"{redis.prefix}:revision:*", count=1000)]


def test_a_branch_remembers_where_it_came_from(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, **EVERYTHING)
        server.call("save_session", session_id=sid, history=turns("later"))
        forked = server.call("fork_session", session_id=sid, revision=1, new_session_id=f"{sid}-branch")
        assert (forked["forked"], forked["session_id"]) == (True, f"{sid}-branch")
        assert forked["forked_from"] == {"session_id": sid, "revision": 1}
        server.call("save_session", session_id=f"{sid}-branch", history=turns("another way"))
        branch = there(server, f"{sid}-branch")
        assert branch["forked_from"] == {"session_id": sid, "revision": 1}
        assert words(branch["history"]) == [*words(TALK), "another way"]
        assert (branch["title"], branch["context"]) == ("Harvest", CONTEXT)
        assert words(there(server, sid)["history"]) == [*words(TALK), "later"]

        taken = server.call("fork_session", session_id=sid, new_session_id=f"{sid}-branch")
        assert (taken["forked"], taken["reason"]) == (False, "conflict")
        unnamed = server.call("fork_session", session_id=sid)
        assert words(there(server, unnamed["session_id"])["history"]) == [*words(TALK), "later"]


@pytest.mark.parametrize("verb", ["list_revisions", "restore_session", "fork_session"])
def test_what_is_not_there_is_an_answer(place: Place, sid: str, verb: str):
    arguments = {"revision": 3} if verb == "restore_session" else {}
    with place.server() as server:
        warm(server, place)
        answer = server.call(verb, session_id=sid, **arguments)
        assert answer["reason"] == server.call("resume_session", session_id=sid)["reason"]
        server.call("save_session", session_id=sid, history=turns("one"))
        if arguments:
            answer = server.call(verb, session_id=sid, **arguments)
            looked_at = server.call("resume_session", session_id=sid, revision=3)
            assert (answer["restored"], answer["reason"]) == (False, looked_at["reason"])
            assert place.stored_in != "redis" or "list_revisions" in answer["message"]


def test_ten_revisions_of_a_growing_session_of_100_kb_cost_a_hundredth_of_it(
    redis: RedisServer, server_env: dict[str, str], sid: str
):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id=sid, history=turns(*(f"{i} " + "word " * 95 for i in range(200))))
        before = len(redis.get(redis.session_key(sid)) or "")
        added = 0
        for number in range(KEPT):
            more = turns(f"more {number}")
            added += len(str(more))
            server.call("save_session", session_id=sid, history=more)
        grown = len(redis.get(redis.session_key(sid)) or "")
        assert before > 100_000
        assert grown - before - added < before / 100
        assert words(there(server, sid, revision=1)["history"])[-1].startswith("199 ")
        with redis.client() as client:
            assert not [*client.scan_iter(match=f"{redis.prefix}:revision:*", count=1000)]

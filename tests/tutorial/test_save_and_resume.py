"""The main job: a conversation saved in one process is resumed in the next, wherever it is kept."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ..conftest import Place
from ..support.client import Session, open_server
from ..support.conversations import CONTEXT, TALK, exact, turns, words
from ..support.processes import alive, kill, tcp_ports, wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import eventually

PASSWORD = "hush-hush-9"  # noqa: S105
EVERYTHING = {
    "title": "Harvest",
    "summary": "When to harvest.",
    "tags": ["farm", "2026"],
    "status": "running",
    "backend": "flowise",
    "backend_session_id": "chat-7",
    "current_flow_id": "flow-1",
    "user_id": "ana",
    "context": CONTEXT,
    "history": TALK,
}


async def ready(session: Session, place: Place) -> Session:
    return await session.warm() if place.shared else session


async def test_a_conversation_survives_the_killing_of_every_process_down_to_the_last_field(place: Place, sid: str):
    async with open_server(place.env) as first:
        await ready(first, place)
        saved = await first.call("save_session", session_id=sid, **EVERYTHING)
        first.kill()
    assert saved["saved"] is True
    assert saved["stored_in"] == place.stored_in
    assert (saved["session_id"], saved["revision"], saved["turns"], saved["added_turns"]) == (sid, 1, 4, 4)
    async with open_server(place.env) as second:
        await ready(second, place)  # a child that starts too slowly on a busy machine leaves the answer to the journal
        resumed = await second.call("resume_session", session_id=sid)
    assert resumed["found"] is True
    assert exact({name: resumed["session"][name] for name in EVERYTHING}) == exact(EVERYTHING)
    assert resumed["session"]["id"] == sid
    assert (resumed["revision"], resumed["total_turns"], resumed["omitted_turns"]) == (1, 4, 0)
    assert resumed["source"] == place.stored_in


async def test_the_latest_session_is_resumed_when_none_is_named(place: Place):
    async with open_server(place.env) as server:
        await ready(server, place)
        for name in ("one", "two", "three"):
            await server.call("save_session", session_id=name, history=turns(name), user_id="ana")
        await server.call("save_session", session_id="bo's", history=turns("bo"), user_id="bo")
        await server.call("save_session", session_id="two", history=turns("two", "more"), user_id="ana")
        assert (await server.call("resume_session"))["session"]["id"] == "two"
        assert (await server.call("resume_session", user_id="bo"))["session"]["id"] == "bo's"


async def test_a_session_without_an_id_gets_one(place: Place):
    async with open_server(place.env) as server:
        await ready(server, place)
        one = await server.call("save_session", history=turns("a"))
        two = await server.call("save_session", history=turns("a"))
        assert one["session_id"]
        assert one["session_id"] != two["session_id"]
        assert words((await server.call("resume_session", session_id=one["session_id"]))["session"]["history"]) == ["a"]


async def test_the_list_shows_the_newest_first_in_pages_and_each_session_once(place: Place):
    names = [f"conv-{i}" for i in range(5)]
    async with open_server(place.env) as server:
        await ready(server, place)
        for name in names:
            await server.call(
                "save_session",
                session_id=name,
                title=f"T {name}",
                summary="S",
                tags=["t"],
                user_id="ana",
                history=turns("a", "b"),
            )
        seen, cursor = [], {}
        while True:
            page = await server.call("list_sessions", limit=2, **cursor)
            assert len(page["sessions"]) <= 2
            seen += page["sessions"]
            if not page.get("next_cursor"):
                break
            cursor = {"cursor": page["next_cursor"]}
    assert [row["id"] for row in seen] == names[::-1]
    row = seen[0]
    assert (row["title"], row["summary"], row["tags"], row["user_id"]) == ("T conv-4", "S", ["t"], "ana")
    assert (row["turns"], row["revision"], row["status"]) == (2, 1, "pending")
    assert datetime.fromisoformat(row["created_at"]).utcoffset() is not None
    assert datetime.fromisoformat(row["updated_at"]) < datetime.fromisoformat(row["expires_at"])


async def test_the_list_is_narrowed_by_pattern_words_tags_status_and_user(place: Place):
    async with open_server(place.env) as server:
        await ready(server, place)
        await server.call("save_session", session_id="Talk-1", title="Harvest plans", tags=["farm"], user_id="ana")
        await server.call(
            "save_session", session_id="talk-2", title="Taxes", tags=["money", "farm"], status="completed"
        )
        await server.call("save_session", session_id="note-3", summary="about the harvest", user_id="bo")

        async def ids(**narrow) -> list[str]:
            return [row["id"] for row in (await server.call("list_sessions", **narrow))["sessions"]]

        assert await ids() == ["note-3", "talk-2", "Talk-1"]
        assert await ids(pattern="talk-*") == ["talk-2"], "patterns are case-sensitive"
        assert await ids(pattern="[tT]alk-?") == ["talk-2", "Talk-1"]
        assert await ids(pattern="talk") == []
        assert await ids(query="harvest") == ["note-3", "Talk-1"]
        assert await ids(tags=["farm"]) == ["talk-2", "Talk-1"]
        assert await ids(status="completed") == ["talk-2"]
        assert await ids(user_id="bo") == ["note-3"]


async def test_a_deleted_session_is_gone_and_said_to_be_deleted(place: Place, sid: str):
    async with open_server(place.env) as server:
        await ready(server, place)
        await server.call("save_session", session_id=sid, history=TALK)
        assert (await server.call("delete_session", session_id=sid))["deleted"] is True
        gone = await server.call("resume_session", session_id=sid)
        assert (gone["found"], gone["reason"]) == (False, "deleted")
        assert (await server.call("list_sessions"))["sessions"] == []
        assert (await server.call("delete_session", session_id=sid))["deleted"] is False
    async with open_server(place.env) as again:
        await ready(again, place)
        assert (await again.call("resume_session", session_id=sid))["found"] is False


async def test_an_expired_session_is_hidden_at_once_and_said_to_be_expired(place: Place, sid: str):
    async with open_server(place.env) as server:
        await ready(server, place)
        saved = await server.call("save_session", session_id=sid, history=TALK, ttl_seconds=1)
        expires_at = datetime.fromisoformat(saved["expires_at"])
        await eventually(lambda: datetime.now(UTC) > expires_at, what="the session's end")

        async def lists_nothing() -> bool:
            return (await server.call("list_sessions"))["sessions"] == []

        # Redis counts its life from when it was told: by some milliseconds it may be the last to know.
        await eventually(lists_nothing, what="the list without it")
        gone = await server.call("resume_session", session_id=sid)
        assert (gone["found"], gone["reason"]) == (False, "expired")


async def test_a_session_with_a_ttl_of_zero_never_expires(place: Place, sid: str):
    async with open_server(place.env) as server:
        await ready(server, place)
        assert (await server.call("save_session", session_id=sid, history=TALK, ttl_seconds=0)).get(
            "expires_at"
        ) is None
        assert (await server.call("list_sessions"))["sessions"][0].get("expires_at") is None


async def test_the_first_save_names_the_place_the_data_went_to(place: Place, redis: RedisServer):
    async with open_server(place.env) as server:
        await ready(server, place)
        message = (await server.call("save_session", history=TALK))["message"]
    named = f"127.0.0.1:{redis.port}" if place.shared else "persistence_status names the file"
    assert named in message
    assert place.env["FLYWHEEL_DATA_DIR"] not in message, "a model has no use for a path"


# with a Redis up


async def test_the_redis_key_is_one_json_object_with_context_and_history_and_the_asked_life(
    server_env: dict[str, str], redis: RedisServer, sid: str
):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id=sid, context=CONTEXT, history=TALK, ttl_seconds=3600)
        ttl = redis.ttl(redis.session_key(sid))
        document = json.loads(redis.get(redis.session_key(sid)) or "")
    assert 3500 <= ttl <= 3600
    assert exact(document["context"]) == exact(CONTEXT)
    assert exact(document["history"]) == exact(TALK)
    assert list(document)[:3] == ["schema_version", "id", "revision"]
    assert (document["id"], document["revision"]) == (sid, 1)
    assert datetime.fromisoformat(document["kept_until"]) > datetime.fromisoformat(document["saved_at"])


async def test_a_session_lives_a_year_unless_told_otherwise_and_forever_has_no_redis_expiry(
    server_env: dict[str, str], redis: RedisServer
):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id="year", history=TALK)
        await server.call("save_session", session_id="forever", history=TALK, ttl_seconds=0)
        assert 365 * 86400 - 100 <= redis.ttl(redis.session_key("year")) <= 365 * 86400
        assert redis.ttl(redis.session_key("forever")) == -1
    async with open_server(server_env | {"REDIS_TTL_SECONDS": "500"}) as server:
        await server.warm()
        await server.call("save_session", session_id="short", history=TALK)
        assert 400 <= redis.ttl(redis.session_key("short")) <= 500


async def test_resuming_starts_the_clock_of_a_session_again(server_env: dict[str, str], redis: RedisServer, sid: str):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id=sid, history=TALK, ttl_seconds=3600)
        end = redis.end_of(redis.session_key(sid))
        await eventually(lambda: redis.ttl(redis.session_key(sid)) < 3599, what="some of its life to pass")
        await server.call("resume_session", session_id=sid)
        await eventually(lambda: redis.end_of(redis.session_key(sid)) > end + 0.5, what="its clock to start again")


async def test_deleting_removes_the_redis_key(server_env: dict[str, str], redis: RedisServer, sid: str):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id=sid, history=TALK)
        assert redis.session_key(sid) in redis.all_keys()
        await server.call("delete_session", session_id=sid)
        assert redis.session_key(sid) not in redis.all_keys()


async def test_the_list_and_resume_show_what_another_machine_saved(server_env: dict[str, str], tmp_path: Path):
    there = Place(server_env, "redis", shared=True).elsewhere(tmp_path / "there").env
    names = [f"conv-{i}" for i in range(5)]
    async with open_server(there) as other:
        await other.warm()
        for name in names:
            assert (await other.call("save_session", session_id=name, history=turns(name)))["stored_in"] == "redis"
    async with open_server(server_env) as server:
        await server.warm()
        first = await server.call("list_sessions", limit=3)
        rest = await server.call("list_sessions", limit=3, cursor=first["next_cursor"])
        assert [row["id"] for row in first["sessions"] + rest["sessions"]] == names[::-1]
        assert not rest.get("next_cursor")
        assert first["scope"] == "shared"
        resumed = await server.call("resume_session")
        assert (resumed["session"]["id"], resumed["source"], resumed["stale"]) == ("conv-4", "redis", False)


async def test_the_child_and_only_the_child_holds_the_connections_to_redis(
    server_env: dict[str, str], redis: RedisServer, sid: str
):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id=sid, history=TALK)
        assert server.children, "there is a child"
        childs_ports = set().union(*(tcp_ports(pid) for pid in server.children))
        connected = {int(each["addr"].rpartition(":")[2]) for each in redis.connections()}
        assert connected, "somebody is connected"
        assert connected <= childs_ports
        assert not tcp_ports(server.pid), "the server itself holds no connection"


async def test_a_killed_child_is_replaced_and_the_next_saves_reach_redis(server_env: dict[str, str], sid: str):
    async with open_server(server_env) as server:
        await server.warm()
        for pid in (before := server.children):
            kill(pid)
        wait_gone(before)

        async def reached() -> bool:
            return (await server.call("save_session", session_id=sid, history=TALK))["stored_in"] == "redis"

        await eventually(reached, what="a save to reach Redis again")
        assert server.children
        assert alive(server.pid)


# with no Redis


@pytest.mark.parametrize(("name", "word"), [("no Redis", "127.0.0.1:1"), ("disabled", "REDIS_ENABLED")])
async def test_the_status_says_that_the_journal_keeps_the_data_and_why(
    name: str, word: str, lonely_env: dict[str, str], disabled_env: dict[str, str]
):
    async with open_server(lonely_env if name == "no Redis" else disabled_env) as server:
        saved = await server.call("save_session", session_id="x", history=TALK)
        assert saved["stored_in"] == "journal"
        assert saved["provisional"] is (name == "no Redis")
        status = await server.call("persistence_status")
    assert "journal" in status["mode"]
    assert word in json.dumps(status)
    assert status["reason"]
    assert os.path.isfile(status["journal"]["path"])  # noqa: PTH113, ASYNC240
    assert status["journal"]["pending"] == (1 if name == "no Redis" else 0)
    assert status["journal"]["bytes"] > 0


async def test_no_child_is_started_when_redis_is_disabled(disabled_env: dict[str, str], sid: str):
    # a child's command that would leave a trace, and prove itself started even if it had ended meanwhile
    trace = Path(disabled_env["HOME"]) / "started"
    async with open_server(disabled_env | {"FLYWHEEL_COAIA_COMMAND": f"/usr/bin/touch {trace}"}) as server:
        await server.call("save_session", session_id=sid, history=TALK)
        assert (await server.call("resume_session", session_id="nobody"))["reason"] == "not_found"
        await server.call("persistence_status")
        assert server.children == []
    assert not trace.exists()


async def test_an_unknown_session_is_unavailable_and_not_absent_while_redis_cannot_be_asked(lonely_env: dict[str, str]):
    async with open_server(lonely_env) as server:
        answer = await server.call("resume_session", session_id="nobody")
    assert (answer["found"], answer["reason"]) == (False, "unavailable")


async def test_the_status_with_redis_names_it_without_its_password(own_redis: RedisServer, lonely_env: dict[str, str]):
    own_redis.password = PASSWORD
    own_redis.start()
    async with open_server(lonely_env | {"REDIS_URL": own_redis.url}) as server:
        await server.warm()
        status = await server.call("persistence_status")
    assert f"127.0.0.1:{own_redis.port}" in status["redis"]["target"]
    assert PASSWORD not in json.dumps(status)
    assert PASSWORD not in server.stderr
    assert {"state", "generation", "verbs"} <= status["child"].keys()
    assert {"state", "target", "durability", "last_error"} <= status["redis"].keys()
    assert {"path", "pending", "set_aside", "bytes"} <= status["journal"].keys()
    assert status["versions"]

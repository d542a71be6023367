"""What a stranger broke once: each stays whole."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place
from ..support.client import open_server
from ..support.conversations import TALK, turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually, wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow


async def test_two_servers_of_one_machine_drain_one_outbox_into_an_empty_redis_without_doubling(
    own_redis: RedisServer, server_env: dict[str, str]
):
    env = server_env | {"REDIS_URL": own_redis.url, "FLYWHEEL_KEY_PREFIX": own_redis.prefix}
    own_redis.start()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(open_server(env)) for _ in range(2)]
        for server in servers:
            await server.warm()
        await servers[0].call("save_session", session_id="x", history=turns("base"))
        own_redis.kill()
        for round_number in range(8):
            await asyncio.gather(
                *(
                    server.call("save_session", session_id="x", history=turns(f"{name}{round_number}-{i}"))
                    for i in range(3)
                    for name, server in zip("ab", servers, strict=True)
                )
            )
        own_redis.start()

        async def drained() -> bool:
            return (await servers[0].call("persistence_status"))["journal"]["pending"] == 0

        await eventually(drained, what="the outbox to be empty")
        resumed = await servers[0].call("resume_session", session_id="x", max_tokens=10**6)
        said = words(resumed["session"]["history"])
        assert sorted(said) == sorted({"base", *(f"{n}{r}-{i}" for n in "ab" for r in range(8) for i in range(3))})


@pytest.mark.parametrize("pattern", ["*" * 20 + "z", "*" * 400 + "z", "*a" * 60 + "b", "[" * 300])
def test_no_pattern_keeps_the_server_from_answering(place: Place, pattern: str):
    with place.server() as server:
        server.call("save_session", session_id="a" * 40, history=TALK)
        assert server.call("list_sessions", pattern=pattern)["sessions"] == []
        assert server.call("list_sessions", pattern="*a*a*")["sessions"]


def test_a_damaged_journal_that_cannot_be_read_is_named_where_it_may_have_held_what_is_missing(
    disabled_env: dict[str, str],
):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=TALK)
        server.call("cache_result", execution_id="e", result={"a": 1})
    journal = Path(disabled_env["FLYWHEEL_DATA_DIR"]) / "journal.sqlite3"
    for file in journal.parent.glob("journal.sqlite3*"):
        file.unlink()
    journal.write_bytes(b"this is no database at all" * 100)
    with WireServer(disabled_env) as server:

        def looked() -> dict[str, Any] | None:  # while it is being rescued it cannot be read
            answer = server.call("resume_session", session_id="s")
            return None if answer["reason"] == "unavailable" else answer

        gone = wait_until(looked, what="the journal")
        (aside,) = journal.parent.glob("journal.sqlite3.damaged-*")
        assert (gone["found"], gone["reason"]) == (False, "not_found")
        assert aside.name in gone["message"]
        status = server.call("persistence_status")
        assert status["journal"]["moved_aside"] == [aside.name]
        assert aside.name in status["reason"]
        assert server.call("save_session", session_id="s", history=TALK)["stored_in"] == "journal"
        assert "damaged" in server.stderr


def test_a_journal_whose_file_was_removed_is_made_anew_and_not_written_into_nowhere(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="before", history=TALK)
        for file in Path(disabled_env["FLYWHEEL_DATA_DIR"]).glob("journal.sqlite3*"):
            file.unlink()
        assert server.call("save_session", session_id="after", history=TALK)["stored_in"] == "journal"
        server.kill()
    with WireServer(disabled_env) as server:
        assert server.call("resume_session", session_id="after")["found"] is True


def test_an_expired_execution_is_hidden_in_its_flow_as_well(place: Place):
    with place.server() as server:
        server.call("cache_result", execution_id="short", result={}, session_id="s", flow_id="f", ttl_seconds=1)
        server.call("cache_result", execution_id="long", result={}, session_id="s", flow_id="f")
        wait_until(lambda: not server.call("get_result", execution_id="short")["found"], what="it to expire")
        history = server.call("get_flow_history", session_id="s", flow_id="f")
        assert [execution["id"] for execution in history["executions"]] == ["long"]


def test_deleting_only_flow_histories_is_said_to_have_deleted(place: Place):
    with place.server() as server:
        server.call("cache_result", execution_id="e", result={}, session_id="s", flow_id="f")
        assert server.call("delete_session", session_id="s")["deleted"] is True
        assert server.call("get_flow_history", session_id="s", flow_id="f")["found"] is False


def test_lists_show_the_beginning_of_long_titles_and_summaries(place: Place):
    with place.server() as server:
        server.call("save_session", session_id="s", title="t" * 5000, summary="s" * 50_000)
        (row,) = server.call("list_sessions")["sessions"]
        assert (len(row["title"]), len(row["summary"])) == (200, 1000)
        session = server.call("resume_session", session_id="s", max_tokens=10**6)["session"]
        assert (len(session["title"]), len(session["summary"])) == (5000, 50_000)


async def test_a_caller_may_resend_what_it_was_shown_after_resending_what_it_said(server_env: dict[str, str]):
    async with open_server(server_env) as a, open_server(server_env) as b:
        await a.call("save_session", session_id="s", history=turns("1", "2"))
        await b.call("save_session", session_id="s", history=turns("b1"))
        await a.call("save_session", session_id="s", history=turns("1", "2", "3"))
        await a.call("resume_session", session_id="s")
        await b.call("save_session", session_id="s", history=turns("b2"))
        await a.call("save_session", session_id="s", history=turns("1", "2", "3", "4"))
        await a.call("save_session", session_id="s", history=turns("1", "2", "b1", "3", "4", "5"))
        resumed = await a.call("resume_session", session_id="s")
        assert words(resumed["session"]["history"]) == ["1", "2", "b1", "3", "b2", "4", "5"]

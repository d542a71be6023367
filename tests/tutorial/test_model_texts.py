"""What answers tell a model: what a replace took and how to have it back, what to call next, what there is instead."""

import json
import re
from typing import Any, Literal

import pytest
from mcp import MCPError

from ..conftest import AS_USUAL, Place
from ..support.client import open_server
from ..support.conversations import TALK, turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_arguments import GOOD

Mode = Literal["auto", "legacy"]
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
LABELS = {"title": "Harvest", "summary": "When to harvest.", "tags": ["farm"], "context": {"bed": 4, "plan": "rye"}}


def warm(server: WireServer, place: Place) -> WireServer:
    return server.warm() if place.shared else server


# remove_context


@ERAS
async def test_keys_leave_the_context_and_others_stay(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:
        await server.call("save_session", session_id="garden", context={"a": 1, "b": None, "c": {"d": 2}})
        saved = await server.call("save_session", session_id="garden", remove_context=["a", "c", "nobody"])
        assert (saved["saved"], saved["revision"]) == (True, 2)
        assert (await server.call("resume_session", session_id="garden"))["session"]["context"] == {"b": None}
        await server.call("save_session", session_id="garden", remove_context=["b"], context={"b": {"new": True}})
        assert (await server.call("resume_session", session_id="garden"))["session"]["context"] == {"b": {"new": True}}
        same = await server.call("save_session", session_id="garden", remove_context=["nobody"])
        assert same["revision"] == 3, "what changes nothing is no revision"
        older = await server.call("resume_session", session_id="garden", revision=1)
        assert older["session"]["context"] == {"a": 1, "b": None, "c": {"d": 2}}


def test_a_removal_made_while_redis_was_away_is_made_there_later(
    own_redis: RedisServer, server_env: dict[str, str], sid: str
):
    own_redis.start()
    env = server_env | AS_USUAL | {"REDIS_URL": own_redis.url}
    with WireServer(env) as server:
        server.warm()
        server.call("save_session", session_id=sid, history=TALK, context={"old": 1, "kept": 2})
        own_redis.freeze()
        away = server.call("save_session", session_id=sid, remove_context=["old"])
        assert (away["saved"], away["stored_in"]) == (True, "journal")
        own_redis.thaw()
        key = f"{env['FLYWHEEL_KEY_PREFIX']}:session:{sid}"
        wait_until(
            lambda: json.loads(own_redis.get(key) or "{}").get("context") == {"kept": 2}, what="the removal in Redis"
        )


# a replace


def test_a_replace_says_what_it_took_and_how_to_have_it_back(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=TALK, **LABELS)
        replaced = server.call("save_session", session_id=sid, history=turns("only"), mode="replace", title="New")
        assert replaced["replaced"] == {
            "revision": 1, "turns": 4, "fields": ["summary", "tags"], "context": ["bed", "plan"], "is_kept": True,
        }  # fmt: skip
        message = replaced["message"]
        assert (
            "It took the place of revision 1 (4 turns); gone with it: summary, tags, context 'bed', 'plan'." in message
        )
        assert f"To have it back: restore_session(session_id='{sid}', revision=1)" in message
        looked = server.call("resume_session", session_id=sid, revision=1)
        assert words(looked["session"]["history"]) == words(TALK)
        server.call("restore_session", session_id=sid, revision=1)
        session = server.call("resume_session", session_id=sid)["session"]
        assert {name: session[name] for name in LABELS} == LABELS
        appended = server.call("save_session", session_id=sid, history=turns("more"))
        assert "replaced" not in appended
        assert "took the place" not in appended["message"]


def test_a_restore_done_twice_is_one(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=TALK)
        server.call("save_session", session_id=sid, history=turns("only"), mode="replace")
        restored = [server.call("restore_session", session_id=sid, revision=1)["revision"] for _ in range(2)]
        assert restored == [3, 3]


def test_appends_do_not_use_up_the_undo_of_a_replace(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=TALK, **LABELS)
        server.call("save_session", session_id=sid, history=turns("only"), mode="replace")
        for number in range(25):
            server.call("save_session", session_id=sid, history=turns(f"later {number}"))
        rows = server.call("list_revisions", session_id=sid)["revisions"]
        assert [row["revision"] for row in rows] == [*range(27, 16, -1), 1]
        assert rows[-2]["note"] == "", "what became of the one before it is not known"
    with place.server() as server:
        warm(server, place)
        restored = server.call("restore_session", session_id=sid, revision=1)
        assert restored["restored"] is True
        session = server.call("resume_session", session_id=sid)["session"]
        assert words(session["history"]) == words(TALK)
        assert session["title"] == "Harvest"


def test_three_replaces_can_be_undone_after_many_appends_and_no_more_is_kept(
    redis: RedisServer, server_env: dict[str, str], sid: str
):
    with WireServer(server_env) as server:
        server.warm()
        for number in range(5):
            server.call("save_session", session_id=sid, history=turns(f"talk {number}"), mode="replace")
        for number in range(12):
            server.call("save_session", session_id=sid, history=turns(f"later {number}"))
        rows = server.call("list_revisions", session_id=sid)["revisions"]
        assert [row["revision"] for row in rows] == [*range(17, 6, -1), 4, 3, 2]
        older = f"{redis.prefix}:revision:*"
        with redis.client() as client:
            wait_until(lambda: len([*client.scan_iter(match=older, count=1000)]) == 3, what="the others to go")


def test_where_no_revision_is_kept_the_answer_says_so(disabled_env: dict[str, str]):
    with WireServer(disabled_env | {"FLYWHEEL_REVISIONS": "0"}) as server:
        server.call("save_session", session_id="garden", history=TALK)
        replaced = server.call("save_session", session_id="garden", history=turns("only"), mode="replace")
        assert replaced["replaced"]["is_kept"] is False
        assert "it is not kept (FLYWHEEL_REVISIONS=0)" in replaced["message"]
        assert "restore_session" not in replaced["message"]


# an empty save


@ERAS
@pytest.mark.parametrize(
    "sent",
    [{}, {"session_id": "new"}, {"session_id": "new", "history": [], "context": {}, "tags": [], "mode": "replace"},
     {"session_id": "new", "user_id": "ann", "ttl_seconds": 60, "remove_context": ["a"], "title": ""}],
    ids=str,
)  # fmt: skip
async def test_an_empty_save_begins_nothing_and_says_what_to_send(
    mode: Mode, disabled_env: dict[str, str], sent: dict[str, Any]
):
    async with open_server(disabled_env, mode=mode) as server:
        answer = await server.call("save_session", **sent)
        assert (answer["saved"], answer["reason"], answer["stored_in"]) == (False, "not_found", "none")
        assert answer["session_id"] == sent.get("session_id", ""), "an id that was made up names nothing"
        assert 'Send history, e.g. [{"role": "user", "content": "…"}]' in answer["message"]
        assert (await server.call("list_sessions"))["sessions"] == []


def test_an_empty_save_renews_a_session_that_is_there(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=TALK, ttl_seconds=100)
        renewed = server.call("save_session", session_id=sid)
        assert (renewed["saved"], renewed["revision"], renewed["turns"]) == (True, 1, 4)


def test_where_redis_cannot_be_asked_an_empty_save_is_not_said_to_have_no_session(lonely_env: dict[str, str]):
    with WireServer(lonely_env) as server:
        answer = server.call("save_session", session_id="garden")
        assert (answer["saved"], answer["reason"]) == (False, "unavailable")
        assert "may well exist" in answer["message"]


# next steps


def test_every_answer_says_what_to_call_next_with_which_arguments(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        told = [
            server.call("save_session", session_id="garden", history=TALK),
            server.call("save_session", session_id="garden", history=turns("one"), expected_revision=9),
            server.call("resume_session", session_id="garden"),
            server.call("resume_session", session_id="gardn"),
            server.call("resume_session", session_id="zzz"),
            server.call("list_sessions"),
            server.call("list_sessions", limit=1, query="nobody said this"),
            server.call("delete_session", session_id="zzz"),
            server.call("list_revisions", session_id="garden"),
            server.call("restore_session", session_id="garden", revision=1),
            server.call("fork_session", session_id="garden", new_session_id="branch"),
            server.call("cache_result", result={"a": 1}, execution_id="run"),
        ]
    for answer in told:
        found = re.search(r"Next: (\w+)[ (]", answer["message"])
        assert found, answer["message"]
        assert found[1] in GOOD or "the same save" in answer["message"], answer["message"]
    assert "resume_session(session_id='garden')" in told[3]["message"]


def test_the_first_save_names_no_path(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        message = server.call("save_session", session_id="garden", history=TALK)["message"]
    assert "on this machine (persistence_status names the file)" in message
    assert "/" not in message


# a title that was taken for an id


@ERAS
async def test_a_title_given_as_an_id_names_the_talk_that_has_it(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:
        await server.call("save_session", session_id="talk-77", history=TALK, title="Ferns behind the shed")
        await server.call("save_session", session_id="other", history=turns("tax"), title="Taxes")
        answer = await server.call("resume_session", session_id="ferns behind  the SHED")
        assert (answer["found"], answer["suggestions"]) == (False, ["talk-77"])
        assert "'talk-77' has this title" in answer["message"]
        assert "Next: resume_session(session_id='talk-77')" in answer["message"]
        said = await server.call("resume_session", session_id="behind shed")
        assert said["suggestions"] == ["talk-77"], "words of it will do"
        assert (await server.call("resume_session", session_id="nothing like it"))["suggestions"] == []


# names that are none


@ERAS
@pytest.mark.parametrize(
    ("method", "name", "arguments", "said"),
    [
        ("prompt", "hand-off", {}, "Unknown prompt: 'hand-off'; the nearest is handoff."),
        ("prompt", "x", {}, "known: handoff, resume_conversation, save_conversation."),
        ("prompt", "handoff", {"sesion": "a"}, "Unknown argument of handoff: 'sesion'; the nearest is session."),
        ("prompt", "save_conversation", {"a": "b"}, "Unknown argument of save_conversation: 'a'; known: none."),
        ("tool", "save_sesion", {}, "Unknown tool: 'save_sesion'; the nearest is save_session."),
    ],
)
async def test_an_unknown_name_is_an_error_of_the_protocol_with_the_nearest_right_one(
    mode: Mode, method: str, name: str, arguments: dict[str, str], said: str, disabled_env: dict[str, str]
):
    async with open_server(disabled_env, mode=mode) as server:
        ask = server.client.call_tool if method == "tool" else server.client.get_prompt
        with pytest.raises(MCPError) as error:
            await ask(name, arguments)
        assert error.value.error.code == -32602
        assert said in error.value.error.message


@ERAS
async def test_where_nothing_is_saved_a_prompt_says_so_and_names_nobody(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:
        (message,) = (await server.client.get_prompt("resume_conversation")).messages
        text = str(message.content)
        assert "There is no saved session yet." in text
        assert "''" not in text


@ERAS
async def test_lists_may_change_in_both_eras_alike(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:
        can = server.client.server_capabilities
        assert can
        assert can.tools
        assert can.prompts
        assert can.resources
        assert (can.tools.list_changed, can.prompts.list_changed, can.resources.list_changed) == (True, True, True)


# FLYWHEEL_TOOLS


FLOWS = {"cache_result", "get_result", "get_flow_history"}


@ERAS
async def test_the_flow_tools_can_be_left_out(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env | {"FLYWHEEL_TOOLS": "conversations"}, mode=mode) as server:
        for _ in range(2):  # from the front, and from the server
            names = {tool.name for tool in (await server.client.list_tools()).tools}
            assert names == GOOD.keys() - FLOWS
            await server.call("save_session", session_id="garden", history=TALK)
        with pytest.raises(MCPError, match="Unknown tool: 'cache_result'"):
            await server.client.call_tool("cache_result", {"result": {}})
        assert (await server.call("delete_session", session_id="garden"))["deleted"] is True

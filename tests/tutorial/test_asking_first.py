"""Before a session is deleted the person is asked, where the client can ask; elsewhere it is done as told."""

from typing import Any, Literal

import pytest
from mcp import MCPError
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ErrorData

from ..support.client import open_server, text_of
from ..support.conversations import TALK
from ..support.waiting import wait_until
from ..support.wire import WireServer, error_text

Mode = Literal["auto", "legacy"]
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])

YES = [ElicitResult(action="accept", content={}), ElicitResult(action="accept", content={"delete": True})]
NO = [ElicitResult(action="accept", content={"delete": False}), ElicitResult(action="decline")]


class Person:
    """Answers what is asked, and remembers it."""

    def __init__(self, answer: ElicitResult | ErrorData) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.schemas: list[dict[str, Any]] = []

    async def __call__(self, _context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        self.asked.append(params.message)
        if isinstance(params, ElicitRequestFormParams):
            self.schemas.append(params.requested_schema)
        return self.answer


async def after_deleting(mode: Mode, env: dict[str, str], person: Person | None) -> tuple[dict[str, Any], bool]:
    """What `delete_session` answers with this person at the client, and whether the session is still there."""
    async with open_server(env, mode=mode, elicitation_callback=person) as server:
        await server.call("save_session", session_id="garden", history=TALK)
        answer = await server.call("delete_session", session_id="garden")
        return answer, (await server.call("resume_session", session_id="garden"))["found"]


@ERAS
@pytest.mark.parametrize("yes", YES, ids=repr)
async def test_who_says_yes_has_it_deleted(mode: Mode, disabled_env: dict[str, str], yes: ElicitResult):
    person = Person(yes)
    answer, is_there = await after_deleting(mode, disabled_env, person)
    assert (answer["deleted"], is_there) == (True, False)
    (question,) = person.asked
    assert "'garden'" in question
    assert "for everybody" in question


@ERAS
@pytest.mark.parametrize("no", NO, ids=repr)
async def test_who_does_not_say_yes_keeps_it(mode: Mode, disabled_env: dict[str, str], no: ElicitResult):
    answer, is_there = await after_deleting(mode, disabled_env, Person(no))
    assert (answer["deleted"], answer["reason"], is_there) == (False, "declined", True)
    assert "the person who was asked said no" in answer["message"]


@ERAS
async def test_a_question_that_nobody_answered_is_no_no(mode: Mode, disabled_env: dict[str, str]):
    answer, is_there = await after_deleting(mode, disabled_env, Person(ElicitResult(action="cancel")))
    assert (answer["deleted"], answer["reason"], is_there) == (False, "cancelled", True)
    assert "nobody answered" in answer["message"]
    assert "said no" not in answer["message"]
    assert "FLYWHEEL_ASK=never" in answer["message"]


@ERAS
async def test_the_question_has_the_keys_of_the_protocol_and_no_other(mode: Mode, disabled_env: dict[str, str]):
    """Codex cancels a question with a title or a description beside its properties, and shows nothing."""
    person = Person(YES[0])
    await after_deleting(mode, disabled_env, person)
    (schema,) = person.schemas
    assert schema.keys() == {"type", "properties"}
    assert schema["properties"]["delete"] == {
        "type": "boolean", "title": "Delete it", "description": "It cannot be brought back", "default": True,
    }  # fmt: skip


@ERAS
async def test_nobody_is_asked_where_the_setting_says_never(mode: Mode, disabled_env: dict[str, str]):
    """A chain that says it can ask, and cannot: behind a FastMCP proxy nothing could be deleted."""
    person = Person(ErrorData(code=-32603, message="Elicitation not supported"))
    answer, is_there = await after_deleting(mode, disabled_env | {"FLYWHEEL_ASK": "never"}, person)
    assert (answer["deleted"], is_there, person.asked) == (True, False, [])


@ERAS
async def test_where_nobody_can_be_asked_it_is_done_as_told(mode: Mode, disabled_env: dict[str, str]):
    answer, is_there = await after_deleting(mode, disabled_env, None)
    assert (answer["deleted"], is_there) == (True, False)


@ERAS
async def test_nobody_is_asked_about_what_is_not_there(mode: Mode, disabled_env: dict[str, str]):
    person = Person(YES[0])
    async with open_server(disabled_env, mode=mode, elicitation_callback=person) as server:
        assert (await server.call("delete_session", session_id="nobody"))["reason"] == "not_found"
    assert person.asked == []


@ERAS
async def test_a_client_that_fails_to_ask_deletes_nothing_and_is_told_so(mode: Mode, disabled_env: dict[str, str]):
    person = Person(ErrorData(code=-32603, message="no window"))
    async with open_server(disabled_env, mode=mode, elicitation_callback=person) as server:
        await server.call("save_session", session_id="garden", history=TALK)
        if mode == "legacy":
            answer = await server.client.call_tool("delete_session", {"session_id": "garden"})
            assert answer.is_error
            text = text_of(answer.content[0])
            assert 'could not be asked ("no window"); nothing was done' in text
            assert "Try again" not in text, "it would be the same for ever"
            assert "FLYWHEEL_ASK=never" in text
            assert "agentic-flywheel-state sessions delete" in text
        else:  # it is the client itself that gives up
            with pytest.raises(MCPError, match="no window"):
                await server.client.call_tool("delete_session", {"session_id": "garden"})
        assert (await server.call("resume_session", session_id="garden"))["found"]


@ERAS
async def test_an_answer_that_makes_no_sense_deletes_nothing_and_is_told_so(mode: Mode, disabled_env: dict[str, str]):
    person = Person(ElicitResult(action="accept", content={"delete": "banana"}))
    async with open_server(disabled_env, mode=mode, elicitation_callback=person) as server:
        await server.call("save_session", session_id="garden", history=TALK)
        answer = await server.client.call_tool("delete_session", {"session_id": "garden"})
        assert answer.is_error
        assert "makes no sense; nothing was done" in text_of(answer.content[0])
        assert (await server.call("resume_session", session_id="garden"))["found"]
        assert "Traceback" not in server.stderr


def test_a_question_that_is_never_answered_holds_up_nobody_and_no_end(disabled_env: dict[str, str]):
    with WireServer(disabled_env, capabilities={"elicitation": {}}) as server:
        server.call("save_session", session_id="garden", history=TALK)
        server.send_call("delete_session", {"session_id": "garden"})
        assert server.call("save_session", session_id="other", history=TALK)["saved"] is True
        wait_until(lambda: server.heard("elicitation/create"), what="the question")
        server.close_stdin()
        assert server.wait(within=30) == 0
    with WireServer(disabled_env) as server:
        assert server.call("resume_session", session_id="garden")["found"] is True


@pytest.mark.parametrize("answer", ['"result":"yes"', '"error":"no"'])
def test_an_answer_that_is_none_of_the_protocol_ends_the_wait_and_deletes_nothing(
    disabled_env: dict[str, str], answer: str
):
    with WireServer(disabled_env, capabilities={"elicitation": {}}) as server:
        server.call("save_session", session_id="garden", history=TALK)
        asked = server.send_call("delete_session", {"session_id": "garden"})
        (question,) = wait_until(lambda: server.heard("elicitation/create"), what="the question")
        server.send_line(f'{{"jsonrpc":"2.0","id":{question["id"]},{answer}}}')
        assert "nothing was done" in error_text(server.reply(asked))
        assert server.call("resume_session", session_id="garden")["found"] is True

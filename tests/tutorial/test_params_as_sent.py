"""The parameters of a request are taken however they are written; what cannot be taken is refused with the reason."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.redis_server import NOBODY_LISTENS
from ..support.wire import WireServer

SAVE = {"session_id": "garden", "history": [{"role": "user", "content": "Ferns?"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    env = clean_env(tmp_path_factory.mktemp("params"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    with WireServer(env) as running:
        yield running


def reply(server: WireServer, method: str, raw: str) -> dict[str, Any]:
    return server.reply(server.send(method, raw_params=raw))


def called(server: WireServer, tool: str, raw: str) -> dict[str, Any]:
    return reply(server, "tools/call", f'{{"name":"{tool}","arguments":{raw}}}')


@pytest.mark.parametrize("times", [1, 2])
def test_arguments_as_json_text_are_read(times: int, server: WireServer):
    raw = json.dumps(SAVE)
    for _ in range(times):
        raw = json.dumps(raw)
    assert called(server, "save_session", raw)["result"]["structuredContent"]["saved"] is True
    found = server.call("resume_session", session_id="garden")
    assert found["session"]["history"] == SAVE["history"]


@pytest.mark.parametrize("raw", ["[]", '""', '"{}"', '"null"', "null"])
def test_no_arguments_are_none_however_they_are_written(raw: str, server: WireServer):
    assert "sessions" in called(server, "list_sessions", raw)["result"]["structuredContent"]


def test_half_an_emoji_in_arguments_as_text_is_named(server: WireServer):
    raw = json.dumps('{"session_id": "half", "history": [{"role": "user", "content": "x \\ud83c"}]}')
    answer = called(server, "save_session", raw)["result"]["structuredContent"]
    assert "history[0].content" in answer["message"]
    assert server.call("resume_session", session_id="half")["session"]["history"][0]["content"] == "x \ufffd"


@pytest.mark.parametrize(
    ("method", "raw", "said"),
    [
        ("tools/call", '{"name": 7, "arguments": 3}', "of a call must be an object"),
        ("tools/call", '{"name": 7}', "params.name"),
        ("tools/call", "{}", "params.name: Field required"),
        ("resources/read", "{}", "params.uri: Field required"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(method: str, raw: str, said: str, server: WireServer):
    error = reply(server, method, raw)["error"]
    assert error["code"] == -32602
    assert said in error["message"]
    assert "garden" not in error["message"]


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("save_session", '"garden"', 'must be an object, such as {"session_id": "session-1"}; text came.'),
        ("save_session", "[1]", "a list came."),
        ("list_sessions", "3", 'must be an object, such as {"pattern": "pattern-1"}; a number came.'),
        ("get_flow_history", "true", '{"session_id": "session-1", "flow_id": "flow-1"}; true came.'),
        ("cache_result", "0.5", '{"result": {"answer": "ferns"}}; a number came.'),
        ("persistence_status", '"3"', "must be an object, such as {}; text came."),
    ],
)
def test_arguments_that_are_no_object_are_refused_with_an_example_that_is_taken(
    name: str, raw: str, said: str, server: WireServer
):
    error = called(server, name, raw)["error"]
    assert error["code"] == -32602
    assert error["message"].startswith(f"The arguments of {name} must be an object")
    assert said in error["message"]
    example = error["message"].partition("such as ")[2].rpartition("; ")[0]
    assert not called(server, name, example)["result"].get("isError")


def test_arguments_of_a_prompt_that_are_no_object_are_refused_in_the_same_words(server: WireServer):
    error = reply(server, "prompts/get", '{"name": "handoff", "arguments": 3}')["error"]
    assert error["message"] == "The arguments of handoff must be an object, such as {}; a number came."


def test_a_request_before_the_handshake_is_told_of_it(disabled_env: dict[str, str]):
    server = WireServer(disabled_env).spawn()
    try:
        error = called(server, "list_sessions", "{}")["error"]
    finally:
        server.close()
    assert error["code"] == -32602
    assert "initialize" in error["message"]

"""Over pipes, a client of 2025-03-26 may put several messages into a line; each is answered, however they are sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.redis_server import NOBODY_LISTENS
from ..support.wire import WireServer


def begun(env: dict[str, str], version: str) -> WireServer:
    server = WireServer(env).spawn()
    known = {"protocolVersion": version, "clientInfo": {"name": "batches", "version": "1"}, "capabilities": {}}
    assert server.request("initialize", known)["protocolVersion"] == version
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    env = clean_env(tmp_path_factory.mktemp("batches"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    running = begun(env, "2025-03-26")
    yield running
    running.close()
    assert running.junk == []


def message(identity: object, method: str = "ping", **params: Any) -> dict[str, Any]:
    named = {} if identity is None else {"id": identity}
    return {"jsonrpc": "2.0", **named, "method": method, "params": params}


def save(identity: object, session: str, words: str) -> dict[str, Any]:
    turn = {"role": "user", "content": words}
    return message(identity, "tools/call", name="save_session", arguments={"session_id": session, "history": [turn]})


def test_each_request_of_a_batch_is_answered_and_done_once(server: WireServer):
    batch = [save("one", "a", "ferns"), message(None, "notifications/initialized"), save("two", "b", "half \ud83c")]
    server.send_line(json.dumps(batch))
    for identity in ("one", "two"):
        assert server.reply(identity)["result"]["structuredContent"]["added_turns"] == 1  # type: ignore[arg-type]
    for session, words in (("a", "ferns"), ("b", "half \ufffd")):
        history = server.call("resume_session", session_id=session)["session"]["history"]
        assert [turn["content"] for turn in history] == [words]


def test_what_is_no_message_in_a_batch_is_refused_and_the_others_are_answered(server: WireServer):
    server.send_line(json.dumps([3, message("after a number"), "words"]))
    assert server.reply("after a number")["result"] == {}  # type: ignore[arg-type]
    for _ in range(2):
        error = server.reply(None)["error"]  # type: ignore[arg-type]
        assert error["message"].startswith("This is JSON, but no JSON-RPC message")


@pytest.mark.parametrize("line", ["[]", "[[]]", "[" * 100_000, '[{"jsonrpc":"2.0"'])
def test_a_batch_of_nothing_or_of_no_json_is_one_refusal(server: WireServer, line: str):
    server.send_line(line)
    assert server.reply(None)["error"]["message"].startswith("Batches are not taken")  # type: ignore[arg-type]
    server.ping()


def test_a_batch_right_behind_the_handshake_and_before_the_end_is_answered_whole(disabled_env: dict[str, str]):
    server = WireServer(disabled_env).spawn()
    known = {"protocolVersion": "2025-03-26", "clientInfo": {"name": "batches", "version": "1"}, "capabilities": {}}
    batch = [save(f"save {number}", f"s{number}", "words") for number in range(20)]
    first = json.dumps(message("first", "initialize", **known))
    server.send_line(f"{first}\n{json.dumps(message(None, 'notifications/initialized'))}\n{json.dumps(batch)}")
    server.close_stdin()
    assert server.wait(60) == 0
    for sent in batch:
        assert server.reply(sent["id"])["result"]["structuredContent"]["saved"] is True
    server.close()


def test_a_later_revision_has_no_batches(disabled_env: dict[str, str]):
    server = begun(disabled_env, "2025-06-18")
    try:
        server.send_line(json.dumps([message("one")]))
        error = server.reply(None)["error"]  # type: ignore[arg-type]
        assert error["message"] == "Batches are not taken: send each message by itself."
        server.ping()
    finally:
        server.close()

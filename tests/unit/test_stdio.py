"""Lines that no client should send are answered, and what was asked before the end is answered too."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.redis_server import NOBODY_LISTENS
from ..support.waiting import wait_until
from ..support.wire import WireServer

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
DEEP = "[" * 3000 + "]" * 3000
PING = '{"jsonrpc":"2.0","id":"after","method":"ping"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    """A server that no test here ends."""
    env = clean_env(tmp_path_factory.mktemp("server"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    with WireServer(env) as running:
        yield running
    assert running.junk == [], "stdout is the protocol's alone"


@pytest.fixture
def ending(disabled_env: dict[str, str]) -> Iterator[WireServer]:
    """A server of a test's own, to be ended."""
    with WireServer(disabled_env) as running:
        yield running
    assert running.junk == [], "stdout is the protocol's alone"


def reply(server: WireServer, identity: Any) -> dict[str, Any]:
    """The reply with that id, which may be text or null."""
    return server.reply(identity, within=60)


def request(identity: str, params: str, *, last: bool = False) -> str:
    """A request line with raw JSON in it, its id first or last."""
    method = f'"method":"tools/call","params":{params}'
    return f'{{"jsonrpc":"2.0",{method},"id":{identity}}}' if last else f'{{"jsonrpc":"2.0","id":{identity},{method}}}'


UNREADABLE = [
    pytest.param("this is no JSON", None, id="words"),
    pytest.param("{", None, id="an open brace"),
    pytest.param('{"jsonrpc":"2.0","method":"ping"', None, id="no id"),
    pytest.param('{"jsonrpc":"2.0","id":70,"method":"ping"', 70, id="cut off"),
    pytest.param('{"jsonrpc":"2.0" , "id" : -71 , "method":"ping",}', -71, id="a comma too many"),
    pytest.param('{"jsonrpc":"2.0","id":"seven","method":"ping"', "seven", id="an id of text"),
    pytest.param('{"jsonrpc":"2.0","id":"a \\"b\\" \\u00e9","method":"ping"', 'a "b" é', id="an id with escapes"),
    pytest.param(request("72", f'{{"a":{DEEP}}}'), 72, id="nested too deep"),
    pytest.param(request("73", f'{{"id":1,"a":{{"id":2}},"b":{DEEP}}}', last=True), 73, id="ids further in"),
    pytest.param(request("74", f'{{"a":"\\",\\"id\\":3,{{","b":{DEEP}}}', last=True), 74, id="an id within a text"),
    pytest.param(request("75", '{"a":"\x00"}'), 75, id="a raw zero byte"),
    pytest.param('{"jsonrpc":"2.0","id":76,"method":"pi\\ud800ng"}', 76, id="half a surrogate pair for a method"),
    pytest.param(request('"\\ud800"', "{}"), None, id="half a surrogate pair for an id"),
    pytest.param(request('"\\ud800"', '{"a":"\\udfff"}', last=True), None, id="half a surrogate pair for an id, last"),
    pytest.param(request("77", '{"a":"\x01"}'), 77, id="a raw control character"),
    pytest.param(request("78", '{"a":' + "9" * 10_000 + "}"), 78, id="a huge number"),
]


@pytest.mark.parametrize(
    "line",
    [f"[{PING.replace('after', 'in a batch')}]", "[]", "7", '"ping"', "null", "true"],
    ids=["a batch", "a batch of none", "a number", "text", "null", "true"],
)
def test_json_that_is_no_message_is_an_invalid_request_and_the_next_one_is_served(server: WireServer, line: str):
    server.send_line(line)
    assert reply(server, None)["error"]["code"] == INVALID_REQUEST
    server.ping()


@pytest.mark.parametrize(("line", "identity"), UNREADABLE)
def test_a_line_that_cannot_be_read_is_answered_with_its_id_and_the_next_one_is_served(
    server: WireServer, line: str, identity: int | str | None
):
    server.send_line(line)
    answer = reply(server, identity)
    assert (answer["jsonrpc"], answer["error"]["code"]) == ("2.0", PARSE_ERROR)
    assert answer["error"]["message"]
    server.ping()


def test_an_unreadable_line_is_not_quoted(server: WireServer):
    server.send_line('{"jsonrpc":"2.0","id":5,"params":"we met at the old mill"')
    assert "mill" not in json.dumps(reply(server, 5)) + server.stderr


@pytest.mark.parametrize("blank", ["", "   ", "\t", "\r"])
def test_blank_lines_are_passed_over(server: WireServer, blank: str):
    before = list(server._messages)
    server.send_line(blank)
    server.ping()
    assert server._messages == before


def test_lines_may_end_as_on_windows_and_arrive_in_pieces(server: WireServer):
    server.send_line(PING + "\r")
    assert reply(server, "after")["result"] == {}
    assert server.running.stdin
    for byte in PING.replace("after", "bit by bit").encode() + b"\n":
        server.running.stdin.write(bytes([byte]))
    assert reply(server, "bit by bit")["result"] == {}


def test_a_large_request_is_read_and_answered(server: WireServer):
    saved = server.call("save_session", session_id="s", history=turns("ü" * 1_500_000))
    assert saved["saved"] is True
    resumed = server.call("resume_session", session_id="s", max_tokens=10_000_000)
    assert resumed["session"]["history"] == turns("ü" * 1_500_000)


def ask_much_and_end(server: WireServer) -> None:
    """Send requests, end the input at once, and read their answers."""
    saves = [server.send_call("save_session", {"session_id": f"s{i}", "history": turns("a")}) for i in range(10)]
    same = [server.send_call("save_session", {"session_id": "same", "history": turns(f"t{i}")}) for i in range(10)]
    lists = [server.send("tools/list"), server.send("ping")]
    server.close_stdin()
    answers = [reply(server, each)["result"]["structuredContent"] for each in saves + same]
    assert {answer["saved"] for answer in answers} == {True}
    assert {answer["stored_in"] for answer in answers} == {"journal"}
    assert sorted(answer["turns"] for answer in answers[10:]) == list(range(1, 11))
    assert all("result" in reply(server, each) for each in lists)
    assert server.wait(60) == 0


def test_what_was_asked_before_the_end_of_input_is_answered(ending: WireServer):
    ask_much_and_end(ending)


def test_what_was_asked_before_the_end_is_answered_though_redis_is_away(lonely_env: dict[str, str]):
    with WireServer(lonely_env) as running:
        ask_much_and_end(running)
    assert running.junk == []


def test_a_client_that_reads_no_more_is_left_without_an_error(ending: WireServer):
    ending.call("save_session", session_id="s", history=turns("x" * 200_000))
    for _ in range(20):
        ending.send_call("resume_session", {"session_id": "s", "max_tokens": 100_000})
    ending.close_stdin()
    wait_until(lambda: ending.running.poll() is not None, what="the end", within=60)
    assert (ending.running.returncode, ending.stderr) == (0, "")


def test_an_unreadable_last_line_without_a_newline_is_answered(ending: WireServer):
    assert ending.running.stdin
    ending.running.stdin.write(b'{"jsonrpc":"2.0","id":81,"method":"pi')
    ending.close_stdin()
    assert reply(ending, 81)["error"]["code"] == PARSE_ERROR
    assert ending.wait(60) == 0


def test_the_last_line_needs_no_newline(ending: WireServer):
    assert ending.running.stdin
    ending.running.stdin.write(PING.encode())
    ending.close_stdin()
    assert reply(ending, "after")["result"] == {}
    assert ending.wait(60) == 0


def test_input_and_output_may_be_files(disabled_env: dict[str, str], tmp_path: Path):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "file", "version": "1"}}
    save = {"name": "save_session", "arguments": {"session_id": "s", "history": turns("🌾")}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": save},
        {"jsonrpc": "2.0", "id": 3, "method": "ping"},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    with source.open("rb") as stdin, target.open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "agentic_flywheel"],
            env=disabled_env,
            cwd=tmp_path,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    answers = {answer["id"]: answer for answer in map(json.loads, target.read_text().splitlines())}
    assert answers.keys() == {1, 2, 3}
    assert answers[2]["result"]["structuredContent"]["saved"] is True


NO_REQUESTS = [
    pytest.param('{"id":91,"method":"ping"}', id="no version"),
    pytest.param('{"jsonrpc":"1.0","id":91,"method":"ping"}', id="another version"),
    pytest.param('{"jsonrpc":"2.0","id":91,"method":"tools/list","params":[]}', id="params that are a list"),
]


@pytest.mark.parametrize("line", NO_REQUESTS)
def test_what_is_json_and_no_request_is_called_so_under_its_id(server: WireServer, line: str):
    server.send_line(line)
    error = reply(server, 91)["error"]
    assert (error["code"], error["message"][:12]) == (INVALID_REQUEST, "This is JSON")
    server.ping()


def test_a_byte_order_mark_is_passed_over(server: WireServer):
    server.send_line("\ufeff" + PING)
    assert reply(server, "after")["result"] == {}

"""Ids of every kind are kept apart or refused with the rule; none reaches another key or a file elsewhere."""

import re
import unicodedata
from pathlib import Path

import pytest

from ..conftest import Place
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer, error_text

HARD_IDS = [
    "plain",
    "Plain",
    "a:b",
    "a:b:c",
    "a",
    "b",
    ":",
    "::",
    "a:",
    ":a",
    "session:a",
    "*",
    "**",
    "pl*in",
    "?",
    "plai?",
    "[",
    "[p]lain",
    "[a-z]",
    "]",
    "\\",
    "\\*",
    "/",
    "/etc/passwd",
    "..",
    "../../escape",
    ".",
    "a/b",
    "%2F",
    "%",
    "%3A",
    "a%3Ab",
    "%25",
    " ",
    "  ",
    " plain",
    "plain ",
    "a b",
    "a\nb",
    "\n",
    "\r\n",
    "\t",
    "a\0b",
    "\0",
    "ünïcode",
    "u\u0308",
    "\u00fc",
    "🌾",
    "漢字",
    "\u202e",
    "\ufeff",
    "null",
    "None",
    "1",
    "true",
    "{}",
    '"',
    "'",
    "'; DROP TABLE sessions; --",
    "$(touch x)",
    "x" * 255,
    "x" * 1_000,
    "x" * 10_000,
    "x" * 10_001,
    "{tag}",
    "{",
    "}",
]


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def accepted(server: WireServer, tool: str, arguments: dict) -> bool:
    """Whether a call was taken; a refusal must say the rule."""
    reply = server.reply(server.send_call(tool, arguments))
    assert "result" in reply, reply
    if not reply["result"].get("isError"):
        return True
    text = error_text(reply)
    assert "id" in text.lower()
    assert any(word in text for word in ("must", "may", "at most", "no more", "only", "not", "longer", "allowed")), text
    return False


@pytest.mark.parametrize("place", ["redis", "disabled"], indirect=True)
def test_sessions_of_every_id_are_kept_apart(place: Place, redis: RedisServer, tmp_path: Path):
    redis.flush()
    with place.server() as server:
        if place.shared:
            server.warm()
        outside_before = files(tmp_path) | files(place_cwd := Path(place.env["HOME"]))
        taken = [
            i for i in HARD_IDS if accepted(server, "save_session", {"session_id": i, "history": turns(f"of {i}")})
        ]
        assert {"plain", "a:b", "*", "..", "a b", "🌾"} & set(taken), "most ids are good ids"
        for session_id in taken:
            resumed = server.call("resume_session", session_id=session_id)
            assert resumed["session"]["id"] == session_id
            assert words(resumed["session"]["history"]) == [f"of {session_id}"]
        listed, cursor = [], {}
        while True:
            page = server.call("list_sessions", limit=1000, **cursor)
            listed += [row["id"] for row in page["sessions"]]
            if not page.get("next_cursor"):
                break
            cursor = {"cursor": page["next_cursor"]}
        assert listed == taken[::-1]
        if place.shared:
            prefix = place.env["FLYWHEEL_KEY_PREFIX"]
            keys = redis.all_keys()
            # Another test's server puts its own back where it finds it gone.
            assert {key for key in keys if not re.match(rf"{prefix}:|(place|test)-[0-9a-f]+:", key)} == set()
            assert len([key for key in keys if key.startswith(f"{prefix}:session:")]) == len(taken)
            assert f"{prefix}:session:plain" in keys
        for n, session_id in enumerate(taken):
            assert server.call("delete_session", session_id=session_id)["deleted"] is True
            assert len(server.call("list_sessions", limit=1000)["sessions"]) == len(taken) - n - 1, "only it is deleted"
    data = Path(place.env["FLYWHEEL_DATA_DIR"])
    new = {
        path
        for path in (files(tmp_path) | files(place_cwd)) - outside_before
        if data not in path.parents and path != data
    }
    assert {path for path in new if not path.name.startswith("stderr-")} == set()


@pytest.mark.parametrize("kept", ["\u00e9\u00e7", "n\u0303o\u0302", "\u00e0u\u0308"], ids=ascii)
def test_an_id_that_looks_the_same_is_another_one_and_suggested(kept: str, server: WireServer):
    """A person who types it on another system means it."""
    server.call("save_session", session_id=kept, history=turns("a"))
    for form in ("NFC", "NFD"):
        look = unicodedata.normalize(form, kept)
        answer = server.call("resume_session", session_id=look)
        assert answer["found"] is (look == kept)
        assert answer["found"] or answer["suggestions"] == [kept]


def test_no_two_flows_share_a_history(server: WireServer):
    pairs = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "b"),
        ("a%3Ab", "c"),
        ("a", "b%3Ac"),
        ("a:", ":c"),
        ("a::", "c"),
        ("*", "c"),
        ("a", "*"),
    ]
    kept = [
        pair
        for n, pair in enumerate(pairs)
        if accepted(server, "cache_result", {"result": {"n": n}, "session_id": pair[0], "flow_id": pair[1]})
    ]
    assert ("a", "b") in kept
    for pair in kept:
        history = server.call("get_flow_history", session_id=pair[0], flow_id=pair[1])
        assert [execution["result"]["n"] for execution in history["executions"]] == [pairs.index(pair)]


def test_executions_of_every_id_are_kept_apart(server: WireServer):
    taken = [i for i in HARD_IDS if accepted(server, "cache_result", {"execution_id": i, "result": {"of": i}})]
    assert "plain" in taken
    for execution_id in taken:
        assert server.call("get_result", execution_id=execution_id)["execution"]["result"] == {"of": execution_id}


def test_an_empty_id_is_a_new_session_or_refused(server: WireServer):
    reply = server.reply(server.send_call("save_session", {"session_id": "", "history": turns("a")}))
    if reply["result"].get("isError"):
        assert "session_id" in error_text(reply)
    else:
        assert reply["result"]["structuredContent"]["session_id"] != ""


def test_the_keys_are_the_documented_ones(server_env: dict[str, str], redis: RedisServer):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id="talk 1", history=turns("a"))
        server.call("cache_result", execution_id="run-1", result={"a": 1}, session_id="talk 1", flow_id="flow-1")
        wait_until(lambda: redis.get(f"{redis.prefix}:execution:run-1"), what="the execution in Redis")
        wait_until(lambda: redis.get(f"{redis.prefix}:history:talk 1:flow-1"), what="the flow's history in Redis")
        assert redis.get(f"{redis.prefix}:session:talk 1")

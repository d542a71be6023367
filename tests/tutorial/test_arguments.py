"""Wrong arguments, and only those, are errors: they name what is wrong and say what to do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import TALK, exact
from ..support.redis_server import NOBODY_LISTENS
from ..support.wire import WireServer

GOOD: dict[str, dict[str, Any]] = {
    "save_session": {},
    "resume_session": {},
    "list_sessions": {},
    "delete_session": {"session_id": "x"},
    "list_revisions": {"session_id": "x"},
    "restore_session": {"session_id": "x", "revision": 1},
    "fork_session": {"session_id": "x", "revision": 1},
    "cache_result": {"result": {}},
    "get_result": {"execution_id": "x"},
    "get_flow_history": {"session_id": "x", "flow_id": "f"},
    "persistence_status": {},
}


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory: pytest.TempPathFactory):
    env = clean_env(tmp_path_factory.mktemp("arguments"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    with WireServer(env) as running:
        yield running


@pytest.mark.parametrize("tool", GOOD)
def test_an_unknown_argument_is_refused_and_the_known_ones_are_named(tool: str, quiet_server: WireServer):
    text = quiet_server.refused(tool, **GOOD[tool], sesion_id="x")
    assert "sesion_id" in text
    for known in GOOD[tool]:
        assert known in text


def test_a_misspelt_argument_is_recognised(quiet_server: WireServer):
    text = quiet_server.refused("save_session", sesion_id="x")
    assert "session_id" in text.replace("sesion_id", "")


@pytest.mark.parametrize(
    ("tool", "name", "value"),
    [
        ("save_session", "history", "hello"),
        ("save_session", "history", ["hello"]),
        ("save_session", "history", {}),
        ("save_session", "history", [{"role": "user"}, {}]),
        ("save_session", "history", [[]]),
        ("save_session", "context", [1]),
        ("save_session", "context", 5),
        ("save_session", "tags", [1]),
        ("save_session", "tags", {"a": 1}),
        ("save_session", "title", 5.5),
        ("save_session", "title", {"a": 1}),
        ("save_session", "session_id", 5.5),
        ("save_session", "status", "done"),
        ("save_session", "backend", "sqlite"),
        ("save_session", "mode", "merge"),
        ("save_session", "ttl_seconds", -1),
        ("save_session", "ttl_seconds", "soon"),
        ("save_session", "ttl_seconds", 1.5),
        ("save_session", "ttl_seconds", 10**30),
        ("save_session", "expected_revision", "latest"),
        ("save_session", "expected_revision", -1),
        ("resume_session", "max_tokens", -1),
        ("resume_session", "max_tokens", "many"),
        ("resume_session", "before_turn", -1),
        ("list_sessions", "limit", -1),
        ("list_sessions", "limit", 1001),
        ("list_sessions", "cursor", "no cursor of ours"),
        ("list_sessions", "pattern", "*a" * 2049),
        ("fork_session", "new_session_id", "x" * 513),
        ("list_sessions", "tags", 5),
        ("list_sessions", "status", "done"),
        ("cache_result", "result", [1]),
        ("cache_result", "result", "text"),
        ("cache_result", "ttl_seconds", -1),
        ("get_flow_history", "limit", -1),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(tool: str, name: str, value: Any, quiet_server: WireServer):
    text = quiet_server.refused(tool, **(GOOD[tool] | {name: value}))
    assert name in text
    assert len(text.split()) >= 4, "a sentence, not a code"
    for internal in ("Traceback", "pydantic.dev", "Error executing tool", "\n\n\n"):
        assert internal not in text


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("delete_session", "session_id"),
        ("get_result", "execution_id"),
        ("cache_result", "result"),
        ("get_flow_history", "flow_id"),
    ],
)
def test_a_missing_argument_is_named(tool: str, name: str, quiet_server: WireServer):
    text = quiet_server.refused(tool, **{k: v for k, v in GOOD[tool].items() if k != name})
    assert name in text


def test_choices_are_named(quiet_server: WireServer):
    assert "replace" in quiet_server.refused("save_session", mode="merge")
    assert "completed" in quiet_server.refused("save_session", status="done")
    assert "flowise" in quiet_server.refused("save_session", backend="sqlite")


def test_objects_and_lists_sent_as_text_are_understood(quiet_server: WireServer, sid: str):
    """Some clients send structured arguments as JSON text."""
    saved = quiet_server.call("save_session", session_id=sid, history=json.dumps(TALK), context='{"a": [1]}')
    assert (saved["saved"], saved["turns"]) == (True, 4)
    session = quiet_server.call("resume_session", session_id=sid)["session"]
    assert exact(session["history"]) == exact(TALK)
    assert exact(session["context"]) == exact({"a": [1]})


@pytest.mark.parametrize("name", ["messages", "history", "turns", "conversation"])
@pytest.mark.parametrize("written", [dict, json.dumps])
def test_a_list_of_turns_in_an_object_of_its_own_is_that_list(
    name: str,
    written: Callable[[Any], Any],
    quiet_server: WireServer,
    sid: str,
):
    turns = [{"role": "user", "content": "ferns"}, {"role": "assistant", "content": "hostas"}]
    history = written({name: turns})
    assert quiet_server.call("save_session", session_id=sid, history=history)["turns"] == 2
    assert quiet_server.call("resume_session", session_id=sid)["session"]["history"] == turns


def test_a_turn_that_has_messages_among_others_stays_one_turn(quiet_server: WireServer, sid: str):
    turn = {"messages": [{"role": "user", "content": "ferns"}], "next": "agent"}
    assert quiet_server.call("save_session", session_id=sid, history=turn)["turns"] == 1
    assert quiet_server.call("resume_session", session_id=sid)["session"]["history"] == [turn]


def test_a_wrong_call_keeps_nothing_and_the_next_one_works(quiet_server: WireServer, sid: str):
    quiet_server.refused("save_session", session_id=sid, history=TALK, ttl_seconds=-1)
    assert quiet_server.call("resume_session", session_id=sid)["reason"] == "not_found"
    assert quiet_server.call("save_session", session_id=sid, history=TALK)["saved"] is True


def test_absence_is_an_answer_with_suggestions(quiet_server: WireServer, sid: str):
    quiet_server.call("save_session", session_id=f"{sid}-harvest", history=TALK)
    answer = quiet_server.call("resume_session", session_id=f"{sid}-harvets")
    assert (answer["found"], answer["reason"]) == (False, "not_found")
    assert f"{sid}-harvest" in str(answer["suggestions"])


def test_a_revision_of_no_session_is_told_as_no_session_with_suggestions(quiet_server: WireServer, sid: str):
    quiet_server.call("save_session", session_id=f"{sid}-beans", history=TALK)
    answer = quiet_server.call("resume_session", session_id=f"{sid}-baens", revision=1)
    assert (answer["found"], answer["reason"]) == (False, "not_found")
    assert f"{sid}-beans" in answer["suggestions"]
    quiet_server.call("delete_session", session_id=f"{sid}-beans")
    assert quiet_server.call("resume_session", session_id=f"{sid}-beans", revision=1)["reason"] == "deleted"

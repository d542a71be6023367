"""Whose a session is: the first save sets it, nobody else takes it over, and a server may hide all others'."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.errors import SettingError
from agentic_flywheel.settings import Settings

from ..conftest import Place
from ..support.conversations import turns, words
from ..support.wire import WireServer, error_text


def warm(server: WireServer, place: Place) -> WireServer:
    return server.warm() if place.shared else server


def user(place: Place, name: str, **more: str) -> WireServer:
    return WireServer(place.env | {"FLYWHEEL_USER": name} | more)


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_save_with_another_user_is_a_conflict_and_changes_nothing(place: Place, sid: str, mode: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=turns("his"), user_id="bob")
        taken = server.call("save_session", session_id=sid, history=turns("hers"), user_id="alice", mode=mode)
        assert (taken["saved"], taken["reason"]) == (False, "conflict")
        assert "another user_id" in taken["message"]
        session = server.call("resume_session", session_id=sid)["session"]
        assert (session["user_id"], words(session["history"])) == ("bob", ["his"])
        for same in ("", "bob", None):
            assert server.call("save_session", session_id=sid, history=turns("his", "more"), user_id=same)["saved"]


def test_a_replace_by_another_users_server_leaves_the_owner(place: Place, sid: str):
    with user(place, "bob") as his:
        warm(his, place).call("save_session", session_id=sid, history=turns("his"))
    with user(place, "alice") as hers:
        warm(hers, place)
        assert hers.call("save_session", session_id=sid, history=turns("new"), mode="replace")["saved"] is True
        assert hers.call("list_sessions")["sessions"] == []
        assert [row["id"] for row in hers.call("list_sessions", user_id="bob")["sessions"]] == [sid]


def test_a_session_of_nobody_gets_the_first_owner_that_is_named(place: Place, sid: str):
    with place.server() as server:
        warm(server, place)
        server.call("save_session", session_id=sid, history=turns("one"))
        assert server.call("save_session", session_id=sid, user_id="ana")["saved"] is True
        assert server.call("save_session", session_id=sid, user_id="bo")["reason"] == "conflict"


def test_a_server_of_one_user_only_answers_not_found_for_all_that_is_anothers(place: Place, sid: str):
    with user(place, "bob") as his:
        warm(his, place)
        his.call("save_session", session_id=sid, history=turns("secret"), title="secret")
        his.call("save_session", session_id=sid, history=turns("other"), mode="replace")
        his.call("cache_result", execution_id="e", session_id=sid, flow_id="f", result={"n": "secret"})
    with user(place, "alice", FLYWHEEL_USER_ONLY="true") as hers:
        warm(hers, place)
        hers.call("save_session", session_id="mine", history=turns("hers"))
        asked: tuple[tuple[str, dict[str, Any]], ...] = (
            ("resume_session", {"session_id": sid}),
            ("resume_session", {"session_id": sid, "revision": 1}),
            ("list_revisions", {"session_id": sid}),
            ("restore_session", {"session_id": sid, "revision": 1}),
            ("fork_session", {"session_id": sid}),
            ("delete_session", {"session_id": sid}),
            ("get_result", {"execution_id": "e"}),
            ("get_flow_history", {"session_id": sid, "flow_id": "f"}),
        )
        for tool, arguments in asked:
            answer = hers.call(tool, **arguments)
            assert answer["reason"] == "not_found", (tool, answer)
            assert "secret" not in json.dumps(answer)
        assert [row["id"] for row in hers.call("list_sessions")["sessions"]] == ["mine"]
        assert hers.call("list_sessions", query="secret")["sessions"] == []
        assert hers.call("resume_session")["session"]["id"] == "mine"
        assert sid not in hers.call("resume_session", session_id=f"{sid}x").get("suggestions", [])
        for refused in (
            hers.call("save_session", session_id=sid, history=turns("x")),
            hers.call("cache_result", session_id=sid, result={"n": 1}),
        ):
            assert refused["reason"] == "conflict"
        for tool in ("resume_session", "list_sessions", "save_session"):
            assert "its own user's sessions alone" in error_text(hers.reply(hers.send_call(tool, {"user_id": "bob"})))
    with user(place, "bob") as his:
        assert words(warm(his, place).call("resume_session", session_id=sid)["session"]["history"]) == ["other"]


def test_whose_sessions_alone_are_shown_must_be_said(tmp_path: Path):
    with pytest.raises(SettingError, match="FLYWHEEL_USER_ONLY='true' is not allowed; set FLYWHEEL_USER"):
        Settings.from_env({"FLYWHEEL_USER_ONLY": "true", "FLYWHEEL_DATA_DIR": str(tmp_path)})

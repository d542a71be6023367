"""Account exports and flows' talks through the real command: whole, once, with their fields; no red without a loss."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..support.conversations import words
from ..support.wire import WireServer
from ..unit.test_importers import chatgpt, claude, gpt_message, jsonl, message
from ..unit.test_importers_containers import zipped
from ..unit.test_importers_flows import FLOW, row, said_there
from .test_imports import history, rows, told

pytestmark = pytest.mark.slow


def session(server: WireServer, session_id: str) -> dict[str, Any]:
    return server.call("resume_session", session_id=session_id, max_tokens=50_000)["session"]


def test_a_folder_of_parts_with_strays_comes_in_whole_and_is_green(disabled_env: dict[str, str], tmp_path: Path):
    folder = tmp_path / "exports"
    folder.mkdir()
    failed = chatgpt("Moss?", conversation_id="1", gizmo_id="g-p-7", gizmo_type="snorlax")
    failed["mapping"]["1"] = {"parent": "0", "message": gpt_message("", "assistant", content=None)}
    failed["current_node"] = "1"
    portal = {"User Online Activity/Conversations_x-chatgpt-0001.zip": zipped({"conversations.json": [failed]})}
    (folder / "portal.zip").write_bytes(zipped(portal))
    (folder / "part.zip").write_bytes(
        zipped({"conversations-000.json": [claude(), claude(uuid="d", chat_messages=None)]})
    )
    (folder / "history.jsonl").write_text(jsonl({"display": "ls"}), "utf-8")
    year = timedelta(days=365)
    until = {datetime.now(UTC) + year}
    said = told(disabled_env, folder)
    until.add(datetime.now(UTC) + year)  # another day, at midnight
    assert f"Left 1 of 3 files that have no talks: {folder / 'history.jsonl'}." in said
    assert any(f"What came in is kept until {each:%Y-%m-%d} (REDIS_TTL_SECONDS)" in said for each in until)
    assert said.endswith("Took in 2 sessions; 0 were there already, 0 could not be taken in.\n")
    again = told(disabled_env, folder)
    assert "Took in 0 sessions; 2 were there already, 0 could not be taken in." in again
    assert "kept until" not in again
    with WireServer(disabled_env) as server:
        assert rows(server)["chatgpt-1"]["tags"] == ["project:g-p-7"]
        assert history(server, "chatgpt-1") == ["Moss?"]
        assert history(server, "claude-c") == ["Hello"]


def test_a_part_that_is_missing_is_a_loss_and_named(disabled_env: dict[str, str], tmp_path: Path):
    path = tmp_path / "x.zip"
    named = {"export_files": [{"path": "conversations-000.json"}, {"path": "conversations-001.json"}]}
    path.write_bytes(zipped({"conversations-000.json": [chatgpt("a")], "export_manifest.json": named}))
    said = told(disabled_env, path, code=1)
    assert f"{path}/export_manifest.json, 'conversations-001.json': is a file of the export that is not there" in said
    assert "Took in 1 session; 0 were there already, 1 could not be taken in." in said


def test_imports_may_be_kept_for_ever_and_that_is_said(disabled_env: dict[str, str], tmp_path: Path):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([claude()]), "utf-8")
    assert "What came in is kept for ever." in told(disabled_env | {"REDIS_TTL_SECONDS": "0"}, path)


def test_talks_of_the_flow_backends_have_their_flow_session_and_user(disabled_env: dict[str, str], tmp_path: Path):
    messages = [said_there(1, "User", "Which ferns?"), said_there(2, "Machine", "Lady fern.")]
    talk = [row(1, "userMessage", "Moss?", leadEmail="ada@example.org"), row(2, "apiMessage", "Yes.")]
    langflow, flowise, run = (tmp_path / f"{name}.json" for name in ("messages", "ExportData", "run"))
    langflow.write_text(json.dumps(messages[:1]), "utf-8")
    flowise.write_text(json.dumps({"ChatFlow": [], "ChatMessage": talk}), "utf-8")
    run.write_text(json.dumps({"session_id": "s", "outputs": [{"inputs": {}, "outputs": []}]}), "utf-8")
    told(disabled_env, langflow)
    langflow.write_text(json.dumps(messages), "utf-8")
    assert "added to 1 session" in told(disabled_env, langflow)
    told(disabled_env, flowise)
    assert "keep it with the tool cache_result" in told(disabled_env, run, code=1)
    with WireServer(disabled_env) as server:
        ferns, moss = session(server, f"langflow-{FLOW}-ferns"), session(server, "flowise-flow-chat")
        assert words(ferns["history"]) == ["Which ferns?", "Lady fern."]
        assert (ferns["backend"], ferns["backend_session_id"], ferns["current_flow_id"]) == ("langflow", "ferns", FLOW)
        assert ferns["created_at"] == "2026-11-28T23:40:01.000887+00:00"
        assert (moss["backend"], moss["backend_session_id"], moss["current_flow_id"]) == ("flowise", "chat", "flow")
        assert moss["user_id"] == "ada@example.org"


def test_another_persons_mail_does_not_hide_a_talk_from_the_only_user(disabled_env: dict[str, str], tmp_path: Path):
    path = tmp_path / "ExportData.json"
    path.write_text(json.dumps([row(1, "userMessage", "Moss?", leadEmail="ada@example.org")]), "utf-8")
    only = disabled_env | {"FLYWHEEL_USER": "me", "FLYWHEEL_USER_ONLY": "1"}
    assert "Took in 1 session" in told(only, path)
    with WireServer(only) as server:
        assert session(server, "flowise-flow-chat")["user_id"] == "me"


def test_a_credential_in_what_a_flow_calls_its_session_is_replaced(disabled_env: dict[str, str], tmp_path: Path):
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    path = tmp_path / "ExportData.json"
    path.write_text(json.dumps([row(1, "userMessage", "Moss?", leadEmail=secret)]), "utf-8")
    told(disabled_env, path)
    with WireServer(disabled_env) as server:
        assert secret not in json.dumps(session(server, "flowise-flow-chat"))


def test_what_claude_thought_in_silence_stays_out(disabled_env: dict[str, str], tmp_path: Path):
    path = tmp_path / "conversations.json"
    silent = [{"type": "thinking", "thinking": "", "signature": "s" * 700}, {"type": "text", "text": "Yes."}]
    path.write_text(
        json.dumps({"conversations": [claude(chat_messages=[message(sender="assistant", content=silent)])]})
    )
    told(disabled_env, path)
    with WireServer(disabled_env) as server:
        assert history(server, "claude-c") == ["Yes."]

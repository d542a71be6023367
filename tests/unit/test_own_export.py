"""What this program wrote comes in again, in whichever form it was shown, and is whose it is here."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.export_command import export
from agentic_flywheel.cli.import_command import import_from
from agentic_flywheel.settings import Settings

from .test_importers import jsonl, written

TIME = "2026-11-28T10:00:00+00:00"
SHOWN = {
    "id": "ferns", "revision": 3, "backend": "custom", "backend_session_id": "", "status": "pending",
    "current_flow_id": None, "context": {"cwd": "/garden"}, "history": [{"role": "user", "content": "Which ferns?"}],
    "created_at": TIME, "updated_at": TIME, "expires_at": None, "user_id": None, "total_queries": 0,
    "successful_queries": 0, "total_response_time": 0.0, "saved_at": TIME, "kept_until": None, "ttl_seconds": 0,
    "title": "Ferns", "summary": "", "tags": ["plants"],
}  # fmt: skip
"""A session as `sessions show --json` has it."""

EARLIER = {
    "_schema_version": 1, "id": "ferns", "backend": "custom", "backend_session_id": "", "status": "pending",
    "current_flow_id": None, "context": {}, "history": SHOWN["history"],
    "metadata": {"created_at": TIME, "last_active": TIME},
}  # fmt: skip
"""One as the agentic flywheel wrote it into files of its own."""


def settings_in(folder: Path, **more: str) -> Settings:
    return Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder / "data"), "HOME": str(folder), **more})


def stored(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    export(settings, str(folder / "all.jsonl"))
    return [json.loads(line) for line in (folder / "all.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("session", [SHOWN, EARLIER], ids=["shown", "earlier"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_session_alone_in_a_file_comes_in_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], session: dict[str, Any], indent: int | None
):
    settings, path = settings_in(tmp_path), written(tmp_path, json.dumps(session, indent=indent), "ferns.json")
    for told in ("Took in 1 session", "Took in 0 sessions; 1 were there already"):
        assert import_from(settings, str(path)) == 0
        assert told in capsys.readouterr().err
    [kept] = stored(settings, tmp_path)
    assert (kept["id"], kept["history"], kept["context"]) == ("ferns", session["history"], session["context"])


def test_a_session_of_nobody_becomes_that_of_the_user_who_takes_it_in(tmp_path: Path):
    settings, path = settings_in(tmp_path, FLYWHEEL_USER="bob"), written(tmp_path, jsonl(SHOWN), "ferns.jsonl")
    assert (import_from(settings, str(path)), import_from(settings, str(path))) == (0, 0)
    assert [each["user_id"] for each in stored(settings, tmp_path)] == ["bob"]


def test_a_session_of_nobody_that_is_here_is_the_same_for_a_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = written(tmp_path, jsonl(SHOWN), "ferns.jsonl")
    assert import_from(settings_in(tmp_path), str(path)) == 0
    assert import_from(settings_in(tmp_path, FLYWHEEL_USER="bob"), str(path)) == 0
    assert "1 were there already" in capsys.readouterr().err


def test_of_a_session_of_another_user_it_is_said_that_it_is_not_in_the_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = written(tmp_path, jsonl(SHOWN | {"user_id": "ana"}), "ferns.jsonl")
    assert import_from(settings_in(tmp_path, FLYWHEEL_USER="bob"), str(path)) == 0
    assert "is of the user 'ana', and not in the lists of 'bob' (FLYWHEEL_USER)" in capsys.readouterr().err
    assert [each["user_id"] for each in stored(settings_in(tmp_path), tmp_path)] == ["ana"]


def test_a_session_of_another_user_is_refused_where_those_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = written(tmp_path, jsonl(SHOWN | {"user_id": "ana"}), "ferns.jsonl")
    settings = settings_in(tmp_path, FLYWHEEL_USER="bob", FLYWHEEL_USER_ONLY="true")
    assert import_from(settings, str(path)) == 1
    assert "is of another user than 'bob' (FLYWHEEL_USER_ONLY)" in capsys.readouterr().err
    assert stored(settings_in(tmp_path), tmp_path) == []

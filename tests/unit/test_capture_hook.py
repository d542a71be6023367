"""A hook is told anything; what it cannot take is noted for `capture status`, and never said to its program."""

import io
import json
from pathlib import Path

import pytest

from agentic_flywheel.cli.capture import hook, notes


def test_what_is_too_long_to_be_read_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    transcript = tmp_path / "5d0c.jsonl"
    transcript.write_text("{}\n")
    said = json.dumps({"transcript_path": str(transcript), "last_assistant_message": "fern " * 300})
    monkeypatch.setattr(hook, "MAX_BYTES", 1000)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
    assert hook.main(["claude-code", "--into", str(tmp_path / "data"), "--at", "Stop"]) == 0
    failure = json.loads((tmp_path / "data" / "capture" / "hook-failure.json").read_text())
    assert (failure["client"], failure["cause"]) == ("claude-code", "OverflowError: its JSON has more than 0 MB")
    assert list(notes.waiting(str(tmp_path / "data" / "capture"))) == []
    assert capsys.readouterr() == ("", "")

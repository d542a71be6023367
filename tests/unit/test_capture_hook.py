"""A hook is told anything; what it cannot take is noted for `capture status`, and never said to its program."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentic_flywheel.cli.capture import hook, notes, off_record
from tests.support.hooked_talks import Transcript


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


def test_a_talk_that_was_off_the_record_gets_no_second_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "data" / "capture"
    monkeypatch.setattr(hook, "start", lambda _: None)  # pyright: ignore[reportUnknownLambdaType]
    talk, other = Transcript(tmp_path), Transcript(tmp_path, "7f21")
    folder = {"folder": off_record.real(talk.folder)}
    off_record.begin(str(place), folder)
    talk.ask("MARK", "MARK")
    off_record.end(str(place), folder)
    talk.ask("Ferns?", "Yes.")
    other.ask("Moss?", "Later.", datetime.now(UTC) + timedelta(minutes=1))
    for each in (talk, other):
        assert hook.main(["claude-code", "--into", str(tmp_path / "data"), each.hook()]) == 0
    kept = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
    assert not any(b"MARK" in each for each in kept)
    assert any(b"Later." in each for each in kept), "that one began when the time was over"
    assert len(list(notes.waiting(str(place)))) == 2

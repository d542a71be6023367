"""Notes of hooks: what a killed hook leaves half written goes."""

import os
import time
from pathlib import Path

import pytest

from agentic_flywheel.cli.capture import notes, programs, watch


def test_what_a_killed_hook_left_half_written_goes_when_nobody_can_be_writing_it(tmp_path: Path):
    folder = Path(notes.folder_of(str(tmp_path)))
    for name in ("old.json.41.new", "now.json.42.new", "old.json"):
        (folder / name).write_text("{")
    before = time.time() - 7200
    for name in ("old.json.41.new", "old.json"):
        os.utime(folder / name, (before, before))
    assert list(notes.waiting(str(tmp_path))) == ["old"]
    assert sorted(each.name for each in folder.iterdir()) == ["now.json.42.new", "old.json"]


def test_who_watches_holds_no_second_name_as_the_talk_may_be_off_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    talk = tmp_path / ".claude" / "projects" / "-srv" / "5d0c.jsonl"
    talk.parent.mkdir(parents=True)
    talk.write_text("not for us\n")
    place = tmp_path / "capture"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setattr(watch, "start", lambda _: None)  # pyright: ignore[reportUnknownLambdaType]
    watch.note_changed(str(place), programs.named(["claude-code"], programs.ALL), tmp_path)
    assert len(list(notes.waiting(str(place)))) == 1
    assert b"not for us" not in b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())

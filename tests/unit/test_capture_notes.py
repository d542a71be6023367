"""Notes of hooks: what a killed hook leaves half written goes."""

import os
import time
from pathlib import Path

from agentic_flywheel.cli.capture import notes


def test_what_a_killed_hook_left_half_written_goes_when_nobody_can_be_writing_it(tmp_path: Path):
    folder = Path(notes.folder_of(str(tmp_path)))
    for name in ("old.json.41.new", "now.json.42.new", "old.json"):
        (folder / name).write_text("{")
    before = time.time() - 7200
    for name in ("old.json.41.new", "old.json"):
        os.utime(folder / name, (before, before))
    assert list(notes.waiting(str(tmp_path))) == ["old"]
    assert sorted(each.name for each in folder.iterdir()) == ["now.json.42.new", "old.json"]

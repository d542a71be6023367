"""How far a long import is, said where no terminal shows a bar."""

from pathlib import Path

import pytest

from agentic_flywheel.cli.added import Added
from agentic_flywheel.cli.import_report import SAID_EVERY_SECONDS, Report
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.sessions.redaction.policy import Credentials


def test_an_import_that_nobody_watches_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]):
    now = [0.0]
    report = Report(Credentials("off"), 0, lambda: now[0])
    for seconds, said in ((1, False), (SAID_EVERY_SECONDS, True), (SAID_EVERY_SECONDS + 1, False)):
        now[0] = seconds
        report.note(Path("file"), BadEntry(1, ""), Added("new"))
        assert bool(capsys.readouterr().err) == said
    now[0] = 2 * SAID_EVERY_SECONDS
    report.note(Path("file"), BadEntry(1, "", is_message=True), Added("bad", "has no text"))
    assert capsys.readouterr().err == "file, line 1: has no text.\nRead 4 so far, took in 3 sessions of them.\n"

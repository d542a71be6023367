"""The child's folder where none can be made beside the journal: a killed process leaves none for long."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agentic_flywheel.coaia.launch import BEING_MADE_SECONDS, ChildFolder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def age(folder: Path) -> None:
    then = folder.stat().st_mtime - BEING_MADE_SECONDS - 1
    os.utime(folder, (then, then))


def top(folder: ChildFolder) -> Path:
    return folder.path.parents[1]


def test_the_temporary_folder_goes_with_its_process(temporary: Path):
    folder = ChildFolder(None)
    assert (folder.path / "env").is_file()
    folder.close()
    assert list(temporary.iterdir()) == []


def test_that_of_a_process_that_was_killed_goes_at_the_next_start(temporary: Path):
    killed = (
        "import os, signal, tempfile; from agentic_flywheel.coaia.launch import ChildFolder;"
        f"tempfile.tempdir = {str(temporary)!r}; folder = ChildFolder(None); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed], check=False, timeout=60)
    (left,) = temporary.iterdir()
    young = ChildFolder(None)
    assert left.exists(), "it may just be being made"
    age(left)
    folder = ChildFolder(None)
    assert not left.exists()
    young.close()
    folder.close()


def test_that_of_a_process_that_runs_stays_and_so_does_what_is_not_ours(temporary: Path):
    running = ChildFolder(None)
    strange = temporary / "agentic-flywheel-child-notes"
    strange.mkdir()
    for folder in (top(running), strange):
        age(folder)
    ChildFolder(None).close()
    assert running.path.exists()
    assert strange.exists()
    running.close()

"""Sealing and unsealing a journal, killed at each line: nothing unreadable, and once more finishes it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentic_flywheel.errors import SettingError
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.conversion import seal_journal, unseal_journal
from agentic_flywheel.journal.key_file import unlock
from agentic_flywheel.journal.sqlite import forget_sealed
from agentic_flywheel.sealing import KEY_FILE, KeyRing

from ..support.sealed import files_with, ring
from .test_journal import write

WORDS = "hepatica nobilis"
NUMBER = 20


def filled(folder: Path, clock, keys: KeyRing | None) -> None:
    unlock(folder, keys)
    journal = Journal(folder, clock)
    for number in range(NUMBER):
        assert journal.commit(write(f"k{number}", f"{WORDS} {number} " * 200)).accepted
    journal.close()
    forget_sealed(folder)


def is_whole(folder: Path, clock, keys: KeyRing | None) -> bool:
    unlock(folder, keys)
    journal = Journal(folder, clock)
    try:
        return all(journal.copy(f"k{number}") for number in range(NUMBER))
    finally:
        journal.close()
        forget_sealed(folder)


def left_by_kills(verb: str, work: Path) -> list[Path]:
    subprocess.run([sys.executable, "-m", "tests.support.killed_at_lines", verb, str(work)], check=True, timeout=240)
    return sorted((each for each in work.iterdir() if each.name != "store"), key=lambda each: int(each.name))


def refused_or_whole(folder: Path, clock, keys: KeyRing | None) -> None:
    """What every other program meets: a refusal that says what to do, or all that was there."""
    try:
        assert is_whole(folder, clock, keys)
    except SettingError as exc:
        assert "keys seal" in str(exc)  # noqa: PT017  either is right


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["seal", "unseal"])
def test_killed_at_any_line_it_leaves_all_readable_and_is_done_once_more(tmp_path: Path, clock, verb: str):
    filled(tmp_path / "store", clock, ring("a") if verb == "unseal" else None)
    left = left_by_kills(verb, tmp_path)
    assert len(left) > 12, "no two are alike"
    for folder in left:
        refused_or_whole(folder, clock, ring("a") if (folder / KEY_FILE).exists() else None)
        other = folder.with_name(f"{folder.name}-other")
        shutil.copytree(folder, other)
        done_once_more(folder, clock, sealed=True)
        done_once_more(other, clock, sealed=False)


def done_once_more(folder: Path, clock, *, sealed: bool) -> None:
    """Seal or unseal what is left, to the end."""
    (seal_journal if sealed else unseal_journal)(folder, ring("a"))
    if sealed:
        assert files_with(folder, WORDS, "SQLite format") == []
    assert is_whole(folder, clock, ring("a") if sealed else None), folder.name
    names = {path.name for path in folder.iterdir() if not path.name.startswith(("journal.search", "search"))}
    more = {KEY_FILE} if sealed else set[str]()
    assert names - {FILE_NAME, f"{FILE_NAME}.lock", *more} == set(), folder.name


@pytest.mark.parametrize("change", [seal_journal, unseal_journal])
def test_a_wrong_key_and_a_lost_one_are_refused_and_nothing_is_changed(tmp_path: Path, clock, change):
    filled(tmp_path, clock, ring("a"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SettingError, match="'a'"):
        change(tmp_path, ring("b"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert is_whole(tmp_path, clock, ring("a")), "it is not refused to who has the key"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = before.pop(KEY_FILE)
    (tmp_path / KEY_FILE).unlink()
    for each in (change, unlock):
        with pytest.raises(SettingError, match=f"{KEY_FILE}.* is gone"):
            each(tmp_path, ring("a"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / KEY_FILE).write_bytes(kept)
    (tmp_path / KEY_FILE).chmod(0o600)
    assert is_whole(tmp_path, clock, ring("a"))

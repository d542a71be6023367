"""A damaged sealed journal gives back as much as one in clear, and nothing of it is written in clear."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.key_file import unlock
from agentic_flywheel.journal.sqlite import forget_sealed, open_sealed
from agentic_flywheel.sealing import KEY_FILE

from ..support.sealed import files_with, ring
from .conftest import Clock
from .test_journal import write
from .test_recovery import DAMAGES, fill
from .test_recovery import test_what_can_be_read_of_a_damaged_journal_is_there_again_where_it_belongs as as_in_clear


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes]]:
    """A whole sealed journal, and its key's file."""
    folder = tmp_path_factory.mktemp("whole-sealed")
    unlock(folder, ring("a"))
    fill(folder, Clock())
    yield (folder / FILE_NAME).read_bytes(), (folder / KEY_FILE).read_bytes()
    shutil.rmtree(folder)


@pytest.fixture
def folder(tmp_path: Path, whole: tuple[bytes, bytes]) -> Iterator[Path]:
    (tmp_path / KEY_FILE).write_bytes(whole[1])
    (tmp_path / KEY_FILE).chmod(0o600)
    unlock(tmp_path, ring("a"))
    yield tmp_path
    forget_sealed(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_as_much_comes_back_as_of_one_in_clear(damage: str, whole: tuple[bytes, bytes], folder: Path, clock: Clock):
    as_in_clear(damage, whole[0], folder, clock)
    assert files_with(folder, "p:session", "SQLite format") == []


def test_what_only_the_log_holds_comes_back_too(folder: Path, clock: Clock):
    with closing(Journal(folder, clock)) as journal:
        for number in range(40):
            journal.commit(write(f"k{number}", '{"words": "' + "w" * 3000 + '"}'))
        files = {end: (folder / f"{FILE_NAME}{end}").read_bytes() for end in ("", "-wal")}
    assert files["-wal"]
    copied = folder / "copied"
    copied.mkdir()
    for end, data in files.items():
        (copied / f"{FILE_NAME}{end}").write_bytes(data if end else bytes(100) + data[100:])
        (copied / f"{FILE_NAME}{end}").chmod(0o600)
    shutil.copy(folder / KEY_FILE, copied / KEY_FILE)
    unlock(copied, ring("a"))
    with closing(Journal(copied, clock)) as journal:
        assert len([number for number in range(40) if journal.copy(f"k{number}")]) >= 35
        assert len(journal.state().damaged) == 1


def test_a_file_of_another_key_is_moved_and_not_overwritten(folder: Path, whole: tuple[bytes, bytes], clock: Clock):
    (folder / FILE_NAME).write_bytes(whole[0])
    open_sealed(folder, bytes(32))  # as if the key's file were another one's
    with closing(Journal(folder, clock)) as journal:
        assert journal.copy("k") is None
        (aside,) = journal.state().damaged
    assert (folder / aside).read_bytes() == whole[0]

"""What keeps conversations is ours and closed to others, or it is not used and said whose it is."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agentic_flywheel.coaia.launch import ChildFolder
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.private_files import make_private

from .conftest import Clock

NOBODY = 65534
INDEX = "words.sqlite3"
DAMAGED = f"{FILE_NAME}.damaged-20260101T000000"
AS_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has other users' files")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can get to."""
    path = Path(tempfile.mkdtemp(prefix="flywheel-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def said(word: str) -> Write:
    return Write(word, '{"schema_version":1,"id":"s","revision":1}', None, None, list_row=ListRow("i", word, 1, "{}"))


def use(folder: Path, clock: Clock, word: str = "one") -> Journal:
    """A journal in which something was saved and looked for."""
    journal = Journal(folder, clock)
    journal.commit(said(word))
    journal.search("i", Question.of(word))
    return journal


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.lstat().st_mode) for file in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """What is in its files, but for the lock, which is empty."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix != ".lock")
    return {str(file): file.read_bytes() for file in files}


def refused(folder: Path, clock: Clock) -> str:
    """The sentence with which a journal in the folder is refused, whatever is asked of it; nothing is touched."""
    before = contents(folder)
    with closing(Journal(folder, clock)) as journal:
        with pytest.raises(JournalUnavailable) as writing:
            journal.commit(said("two"))
        with pytest.raises(JournalUnavailable):
            journal.lookup("one")
        assert journal.state().error == str(writing.value)
    assert contents(folder) == before
    return str(writing.value)


def test_files_that_others_can_read_are_closed_and_that_is_said_once(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    with closing(use(folder, clock)) as first:
        (folder / DAMAGED).write_bytes(b"whole talks")
        open_to_all = {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}.lock", INDEX, DAMAGED}
        assert open_to_all <= modes(folder).keys()
        for name in modes(folder):
            (folder / name).chmod(0o644)
        with closing(Journal(folder, clock)) as second:
            second.commit(said("two"))
            assert set(second.state().made_private) == open_to_all
            assert set(modes(folder).values()) == {0o600}
            second.search("i", Question.of("two"))
            second.close()
            second.commit(said("three"))
        assert first.lookup("three")[1], "it is still the same journal for others"
    assert [record.getMessage().count("Others could read") for record in caplog.records] == [1]
    assert "damaged-2026" in caplog.text


@AS_ROOT
@pytest.mark.parametrize(
    "name", [FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}.lock", INDEX, f"{INDEX}-wal"]
)
def test_a_file_that_another_user_made_in_place_of_ours_is_refused_and_named(name: str, folder: Path, clock: Clock):
    (folder / name).write_bytes(b"")
    (folder / name).chmod(0o666)
    os.chown(folder / name, NOBODY, NOBODY)
    sentence = refused(folder, clock)
    assert f"{folder / name} belongs to nobody, not to root" in sentence
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o666


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}.lock", INDEX])
@pytest.mark.parametrize("target", ["a journal", "a text", "nothing"])
def test_a_link_in_place_of_a_file_is_refused_and_its_target_left(
    name: str, target: str, folder: Path, clock: Clock, tmp_path: Path
):
    aim = tmp_path / "aim"
    if target == "a journal":
        use(tmp_path / "other", clock).close()
        aim.write_bytes((tmp_path / "other" / FILE_NAME).read_bytes())
    elif target == "a text":
        aim.write_text("a text of somebody")
    (folder / name).symlink_to(aim)
    before = contents(tmp_path)
    assert f"{folder / name} is a link, and links are not followed" in refused(folder, clock)
    assert contents(tmp_path) == before
    assert (folder / name).is_symlink()


def test_a_link_that_is_given_as_the_folder_is_the_users_choice(folder: Path, clock: Clock, tmp_path: Path):
    (tmp_path / "link").symlink_to(folder)
    with closing(use(tmp_path / "link", clock)) as journal:
        assert journal.lookup("one")[1]
    assert FILE_NAME in modes(folder)


@pytest.mark.parametrize("name", [FILE_NAME, INDEX])
@pytest.mark.parametrize("mark", ["", "PRAGMA application_id = 1196444487", "PRAGMA user_version = 4"])
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_of_another_program_is_never_touched(name: str, mark: str, mode: str, folder: Path, clock: Clock):
    with closing(sqlite3.connect(folder / name)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute(mark)
        db.execute("CREATE TABLE documents (theirs TEXT)")
    before = contents(folder)
    if name == FILE_NAME:
        assert f"{folder / name} is another program's" in refused(folder, clock)
        return
    with closing(Journal(folder, clock)) as journal:
        journal.commit(said("one"))
        with pytest.raises(JournalUnavailable, match="another program's"):
            journal.search("i", Question.of("one"))
        with pytest.raises(JournalUnavailable, match="another program's"):
            journal.purge()
    assert (folder / name).read_bytes() == before[str(folder / name)]


@pytest.mark.parametrize("name", [FILE_NAME, INDEX])
def test_a_database_that_is_only_marked_by_another_program_is_not_ours(name: str, folder: Path, clock: Clock):
    with closing(sqlite3.connect(folder / name)) as db:
        db.execute("PRAGMA application_id = 1196444487")
    with pytest.raises(JournalUnavailable, match="another program's"):
        use(folder, clock)


@AS_ROOT
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_the_second_user_of_a_folder_is_told_whose_it_is(mode: int, folder: Path, clock: Clock):
    use(folder / "data", clock).close()
    os.chown(folder / "data", 1, 1)
    (folder / "data").chmod(mode)
    with another_user():
        sentence = refused_to_others(folder / "data", clock)
    assert f"the folder {folder / 'data'} belongs to daemon, not to nobody" in sentence
    assert f"the folder {folder / 'data'} belongs to daemon, not to root" in refused(folder / "data", clock)


@AS_ROOT
def test_in_a_folder_of_roots_that_all_may_use_only_the_files_count(folder: Path, clock: Clock):
    folder.chmod(0o1777)
    with another_user():
        with closing(use(folder, clock)) as journal:
            assert journal.lookup("one")[1]
        assert set(modes(folder).values()) == {0o600}
    assert f"{folder / FILE_NAME} belongs to nobody, not to root" in refused(folder, clock)
    folder.chmod(0o700)
    with another_user():
        assert f"the folder {folder} belongs to root, not to nobody" in refused_to_others(folder, clock)


def refused_to_others(folder: Path, clock: Clock) -> str:
    with closing(Journal(folder, clock)) as journal, pytest.raises(JournalUnavailable) as refusal:
        journal.commit(said("two"))
    return str(refusal.value)


@AS_ROOT
def test_a_child_has_no_home_in_a_folder_that_others_own(folder: Path):
    (folder / "child" / "home").mkdir(parents=True)
    os.chown(folder / "child" / "home", NOBODY, NOBODY)
    home = ChildFolder(folder)
    try:
        assert folder not in home.path.parents
        assert list((folder / "child" / "home").iterdir()) == []
    finally:
        home.close()


def test_a_childs_home_writes_through_no_link(folder: Path, tmp_path: Path):
    (tmp_path / "aim").write_text("a text of somebody")
    (folder / "child" / "home").mkdir(parents=True)
    (folder / "child" / "home" / "env").symlink_to(tmp_path / "aim")
    home = ChildFolder(folder)
    try:
        assert folder not in home.path.parents
        assert (tmp_path / "aim").read_text() == "a text of somebody"
    finally:
        home.close()


BEGIN = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')"


def test_closing_a_file_to_others_ends_no_lock_that_this_process_has_on_it(tmp_path: Path):
    path = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN IMMEDIATE")
        path.chmod(0o644)
        assert make_private(path)
        done = subprocess.run([sys.executable, "-c", BEGIN, str(path)], capture_output=True, text=True, check=False)
        assert "database is locked" in done.stderr

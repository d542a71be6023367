"""Nobody waits for the journal longer than they said, and who reads waits for nobody."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.session_keys import SessionKeys

from ..support.waiting import wait_until
from .conftest import Clock

INDEX = "p:index"
LONG = 30.0
"""Seconds that nobody in these tests waits to the end."""

READS: dict[str, Callable[[Journal], object]] = {
    "copy": lambda journal: journal.copy("p:session:s"),
    "lookup": lambda journal: journal.lookup("p:session:s"),
    "lookup_nowait": lambda journal: journal.lookup_nowait("p:session:s"),
    "pending": lambda journal: journal.pending("p:session:s"),
    "due_keys": lambda journal: journal.due_keys(["p:"]),
    "unsent_document": lambda journal: journal.unsent_document("p:session:s"),
    "recent": lambda journal: journal.recent(INDEX, None, 9),
    "sync_state": lambda journal: [journal.sync_state(), "asked"],
    "state": lambda journal: journal.state().pending,
    "search": lambda journal: journal.search(INDEX, Question.of("word")),
}
WRITES: dict[str, Callable[[Journal], object]] = {
    "commit": lambda journal: journal.commit(write("new"), pending="{}", durable=True, timeout=0.1),
    "keep": lambda journal: journal.keep(write("new"), timeout=0.1),
    "ack": lambda journal: journal.ack([1], None, timeout=0.1),
    "drop": lambda journal: journal.drop("p:session:s", timeout=0.1),
    "delete": lambda journal: journal.delete(write("new"), SessionKeys("p:session:new"), None, timeout=0.1),
    "put_replica": lambda journal: journal.put_replica(write("new")),
    "overwrite_replica": lambda journal: journal.overwrite_replica(write("new")),
}


def write(member: str) -> Write:
    text = f'{{"schema_version":1,"id":"{member}","revision":1,"operations":[["aa.1",1,1,1]]}}'
    return Write(f"p:session:{member}", text, None, None, list_row=ListRow(INDEX, member, 1, "{}"))


@pytest.fixture
def used(journal: Journal) -> Journal:
    """A journal that is open, with a save that is pending."""
    journal.commit(write("s"), pending="{}")
    return journal


@contextmanager
def written_by_another(journal: Journal) -> Iterator[None]:
    """Another process is in the middle of a transaction, and stays there."""
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE documents SET touched = 1")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def waiting(journal: Journal, threads: ThreadPoolExecutor) -> "Future[Any]":
    """A thread that waits for the other process, and holds what is for one who writes meanwhile."""
    future = threads.submit(journal.commit, write("patient"), timeout=LONG)
    wait_until(lambda: not is_free(journal), what="the thread to wait")
    return future


def is_free(journal: Journal) -> bool:
    """Whether another thread than those that write could write now."""
    if not journal._lock.acquire(blocking=False):
        return False
    journal._lock.release()
    return True


@pytest.mark.parametrize("read", READS)
def test_reading_waits_neither_for_another_process_that_writes_nor_for_a_thread_that_waits_for_it(
    used: Journal, threads: ThreadPoolExecutor, read: str
):
    with written_by_another(used):
        assert READS[read](used), "while another process writes"
        patient = waiting(used, threads)
        assert READS[read](used), "while another thread waits for that one"
        assert not patient.done()
    assert patient.result(LONG).accepted


@pytest.mark.parametrize("verb", WRITES)
def test_writing_waits_for_another_process_no_longer_than_it_was_told(
    used: Journal, threads: ThreadPoolExecutor, verb: str
):
    with written_by_another(used):
        for _ in range(2):  # in this process the second one waits for a thread
            with pytest.raises(JournalUnavailable):
                WRITES[verb](used)
        patient = waiting(used, threads)
        with pytest.raises(JournalUnavailable, match="in use"):
            WRITES[verb](used)
        assert not patient.done()
    assert patient.result(LONG).accepted
    WRITES[verb](used)


def test_writing_waits_for_another_process_for_as_long_as_it_was_told(used: Journal):
    def took(timeout: float) -> float:
        began = time.monotonic()
        with pytest.raises(JournalUnavailable):
            used.commit(write("new"), timeout=timeout)
        return time.monotonic() - began

    with written_by_another(used):
        assert 2 * min(took(0.05) for _ in range(8)) < took(0.5)


def test_many_threads_that_want_to_write_each_wait_for_their_own_time_only(used: Journal, threads: ThreadPoolExecutor):
    with written_by_another(used):
        patient = waiting(used, threads)
        impatient = [threads.submit(WRITES["commit"], used) for _ in range(6)]
        for future in impatient:
            assert isinstance(future.exception(LONG), JournalUnavailable)
        assert not patient.done()
    assert patient.result(LONG).accepted


def test_opening_waits_for_another_process_no_longer_than_it_was_told(used: Journal, clock: Clock):
    used.close()
    with closing(Journal(used.path.parent, clock, ("redis",))) as journal:
        with closing(sqlite3.connect(used.path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE documents SET touched = 1")
            with pytest.raises(JournalUnavailable):
                journal.commit(write("new"), timeout=0.1)
            assert journal.state().error
            other.execute("ROLLBACK")
        assert journal.copy("p:session:s")


def test_a_read_sees_one_moment_whatever_is_saved_meanwhile(tmp_path: Path, clock: Clock, threads: ThreadPoolExecutor):
    """A document's row and its text are read one after the other: both must be of the same save."""
    stop = threading.Event()

    def text(number: int) -> str:
        size = 1 + 200_000 * (number % 2)
        return f'{{"schema_version":1,"id":"s","revision":{number},"filling":"{"x" * size}","operations":[]}}'

    def keep_saving() -> int:
        with closing(Journal(tmp_path, clock, ("redis",))) as writer:
            number, seen = 1, None
            while not stop.is_set():
                now = text(number)
                assert writer.commit(Write("k", now, seen, None), pending=f'{{"n":{number}}}', supersedes=True).accepted
                number, seen = number + 1, now
            return number

    saving = threads.submit(keep_saving)
    try:
        with closing(Journal(tmp_path, clock, ("redis",))) as reader:
            wait_until(lambda: reader.copy("k"), what="the first save")
            for _ in range(300):
                pending, copy = reader.lookup("k")
                assert pending
                assert copy
                number = int(pending.change[5:-1])
                assert copy.text == text(number), "what is pending is what the document holds"
    finally:
        stop.set()
    assert saving.result(LONG) > 2


def test_one_journal_may_be_used_by_any_number_of_threads(
    journal: Journal, tmp_path: Path, clock: Clock, threads: ThreadPoolExecutor
):
    """Each for what is its own, while a server of another Redis does the same with the same file."""

    def work(mine: Journal, name: str) -> list[str]:
        seen: list[str] = []
        for i in range(25):
            member = f"{name}-{i}"
            assert mine.commit(write(member), pending=f'{{"by":"{member}"}}', timeout=LONG).accepted
            copy = mine.copy(f"p:session:{member}")
            assert copy
            mine.state()
            mine.lookup_nowait(f"p:session:{member}")
            seen += [entry.member for entry in mine.recent(INDEX, None, 999)]
            if i % 5 == 0:
                mine.purge_expired()
        return seen

    with closing(Journal(tmp_path / "data", clock, ("another",))) as other:
        futures = [threads.submit(work, each, f"{name}{i}") for i in range(3) for name, each in
                   (("one", journal), ("two", other))]  # fmt: skip
        seen = {name for future in futures[0::2] for name in future.result(LONG)}
        seen_by_other = {name for future in futures[1::2] for name in future.result(LONG)}
        assert all(name.startswith("one") for name in seen)
        assert all(name.startswith("two") for name in seen_by_other)
        assert (journal.state().pending, other.state().pending) == (75, 75)

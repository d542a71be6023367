"""The room that a journal takes: as much as what is kept, given back in steps that leave the file free in between."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import PURGE_AFTER, Journal, retention
from agentic_flywheel.journal.schema import LOG_BYTES, PAGE

from .conftest import Clock

INDEX = "p:index"
MEGABYTE = 1_000_000
WORDS = random.Random(5).randbytes(MEGABYTE // 2).hex()


def document(revision: int, size: int) -> str:
    head = f'{{"schema_version":1,"id":"s","revision":{revision},"history":["{WORDS[:size]}"]'
    return f'{head},"operations":[["aa.{revision}",1]]}}'


def write(member: str, size: int = 1000, revision: int = 1) -> Write:
    return Write(f"p:session:{member}", document(revision, size), None, None, list_row=ListRow(INDEX, member, 1, "{}"))


def room(journal: Journal) -> int:
    return sum(file.stat().st_size for file in journal.path.parent.iterdir())


def test_a_save_that_adds_to_a_small_session_writes_only_the_pages_that_it_changes(journal: Journal):
    seen, log = None, journal.path.with_name(f"{journal.path.name}-wal")
    pages: list[int] = []
    for revision in range(1, 12):
        before = log.stat().st_size if seen else 0
        now = replace(write("s", 10_000 + 200 * revision, revision), seen=seen)
        assert journal.commit(now).accepted
        pages.append((log.stat().st_size - before) // (PAGE + 24))
        seen = now.text
    assert sorted(pages[1:])[len(pages) // 2] <= 4  # of six that it takes
    copy = journal.copy("p:session:s")
    assert copy
    assert copy.text == seen


def test_a_save_takes_another_page_only_where_those_of_its_text_are_full(journal: Journal):
    seen, log = None, journal.path.with_name(f"{journal.path.name}-wal")
    taken: list[int] = []
    journal.copy("open it")
    for revision, size in enumerate(range(5000, 15_500, 300), start=10):
        with closing(sqlite3.connect(journal.path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        now = replace(write("s", size, revision), seen=seen)
        assert journal.commit(now).accepted
        if log.stat().st_size > 7 * (PAGE + 24):
            taken.append(size)
        seen = now.text
    assert len(taken) <= 1 + 10_500 // PAGE, taken  # it begins with one


def test_what_is_kept_of_an_older_revision_has_no_room_to_grow(journal: Journal):
    older = replace(write("s", 10_000), key="p:revisions:s:1", list_row=None)
    assert journal.commit(write("s", 10_000, 2), older=older).accepted
    with closing(sqlite3.connect(journal.path)) as db:
        assert [bool(room) for (room,) in db.execute("SELECT length(room) FROM texts ORDER BY id")] == [True, False]


def save_growing(journal: Journal, how_many: int, size: int) -> None:
    """Saves of a whole conversation that grows, each of which makes the ones before it needless."""
    seen = None
    for number in range(1, how_many + 1):
        now = replace(write("s", size - 1000 * (how_many - number), number), seen=seen)
        command = f'{{"kind":"save","number":{number},"mode":"replace","history":["{now.text[60:-60]}"]}}'
        assert journal.commit(now, pending=command, durable=True, supersedes=True).accepted
        seen = now.text


def test_thirty_saves_of_a_megabyte_take_the_room_of_one(journal: Journal):
    journal.copy("open it")
    before = room(journal)
    save_growing(journal, 31, MEGABYTE)
    assert room(journal) - before < 3 * MEGABYTE
    (item,) = journal.pending("p:session:s")
    assert '"number":31' in item.change
    copy = journal.copy("p:session:s")
    assert copy
    assert copy.text == document(31, MEGABYTE)


def test_thirty_saves_that_are_not_pending_take_the_room_of_one(journal: Journal):
    journal.copy("open it")
    before = room(journal)
    for number in range(1, 32):
        journal.keep(write("s", MEGABYTE, number))
    assert room(journal) - before < 2 * MEGABYTE


@pytest.mark.parametrize("size", [500, MEGABYTE // 4])
def test_the_write_ahead_log_stays_short_whatever_is_saved(journal: Journal, size: int):
    for number in range(120):
        journal.keep(write(f"s{number % 3}", size, number))
        assert journal.path.with_name(journal.path.name + "-wal").stat().st_size <= LOG_BYTES


def test_the_log_is_longer_while_much_is_synced_together_and_empty_behind_that(journal: Journal):
    journal.copy("open it")
    log = journal.path.with_name(journal.path.name + "-wal")
    with journal.synced_at_end():
        for number in range(12):
            journal.keep(write(f"s{number}", MEGABYTE // 4))
        assert log.stat().st_size > 2 * LOG_BYTES
    assert not log.stat().st_size
    journal.keep(write("s", 500))
    assert log.stat().st_size <= LOG_BYTES


def changes(journal: Journal, key: str = "p:session:s") -> list[str]:
    return [item.change for item in journal.pending(key)]


def test_a_change_that_makes_others_needless_takes_their_place_and_leaves_what_is_not_theirs(
    journal: Journal, tmp_path: Path, clock: Clock
):
    first, second, third = (write("s", revision=n) for n in (1, 2, 3))
    with closing(Journal(tmp_path / "data", clock, ("another",))) as other:
        other.commit(first, pending="of another redis")
        journal.commit(write("t"), pending="of another session")
        journal.commit(first, pending="dead")
        journal.make_dead_letter(journal.pending("p:session:s")[0].position, "too large")
        journal.commit(first, pending="one")
        journal.commit(replace(second, seen=first.text), pending="two")
        journal.postpone("p:session:s", "full", 2**62)
        journal.commit(replace(third, seen=second.text), pending="three", supersedes=True)
        assert changes(journal) == ["three"]
        (item,) = journal.pending("p:session:s")
        assert (item.attempts, item.next_attempt, item.cause) == (0, 0, None), "it was never tried"
        assert changes(journal, "p:session:t") == ["of another session"]
        assert changes(other) == ["of another redis"]
        assert [journal.command_of(letter.position) for letter in journal.dead_letters()] == ["dead"]


def test_a_refused_save_makes_nothing_needless(journal: Journal):
    journal.commit(write("s"), pending="one")
    assert not journal.commit(replace(write("s", revision=2), seen="x"), pending="two", supersedes=True).accepted
    assert changes(journal) == ["one"]


def test_what_was_sent_meanwhile_is_settled_without_the_change_that_took_its_place(journal: Journal):
    first = write("s")
    journal.commit(first, pending='{"n":1}')
    on_its_way = journal.pending("p:session:s")[0]
    journal.commit(replace(write("s", revision=2), seen=first.text), pending='{"n":2}', supersedes=True)
    journal.ack([on_its_way.position], first)
    assert changes(journal) == ['{"n":2}']
    copy = journal.copy("p:session:s")
    assert copy
    assert copy.text == document(2, 1000)


# in steps


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step does as little as it can."""
    monkeypatch.setattr(retention, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.0)


def committed(journal: Journal, done: Callable[[], object]) -> int:
    """How many transactions that takes; between two of them another process can write."""
    journal.copy("open it")
    assert journal._open
    steps: list[str] = []
    journal._open.writer.set_trace_callback(steps.append)
    done()
    journal._open.writer.set_trace_callback(None)
    return steps.count("COMMIT")


def purge_in_steps(journal: Journal) -> int:
    with closing(sqlite3.connect(journal.path, timeout=0, isolation_level=None)) as other:
        steps = 1
        while journal.purge_expired().more:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            steps += 1
    return steps


@pytest.mark.usefixtures("short_steps")
def test_what_expired_goes_in_steps_and_all_of_it_goes(journal: Journal, clock: Clock):
    soon = clock() + timedelta(seconds=1)
    for i in range(20):
        journal.commit(replace(write(f"s{i}"), kept_until=soon), pending="{}")
    journal.commit(write("lasting"))
    clock.move(seconds=2)
    purge_in_steps(journal)
    assert len(journal.pending("p:session:s1")) == 1
    clock.now += PURGE_AFTER
    assert purge_in_steps(journal) > 15
    assert journal.keys("") == ["p:session:lasting"]
    assert journal.state().pending == 0


def test_what_went_is_named_once_with_its_key_and_its_id(journal: Journal, clock: Clock):
    journal.commit(replace(write("s"), kept_until=clock()))
    journal.purge_expired()
    clock.now += PURGE_AFTER
    (gone,) = journal.purge_expired().gone
    assert (gone.key, gone.list_row and gone.list_row.member, gone.tombstone) == ("p:session:s", "s", False)
    assert journal.purge_expired().gone == []


@pytest.mark.usefixtures("short_steps")
def test_copies_beyond_the_cap_go_in_steps(tmp_path: Path, clock: Clock):
    with closing(Journal(tmp_path / "data", clock, ("redis",))) as large:
        for i in range(40):
            clock.move(seconds=1)
            large.put_replica(write(f"s{i}", 20_000))
    with closing(Journal(tmp_path / "data", clock, ("redis",), cap=400_000)) as small:
        assert purge_in_steps(small) > 15
        assert small.state().replica_bytes < 400_000
        assert small.keys("")[-1] == "p:session:s39"


def test_putting_a_copy_drops_no_more_than_a_little_of_what_must_go(tmp_path: Path, clock: Clock):
    with closing(Journal(tmp_path / "data", clock, ("redis",))) as large:
        for i in range(40):
            clock.move(seconds=1)
            large.put_replica(write(f"s{i:02}", 20_000))
    with closing(Journal(tmp_path / "data", clock, ("redis",), cap=400_000)) as small:
        counts: list[int] = []
        for i in range(40):
            clock.move(seconds=1)
            small.put_replica(write(f"t{i:02}", 20_000))
            counts.append(small.state().replica_documents)
        assert min(after - before for before, after in pairwise(counts)) >= -2
        assert small.state().replica_bytes < 450_000


@pytest.mark.usefixtures("short_steps")
def test_purging_gives_the_room_back_in_steps(journal: Journal):
    for i in range(30):
        journal.put_replica(write(f"s{i}", 20_000))
    before = room(journal)
    assert committed(journal, journal.purge) > 30
    assert room(journal) < before / 3
    assert journal.state().replica_documents == 0
    with closing(sqlite3.connect(journal.path)) as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)

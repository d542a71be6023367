"""What this machine keeps of a Redis: up to a cap, put back when it is lost, never instead of what is here alone."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import SyncState

from .conftest import Clock

CAP = 10_000


def text(revision: int = 1, size: int = 0) -> str:
    return f'{{"schema_version":1,"id":"s","revision":{revision},"filling":"{"x" * size}"}}'


def copy(key: str, size: int = 1000) -> Write:
    return Write(key, text(size=size), None, None)


@pytest.fixture
def small(tmp_path: Path, clock: Clock):
    journal = Journal(tmp_path / "data", clock, addresses=("redis",), cap=CAP)
    yield journal
    journal.close()


def kept(journal: Journal) -> list[str]:
    return journal.keys("")


def test_copies_are_kept_up_to_the_cap_and_those_longest_untouched_go(small: Journal, clock: Clock):
    for number in range(20):
        clock.move(seconds=1)
        small.put_replica(copy(f"k{number:02}"))
    small.purge_expired()
    assert 5 < len(kept(small)) < 10
    assert kept(small) == [f"k{number:02}" for number in range(20 - len(kept(small)), 20)]
    state = small.state()
    assert (state.replica_documents, state.replica_bytes <= CAP) == (len(kept(small)), True)


def test_what_is_here_alone_is_never_dropped_for_room(small: Journal, clock: Clock):
    small.commit(copy("alone"))
    small.commit(copy("pending"), "change")
    small.put_replica(Write("grave", text(), None, None, tombstone=True))
    for number in range(20):
        clock.move(seconds=1)
        small.put_replica(copy(f"k{number:02}"))
    small.purge_expired()
    assert {"alone", "pending"} <= set(kept(small))
    assert small.copy("grave")


def test_purging_empties_the_replica_only_and_gives_the_room_back(small: Journal):
    small.commit(copy("alone"))
    small.commit(copy("pending"), "change")
    for number in range(8):
        small.put_replica(copy(f"k{number}"))
    before = small.state().bytes
    assert small.purge() == 8
    assert kept(small) == ["alone", "pending"]
    state = small.state()
    assert (state.replica_documents, state.pending) == (0, 1)
    assert state.bytes < before


def in_doubt(journal: Journal) -> list[str]:
    return [copy.key for copy in journal.list_unverified(10)]


def test_what_was_lost_is_doubted_until_it_is_there_tombstones_first(small: Journal):
    small.put_replica(copy("a"), copy("b"))
    small.put_replica(Write("grave", text(), None, None, tombstone=True))
    small.commit(copy("alone"))
    assert small.sync_state() is None
    small.save_sync_state(SyncState("one", "run", "0-0"), lost=False)
    assert in_doubt(small) == []
    small.save_sync_state(SyncState("two", "run", "1-0"), lost=True)
    assert small.sync_state() == SyncState("two", "run", "1-0")
    assert in_doubt(small) == ["grave", "a", "b"]
    first, second, _ = small.list_unverified(10)
    assert [each.key for each in small.list_unverified(10, (second.tombstone, second.id))] == ["b"]
    assert small.list_unverified(1, (first.tombstone, first.id)) == [second]
    small.mark_verified([first.version, second.version])
    assert in_doubt(small) == ["b"]
    small.put_replica(copy("b"))
    assert in_doubt(small) == []


def test_a_copy_that_is_missing_there_is_listed_until_it_is_put_back(small: Journal):
    entry = ListRow("p:index", "s", 7, "{}")
    small.put_replica(replace(copy("s"), list_row=entry))
    assert small.list_missing("p:index", None, 10) == []
    small.mark_unverified("s")
    assert small.list_missing("p:index", None, 10) == [], "it may be there"
    (missing,) = small.list_unverified(10)
    small.mark_missing([missing.version])
    assert small.list_missing("p:index", None, 10) == [replace(entry, here_alone=True)]
    small.mark_verified([missing.version])
    assert small.list_missing("p:index", None, 10) == []


def test_a_copy_tells_its_etag_and_its_size_in_bytes(small: Journal):
    there = text(3).replace("filling", "naïveté")
    small.put_replica(Write("k", there, None, None))
    (known,) = small.list_replica(10, 0)
    assert (known.revision, known.ending, known.bytes) == (3, there[-80:], len(there.encode()))
    assert small.list_replica(10, known.id) == []


def test_what_another_redis_held_is_no_business_of_this_one(small: Journal, tmp_path: Path, clock: Clock):
    small.put_replica(copy("theirs"))
    with closing(Journal(tmp_path / "data", clock, addresses=("another",), cap=CAP)) as journal:
        journal.save_sync_state(SyncState("one", "", "0-0"), lost=True)
        assert in_doubt(journal) == []
        assert journal.copy("theirs") is None
    assert small.copy("theirs")


def test_an_older_copy_that_comes_later_does_not_take_the_place_of_a_newer_one(small: Journal):
    small.put_replica(Write("k", text(3), None, None))
    small.put_replica(Write("k", text(2), None, None))
    there = small.copy("k")
    assert there
    assert there.text == text(3)
    small.commit(Write("k", text(9), text(3), None), "change")
    (item,) = small.pending("k")
    small.ack([item.position], Write("k", text(4), None, None))
    there = small.copy("k")
    assert there
    assert there.text == text(4), "a revision that was given here is none of the stash's"


def test_a_late_copy_of_what_was_deleted_does_not_take_the_place_of_its_tombstone(small: Journal):
    small.put_replica(Write("k", text(5), None, None, tombstone=True))
    for late in (text(4), text(5)):
        small.put_replica(Write("k", late, None, None))
        assert kept(small) == []
    small.put_replica(Write("k", text(6), None, None))
    assert kept(small) == ["k"], "somebody began it anew"


def test_a_tombstone_that_was_announced_beats_every_revision_up_to_its_own(small: Journal):
    small.put_replica(Write("old", text(2), None, None), Write("new", text(3), None, None))
    small.commit(Write("pending", text(2), None, None), "change")
    small.apply_tombstones(
        [Write(key, text(2), None, None, tombstone=True) for key in ("old", "new", "pending", "unknown")]
    )
    assert sorted(kept(small)) == ["new", "pending"]
    assert small.copy("unknown")

"""A large document in the journal grows at its end: both its ends are read, and only the pieces there are written."""

import sqlite3
from contextlib import closing
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.writes import ENDS, Append, Splice, Write, ends_of
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.journal import LARGEST_NOWAIT
from agentic_flywheel.journal.texts import PIECE

from .conftest import Clock

KEY = "p:history:s:f"


def text(revision: int, filling: str, write: str = "a.1") -> str:
    return f'{{"schema_version":1,"revision":{revision},"filling":"{filling}","operations":[[0,0,0,"{write}"]]}}'


def append(seen: str, added: str, kept_until: datetime | None = None) -> Append:
    """What takes the place of `text(1, …)` as revision 2, with more in it."""
    (old_head, old_tail), (head, tail) = text(1, "|").split("|"), text(2, "|", "a.2").split("|")
    return Append(KEY, ends_of(seen), Splice(head, len(old_head), len(old_tail), added + tail), kept_until)


def large(character: str = "x", size: int = LARGEST_NOWAIT + 1) -> str:
    return text(1, character * size)


@pytest.mark.parametrize("character", ["x", "é", "漢", "🌾"])
@given(st.integers(-10, 10), st.integers(LARGEST_NOWAIT // PIECE + 1, LARGEST_NOWAIT // PIECE + 2), st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ends_of_a_large_document_are_those_of_its_text(
    journal: Journal, character: str, more: int, pieces: int, data: st.DataObject
):
    size = (pieces * PIECE + more) // len(character.encode())
    seen = text(1, data.draw(st.sampled_from(["", "e"])) + character * size)
    journal.drop(KEY)
    journal.commit(Write(KEY, seen, None, None))
    pending, ends = journal.ends(KEY)
    assert not pending
    assert ends
    assert ends.size == len(seen.encode())
    assert seen.startswith(ends.head)
    assert seen.endswith(ends.tail)
    assert min(len(ends.head.encode()), len(ends.tail.encode())) > ENDS - 4


def test_only_of_a_large_document_that_is_there_there_are_ends(journal: Journal):
    assert journal.ends(KEY) == (False, None)
    journal.commit(Write(KEY, text(1, "x"), None, None), "change")
    assert journal.ends(KEY) == (True, None)
    journal.commit(Write(KEY, large(), text(1, "x"), None, tombstone=True))
    assert journal.ends(KEY) == (True, None)


@pytest.mark.parametrize("character", ["x", "漢"])
def test_an_append_comes_to_the_text_that_it_stands_for(journal: Journal, clock: Clock, character: str):
    seen = large(character)
    journal.commit(Write(KEY, seen, None, None))
    for added in ("", "é", "z" * PIECE, "🌾" * PIECE):
        write = append(seen, added, clock.move(seconds=1))
        assert journal.commit(write, durable=True).accepted
        whole = write.applied_to(seen)
        copy = journal.copy(KEY)
        assert copy
        assert (copy.text, copy.kept_until) == (whole, write.kept_until)
        assert journal.ends(KEY) == (False, ends_of_bytes(whole))
        assert not journal.commit(write).accepted, "what its writer saw is not there any more"
        journal.drop(KEY)
        journal.commit(Write(KEY, seen, None, None))


def ends_of_bytes(whole: str):
    cut = ends_of(whole)
    head = whole.encode()[:ENDS].decode(errors="ignore")
    return type(cut)(head, whole.encode()[-ENDS:].decode(errors="ignore"), cut.size)


def pieces(journal: Journal) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(journal.path)) as db:
        return db.execute("SELECT id, piece FROM texts ORDER BY id").fetchall()


def test_an_append_writes_the_first_and_the_last_piece_only(journal: Journal):
    seen = large(size=10 * PIECE)
    journal.commit(Write(KEY, seen, None, None))
    before = pieces(journal)
    assert journal.path.name == FILE_NAME
    journal.commit(append(seen, "z" * 100))
    after = pieces(journal)
    assert len(before) == len(after) == 11
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, *[True] * 9, False]


def test_a_pending_append_is_queued_with_its_document(journal: Journal):
    seen = large()
    journal.put_replica(Write(KEY, seen, None, None))
    assert journal.commit(append(seen, "z"), "change").accepted
    pending = journal.next_pending(KEY)
    assert pending
    assert pending.change == "change"
    assert journal.state().replica_documents == 0, "the destination does not have it yet"


def test_the_copy_of_an_append_stands_where_its_writer_saw_what_is_here(journal: Journal):
    seen = large()
    write = append(seen, "z")
    assert not journal.put_replica(write).pending
    assert journal.copy(KEY) is None
    journal.put_replica(Write(KEY, seen, None, None))
    assert not journal.put_replica(write).pending
    copy = journal.copy(KEY)
    assert copy
    assert copy.text == write.applied_to(seen)
    assert not journal.put_replica(write).pending
    assert journal.copy(KEY) == copy, "once is enough"
    assert journal.commit(Write(KEY, seen, copy.text, None), "change").accepted
    assert journal.put_replica(write).pending == {KEY}, "somebody else's change is pending"

"""The search index of a folder that several Redis share: what one holds is neither found nor thrown away by another."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import PURGE_AFTER, Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.search_index import FILE_NAME

from .conftest import Clock

INDEX = "p:index"
ONE, TWO = "redis://one", "redis://two"
Open = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Servers that share the folder."""
    with ExitStack() as stack:
        yield lambda *addresses: stack.enter_context(closing(Journal(tmp_path, clock, addresses)))


def talk(clock: Clock, member: str, words: str, saved_at: int = 1, days: float = 0) -> Write:
    now = clock()
    until = now + timedelta(days=days) if days else None
    session = UniversalSession(
        id=member, backend=BackendType.CUSTOM, history=[{"role": "user", "content": words}], created_at=now
    )
    entry = ListRow(INDEX, member, saved_at, json.dumps({"id": member}))
    return Write(f"p:session:{member}", encode(Document(session, 1, now, until)), None, until, list_row=entry)


def found(journal: Journal, word: str) -> list[str]:
    return sorted(match.key.rpartition(":")[2] for match in journal.search(INDEX, Question.of(word)).found)


def indexed(folder: Path) -> dict[tuple[int, str], int]:
    """Which sessions are in the index, and the number of the row of each."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        return {(row[0], row[1]): row[2] for row in db.execute("SELECT destination, key, number FROM heads")}


def test_sessions_that_an_older_reader_indexed_are_read_anew(opened: Open, tmp_path: Path, clock: Clock):
    opened(ONE).put_replica(talk(clock, "a", "a garden"))
    assert found(opened(ONE), "garden") == ["a"]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        db.execute("UPDATE heads SET version = 2")
        db.execute("UPDATE turns SET said = 'completed' WHERE rowid % 2 = 1")
    later = opened(ONE)
    assert (found(later, "completed"), found(later, "garden")) == ([], ["a"])


def test_a_search_finds_what_is_of_its_own_redis_and_of_this_machine(opened: Open, clock: Clock):
    one, two, machine = opened(ONE), opened(TWO), opened()
    one.put_replica(talk(clock, "a", "a garden for one"))
    two.put_replica(talk(clock, "b", "a garden for two"))
    machine.commit(talk(clock, "c", "a garden here"))
    for _ in range(2):
        assert (found(one, "garden"), found(two, "garden"), found(machine, "garden")) == (["a", "c"], ["b", "c"], ["c"])
    assert (found(one, "two"), found(two, "one")) == ([], [])
    assert one.search(INDEX, Question.of("garden")).searched == 2


def test_what_was_saved_before_all_that_is_indexed_is_found(opened: Open, clock: Clock):
    journal = opened(ONE)
    journal.put_replica(talk(clock, "new", "a garden", saved_at=10))
    assert found(journal, "garden") == ["new"]
    journal.put_replica(talk(clock, "imported", "a garden in winter", saved_at=5))
    assert found(journal, "garden") == ["imported", "new"]
    journal.put_replica(talk(clock, "imported", "a garden in spring", saved_at=6))
    assert (found(journal, "winter"), found(journal, "spring")) == ([], ["imported"])


def test_after_a_save_the_other_sessions_are_not_compared(opened: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    journal = opened(ONE)
    journal.put_replica(*(talk(clock, f"s{number}", "a garden", saved_at=number + 1) for number in range(3)))
    assert len(found(journal, "garden")) == 3
    monkeypatch.setattr(journal, "_heads", lambda: pytest.fail("all were read"))
    journal.put_replica(talk(clock, "s1", "a garden in spring", saved_at=9))
    assert found(journal, "spring") == ["s1"]


def test_a_title_that_is_how_a_talk_begins_does_not_count_twice(opened: Open, clock: Clock):
    journal = opened(ONE)
    journal.put_replica(
        talk(clock, "other", "Anna planted a garden"), talk(clock, "meant", "Anna planted a lemon tree")
    )
    one, two = (match.score for match in journal.search(INDEX, Question.of("Anna planted")).found)
    assert abs(one - two) < 0.2 * one
    journal.put_list_rows([ListRow(INDEX, "meant", 2, '{"title":"What Anna planted"}')], "p:session:")
    assert journal.search(INDEX, Question.of("Anna planted")).found[0].score > 1.5 * one


def test_a_session_of_the_same_id_is_found_by_what_was_said_in_each(opened: Open, clock: Clock):
    one, two, machine = opened(ONE), opened(TWO), opened()
    one.put_replica(talk(clock, "s", "a pear in one"))
    two.put_replica(talk(clock, "s", "a plum in two"))
    machine.commit(talk(clock, "s", "a quince here"))
    for _ in range(2):
        assert [found(one, word) for word in ("pear", "plum", "quince")] == [["s"], [], []]
        assert [found(two, word) for word in ("pear", "plum", "quince")] == [[], ["s"], []]
        assert [found(machine, word) for word in ("pear", "plum", "quince")] == [[], [], ["s"]]
    words = ["pear", "plum", "quince"]
    said: list[str] = []
    for journal in (one, two, machine):
        (match,) = journal.search(INDEX, Question.of(" ".join(words))).found
        said += journal.excerpts([match.row], words).values()
    assert ["pear" in said[0], "plum" in said[1], "quince" in said[2]] == [True] * 3
    assert "plum" not in said[0] + said[2]


def test_searches_of_two_redis_do_not_read_each_others_sessions_in_again(opened: Open, clock: Clock, tmp_path: Path):
    one, two = opened(ONE), opened(TWO)
    for i in range(5):
        one.put_replica(talk(clock, f"a{i}", "a garden for one"))
        two.put_replica(talk(clock, f"b{i}", "a garden for two"))
    found(one, "garden")
    found(two, "garden")
    before = indexed(tmp_path)
    assert len(before) == 10
    for journal in (one, two, one):
        found(journal, "garden")
        journal.purge_expired()
    assert indexed(tmp_path) == before, "a row that is read in again has another number"


def test_what_one_deletes_is_forgotten_of_that_one_only(opened: Open, clock: Clock, tmp_path: Path):
    one, two = opened(ONE), opened(TWO)
    for journal in (one, two):
        journal.put_replica(talk(clock, "s", "a garden"))
        found(journal, "garden")
    copy = one.copy("p:session:s")
    assert copy
    grave = json.dumps({"schema_version": 1, "id": "s", "revision": 1, "deleted_at": clock().isoformat()})
    one.commit(replace(copy, text=grave, seen=copy.text, tombstone=True, list_row=None))
    assert len(indexed(tmp_path)) == 1
    assert (found(one, "garden"), found(two, "garden")) == ([], ["s"])


def test_what_expired_is_forgotten_although_no_server_of_its_redis_runs(opened: Open, clock: Clock, tmp_path: Path):
    one, two = opened(ONE), opened(TWO)
    one.put_replica(talk(clock, "brief", "a garden", days=1), talk(clock, "lasting", "a garden"))
    found(one, "garden")
    one.close()
    clock.move(days=2)
    two.purge_expired()
    clock.now += PURGE_AFTER
    two.purge_expired()
    assert [key for _, key in indexed(tmp_path)] == ["p:session:lasting"]

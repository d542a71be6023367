"""What the search index does now and then takes time that grows with the sessions, not with their square."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from agentic_flywheel.journal import index_rows
from agentic_flywheel.journal.ranking import TURNS
from agentic_flywheel.journal.search_index import FILE_NAME, SearchIndex

STEPS_AT_ONCE = 100


@pytest.fixture
def index(tmp_path: Path) -> Path:
    SearchIndex(tmp_path).indexed([1])
    return tmp_path / FILE_NAME


def fill(db: sqlite3.Connection, sessions: range) -> None:
    """Put in sessions of two pieces each."""
    db.execute("BEGIN")
    for number in sessions:
        values = (number, 1, "list", f"k{number}", f"m{number}", 1, 1, index_rows.VERSION, 2, "{}")
        db.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        rows = [(number * TURNS + piece, "fern") for piece in range(2)]
        db.executemany("INSERT INTO turns (rowid, said) VALUES (?, ?)", rows)
    db.execute("COMMIT")


def steps(db: sqlite3.Connection) -> int:
    """How many hundred steps of SQLite it takes to look for what is missing."""
    taken: list[int] = []
    db.set_progress_handler(lambda: taken.append(1), STEPS_AT_ONCE)
    index_rows.mark_incomplete(db)
    db.set_progress_handler(None, 0)
    return len(taken)


def test_looking_for_what_is_missing_takes_four_times_as_long_for_four_times_as_much(index: Path):
    with contextlib.closing(sqlite3.connect(index, isolation_level=None)) as db:
        fill(db, range(1, 201))
        few = steps(db)
        fill(db, range(201, 801))
        assert steps(db) < 6 * few


def test_sessions_with_too_few_rows_or_too_many_are_made_anew(index: Path):
    with contextlib.closing(sqlite3.connect(index, isolation_level=None)) as db:
        fill(db, range(1, 6))
        db.execute("DELETE FROM turns WHERE rowid = ?", (2 * TURNS + 1,))
        db.execute("DELETE FROM turns WHERE rowid BETWEEN ? AND ?", (3 * TURNS, 3 * TURNS + 1))
        db.execute("INSERT INTO turns (rowid, said) VALUES (?, 'moss')", (4 * TURNS + TURNS - 1,))
        index_rows.mark_incomplete(db)
        marked = db.execute("SELECT number FROM heads WHERE version = 0").fetchall()
    assert [number for (number,) in marked] == [2, 3, 4]

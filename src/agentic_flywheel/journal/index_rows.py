"""Writes and removes the rows of the search index: those of each turn, of what lists show, and of the session."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import cast

from agentic_flywheel.documents.list_row import list_row, revision_in
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.turn_text import names_in, words_in
from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import Damaged, DocumentError
from agentic_flywheel.journal.compounds import inside
from agentic_flywheel.journal.folding import terms
from agentic_flywheel.journal.ranking import FIRST_WORDS, TURNS
from agentic_flywheel.journal.records import LOW, Head, Lists, Saves
from agentic_flywheel.json_text import JSONObject, load_object

VERSION = 7
"""The version of the terms, noted with each session: those of another one answer until they are made anew."""

PIECE = 2_000
"""Characters of a turn that are a row; a longer turn is several."""

BEGINNING = 20
"""Pieces among which the turn is looked for that stands for a title."""


def indexed(db: sqlite3.Connection, destinations: Collection[int]) -> Lists:
    """What is indexed of each list of these destinations."""
    rows = db.execute(
        f"SELECT destination, list, count(*), sum(turns_at & {LOW}), max(turns_at) FROM heads INDEXED BY places"  # noqa: S608
        f" WHERE destination IN ({', '.join(map(str, destinations))}) AND turns_at AND version = ?"
        " GROUP BY destination, list",
        (VERSION,),
    )
    return {(destination, index): Saves(*rest) for destination, index, *rest in rows}


def compared(db: sqlite3.Connection, heads: Sequence[Head], destinations: Collection[int]) -> list[Head]:
    """Those whose turns are not indexed as they are now. What is no longer in these destinations is removed."""
    now = {(head.destination, head.key): head for head in heads}
    rows = db.execute("SELECT number, destination, key, turns_at, version FROM heads WHERE turns_at").fetchall()
    remove(db, [row[0] for row in rows if row[1] in destinations and (row[1], row[2]) not in now])
    for _, destination, key, turns_at, version in rows:
        head = now.get((destination, key))
        if head and head.saved_at == turns_at and version == VERSION:
            del now[destination, key]
    return [*now.values()]


def remove(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Remove the sessions of these numbers."""
    if numbers:
        db.execute("BEGIN IMMEDIATE")
        for number in numbers:
            _drop_number(db, number)
        db.execute("COMMIT")


def mark_incomplete(db: sqlite3.Connection) -> None:
    """Have sessions made anew of which rows are missing, or of which there are too many."""
    # Counted by ranges of the key: a count of all, grouped, would be made anew for each session.
    there = f"SELECT count(*) FROM turns_docsize WHERE id BETWEEN number * {TURNS} AND number * {TURNS} + {TURNS - 1}"  # noqa: S608
    db.execute(f"UPDATE heads SET version = 0 WHERE turns_at AND pieces != ({there})")  # noqa: S608  numbers of ours


def forget_words(db: sqlite3.Connection) -> None:
    """Merge the lists of words: till then FTS5 only marks in them what was deleted."""
    for table in ("turns", "talks"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608


def drop(db: sqlite3.Connection, destination: int, key: str) -> bool:
    """Remove a session; whether it was there."""
    row = db.execute("SELECT number FROM heads WHERE destination = ? AND key = ?", (destination, key)).fetchone()
    if row:
        _drop_number(db, row[0])
    return row is not None


def _drop_number(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM turns WHERE rowid BETWEEN ? AND ?", (number * TURNS, number * TURNS + TURNS - 1))
    db.execute("DELETE FROM talks WHERE rowid = ?", (number,))
    db.execute("DELETE FROM heads WHERE number = ?", (number,))


def put(db: sqlite3.Connection, head: Head, text: str | None) -> None:
    """Index a session: what the list shows in row 0, its turns from row 1 on."""
    shown = db.execute(
        "SELECT saved_at, note FROM heads WHERE destination = ? AND key = ?", (head.destination, head.key)
    ).fetchone()
    drop(db, head.destination, head.key)
    document = _document(text, head.member)
    own = list_row(head.index, document).note if document else "{}"
    is_newer = shown and shown[0] > head.saved_at and revision_in(shown[1]) > revision_in(own)
    saved_at, note = shown if is_newer else (head.saved_at, own)
    pieces = [*_pieces(document)] if document else []
    shown_terms = _shown_terms(note, head.member, [raw for _, raw in pieces[:BEGINNING]])
    said = [shown_terms, *(" ".join([*terms(text), *inside(text)]) for text, _ in pieces)]
    values = (head.destination, head.index, head.key, head.member, saved_at, head.saved_at, VERSION, len(said), note)
    _insert(db, values, said, ["", *(raw for _, raw in pieces)])


def put_row(db: sqlite3.Connection, destination: int, key: str, row: ListRow) -> bool:
    """Index what a list shows of a session, unless that is known; whether it was not."""
    known = db.execute(
        "SELECT number, saved_at, note FROM heads WHERE destination = ? AND key = ?", (destination, key)
    ).fetchone()
    if known is None:
        shown = _shown_terms(row.note, row.member, [])
        values = (destination, row.index, key, row.member, row.saved_at, 0, VERSION, 1, row.note)
        _insert(db, values, [shown], [""])
        return True
    number, saved_at, note = known
    if saved_at >= row.saved_at and revision_in(note) >= revision_in(row.note):  # a clock may have been ahead
        return False
    db.execute("UPDATE heads SET saved_at = ?, note = ? WHERE number = ?", (row.saved_at, row.note, number))
    query = "SELECT raw FROM turns WHERE rowid > ? AND rowid <= ?"
    first = db.execute(query, (number * TURNS, number * TURNS + BEGINNING)).fetchall()
    shown = _shown_terms(row.note, row.member, [raw for (raw,) in first])
    db.execute("UPDATE turns SET said = ? WHERE rowid = ?", (shown, number * TURNS))
    (before,) = db.execute("SELECT terms FROM talks WHERE rowid = ?", (number,)).fetchone() or ("",)
    db.execute("UPDATE talks SET terms = ? WHERE rowid = ?", (_each_once([before, shown]), number))
    return True


def _insert(db: sqlite3.Connection, values: tuple[object, ...], said: Sequence[str], raw: Sequence[str]) -> None:
    put = (
        "INSERT INTO heads (destination, list, key, member, saved_at, turns_at, version, pieces, note)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    number = db.execute(put, values).lastrowid or 0
    put = "INSERT INTO turns (rowid, said, raw) VALUES (?, ?, ?)"
    db.executemany(put, [(number * TURNS + at, *row) for at, row in enumerate(zip(said, raw, strict=True))])
    db.execute("INSERT INTO talks (rowid, terms) VALUES (?, ?)", (number, _each_once(said)))


def _each_once(lines: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(" ".join(lines).split()))


def _shown_terms(note: str, member: str, first: Sequence[str]) -> str:
    """The terms of what a list shows; marked where the title is the beginning of one of the `first` turns."""
    title = " ".join(title_in(note).split()).rstrip("…")
    begins = title and any(" ".join(raw[:PIECE].split()).startswith(title) for raw in first)
    return " ".join([*terms(shown_in(note, member)), *([FIRST_WORDS] if begins else [])])


def title_in(note: str) -> str:
    """The title that a list shows; others may have written anything there."""
    try:
        return str(load_object(note, "a row of the list").get("title") or "")
    except Damaged:
        return ""


def shown_in(note: str, member: str) -> str:
    """What a list shows of a session, as far as it is searched; others may have written anything there."""
    try:
        shown = load_object(note, "a row of the list")
    except Damaged:
        return member
    return " ".join([member, *(str(shown.get(name) or "") for name in ("title", "summary")), _tags(shown)])


def _tags(shown: JSONObject) -> str:
    tags = shown.get("tags")
    return " ".join(tag for tag in cast("list[object]", tags) if isinstance(tag, str)) if isinstance(tags, list) else ""


def _document(text: str | None, member: str) -> Document | None:
    """The session; none if it is gone or cannot be read."""
    from agentic_flywheel.documents.parse import decode  # which a list of the journal does without

    try:
        document = decode(text, member) if text is not None else None
    except DocumentError:
        return None
    return document if isinstance(document, Document) else None


def _pieces(document: Document) -> Iterator[tuple[str, str]]:
    """The turns of a session in pieces: what is searched, and what is shown."""
    for turn in document.session.history:
        said = words_in(turn)
        begin = 0
        while begin < len(said):
            end = begin + PIECE
            if end < len(said):
                end = max(said.rfind(" ", begin + 1, end), 0) or end
            yield f"{names_in(turn)} {said[begin:end]}", said[begin:end]
            begin = end

"""Puts what was salvaged from another journal into this one, never over what is newer."""

import contextlib
import sqlite3
import time
from collections.abc import Generator
from datetime import datetime
from itertools import chain, islice

from agentic_flywheel.documents.lineage import MergeForwardCommand, covers, tombstone_beats
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.rows import copy_of, drop, free_text_number, put
from agentic_flywheel.journal.salvage import Salvage, SavedChange, SavedDocument
from agentic_flywheel.journal.texts import put_text, read_text

COPIES_AT_ONCE = 50
"""Replica rows put in one transaction."""

_OWED = """
UPDATE documents SET replica = 1, unverified = 1 WHERE destination != 0 AND NOT replica
AND (list IS NOT NULL OR tombstone OR key NOT GLOB '*:revision:*') AND NOT EXISTS (SELECT 1 FROM outbox
WHERE outbox.destination = documents.destination AND outbox.key = documents.key AND NOT dead)
"""
"""Make documents whose pending change could not be read unverified copies: they are put back where they belong."""


def take_over(db: sqlite3.Connection, saved: Salvage, now: datetime, timeout: float = float("inf")) -> tuple[int, int]:
    """Put into `db` what it lacks; the number of documents and of pending changes.

    What is nowhere else goes in at once, replica rows as far as there is time within `timeout` seconds.
    """
    until = time.monotonic() + timeout
    documents = iter(saved.documents)
    count = 0
    with _transaction(db):
        numbers = _destinations(db, saved)
        new = [change for change in saved.changes if _put_change(db, change, numbers)]
        untold = {(numbers[change.destination], change.key) for change in new if not change.dead}
        first_copy: list[SavedDocument] = []
        for document in documents:
            if document.replica:
                first_copy = [document]
                break
            count += _put_document(db, document, numbers, now)
            untold.discard((_number(db, numbers, document.destination), document.write.key))
        for destination, key in untold:  # the document here, if there is one, does not hold what is pending now
            drop(db, destination, [key])
        db.execute(_OWED)
    copies = chain(first_copy, documents)
    while time.monotonic() < until and (batch := [*islice(copies, COPIES_AT_ONCE)]):
        with _transaction(db):
            count += sum(_put_document(db, document, numbers, now) for document in batch)
    return count, len(new)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _destinations(db: sqlite3.Connection, saved: Salvage) -> dict[int, int]:
    """The number here of each salvaged destination: that of the same address or epoch, or a new one."""
    numbers = {THIS_MACHINE: THIS_MACHINE}
    for number, epoch, run, after, shown in saved.destinations:
        if number != THIS_MACHINE:
            numbers[number] = _number_of(db, [a for a, to in saved.addresses if to == number], epoch)
            db.execute(
                "UPDATE destinations SET epoch = ?, run = ?, after = ?, shown = iif(shown = '', ?, shown)"
                " WHERE id = ? AND epoch = ''",
                (epoch, run, after, shown, numbers[number]),
            )
    for address, number in saved.addresses:
        numbers.setdefault(number, _number_of(db, [address], ""))
        db.execute("INSERT OR IGNORE INTO addresses VALUES (?, ?)", (address, numbers[number]))
    for change in saved.changes:
        _number(db, numbers, change.destination)
    return numbers


def _number_of(db: sqlite3.Connection, addresses: list[str], epoch: str) -> int:
    for address in addresses:
        if row := db.execute("SELECT destination FROM addresses WHERE address = ?", (address,)).fetchone():
            return row[0]
    if row := db.execute("SELECT id FROM destinations WHERE epoch = ? AND epoch != ''", (epoch,)).fetchone():
        return row[0]
    return db.execute("INSERT INTO destinations DEFAULT VALUES").lastrowid or THIS_MACHINE


def _number(db: sqlite3.Connection, numbers: dict[int, int], number: int) -> int:
    """The number here of a destination; one that the journal does not name waits until a person says which it is."""
    if number not in numbers:
        insert = "INSERT INTO destinations (shown) VALUES ('a Redis that a damaged journal does not name')"
        numbers[number] = db.execute(insert).lastrowid or THIS_MACHINE
    return numbers[number]


def _put_change(db: sqlite3.Connection, change: SavedChange, numbers: dict[int, int]) -> bool:
    """Queue a change unless it is queued; whether it was not. It keeps its position if that is free."""
    destination = numbers[change.destination]
    same = db.execute("SELECT text FROM outbox WHERE destination = ? AND key = ?", (destination, change.key))
    if any(read_text(db, row[0]) == change.command for row in same.fetchall()):
        return False
    is_free = not db.execute("SELECT 1 FROM outbox WHERE position = ?", (change.position,)).fetchone()
    db.execute(
        "INSERT INTO outbox (position, destination, key, attempts, next_attempt, cause, dead, queued_at, text)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (change.position if is_free else None, destination, change.key, change.attempts, change.next_attempt,
         change.cause, change.dead, change.queued_at, text := free_text_number(db)),
    )  # fmt: skip
    put_text(db, text, change.command)
    return True


def _put_document(db: sqlite3.Connection, document: SavedDocument, numbers: dict[int, int], now: datetime) -> bool:
    """Put a document unless what is stored holds it; whether it was put."""
    destination = _number(db, numbers, document.destination)
    stored = copy_of(db, destination, document.write.key)
    write = _merged(stored, document.write, now) if stored else document.write
    if write is None:
        return False
    put(db, destination, write, document.touched, replica=document.replica)
    query = "UPDATE documents SET unverified = 1 WHERE destination = ? AND key = ? AND replica"
    db.execute(query, (destination, write.key))
    return True


def _merged(stored: Write, saved: Write, now: datetime) -> Write | None:
    """What takes the place of the stored document; `None`: it stays."""
    if stored.tombstone:
        return None if saved.tombstone or tombstone_beats(stored.text, saved.text) else saved
    if saved.tombstone:
        return saved if tombstone_beats(saved.text, stored.text) else None
    if covers(stored.text, saved.text):
        return None
    if covers(saved.text, stored.text):
        return saved
    entry = saved.list_row or stored.list_row
    member, index = (entry.member, entry.index) if entry else ("", "")
    forward = MergeForwardCommand(key=saved.key, text=saved.text, member=member, index=index).with_write_id(
        Writer().next()
    )
    with contextlib.suppress(DocumentError):
        return forward.apply(stored.text, now).write
    return None

"""Destinations that turn out to be one: what was kept for the one is handed over to the other."""

import sqlite3

from agentic_flywheel.documents.commands import dump_command
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal.rows import copy_of, drop, is_pending, queue


def merge_destination(db: sqlite3.Connection, mine: int, other: int, now: int) -> None:
    """Hand all that was kept for the destination `mine`, which was never met, over to the `other`, which it is."""
    writer = Writer()
    for key in sorted(_keys(db, mine) & _keys(db, other)):
        if is_pending(db, mine, key):
            _send_both(db, key, mine, other, now, writer)
        elif is_pending(db, other, key):
            drop(db, mine, [key])  # a copy, which does not hold what is pending
        else:
            _keep_the_newer(db, key, mine, other)
    for table in ("documents", "outbox", "addresses"):
        db.execute(f"UPDATE {table} SET destination = ? WHERE destination = ?", (other, mine))  # noqa: S608
    db.execute("DELETE FROM destinations WHERE id = ?", (mine,))


def _keys(db: sqlite3.Connection, destination: int) -> set[str]:
    query = (
        "SELECT key FROM documents WHERE destination = ?1"
        " UNION SELECT key FROM outbox WHERE destination = ?1 AND NOT dead"
    )
    return {row[0] for row in db.execute(query, (destination,))}


def _send_both(db: sqlite3.Connection, key: str, mine: int, other: int, now: int, writer: Writer) -> None:
    """Have all that is known of a key sent, change by change: neither document holds the other's changes."""
    there = copy_of(db, other, key)
    if there and not there.tombstone:
        queue(db, other, key, dump_command(_brought_forward(there).with_write_id(writer.next())), now)
    drop(db, mine, [key])
    drop(db, other, [key])


def _brought_forward(copy: Write) -> MergeForwardCommand:
    entry = copy.list_row
    return MergeForwardCommand(
        key=copy.key, text=copy.text, member=entry.member if entry else "", index=entry.index if entry else ""
    )


def _keep_the_newer(db: sqlite3.Connection, key: str, mine: int, other: int) -> None:
    """Of two copies, keep the one that goes on from the other, and have it verified."""
    one, two = copy_of(db, mine, key), copy_of(db, other, key)
    if one is None or two is None:
        return
    drop(db, other if covers(one.text, two.text) else mine, [key])
    query = "UPDATE documents SET unverified = 1 WHERE destination IN (?, ?) AND key = ? AND replica"
    db.execute(query, (mine, other, key))

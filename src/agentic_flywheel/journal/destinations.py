"""Merges two destinations that turn out to be one."""

import sqlite3

from agentic_flywheel.documents.commands import dump_command
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal.rows import copy_of, drop, is_pending, queue


def merge_destination(db: sqlite3.Connection, own: int, other: int, now: int) -> None:
    """Move what was kept for the destination `own`, which was never met, to the `other`, which it turned out to be."""
    writer = Writer()
    for key in sorted(_keys(db, own) & _keys(db, other)):
        if is_pending(db, own, key):
            _send_both(db, key, own, other, now, writer)
        elif is_pending(db, other, key):
            drop(db, own, [key])  # a copy, which does not hold what is pending
        else:
            _keep_the_newer(db, key, own, other)
    for table in ("documents", "outbox", "addresses"):
        db.execute(f"UPDATE {table} SET destination = ? WHERE destination = ?", (other, own))  # noqa: S608
    db.execute("DELETE FROM destinations WHERE id = ?", (own,))


def _keys(db: sqlite3.Connection, destination: int) -> set[str]:
    query = (
        "SELECT key FROM documents WHERE destination = ?1"
        " UNION SELECT key FROM outbox WHERE destination = ?1 AND NOT dead"
    )
    return {row[0] for row in db.execute(query, (destination,))}


def _send_both(db: sqlite3.Connection, key: str, own: int, other: int, now: int, writer: Writer) -> None:
    """Send all changes of a key one by one: neither document holds the changes of the other."""
    stored = copy_of(db, other, key)
    if stored and not stored.tombstone:
        queue(db, other, key, dump_command(_merge_of(stored).with_write_id(writer.next())), now)
    drop(db, own, [key])
    drop(db, other, [key])


def _merge_of(copy: Write) -> MergeForwardCommand:
    entry = copy.list_row
    return MergeForwardCommand(
        key=copy.key, text=copy.text, member=entry.member if entry else "", index=entry.index if entry else ""
    )


def _keep_the_newer(db: sqlite3.Connection, key: str, own: int, other: int) -> None:
    """Keep the one of two copies that goes on from the other, unverified."""
    one, two = copy_of(db, own, key), copy_of(db, other, key)
    if one is None or two is None:
        return
    drop(db, other if covers(one.text, two.text) else own, [key])
    query = "UPDATE documents SET unverified = 1 WHERE destination IN (?, ?) AND key = ? AND replica"
    db.execute(query, (own, other, key))

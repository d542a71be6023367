"""Erases what belongs to a deleted session from this machine's files, so that no byte of it is left in them."""

import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from agentic_flywheel.documents.model import Tombstone
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable
from agentic_flywheel.journal.kin import forget_kin_of
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.readings import forget_readings_of
from agentic_flywheel.journal.replica_rows import ReplicaRows
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import copy_of, drop, holds, is_pending, queue
from agentic_flywheel.journal.schema import BUSY_SECONDS, FILE_NAME, PAGE, wipe_log
from agentic_flywheel.journal.texts import read_command
from agentic_flywheel.json_text import dumps
from agentic_flywheel.session_keys import SessionKeys

LAST_CHARACTER = chr(0x10FFFF)

COMPACTED_UP_TO = 32_000_000
"""Bytes of a file that is written anew, which takes a quarter of a second, and saves wait for it."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many flow histories and executions went; `wiped`: nothing of them is left in the files."""

    parts: int
    wiped: bool


class Erasure(ReplicaRows):
    """The verbs that erase sessions."""

    unwiped = False
    """Whether something that was deleted may be left in the files."""
    _has_slack = False

    @retry_once_if_replaced
    def erase(self, keys: SessionKeys, *, timeout: float = BUSY_SECONDS) -> Erased:
        """Erase what is here of a session that was deleted, but its tombstone and the deletion that is to be sent.

        What belongs to this machine under the same id goes too: it would come to light when the tombstone has expired.
        """
        with self._transaction(timeout=timeout) as db:
            parts = self._erase_everywhere(db, keys)
        return Erased(parts, wiped=self._wiped(keys))

    @retry_once_if_replaced
    def delete(
        self,
        write: Write,
        keys: SessionKeys,
        pending: str | None,
        *,
        supersedes: bool = False,
        timeout: float = BUSY_SECONDS,
    ) -> Erased | None:
        """Put a tombstone where the document is that was seen, and erase as above; `None` where another one is.

        It survives power loss. `pending` is the change to queue; if it `supersedes` earlier ones, they go.
        """
        with self._transaction(timeout=timeout) as db:
            if not holds(db, self._destination, write.key, write.seen):
                return None
            self._put(db, write, replica=False)
            if pending is not None:
                queue(db, self._destination, write.key, pending, self._now(), supersedes=supersedes)
            parts = self._erase_everywhere(db, keys)
        if not (wiped := self._wiped(keys)):
            self._sync_log()
        return Erased(parts, wiped=wiped)

    def _erase_everywhere(self, db: sqlite3.Connection, keys: SessionKeys) -> int:
        parts = sum(_erase(db, place, keys) for place in {self._destination, THIS_MACHINE})
        if self._destination != THIS_MACHINE:
            drop(db, THIS_MACHINE, [keys.session])
        forget_readings_of(db, keys.session_id)
        forget_kin_of(db, keys.session, keys.session_id)
        return parts

    def _wiped(self, keys: SessionKeys) -> bool:
        self.unwiped = self._has_slack = True
        unindexed = self._unindex(keys.session)
        return self.wipe_log() and unindexed

    @retry_once_if_replaced
    def part_keys(self, keys: SessionKeys, *, but_pending: bool = False) -> list[str]:
        """The keys of the flow histories and executions of a session that are here."""
        with self._snapshot() as db:
            parts = _part_keys(db, self._destination, keys)
            return [key for key in parts if not (but_pending and is_pending(db, self._destination, key))]

    @retry_once_if_replaced
    def parts_of_this_machine(self, keys: SessionKeys) -> list[str]:
        """The keys of what goes with a session and belongs to this machine: its older revisions too."""
        with self._snapshot() as db:
            query = "SELECT key FROM documents WHERE destination = ? AND key >= ? AND key < ?"
            rows = db.execute(query, (THIS_MACHINE, keys.revisions, keys.revisions + LAST_CHARACTER)).fetchall()
            return [*(row[0] for row in rows), *_part_keys(db, THIS_MACHINE, keys)]

    @retry_once_if_replaced
    def apply_tombstones(self, tombstones: Sequence[Write], gone: Collection[str] = ()) -> None:
        """Apply deletions made elsewhere; each beats a document of the same line, up to its own revision.

        What goes with a session goes with it here too, but for what is still to be sent: what is `gone` there, and of
        all else what was kept before the session was deleted.
        """
        from agentic_flywheel.documents.lineage import tombstone_beats

        with self._transaction() as db:
            for write in tombstones:
                if ended := self._ended_by(db, write):
                    self._end_parts(db, *ended, gone)
                stored = copy_of(db, self._destination, write.key)
                if is_pending(db, self._destination, write.key) or (
                    stored and not stored.tombstone and not tombstone_beats(write.text, stored.text)
                ):
                    continue
                self._put_joined(db, write)
        self._unindex(*(write.key for write in tombstones))
        self.unwiped = self._has_slack = True

    @retry_once_if_replaced
    def parts_ended_by(self, tombstone: Write) -> list[Write]:
        """The flow histories and executions here of a session that was deleted elsewhere, but what is to be sent."""
        with self._snapshot() as db:
            ended = self._ended_by(db, tombstone)
            if ended is None:
                return []
            found = [copy_of(db, self._destination, key) for key in self._unsent_parts(db, ended[0])]
        return [copy for copy in found if copy]

    def _ended_by(self, db: sqlite3.Connection, write: Write) -> tuple[SessionKeys, Tombstone] | None:
        """The session whose earlier life a tombstone ends; also where the session itself was seen to be deleted."""
        from agentic_flywheel.documents.lineage import began_with, tombstone_beats
        from agentic_flywheel.documents.parse import tombstone_of

        keys, tombstone = SessionKeys.of(write.key), tombstone_of(write.text)
        stored = copy_of(db, self._destination, write.key)
        if keys is None or tombstone is None or tombstone.because != "deleted":
            return None
        if stored and not stored.tombstone and not tombstone_beats(write.text, stored.text):
            return (keys, tombstone) if began_with(stored.text) > tombstone.revision else None
        return keys, tombstone

    def _unsent_parts(self, db: sqlite3.Connection, keys: SessionKeys) -> list[str]:
        parts = _part_keys(db, self._destination, keys)
        return [key for key in parts if not is_pending(db, self._destination, key)]

    def _end_parts(
        self, db: sqlite3.Connection, keys: SessionKeys, tombstone: Tombstone, gone: Collection[str]
    ) -> None:
        """Take away what was kept with a session before it was deleted elsewhere, and its older revisions."""
        for key in self._unsent_parts(db, keys):
            copy = copy_of(db, self._destination, key)
            left = _left_of(copy, tombstone) if copy and key not in gone else None
            if copy is None or left is None:
                drop(db, self._destination, [key])
            elif left != copy.text:  # the destination has it shorter too, or is to get it
                self._put(db, replace(copy, text=left), replica=True)
                self._mark_unverified(db, key)
        query = "SELECT key FROM documents WHERE destination = ? AND key >= ? AND key < ?"
        older = db.execute(query, (self._destination, keys.revisions, keys.revisions + LAST_CHARACTER)).fetchall()
        numbers = {key: key.removeprefix(keys.revisions) for (key,) in older}
        before = [key for key, n in numbers.items() if not n.isdigit() or int(n) <= tombstone.revision]
        drop(db, self._destination, before)

    @retry_once_if_replaced
    def forget(self, keys: Sequence[str]) -> None:
        """Delete the dead letters of documents that were deleted; `wipe` removes what is left in the files."""
        with self._transaction() as db:
            places = {self._destination, THIS_MACHINE}
            query = "DELETE FROM outbox WHERE dead AND destination = ? AND key = ?"
            db.executemany(query, [(place, key) for place in places for key in keys])
        self.unwiped = self._has_slack = True

    def _sync_log(self) -> None:
        """Have what was committed without `durable` survive power loss; a checkpoint does that too."""
        try:
            with self.path.with_name(FILE_NAME + "-wal").open("rb") as log:
                os.fsync(log.fileno())
        except OSError as exc:
            raise JournalUnavailable(f"The journal {self.path} cannot be written: {exc.strerror}") from exc

    def wipe(self) -> bool:
        """Remove what deletions had to leave in the files; whether nothing is left.

        SQLite overwrites what is deleted, but where it moves a row to another page a piece of it may stay in the unused
        part of the first one: so a file of up to `COMPACTED_UP_TO` bytes is written anew.
        """
        if not self.unwiped:
            return True
        pruned = self._prune_search_index()
        self.unwiped = not (self.wipe_log(compact=self._has_slack) and pruned)
        self._has_slack = self._has_slack and self.unwiped
        return not self.unwiped

    def wipe_log(self, *, compact: bool = False) -> bool:
        """Empty the log, in which what was deleted can still be read; whether nobody was in the way."""
        try:
            with self._held_open(BUSY_SECONDS) as db:
                if compact and db.execute("PRAGMA page_count").fetchone()[0] * PAGE <= COMPACTED_UP_TO:
                    db.execute("VACUUM")
                return wipe_log(db)
        except (sqlite3.Error, OSError, JournalUnavailable):
            return False


def _erase(db: sqlite3.Connection, destination: int, keys: SessionKeys) -> int:
    """Erase the parts of a session and its older revisions; how many parts there were."""
    parts = _part_keys(db, destination, keys)
    _erase_changes(db, destination, keys, parts)
    for beginning in (keys.revisions, keys.histories):
        db.execute(
            "DELETE FROM documents WHERE destination = ? AND key >= ? AND key < ?",
            (destination, beginning, beginning + LAST_CHARACTER),
        )
    drop(db, destination, parts)
    return len(parts)


def _erase_changes(db: sqlite3.Connection, destination: int, keys: SessionKeys, parts: Sequence[str]) -> None:
    """Erase the pending changes of the parts, and every dead letter of the session."""
    dead = db.execute(
        "SELECT position, key, text FROM outbox WHERE dead AND destination = ?", (destination,)
    ).fetchall()
    gone = [
        position
        for position, key, text in dead
        if key == keys.session
        or key in parts
        or key.startswith((keys.histories, keys.revisions))
        or (key.startswith(keys.execution_keys) and _names(keys) in read_command(db, text))
    ]
    db.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in gone])
    db.executemany(
        "DELETE FROM outbox INDEXED BY pending WHERE destination = ? AND key = ? AND NOT dead",
        [(destination, key) for key in parts],
    )


def _part_keys(db: sqlite3.Connection, destination: int, keys: SessionKeys) -> list[str]:
    histories = db.execute(
        "SELECT key FROM documents WHERE destination = ? AND key >= ? AND key < ? AND NOT tombstone",
        (destination, keys.histories, keys.histories + LAST_CHARACTER),
    )
    executions = db.execute(
        "SELECT key FROM documents INDEXED BY members WHERE destination = ? AND list = ? AND list IS NOT NULL",
        (destination, keys.executions),
    )
    # Those that an earlier version kept are in no set: they name their session near their beginning.
    earlier = db.execute(
        "SELECT key FROM documents JOIN texts ON texts.id = documents.id * 1048576 WHERE destination = ?"
        " AND key >= ? AND key < ? AND list IS NULL AND NOT tombstone AND instr(piece, ?)",
        (destination, keys.execution_keys, keys.execution_keys + LAST_CHARACTER, _names(keys).encode()),
    )
    return [key for rows in (histories, executions, earlier) for (key,) in rows.fetchall()]


def _left_of(copy: Write, tombstone: Tombstone) -> str | None:
    """What of a part was kept after its session was deleted; what cannot be read goes with it."""
    from agentic_flywheel.documents.earlier_life import kept_since

    try:
        return kept_since(copy.text, tombstone.deleted_at, "")
    except DocumentError:
        return None


def _names(keys: SessionKeys) -> str:
    """How an execution names the session."""
    return f'"session_id":{dumps(keys.session_id)},'

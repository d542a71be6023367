"""Keeps one execution of a flow under its id."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.model import SCHEMA_VERSION, Operation, expired, iso
from agentic_flywheel.documents.parse import kept_until_in, load, operations_in, revision_in, tombstone_in
from agentic_flywheel.documents.write_ids import find, kept
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Conflict, Damaged, TooLarge
from agentic_flywheel.json_text import JSONObject, dumps, size_of
from agentic_flywheel.session_keys import execution_set


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer of a write: until when what it made lives, and the revision of that."""

    kept_until: datetime | None
    revision: int = 0


class ExecutionCommand(Command[Kept]):
    """Keep one execution under its id; a later one of the same id takes its place."""

    kind: Literal["execution"] = "execution"
    record: JSONObject
    ttl_seconds: int
    max_bytes: int | None = None
    expected_revision: int | None = None
    """What is stored must be this revision; 0: nothing alive may be."""
    expects: str | None = None
    """The write on top of which a pending one of these was made; empty for none. Revisions given here are provisional.
    """
    written_at: AwareDatetime | None = None
    """When it was made: a deletion of its session since then takes it along."""
    direct: bool = Field(default=False, exclude=True)
    """Not queued: whatever was deleted, it was before this."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Kept]:
        """Write the record as the next revision."""
        before = load_execution(base, str(self.record["id"])) if base is not None else JSONObject()
        operations, revision = operations_in(before), revision_in(before) if before else 0
        if find(operations, self.operation, "") or self._was_deleted(before):
            return Step(None, Kept(kept_until_in(before), revision), self)
        is_gone = "deleted_at" in before or (expired(kept_until_in(before), now) and not alive_remotely)
        if not is_gone and self._made(before, revision):
            return Step(None, Kept(kept_until_in(before), revision), self)
        on_top_of = operations[-1].id if operations and not is_gone else ""
        self._check_expected(0 if is_gone else revision, on_top_of)
        kept_until = now + timedelta(seconds=self.ttl_seconds) if self.ttl_seconds else None
        text = dumps({
            "schema_version": SCHEMA_VERSION,
            "id": self.record["id"],
            "revision": revision + 1,
            **self.record,
            "saved_at": iso(now),
            "kept_until": iso(kept_until),
            "ttl_seconds": self.ttl_seconds,
            "operations": listed(_with(operations, self.operation)),
        })  # fmt: skip
        if self.max_bytes is not None and (size := size_of(text)) > self.max_bytes:
            raise TooLarge(f"It has {size:,} bytes; the limit is {self.max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES).")
        queued = self
        if self.expected_revision is not None and self.expects is None:
            queued = self.model_copy(update={"expects": on_top_of})
        part_of = execution_set(self.key, self.record.get("session_id"))
        write = Write(self.key, text, base, kept_until, part_of=part_of)
        return Step(write, Kept(kept_until, revision + 1), queued)

    def _made(self, before: JSONObject, revision: int) -> bool:
        """Whether it was sent before, and the answer was lost: what is stored is the same, on the same revision."""
        if self.expected_revision is None or revision != self.expected_revision + 1 or not before:
            return False
        return all(before.get(name) == value for name, value in self.record.items())

    def _was_deleted(self, before: JSONObject) -> bool:
        """Whether it was made before what is a tombstone now was deleted, as a pending one may be."""
        if self.direct or self.written_at is None or not before:
            return False
        tombstone = tombstone_in(before, "the execution")
        return bool(tombstone and tombstone.because == "deleted" and self.written_at <= tombstone.deleted_at)

    def _check_expected(self, revision: int, newest: str) -> None:
        """Raise `Conflict` where something else is stored than this was made on."""
        if self.expected_revision is None:
            return
        if newest != self.expects if self.expects is not None else revision != self.expected_revision:
            raise Conflict(f"Somebody else wrote it: it is at revision {revision}.", revision)


def _with(operations: tuple[Operation, ...], operation: str) -> tuple[Operation, ...]:
    return kept((*operations, Operation(operation, 0, 0, 0)))


def load_execution(text: str, execution_id: str) -> JSONObject:
    """The execution, or the tombstone of one, in the text under its key.

    Raises:
        DocumentError: it is neither.

    """
    data = load(text, f"execution {execution_id!r}")
    if "result" not in data and "deleted_at" not in data:
        raise Damaged(f"What is stored as execution {execution_id!r} has no result.")
    return data

"""Keeps one execution of a flow under its id."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.model import SCHEMA_VERSION, Operation, iso
from agentic_flywheel.documents.parse import kept_until_in, load, operations_in, revision_in
from agentic_flywheel.documents.write_ids import find, kept
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import JSONObject, dumps
from agentic_flywheel.session_keys import execution_set


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer of a write that cannot conflict."""

    kept_until: datetime | None


class ExecutionCommand(Command[Kept]):
    """Keep one execution under its id; a later one of the same id takes its place."""

    kind: Literal["execution"] = "execution"
    record: JSONObject
    ttl_seconds: int

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Kept]:  # noqa: ARG002
        """Write the record as the next revision."""
        before = load_execution(base, str(self.record["id"])) if base is not None else JSONObject()
        operations = operations_in(before)
        if find(operations, self.operation, ""):
            return Step(None, Kept(kept_until_in(before)), self)
        kept_until = now + timedelta(seconds=self.ttl_seconds) if self.ttl_seconds else None
        text = dumps({
            "schema_version": SCHEMA_VERSION,
            "id": self.record["id"],
            "revision": revision_in(before) + 1 if before else 1,
            **self.record,
            "saved_at": iso(now),
            "kept_until": iso(kept_until),
            "ttl_seconds": self.ttl_seconds,
            "operations": listed(_with(operations, self.operation)),
        })  # fmt: skip
        part_of = execution_set(self.key, self.record.get("session_id"))
        return Step(Write(self.key, text, base, kept_until, part_of=part_of), Kept(kept_until), self)


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

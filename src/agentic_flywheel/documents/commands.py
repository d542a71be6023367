"""The changes other than a save, and all of them as the outbox keeps them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from agentic_flywheel.documents.codec import (
    SCHEMA_VERSION,
    Document,
    Operation,
    Origin,
    Tombstone,
    decode,
    encode_tombstone,
    iso,
    kept_until_in,
    listed,
    load,
    micros,
    operations_in,
    revision_in,
    tombstone_in,
    tombstone_of,
)
from agentic_flywheel.documents.command import BaseChange, Step, expired
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.flow_history import FlowChange
from agentic_flywheel.documents.import_document import Arrival
from agentic_flywheel.documents.lineage import MergeForward, buries
from agentic_flywheel.documents.revisions import beside
from agentic_flywheel.documents.save import Renewal, SessionChange, entry
from agentic_flywheel.documents.write_ids import find, kept
from agentic_flywheel.documents.writes import Entry, Write, ends_of
from agentic_flywheel.errors import Conflict, Damaged, DocumentError
from agentic_flywheel.json_text import JSONObject, dumps, load_object

MIN_TOMBSTONE, MAX_TOMBSTONE = timedelta(days=60), timedelta(days=365)
"""A tombstone outlives every copy that could come back: twice the life of the session, within these bounds."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deletion's answer; `reason` says why nothing was deleted."""

    deleted: bool
    reason: Literal["not_found", "expired", "deleted"] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer of a write that cannot conflict."""

    kept_until: datetime | None


class Deletion(BaseChange):
    """Take a document away and leave a tombstone, which beats every revision up to its own."""

    kind: Literal["deletion"] = "deletion"
    member: str
    index: str = ""
    because: Origin = "deleted"
    revisions: str = ""
    histories: str = ""
    """What the keys of the session's older revisions and flow histories begin with: they go too. Empty: it has none."""
    saw: int | None = None
    saw_operations: tuple[str, ...] = ()
    """The revision, and the writes, that a pending deletion deleted here: what others saved on top of them stays."""

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[Deleted]:
        """Bury what is stored; a damaged or newer document too, since its owner asked for it."""
        if base is None:
            return Step(None, Deleted(deleted=False, reason="not_found"), self)
        kept_until: datetime | None = None
        operations: tuple[Operation, ...] = ()
        try:
            data = load_object(base, "the document")
            if tombstone := tombstone_in(data, "the document"):
                return Step(None, Deleted(deleted=False, reason=tombstone.because), self)
            kept_until, revision, operations = kept_until_in(data), revision_in(data), operations_in(data)
        except Damaged:
            revision = 1
        if self.saw is not None and revision > self.saw and not self._saw_all(operations):
            raise Conflict("Somebody saved it after it was deleted here, so it stays.", revision)
        is_expired = expired(kept_until, now) and not held
        if self.because == "expired" and not is_expired:
            return Step(None, Deleted(deleted=False), self)
        life = max(MIN_TOMBSTONE, 2 * (kept_until - now)) if kept_until else MAX_TOMBSTONE
        because = "expired" if is_expired else self.because
        tombstone = Tombstone(self.member, revision, now, now + min(life, MAX_TOMBSTONE), because, operations)
        deleted = Deleted(deleted=not is_expired, reason="expired" if is_expired else None)
        burial = _burial(self.key, tombstone, base, self.index, now)
        if self.revisions:
            named = _kept_whole(base, self.member)
            burial = replace(burial, gone=tuple(f"{self.revisions}{number}" for number in named))
        saw = {"saw": revision, "saw_operations": tuple(operation.id for operation in operations)}
        return Step(burial, deleted, self.model_copy(update=saw))

    def _saw_all(self, operations: tuple[Operation, ...]) -> bool:
        """Whether nobody has written since; revisions given here are none of the stash's, but writes have names."""
        seen = [Operation(name, 0, 0, 0) for name in self.saw_operations]
        return bool(operations) and all(find(seen, operation.id, "") for operation in operations)


def _kept_whole(base: str, member: str) -> list[int]:
    """The numbers of the revisions that a document names and that lie under keys of their own."""
    try:
        document = decode(base, member)
    except DocumentError:
        return []
    return beside(document) if isinstance(document, Document) else []


class Burial(BaseChange):
    """Put a tombstone back where it was lost, and what it beats below it."""

    member: str
    index: str
    text: str

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[None]:  # noqa: ARG002
        """Bury what is not newer; a tombstone that is there already stays."""
        tombstone = decode(self.text, self.member)
        if not isinstance(tombstone, Tombstone) or expired(tombstone.kept_until, now):
            return Step(None, None, self)
        if base is not None and (tombstone_of(base) or not buries(self.text, base)):
            return Step(None, None, self)
        return Step(_burial(self.key, tombstone, base, self.index, now), None, self)


def _burial(key: str, tombstone: Tombstone, base: str | None, index: str, now: datetime) -> Write:
    return Write(
        key=key,
        text=encode_tombstone(tombstone),
        seen=base,
        kept_until=tombstone.kept_until,
        tombstone=True,
        entry=Entry(index, tombstone.id, micros(now)) if index else None,
    )


class ExecutionChange(BaseChange):
    """Keep one execution under its id; a later one of the same id takes its place."""

    kind: Literal["execution"] = "execution"
    record: JSONObject
    ttl_seconds: int

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[Kept]:  # noqa: ARG002
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
        return Step(Write(self.key, text, base, kept_until), Kept(kept_until), self)


def _with(operations: tuple[Operation, ...], operation: str) -> tuple[Operation, ...]:
    return kept((*operations, Operation(operation, 0, 0, 0)))


AnyChange = SessionChange | Renewal | Deletion | ExecutionChange | FlowChange | Arrival | MergeForward
_PENDING: TypeAdapter[AnyChange] = TypeAdapter(Annotated[AnyChange, Field(discriminator="kind")])


def dump_change(change: AnyChange) -> str:
    """A change as the outbox keeps it."""
    return _PENDING.dump_json(change).decode()


def load_change(text: str) -> AnyChange:
    """The change that `dump_change` wrote.

    Raises:
        Damaged: it cannot be read.

    """
    try:
        return _PENDING.validate_json(text)
    except ValidationError:  # its text quotes what was said
        raise Damaged("The pending change cannot be read: it is damaged, or of a newer version.") from None


def as_copy(key: str, text: str, member: str = "", index: str = "") -> Write:
    """What the stash holds, as the journal keeps it; with `member` and `index` it is a session, and listed.

    Raises:
        DocumentError: it is no document of ours.

    """
    if member:
        document = decode(text, member)
        listed = entry(index, document) if isinstance(document, Document) else None
        return Write(key, text, None, document.kept_until, tombstone=listed is None, entry=listed)
    if history := outline(ends_of(text)):
        return Write(key, text, None, history.kept_until)
    data = load(text, "the document")
    return Write(key, text, None, kept_until_in(data), tombstone="deleted_at" in data)


def load_execution(text: str, execution_id: str) -> JSONObject:
    """The execution, or the tombstone of one, in the text under its key.

    Raises:
        DocumentError: it is neither.

    """
    data = load(text, f"execution {execution_id!r}")
    if "result" not in data and "deleted_at" not in data:
        raise Damaged(f"What is stored as execution {execution_id!r} has no result.")
    return data

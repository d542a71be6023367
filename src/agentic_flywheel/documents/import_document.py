"""Puts a whole document from elsewhere where there is nothing, never over what is there."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document, Tombstone, expired
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.write_ids import find
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Conflict

Arrived = Literal["put", "same", "another", "deleted", "expired"]
"""What became of a document from elsewhere: put, or what is there in its place, or that it has expired."""


class ImportCommand(Command[Arrived]):
    """Put a whole document from elsewhere where there is nothing; what is there stays as it is."""

    kind: Literal["arrival"] = "arrival"
    member: str
    index: str
    text: str
    acknowledged: bool = False
    """Whether its caller was told that it is kept: then it must not be dropped for what is found later."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Arrived]:
        """Put it, or tell what is there.

        Raises:
            Conflict: it was acknowledged, and something else is there by now.

        """
        document = decode(self.text, self.member)
        if not isinstance(document, Document):
            return Step(None, "deleted", self)
        there = decode(base, self.member) if base is not None else None
        if isinstance(there, Tombstone) and there.because == "deleted":
            return self._met("deleted", there.revision)
        if isinstance(there, Document) and (alive_remotely or not expired(there.kept_until, now)):
            # Resuming a session renews its expiry, and makes no other session of it.
            if replace(there, kept_until=document.kept_until) == document or self._goes_on(there, document):
                return Step(None, "same", self)
            return self._met("another", there.revision)
        if expired(document.kept_until, now):
            return Step(None, "expired", self)
        write = Write(self.key, self.text, base, document.kept_until, list_row=list_row(self.index, document))
        return Step(write, "put", self.model_copy(update={"acknowledged": True}))

    def _goes_on(self, there: Document, document: Document) -> bool:
        """Whether it arrived, and somebody has saved on top of it since."""
        return self.acknowledged and bool(
            document.operations and find(there.operations, document.operations[-1].id, "")
        )

    def _met(self, what: Arrived, revision: int) -> Step[Arrived]:
        if self.acknowledged:
            raise Conflict(f"Imported here, but in Redis session {self.member!r} is {what}; that stays.", revision)
        return Step(None, what, self)

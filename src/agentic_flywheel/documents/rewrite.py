"""Puts a session document in the place of exactly the one that it was made of: without what must not stay in it."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Literal

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document, Operation, Past
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.revisions import kept_whole, newest
from agentic_flywheel.documents.superseded import forgotten
from agentic_flywheel.documents.write_ids import arrived, kept
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Conflict

Rewritten = Literal["rewritten", "changed", "gone"]
"""What became of it: put, or somebody wrote another one since, or there is none any more."""


def digest(text: str) -> str:
    """What a text is known again by."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def next_revision(before: Document, clean: Document, note: str, limit: int) -> Document:
    """The cleaned document as a revision of its own; the one before it is then the same with other bookkeeping.

    The last `limit` earlier revisions are named, and what was replaced before.
    """
    last = Past(before.revision, before.saved_at, len(before.session.history), {}, before.note)
    past = newest((*clean.past, last), note, limit)
    return replace(clean, revision=before.revision + 1, note=note, past=past)


class RewriteCommand(Command[Rewritten]):
    """Put a document, a new revision or an older one anew, in the place of exactly the one that it was made of."""

    kind: Literal["rewrite"] = "rewrite"
    member: str
    index: str = ""
    """Empty for an older revision, which is in no list."""
    revisions: str = ""
    """What the keys of older revisions begin with."""
    text: str
    seen: str
    """The digest of the text that it was made of."""
    acknowledged: bool = False
    """Whether its caller was told that it is kept here: then it must not be dropped without a word."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Rewritten]:  # noqa: ARG002
        """Put it, or tell that there is another one.

        Raises:
            Conflict: it was acknowledged, and there is another one by now.

        """
        there = decode(base, self.member) if base is not None else None
        document = decode(self.text, self.member)
        if base is None or not isinstance(there, Document) or not isinstance(document, Document):
            return Step(None, "gone", self)
        if arrived(there.operations, self.operation):
            return Step(None, "rewritten", self)
        if digest(base) != self.seen:
            if self.acknowledged:
                raise Conflict("Somebody saved it after it was rewritten here; scan again.", there.revision)
            return Step(None, "changed", self)
        done = Operation(self.operation, document.revision, len(document.session.history), 0)
        saved_at = now if self.index else document.saved_at
        document = replace(document, saved_at=saved_at, operations=kept((*document.operations, done)))
        listed = list_row(self.index, document) if self.index else None
        write = Write(self.key, encode(document), base, document.kept_until, list_row=listed)
        if self.index:
            extend = tuple(f"{self.revisions}{number}" for number in kept_whole(document))
            drop = tuple(f"{self.revisions}{number}" for number in forgotten(there.past, document.past))
            write = replace(write, extend_keys=extend, delete_keys=drop)
        return Step(write, "rewritten", self.model_copy(update={"acknowledged": True}))

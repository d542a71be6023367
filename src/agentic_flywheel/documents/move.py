"""Moves what was saved while no Redis was named to a Redis, on top of what that has under the same key."""

from dataclasses import replace
from datetime import datetime

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.command import Step
from agentic_flywheel.documents.lineage import MergeForwardCommand, later, missing, tombstone_beats
from agentic_flywheel.documents.model import Document, Tombstone, expired
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.refusals import check_owner
from agentic_flywheel.documents.write_ids import find


class MoveCommand(MergeForwardCommand):
    """Add a session that its destination never held, with its turns at the end of those that are there.

    Never queued: until it is committed, the document stays where it was. Committed again, it adds nothing.
    """

    def _session(self, base: str | None, now: datetime, *, alive_remotely: bool) -> Step[bool]:
        mine = decode(self.text, self.member)
        there = decode(base, self.member) if base is not None else None
        if not isinstance(mine, Document) or expired(mine.kept_until, now):
            return self._nothing()
        if isinstance(there, Tombstone):
            return self._anew(mine, there, base or "")
        if there is None or (expired(there.kept_until, now) and not alive_remotely):
            return Step(self._write(mine, self.text, base), answer=True, command=self)
        if (mine.operations and find(there.operations, mine.operations[-1].id)) or not _adds(mine, there):
            return self._nothing()
        check_owner(there, {"user_id": mine.session.user_id})
        there = replace(there, kept_until=later(mine.kept_until, there.kept_until))
        return self._merged(mine, there, base, now)

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[bool]:
        """Whether there was anything to add. What goes with a session is put where there is nothing, or an older one.

        Raises:
            DocumentError: what is there cannot be read, or belongs to another user.

        """
        if self.member:  # never told by revisions alone, which both began with 1
            return self._session(base, now, alive_remotely=alive_remotely)
        return super().apply(base, now, alive_remotely=alive_remotely)

    def _anew(self, mine: Document, there: Tombstone, base: str) -> Step[bool]:
        """Begin a session anew that was deleted there, unless it was this one."""
        if tombstone_beats(base, self.text):
            return self._nothing()
        revision = max(mine.revision, there.revision + 1)
        anew = there.because == "deleted"
        begun = replace(
            mine, revision=revision, began=revision if anew else 1, begun_after=there.deleted_at if anew else None
        )
        return Step(self._write(begun, encode(begun), base), answer=True, command=self)


def _adds(mine: Document, there: Document) -> bool:
    """Whether a session has anything that the other lacks: a session names no more than its newest writers."""
    return bool(
        missing(mine.session.history, there.session.history)
        or mine.session.context.keys() - there.session.context.keys()
        or {*mine.tags} - {*there.tags}
        or (mine.title and not there.title)
        or (mine.summary and not there.summary)
    )

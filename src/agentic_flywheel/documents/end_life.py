"""Ends what was kept with a session before that was deleted; what was kept with it since stays."""

from datetime import datetime

from agentic_flywheel.documents.codec import encode_tombstone
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.delete import MIN_TOMBSTONE
from agentic_flywheel.documents.earlier_life import kept_since
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.lineage import operations_at_end
from agentic_flywheel.documents.model import Tombstone
from agentic_flywheel.documents.parse import kept_until_in, load, tombstone_of
from agentic_flywheel.documents.writes import Write, ends_of, revision_at_head


class EndLifeCommand(Command[bool]):
    """Take away what an execution, a flow history or a log has of the life of its session that was ended then."""

    ended_at: datetime

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[bool]:  # noqa: ARG002
        """Whether there was anything of it.

        Raises:
            DocumentError: what is stored cannot be read.

        """
        left = base if base is None or tombstone_of(base) else kept_since(base, self.ended_at, self.operation)
        if base is None or left == base:
            return Step(None, answer=False, command=self)
        if left is not None:
            there = outline(ends_of(left))
            until = there.kept_until if there else kept_until_in(load(left, "the flow history"))
            return Step(Write(self.key, left, base, until), answer=True, command=self)
        revision, writes = revision_at_head(base), operations_at_end(base)
        tombstone = Tombstone("", revision, self.ended_at, now + MIN_TOMBSTONE, operations=writes)
        text = encode_tombstone(tombstone)
        write = Write(self.key, text, base, tombstone.kept_until, tombstone=True, announced=False)
        return Step(write, answer=True, command=self)

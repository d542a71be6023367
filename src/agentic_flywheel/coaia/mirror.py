"""Reads and writes with the two stock verbs, `coaia_tash` and `coaia_fetch`: all that a mirror child has."""

from agentic_flywheel.coaia.child_calls import ChildCalls
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.coaia.replies import revision_of
from agentic_flywheel.documents.writes import Outcome, Write
from agentic_flywheel.errors import StashUnavailable
from agentic_flywheel.json_text import JSONObject

MIRROR_LIMIT = 4 * 2**20
"""Bytes of a document that a mirror child is given; the stock one holds up everybody else for larger ones."""


class TooLargeForMirror(StashUnavailable):
    """A document that only the journal keeps, because the child is a mirror."""


class MirrorStore:
    """The stock verbs of the child that `calls` reach."""

    def __init__(self, calls: ChildCalls, envelopes: Envelopes | None) -> None:
        self._calls = calls
        self._envelopes = envelopes

    async def fetch(self, key: str, deadline: float, *, probe: bool = False) -> str | None:
        """The text under `key`; `None` if there is none."""
        reply = await self._calls.call("coaia_fetch", {"key": key}, deadline, probe=probe)
        value = reply.get("value")
        if not isinstance(value, str):
            return None
        return self._envelopes.open(key, value) if self._envelopes else value

    async def tash(self, write: Write, deadline: float) -> None:
        """Put a text, whatever is there. It expires where the child's `coaia_tash` can have it expire."""
        if self._calls.mirror:
            _check_size(write)
        seals = self._envelopes if not write.tombstone else None
        text = seals.close(write.key, write.text) if seals else write.text
        arguments: JSONObject = {"key": write.key, "value": text}
        ttl = self._calls.ttl(write.kept_until)
        if self._calls.atomic:
            arguments["ttl_seconds"] = ttl
        elif ttl and self._calls.supervisor.tash_expires:
            arguments["ttl_seconds"] = max(1, round(ttl))
        await self._calls.call("coaia_tash", arguments, deadline)

    async def commit(self, write: Write, deadline: float) -> Outcome:
        """Read, compare, write: another machine's save of the same moment can be overwritten.

        The journal's copy counts as newer unless the mirror's revision is higher.
        """
        _check_size(write)
        current = await self.fetch(write.key, deadline)
        if current is not None and current != write.seen and revision_of(current) >= revision_of(write.seen):
            return Outcome(accepted=False, current=current)
        await self.tash(write, deadline)
        self._calls.breaker.note_taken(write.key)
        return Outcome(accepted=True)

    async def epoch(self, key: str, offer: str, deadline: float) -> str:
        """The epoch under `key`, asked by a probe; where there is none it is set to `offer`."""
        known = await self.fetch(key, deadline, probe=True)
        if known is None:
            await self._calls.call("coaia_tash", {"key": key, "value": offer}, deadline, probe=True)
        return known or offer


def _check_size(write: Write) -> None:
    if len(write.text.encode()) > MIRROR_LIMIT:
        raise TooLargeForMirror(f"This child takes documents up to {MIRROR_LIMIT // 2**20} MiB.")

"""Reads and writes documents in the stash, the remote key-value store that the child reaches.

A child that has our verbs is atomic (`coaia_commit` compares and sets inside Redis). One with only `coaia_tash` and
`coaia_fetch` is a mirror: it is read, compared and written in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from agentic_flywheel.coaia.child_calls import BYTES_A_SECOND, ChildCalls
from agentic_flywheel.coaia.envelope import Envelopes, etag_of_envelope
from agentic_flywheel.coaia.mirror import MirrorStore, TooLargeForMirror
from agentic_flywheel.coaia.reads import DocumentReads
from agentic_flywheel.coaia.remote_clock import RemoteClock
from agentic_flywheel.coaia.remote_index import RemoteIndex
from agentic_flywheel.coaia.remote_parts import RemoteParts
from agentic_flywheel.coaia.replies import (
    RemoteState,
    StoredVersion,
    outcome,
    remote_state,
    restored,
    stored_versions,
    version_of,
)
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.writes import Append, ListRow, Outcome, Splice, Write, etag
from agentic_flywheel.errors import StashRefused
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys

SPLICED_FROM = 4096
"""Characters of a document from which on only what changed is sent."""

VERSIONS_AT_ONCE = 500
"""Keys whose versions one call asks for: its answer has some 300 KB, read in a few ms."""

LARGE = 256 * 1024
"""Characters from which on a document is asked about before it is read, where a read cannot be told what is known."""


class Stash(ChildCalls):
    """The documents of the stash behind `supervisor`; `index` has its lists, `parts` what goes with a session.

    Once something went unanswered, every verb but `poll`, the probe, fails at once, until something is answered again.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        keys: Keys,
        seconds: float,
        clock: Callable[[], datetime],
        envelopes: Envelopes | None = None,
    ) -> None:
        super().__init__(supervisor, seconds, clock)
        self.envelopes = envelopes
        self.index = RemoteIndex(self, keys.sessions, envelopes)
        self.parts = RemoteParts(self, self.versions, keys, clock)
        self._mirror_store = MirrorStore(self, envelopes)
        self._reads = DocumentReads(self, keys, envelopes)
        self._keys = keys
        self.remote_clock = RemoteClock(clock)

    @property
    def appends(self) -> bool:
        """Whether a document can be changed at its ends alone: a sealed one is written whole."""
        return self.atomic and self.envelopes is None

    async def poll(self, epoch: str, deletions: str, after: str) -> RemoteState:
        """Ask whether the stash is there and still the same: the one call that is made while it is silent.

        `epoch` and `deletions` are keys. A child without a verb for it announces nothing.

        Raises:
            StashUnavailable: it does not answer.

        """
        deadline = self.deadline()
        await self.supervisor.ready(deadline)
        offer = uuid4().hex
        if not self.has("coaia_watch"):
            return RemoteState(await self._mirror_store.epoch(epoch, offer, deadline), "", [], after)
        arguments: JSONObject = {
            "epoch": epoch, "offer": offer, "deletions": deletions, "after": after, "index": self._keys.index,
        }  # fmt: skip
        return remote_state(await self.call("coaia_watch", arguments, deadline, probe=True), after)

    async def versions(self, keys: Sequence[str], deadline: float) -> dict[str, StoredVersion | None]:
        """Which versions of documents are stored under `keys`; `None` where there is neither document nor tombstone.

        Raises:
            StashUnavailable: it is not known.

        """
        await self.ready(deadline)
        if not self.has("coaia_marks"):
            return {key: version_of(await self.read(key, deadline)) for key in keys}
        found: dict[str, StoredVersion | None] = {}
        for place in range(0, len(keys), VERSIONS_AT_ONCE):
            some = keys[place : place + VERSIONS_AT_ONCE]
            arguments: JSONObject = {"keys": [*some], "tombstone_keys": [self._keys.tombstone(key) for key in some]}
            found |= stored_versions(await self.call("coaia_marks", arguments, deadline), some)
        return found

    async def still_has(self, copy: Write, deadline: float) -> bool:
        """Whether a document is stored as in this copy, where that can be told without reading it.

        Raises:
            StashUnavailable: it is not known.

        """
        await self.ready(deadline)
        stored = (await self.versions([copy.key], deadline))[copy.key] if self.has("coaia_marks") else None
        return stored is not None and stored.is_of(copy.text) and (stored.tombstone or 0) < (stored.revision or 0)

    async def restore(self, writes: Sequence[Write], deadline: float) -> list[str]:
        """Put documents back, each only where nothing is and no tombstone beats it.

        The deadline is prolonged by a second per megabyte. The answer has for each write "put", "there", or why it was
        refused; one that is refused does not hold up the others.

        Raises:
            StashUnavailable: whether they are there again is unknown. To put them back again does no harm.

        """
        deadline += sum(len(write.text) for write in writes) / BYTES_A_SECOND
        await self.ready(deadline)
        if not self.has("coaia_restore"):
            return [await self._restored_alone(write, deadline) for write in writes]
        items = [self._item(write) for write in writes]
        reply = await self.call("coaia_restore", {"items": items, "index": self._keys.index}, deadline)
        done = restored(reply, len(items))
        for write, answer in zip(writes, done, strict=True):
            if answer in ("put", "there"):  # it may have been refused before
                self.breaker.refused.pop(write.key, None)
        return done

    async def _restored_alone(self, write: Write, deadline: float) -> str:
        try:
            accepted = (await self.commit(replace(write, seen=None), deadline)).accepted
        except (StashRefused, TooLargeForMirror) as exc:
            return str(exc)
        return "put" if accepted else "there"

    def _item(self, write: Write) -> list[object]:
        row = self._row(write.list_row) if write.list_row else [write.part_of and write.key, 0, ""]
        tombstone_key, life = self._keys.tombstone(write.key), round(self.ttl(write.kept_until) * 1000)
        return [write.key, tombstone_key, self._closed(write), life, *row, write.part_of or self._keys.index]

    async def keep(self, write: Write, deadline: float) -> None:
        """Put a text that nobody else writes, an older revision, whatever is there."""
        deadline += len(write.text) / BYTES_A_SECOND
        await self.ready(deadline)
        await self._mirror_store.tash(write, deadline)

    async def drop(self, key: str, deadline: float) -> None:
        """Remove such a text; a child that cannot lets it expire."""
        await self.ready(deadline)
        if self.has("coaia_drop"):
            await self.call("coaia_drop", {"key": key}, deadline)

    async def read(self, key: str, deadline: float | None = None, copy: Write | None = None) -> str | None:
        """The document or tombstone under `key`; `None` if there is neither (an expired one counts as none).

        Where it is the document of which there is a `copy`, the text of that is given, and need not be sent.

        Raises:
            StashUnavailable: it is not known what is there.
            Damaged: something is there that is no text of ours.

        """
        deadline = deadline or self.deadline()
        await self.ready(deadline)
        if self.atomic:
            copy = copy if copy and not copy.tombstone else None
            if copy and not self._reads.are_told and len(copy.text) > LARGE and await self.still_has(copy, deadline):
                return copy.text
            return await self._reads.read(key, copy.text if copy else None, deadline)
        return await self._mirror_store.fetch(key, deadline)

    async def commit(self, write: Write, deadline: float | None = None, older: Write | None = None) -> Outcome:
        """Write, if what the writer saw is still there. The deadline is prolonged by a second per megabyte.

        `older` is what is replaced, to be kept under a key of its own first.

        Raises:
            StashUnavailable: whether it was written is unknown.

        """
        deadline = (deadline or self.deadline()) + len(write.text) / BYTES_A_SECOND
        await self.ready(deadline)
        if older and not (self.atomic and older.text == write.seen):
            await self._mirror_store.tash(older, deadline)
        if not self.atomic:
            return await self._mirror_store.commit(write, deadline)
        found = await self._commit(self._whole_arguments(write, older, etag_of_envelope), deadline)
        if self.envelopes and write.seen and not found.accepted and found.current == write.seen:
            if older:  # what is stored is in clear so far, and is not to be copied so
                await self._mirror_store.tash(older, deadline)
            found = await self._commit(self._whole_arguments(write, None, etag), deadline)
        return found

    def _whole_arguments(
        self, write: Write, older: Write | None, sealed_etag: Callable[[str], tuple[str, str]]
    ) -> JSONObject:
        seen, seen_tombstone = _seen(write)
        splice = write.splice if len(write.text) > SPLICED_FROM and self.envelopes is None else None
        version = sealed_etag(seen) if self.envelopes and seen else etag(seen)
        arguments = self._arguments(write, version, splice) | {
            "value": "" if splice else self._closed(write),
            "older": older.key if older and older.text == write.seen else "",
            "seen_tombstone": seen_tombstone,
            "delete": write.tombstone,
            "entry": self._entry(write),
        }
        announced = write.tombstone and write.announced and self.has("coaia_watch")
        optional: JSONObject = {
            "extend_keys": [*write.extend_keys],
            "delete_keys": [*write.delete_keys],
            "deletions": self._keys.deletions if announced else "",
            "forget_before": self.parts.oldest_announced() if announced else 0,
        }
        return arguments | {name: value for name, value in optional.items() if value}

    async def append(self, write: Append, deadline: float) -> Outcome:
        """Change a document at its ends, if what the writer saw is still there; a mirror cannot.

        Raises:
            StashUnavailable: whether it was written is unknown.

        """
        await self.ready(deadline)
        return await self._commit(self._arguments(write, write.before, write.splice) | {"value": ""}, deadline)

    def _arguments(self, write: Write | Append, seen: tuple[str, str], splice: Splice | None) -> JSONObject:
        """The arguments of `coaia_commit` that a write of either kind has."""
        return {
            "key": write.key,
            "splice": splice and [splice.prefix, splice.skip_start_bytes, splice.skip_end_bytes, splice.suffix],
            "expected": seen[0],
            "ending": seen[1],
            "tombstone_key": self._keys.tombstone(write.key),
            "ttl_seconds": self.ttl(write.kept_until),
        }

    async def _commit(self, arguments: JSONObject, deadline: float) -> Outcome:
        reply = await self.call("coaia_commit", arguments, deadline)
        self.breaker.note_taken(arguments["key"])
        found = outcome(reply)
        return replace(found, current=self._opened(arguments["key"], found.current))

    def _closed(self, write: Write) -> str:
        """The text as it is stored; tombstones, which say nothing, are stored in clear."""
        return self.envelopes.close(write.key, write.text) if self.envelopes and not write.tombstone else write.text

    def _opened(self, key: str, text: str | None) -> str | None:
        return self.envelopes.open(key, text) if self.envelopes and text else text

    def _entry(self, write: Write) -> list[object] | None:
        """Where a document is listed: a session in the list, an execution in the set of its session."""
        if write.list_row:
            return [write.list_row.index, *self._row(write.list_row)]
        return [write.part_of, write.key, 0, ""] if write.part_of else None

    def _row(self, entry: ListRow) -> list[object]:
        closed = self.envelopes.close_note(entry.member, entry.note) if self.envelopes and entry.note else entry.note
        return [entry.member, entry.saved_at, closed]

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of the list, newest first; empty on a mirror, which cannot list."""
        return (await self.index.page(index, before, limit)).entries

    def session_key(self, session_id: str) -> str:
        """The key of a session."""
        return self._keys.session(session_id)

    async def status(self) -> JSONObject:
        """What Redis says of itself, as far as the child can ask.

        Raises:
            StashUnavailable: it does not answer.

        """
        deadline = self.deadline()
        await self.ready(deadline)
        if self.has("coaia_status"):
            return await self.call("coaia_status", {}, deadline)
        await self._mirror_store.fetch(self._keys.index, deadline)
        return {}


def _seen(write: Write) -> tuple[str, str]:
    """The document, and the tombstone, that a writer saw: one of them at most."""
    seen = write.seen or ""
    return ("", seen) if seen and tombstone_of(seen) else (seen, "")

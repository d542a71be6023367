"""`import`: adds what this program, Claude, ChatGPT or Claude Code exported, or a list of turns, to what is kept.

Where a session of our own export is not there yet, it becomes what it was; where something else is there, that is
reported. Of a conversation from elsewhere that is there, only new turns are added, at the end. In both, what looks like
a credential is replaced (`FLYWHEEL_SECRETS=off` takes all as it is). What was written is read again and compared.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.cli.importers import (
    BadEntry,
    Imported,
    JsonEntry,
    Source,
    Stream,
    exported,
    read,
    recognise,
    sources,
)
from agentic_flywheel.cli.importers.files import MAX_UNPACKED_BYTES
from agentic_flywheel.cli.terminal import counted, interruptible, progress, reach, run, tell
from agentic_flywheel.documents.model import Document, Tombstone, iso
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import FlywheelError, InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject, canonical, check_json, dumps
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.redaction.documents import redacted_document
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

COPIED_AT_ONCE = 2**20
"""Bytes of standard input."""

ENTRY_OF_SESSIONS = 4
"""How many times what a session may be an entry of a file may be: it is written less tersely."""

Outcome = Literal["new", "more", "same", "bad"]


@dataclass(frozen=True, slots=True)
class _Ours:
    """A line of our own export."""

    line: int
    document: Document


def import_from(settings: Settings, source: str) -> int:
    """Take in every conversation of a file, a folder or an archive, or of standard input for `-`.

    0 if all came in or was there, 1 if not all, 2 if nothing could be read at all.
    """
    return run(_from_standard_input(settings) if source == "-" else _import(settings, Path(source)))


async def _from_standard_input(settings: Settings) -> int:
    # A file of its own, because what it is is seen by its beginning, and an archive is read from its end. It has no
    # name, so that nothing of it is left however this ends.
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  it is, where whoever started us closed it
        raise InvalidArgument("standard input is closed: name a file.")
    with tempfile.TemporaryFile() as file:
        with interruptible():
            _copy(sys.stdin.buffer, file)
        return await _import(settings, Stream(file, "standard input"))


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    copied = 0
    while chunk := source.read(COPIED_AT_ONCE):
        copied += len(chunk)
        if copied > MAX_UNPACKED_BYTES:
            raise InvalidArgument("standard input is longer than 4 GB. If it is no mistake, name it as a file.")
        target.write(chunk)


async def _import(settings: Settings, given: Path | Stream) -> int:
    limit = ENTRY_OF_SESSIONS * settings.max_session_bytes
    with sources(given) as found:
        for link in found.links:
            tell(f"{link} is a link, and is left. To take it in, name what it leads to.")
        for source in found.files:
            recognise(source, limit)  # what is not there or cannot be read ends the command before anything is written
        # Reading all twice costs little beside the writing; it is done only for somebody who watches.
        total = sum(1 for source in found.files for _ in _entries(source, limit)) if sys.stderr.isatty() else 0
        outcomes = Counter[Outcome]()
        sessions, _ = open_store(settings)
        async with sessions:
            importer = _Importer(sessions, Credentials(settings.secrets), shared=await reach(sessions))
            for source in found.files:
                for each in _entries(source, limit):
                    try:
                        outcome, message = await importer.add(each)
                    except FlywheelError as exc:
                        outcome, message = "bad", f"is not taken in: {exc}"
                    outcomes[outcome] += 1
                    if message:
                        tell(f"{source}, line {each.line}: {message.rstrip('.')}.")
                    progress(outcomes.total(), total)
    more = f", added to {counted(outcomes['more'])}" if outcomes["more"] else ""
    rest = f"{outcomes['same']} were there already, {outcomes['bad']} could not be taken in."
    tell(f"Took in {counted(outcomes['new'])}{more}; {rest}")
    return 1 if outcomes["bad"] else 0


def _entries(source: Source, limit: int) -> Iterator[_Ours | Imported | BadEntry]:
    if recognise(source, limit) != "flywheel":
        yield from read(source, limit=limit)
        return
    for entry in exported(source, limit):
        yield _ours(entry) if isinstance(entry, JsonEntry) else entry


def _ours(entry: JsonEntry) -> _Ours | BadEntry:
    try:
        check_json(entry.value, "the document")
        document = decode(dumps(entry.value), str(entry.value.get("id") or ""))
    except FlywheelError as exc:
        return BadEntry(entry.line, f"is no session: {exc}")
    return _Ours(entry.line, document) if isinstance(document, Document) else BadEntry(entry.line, "is a deleted one")


_WHY_NOT = {
    "another": "there is another session {!r} here; it stays as it is",
    "deleted": "session {!r} was deleted here, and stays so",
    "expired": "session {!r} has expired",
}


class _Importer:
    """Adds conversations to a store, one at a time; says what became of each, and what there is to tell of it."""

    def __init__(self, sessions: SessionStore, credentials: Credentials, *, shared: bool) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._shared = shared

    async def add(self, each: _Ours | Imported | BadEntry) -> tuple[Outcome, str]:
        """Add one.

        Raises:
            FlywheelError: it cannot be kept, or something else is there under its id.

        """
        if isinstance(each, BadEntry):
            return "bad", each.reason
        session_id = each.document.session.id if isinstance(each, _Ours) else each.session_id
        await check_ids(self._credentials, self._sessions, session_id)
        return await self._put(each.document) if isinstance(each, _Ours) else await self._merge(each)

    async def _put(self, document: Document) -> tuple[Outcome, str]:
        session_id = document.session.id
        clean, findings = redacted_document(self._credentials, document)
        outcome = await self._sessions.put(clean)
        there, _ = await self._sessions.load(session_id) if outcome == "another" and findings else (None, None)
        as_exported = isinstance(there, Document) and replace(there, kept_until=document.kept_until) == document
        if outcome == "same" or as_exported:  # it may be there with its credentials, as it was exported
            return "same", ""
        if outcome != "put":
            raise InvalidArgument(_WHY_NOT[outcome].format(session_id))
        stored, _ = await self._sessions.load(session_id)
        if stored != clean:
            raise InvalidArgument(_reads_otherwise(session_id))
        return "new", self._credentials.report(findings)[1]

    async def _merge(self, conversation: Imported) -> tuple[Outcome, str]:
        sent = {
            "title": conversation.title,
            "summary": conversation.summary,
            "history": conversation.history,
            "context": conversation.context,
        }
        clean, findings = self._credentials.redact(sent)
        history: list[JSONObject] = clean["history"]
        stored = await self._stored(conversation.session_id)
        if isinstance(stored, Tombstone) and stored.because == "deleted":
            raise InvalidArgument(_WHY_NOT["deleted"].format(conversation.session_id))
        if isinstance(stored, Document):
            history = _missing(stored.session, history)
            if not history:
                return "same", ""
            # Only turns: a title or a summary may have been changed here since.
            save = Save(session_id=conversation.session_id, history=history, expected_revision=stored.revision)
        else:
            times = {"created_at": iso(conversation.created_at), "updated_at": iso(conversation.updated_at)}
            values = {name: time for name, time in times.items() if time}
            tags = list(conversation.tags)
            save = Save(session_id=conversation.session_id, history=history, tags=tags, values=values,
                        title=clean["title"], summary=clean["summary"], context=clean["context"])  # fmt: skip
        saved = await self._sessions.save(save, CallerViews())
        if not saved.saved:
            raise InvalidArgument(saved.message or f"it was not saved: {saved.reason}")
        after, _ = await self._sessions.load(conversation.session_id)
        if not isinstance(after, Document) or _missing(after.session, clean["history"]):
            raise InvalidArgument(_reads_otherwise(conversation.session_id))
        return "more" if isinstance(stored, Document) else "new", self._credentials.report(findings)[1]

    async def _stored(self, session_id: str) -> Document | Tombstone | None:
        """What is stored, as far as is known; what is saved while Redis is away is merged when it answers."""
        try:
            return (await self._sessions.load(session_id))[0]
        except Unavailable:
            if self._shared:
                raise
            return None


def _missing(session: UniversalSession, history: list[JSONObject]) -> list[JSONObject]:
    """The turns that the session does not have, or not as often; those with an id are told by it."""
    stored = Counter(map(_identity, session.history))
    missing: list[JSONObject] = []
    for turn in history:
        identity = _identity(turn)
        if stored[identity]:
            stored[identity] -= 1
        else:
            missing.append(turn)
    return missing


def _identity(turn: JSONObject) -> str:
    return f"id {canonical(turn['id'])}" if turn.get("id") else canonical(turn)


def _reads_otherwise(session_id: str) -> str:
    return f"session {session_id!r} reads otherwise than it was written"

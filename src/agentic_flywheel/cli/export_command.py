"""`export`: writes every session of a store as a line of JSON, the document as it is stored."""

import asyncio
import contextlib
import json
import os
import sys
from hashlib import blake2b
from pathlib import Path
from typing import IO

from agentic_flywheel.cli.sub_agents import sub_agents_of
from agentic_flywheel.cli.terminal import complain, counted, progress, reach, run, tell
from agentic_flywheel.cli.which_session import which
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.private_files import create, open_again
from agentic_flywheel.sessions.session_filter import EVERY_SESSION, MAX_PAGE
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

State = tuple[object, object]
"""Revision and time of the last save: what tells whether a line is still what is stored."""


def export(
    settings: Settings, target: str, session: str = "", *, with_sub_agents: bool = False, clear: bool = False
) -> int:
    """Write every session, or one alone, to a file, or to standard output for `-`; 0 if all could be read.

    Each line is sealed where the store is, unless it shall be `clear`.

    Until it is whole, a file has `.part` behind its name; an export to it that was interrupted is continued.
    """
    path = None if target == "-" else Path(target)
    if path and path.is_dir():
        complain(f"{path} is a folder; name a file in it.")
        return 2
    if path and not _may_replace(path):
        complain(f"{path} is there, and is no export of this program. Name another file.")
        return 2
    if with_sub_agents and not session:
        complain("--with-sub-agents goes with --session; without it every session is exported.")
        return 2
    envelopes = Envelopes(settings.seal) if settings.seal and not clear else None
    return run(_export(settings, path, session, envelopes, with_sub_agents=with_sub_agents))


async def _export(
    settings: Settings, target: Path | None, session: str, envelopes: Envelopes | None, *, with_sub_agents: bool
) -> int:
    sessions, _ = open_store(settings)
    async with sessions:
        export = _Export(sessions, envelopes, shared=await reach(sessions))
        if session:
            if (session_id := await which(sessions, session)) is None:
                return 1
            export.only = {session_id, *(await sub_agents_of(sessions, session_id) if with_sub_agents else ())}
        try:
            if target is None:
                await export.write(sys.stdout.buffer)
            else:
                await export.write_file(target.with_name(f"{target.name}.part"))
        except (Unavailable, asyncio.CancelledError):
            if target:
                tell(f"What was written is in {target}.part: run the same again to go on.")
            raise
    partial = sessions.repository.stash is not None and not export.shared and not sessions.repository.stash.mirror
    why = "Redis cannot be reached" if partial else "" if export.written else "there is no session to export"
    if target and not _put_in_place(target, why):
        complain(f"{target} stays as it was: {why}.")
        return 1
    whose = f" of {settings.user} (FLYWHEEL_USER)" if settings.user else ""
    where = f" to {target}" if target else ""
    tell(f"Exported {counted(len(export.written))}{whose}{where}; {export.failed} could not be read.")
    return 1 if export.failed or partial else 0


class _Export:
    """One export: what it has written so far, as the hash of each session's line, and how many it could not read.

    `only`: the sessions that it is of; `None`: all.
    """

    def __init__(self, sessions: SessionStore, envelopes: Envelopes | None, *, shared: bool) -> None:
        self.written: dict[str, bytes] = {}
        self.failed = 0
        self.only: set[str] | None = None
        self._sessions = sessions
        self._envelopes = envelopes
        self.shared = shared

    async def write_file(self, part: Path) -> None:
        """Write what `part` does not have yet, and read all of it again.

        Raises:
            InvalidArgument: what is there is no export that was begun, or not what was written.
            Unavailable: not all could be asked for.

        """
        self._go_on_with(part, await self._stored())
        with os.fdopen(open_again(part, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
            await self.write(file)
            os.fsync(file.fileno())
        if _read_again(part) != list(self.written.values()):
            raise InvalidArgument(f"{part} does not hold what was written to it. Is the disk full or damaged?")

    async def write(self, file: IO[bytes]) -> None:
        """Write each session that is not written yet.

        Raises:
            Unavailable: not all could be asked for.

        """
        seen = set(self.written)
        # Listed again until nothing is new: what is saved meanwhile moves to a page that was listed before.
        while new := [each for each in await self._stored() if each not in seen]:
            total = len(seen) + len(new)
            for session_id in new:
                seen.add(session_id)
                await self._write_one(session_id, file)
                progress(len(seen), total)

    async def _write_one(self, session_id: str, file: IO[bytes]) -> None:
        try:
            document, found = await self._sessions.load(session_id)
        except DocumentError as exc:
            self.failed += 1
            tell(f"{session_id}: {exc}")
            return
        if self.shared and found.stale:
            raise Unavailable("Redis stopped answering before all sessions were written.")
        if isinstance(document, Document):  # it may be gone since it was listed
            text = encode(document)
            line = (self._envelopes.close_line(text) if self._envelopes else text).encode() + b"\n"
            file.write(line)
            file.flush()  # so that an export that goes on finds it
            self.written[session_id] = _hash(line)

    async def _stored(self) -> dict[str, State]:
        """Every session there is now."""
        found: dict[str, State] = {}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._sessions.list_sessions(EVERY_SESSION, MAX_PAGE, cursor)
            if self.shared and page.scope != "shared":
                raise Unavailable("Redis stopped answering before all sessions were written.")
            if page.message and self._sessions.repository.stash is None:
                raise Unavailable(page.message)
            found |= {str(row["id"]): (row.get("revision"), row.get("updated_at")) for row in page.sessions}
            cursor = page.next_cursor
        return found if self.only is None else {each: found[each] for each in found.keys() & self.only}

    def _go_on_with(self, part: Path, stored: dict[str, State]) -> None:
        """Keep the lines that are what is stored now; one that was cut, or saved again or deleted since, goes."""
        sieved = part.with_name(f"{part.name}-sieved")
        sieved.unlink(missing_ok=True)  # of an export that was killed, or a link
        with contextlib.suppress(FileNotFoundError), os.fdopen(open_again(part, os.O_RDONLY), "rb") as file:
            try:
                with os.fdopen(create(sieved), "wb") as kept:
                    for raw in file:
                        if not raw.endswith(b"\n"):
                            break
                        session_id, state = _state_in(raw, part)
                        if stored.get(session_id) == state:
                            kept.write(raw)
                            self.written[session_id] = _hash(raw)
            except BaseException:
                sieved.unlink(missing_ok=True)
                raise
            sieved.replace(part)


def _put_in_place(target: Path, lacking: str) -> bool:
    """Give an export its name, unless it is `lacking` something and there is an earlier one; whether that was done."""
    part = target.with_name(f"{target.name}.part")
    if lacking and target.exists():
        part.unlink(missing_ok=True)
        return False
    part.replace(target)
    return True


def _may_replace(path: Path) -> bool:
    """Whether nothing of worth is there: nothing, a link (what it leads to stays), or an earlier export."""
    if path.is_symlink():
        return True
    try:
        with path.open("rb") as file:
            first = file.readline()
        return not first or bool(_state_in(first, path))
    except FileNotFoundError:
        return True
    except (OSError, InvalidArgument):
        return not path.is_file()  # what cannot be opened is said when it is


def _state_in(raw: bytes, part: Path) -> tuple[str, State]:
    try:
        value = json.loads(raw)
        return value["id"], (value["revision"], value["saved_at"])
    except (ValueError, KeyError, TypeError):
        raise InvalidArgument(f"{part} is no export that was begun. Move it out of the way.") from None


def _read_again(part: Path) -> list[bytes]:
    with os.fdopen(open_again(part, os.O_RDONLY), "rb") as file:
        return [_hash(raw) for raw in file]


def _hash(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()

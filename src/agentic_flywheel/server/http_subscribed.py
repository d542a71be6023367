"""Keeps what clients of the protocol's sessions subscribed to, for whichever process serves their stream next.

With Redis that is a text under `<prefix>:subscribed:<digest of the session's id>`, and one under `<prefix>:subscribed`
that is another one whenever one of them changed; without, a file in `subscribed/` of the data folder.
"""

import json
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write, revision_at_head
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import dumps
from agentic_flywheel.keys import Keys
from agentic_flywheel.private_files import changing, put, read_secret

KEPT = timedelta(days=30)
"""How long it is known after it changed last."""

FOLDER = "subscribed"
"""In the data folder, where there is no Redis."""

LARGEST = 65_536
"""Characters of what is kept of one session; what goes beyond holds at the process that was asked alone."""

TRIES = 5
"""How often a change is made again on what another process wrote in between."""


class SubscriptionRecords:
    """What the sessions of one namespace subscribed to: URIs, and an empty text for the list of resources."""

    def __init__(self, stash: Stash | None, keys: Keys, data_dir: Path | None) -> None:
        self._stash, self._keys = stash, keys
        self._folder = data_dir / FOLDER if data_dir and not stash else None
        self._seen: str | None = None

    async def of(self, session_id: str) -> frozenset[str] | None:
        """What is kept of a session; `None`: that is not known."""
        key = self._keys.subscribed(session_id)
        try:
            if self._stash:
                return _uris_in(await self._stash.read(key))
            return await in_thread(self._in_file, key)
        except (FlywheelError, OSError):
            return None

    async def change(self, session_id: str, add: Collection[str] = (), remove: Collection[str] = ()) -> bool:
        """Add to it and take out of it; whether that is kept."""
        key = self._keys.subscribed(session_id)
        try:
            if self._stash:
                return await self._change_shared(self._stash, key, add, remove)
            if self._folder:
                return await in_thread(self._change_file, self._folder, key, add, remove)
        except (FlywheelError, OSError):  # the session goes on, at this process
            pass
        return False

    async def forget(self, session_id: str) -> None:
        """Drop what is kept of a session that its client ended."""
        key = self._keys.subscribed(session_id)
        with suppress(FlywheelError, OSError):
            if self._stash:
                await self._stash.drop(key, self._stash.deadline())
            elif self._folder:
                await in_thread(_file_of(self._folder, key).unlink, missing_ok=True)

    async def has_news(self) -> bool:
        """Whether one of them changed since this was last asked."""
        if self._stash is None:
            return False
        with suppress(FlywheelError):
            before, self._seen = self._seen, await self._stash.read(self._keys.subscribed())
            return self._seen != before
        return False

    async def _change_shared(self, stash: Stash, key: str, add: Collection[str], remove: Collection[str]) -> bool:
        until = datetime.now(UTC) + KEPT
        for _ in range(TRIES):
            before = await stash.read(key)
            if (text := _changed(before, key, add, remove)) is None:
                return True
            if len(text) > LARGEST:
                return False
            if (await stash.commit(Write(key, text, before, until))).accepted:
                marker = self._keys.subscribed()
                await stash.keep(Write(marker, _text(marker, 1, ()), None, until), stash.deadline())
                return True
        return False

    def _in_file(self, key: str) -> frozenset[str]:
        if self._folder is None:
            return frozenset()
        try:
            return _uris_in(read_secret(_file_of(self._folder, key), LARGEST * 4).decode(errors="replace"))
        except FileNotFoundError:
            return frozenset()

    def _change_file(self, folder: Path, key: str, add: Collection[str], remove: Collection[str]) -> bool:
        with changing(folder):
            path = _file_of(folder, key)
            before = read_secret(path, LARGEST * 4).decode(errors="replace") if path.exists() else None
            text = _changed(before, key, add, remove)
            if text is not None and len(text) <= LARGEST:
                put(path, text.encode())
            oldest = time.time() - KEPT.total_seconds()
            for old in [each for each in folder.iterdir() if each.stat().st_mtime < oldest]:
                old.unlink(missing_ok=True)
            return text is None or len(text) <= LARGEST


def _file_of(folder: Path, key: str) -> Path:
    return folder / f"{key.rpartition(':')[2]}.json"


def _changed(before: str | None, key: str, add: Collection[str], remove: Collection[str]) -> str | None:
    """The text that takes the place of that one; `None` if it says that already."""
    uris = _uris_in(before)
    if (wanted := (uris | set(add)) - set(remove)) == uris:
        return None
    return _text(key, revision_at_head(before) + 1 if before else 1, wanted)


def _text(key: str, revision: int, uris: Collection[str]) -> str:
    written = secrets.token_hex(16)  # of two writes at once, each is told from the other
    return dumps({"schema_version": 1, "id": key, "revision": revision, "uris": sorted(uris), "write": written})


def _uris_in(text: str | None) -> frozenset[str]:
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        if text:
            return frozenset(each for each in json.loads(text)["uris"] if isinstance(each, str))
    return frozenset()

"""Keeps the transcripts of programs built on the Claude Agent SDK: a `SessionStore` for `ClaudeAgentOptions`.

    async with FlywheelStore(project_key="farm") as store:
        options = ClaudeAgentOptions(session_store=store, resume=session_id)

Each entry of a transcript is kept as it came, in a log beside a session in which the talk can be read, searched and
resumed by every other door: what the person said, what was answered, what tools were called and what they gave. The
session is `claude-agent:<project>:<session>`. A sub-agent's transcript is kept beside the session that asked for it.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from claude_agent_sdk import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
    fold_session_summary,
)

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict, InvalidArgument, TooLarge
from agentic_flywheel.integrations.adapter import AdapterBase
from agentic_flywheel.integrations.claude_agent_turns import title_in, turn_of
from agentic_flywheel.json_text import JSONObject, check_json
from agentic_flywheel.keys import escaped, glob_escape
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.settings import Settings

logger = logging.getLogger(__name__)

_ENTRIES, _SUBPATHS, _SUMMARY = "entries", "subpaths", "summary"
"""The logs and the document beside a session."""

LONGEST_PROJECT = 256
"""Characters of a project's key that stand in an id as they are; a longer one is told by a digest."""

REMEMBERED = 1000
"""Sessions of which the turns that they have are remembered."""

SIDE_BY_SIDE = 32
"""Summaries read at a time."""

FOLDED_AGAIN = 20
"""How often a summary is folded again because others wrote it meanwhile."""


class FlywheelStore(AdapterBase, SessionStore):
    """A `SessionStore` with every optional method.

    Entries come back equal to what was given. With `redact=True` what looks like a credential in them is replaced
    before they are kept, and so they do not: a talk that goes on from them goes on without it.
    """

    def __init__(
        self,
        *,
        project_key: str | None = None,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        """`project_key`: the project of all its sessions. By default the SDK names it after the working folder, so
        that the same project in another folder or on another machine is another one.
        """  # noqa: D205  one sentence, too long for a line
        super().__init__(
            settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        self._project_key = project_key
        self._turns: OrderedDict[str, set[str]] = OrderedDict()
        """The ids of the turns that are in a session."""
        self._unsure: dict[tuple[str, str], tuple[str, list[str]]] = {}
        """The batch of a log whose outcome is not known, with the ids that its entries have: it may come again."""

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Keep entries behind those that are there; one whose `uuid` is there is left out.

        Raises:
            FlywheelError: not all of them are kept; to append the same again does no harm.

        """
        if not entries:
            return
        given = cast("list[JSONObject]", entries)
        given = (await self.without_credentials("append", entries=given))["entries"]
        session_id, log, stores = self._session_id(key), _log(key), await self.stores()
        async with stores.turns.of(session_id):
            if subpath := key.get("subpath"):
                await self._begin(session_id, key)
                await stores.attached.append(session_id, _SUBPATHS, [{"id": subpath}])
            else:
                await self._save_turns(session_id, key, given)
            records = self._records(session_id, log, given)
            await stores.attached.append(session_id, log, records)
            self._unsure.pop((session_id, log), None)
            if not key.get("subpath"):
                await self._fold(session_id, key, cast("list[SessionStoreEntry]", given))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """The entries of a transcript, in order; `None` if there are none."""
        stores = await self.stores()
        records = await stores.attached.read(self._session_id(key), _log(key))
        return [_entry(record) for record in records] or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """The sessions of a project, with when each was last written (milliseconds since 1970).

        One that has what a sub-agent wrote and no transcript of its own is none yet.
        """
        stores, beginning, cursor = await self.stores(), self._beginning(project_key), ""
        found: list[SessionStoreListEntry] = []
        while True:
            wanted = SessionFilter(glob_escape(beginning) + "*", each=True)
            page = await stores.sessions.list_sessions(wanted, limit=1000, cursor=cursor)
            for row in page.sessions:
                if row["turns"] or await stores.attached.read(row["id"], _ENTRIES, 1):
                    found.append({"session_id": row["id"][len(beginning) :], "mtime": _mtime(row)})  # noqa: PERF401  typed
            if not page.next_cursor:
                return found
            cursor = page.next_cursor

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """What the SDK's fold made of each session of a project."""
        attached, limiter = (await self.stores()).attached, asyncio.Semaphore(SIDE_BY_SIDE)

        async def summary(session_id: str) -> SessionSummaryEntry | None:
            async with limiter:
                found = await attached.get(self._beginning(project_key) + session_id, _SUMMARY, _SUMMARY)
            return cast("SessionSummaryEntry", _entry(found.value)) if found else None

        sessions = await self.list_sessions(project_key)
        found = await asyncio.gather(*(summary(each["session_id"]) for each in sessions))
        return [each for each in found if each]

    async def delete(self, key: SessionKey) -> None:
        """Delete a session with what sub-agents wrote, or with a `subpath` that alone; nothing if it is not there."""
        session_id, attached = self._session_id(key), (await self.stores()).attached
        subpath = key.get("subpath")
        if not subpath:
            self._turns.pop(session_id, None)
            await self.delete_session(session_id)
            return
        await attached.clear(session_id, _log(key))
        left = [each for each in await attached.read(session_id, _SUBPATHS) if each["id"] != subpath]
        await attached.rewrite(session_id, _SUBPATHS, left)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The paths of what sub-agents wrote in a session."""
        found = await (await self.stores()).attached.read(self._session_id(key), _SUBPATHS)
        return [each["id"] for each in found]

    async def _begin(self, session_id: str, key: SessionKey) -> None:
        """Begin the session of a sub-agent's transcript; one that is there keeps its time, which its summary has."""
        if session_id not in self._turns and await self.read_session(session_id) is None:
            await self._save_turns(session_id, key, [])

    async def _save_turns(self, session_id: str, key: SessionKey, entries: Sequence[JSONObject]) -> None:
        """Add what is said in these entries to the readable session, and show that it was written."""
        known = await self._known_turns(session_id)
        turns = [turn for entry in entries if (turn := turn_of(entry)) and turn["id"] not in known]
        cwd = next((entry["cwd"] for entry in reversed(entries) if isinstance(entry.get("cwd"), str)), None)
        context = {"program": "claude-agent-sdk", "project": self._project(key["project_key"])}
        save = Save(
            session_id=session_id,
            history=turns,
            as_sent=True,
            title=title_in(entries),
            context=context | ({"cwd": cwd} if cwd else {}),
        )
        try:
            await self.save_session(save)
        except TooLarge as exc:
            logger.warning("The session can no longer be read whole, and its transcript goes on: %s", exc)
        except BaseException:
            self._turns.pop(session_id, None)  # what came of it is looked up
            raise
        known |= {turn["id"] for turn in turns}

    async def _known_turns(self, session_id: str) -> set[str]:
        if (known := self._turns.get(session_id)) is None:
            document = await self.read_session(session_id)
            known = {str(turn.get("id")) for turn in document.session.history} if document else set[str]()
            self._turns[session_id] = known
            if len(self._turns) > REMEMBERED:
                self._turns.popitem(last=False)
        self._turns.move_to_end(session_id)
        return known

    def _records(self, session_id: str, log: str, entries: Sequence[JSONObject]) -> list[JSONObject]:
        """The entries as the log keeps them; a batch that may be there already has the ids that it had before."""
        mark = hashlib.blake2b(json.dumps(entries, sort_keys=True).encode(), digest_size=16).hexdigest()
        before, ids = self._unsure.get((session_id, log), ("", list[str]()))
        if before != mark:
            ids = [str(entry.get("uuid") or uuid4()) for entry in entries]
            self._unsure[session_id, log] = mark, ids
        return [_record(own, entry) for own, entry in zip(ids, entries, strict=True)]

    async def _fold(self, session_id: str, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Fold the entries into the summary of their session."""
        attached = (await self.stores()).attached
        for _ in range(FOLDED_AGAIN):
            before = await attached.get(session_id, _SUMMARY, _SUMMARY)
            known = cast("SessionSummaryEntry", _entry(before.value)) if before else None
            folded = fold_session_summary(known, key, entries)
            folded["mtime"] = time.time_ns() // 1_000_000
            value, revision = _record(_SUMMARY, cast("JSONObject", folded)), before.revision if before else 0
            try:
                await attached.put(session_id, _SUMMARY, _SUMMARY, value, expected_revision=revision)
            except Conflict:
                continue
            return
        logger.info("The summary of a session is written by so many that it is left as it is; the SDK makes another.")

    def _project(self, project_key: str) -> str:
        return project_key if self._project_key is None else self._project_key

    def _beginning(self, project_key: str) -> str:
        """What the ids of a project's sessions begin with."""
        project = escaped(self._project(project_key))
        if len(project) > LONGEST_PROJECT:
            project = "%" + hashlib.blake2b(project.encode(), digest_size=16).hexdigest()
        return f"claude-agent:{project}:"

    def _session_id(self, key: Mapping[str, Any]) -> str:
        return self._beginning(key["project_key"]) + key["session_id"]


def _log(key: SessionKey) -> str:
    """The log of a transcript."""
    subpath = key.get("subpath")
    return f"{_ENTRIES}.{hashlib.blake2b(subpath.encode(), digest_size=16).hexdigest()}" if subpath else _ENTRIES


def _record(own: str, entry: JSONObject) -> JSONObject:
    """An entry as the log keeps it: as text, where it has what is not in every JSON, as halves of characters are."""
    try:
        check_json(entry, "entry")
    except InvalidArgument:
        return {"id": own, "text": json.dumps(entry)}
    return {"id": own, "entry": entry}


def _entry(record: JSONObject) -> SessionStoreEntry:
    return json.loads(record["text"]) if "text" in record else record["entry"]


def _mtime(row: JSONObject) -> int:
    return int(datetime.fromisoformat(row["updated_at"]).timestamp() * 1000)

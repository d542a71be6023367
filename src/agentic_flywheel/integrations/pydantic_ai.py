"""Keeps the conversations of Pydantic AI programs: a `ConversationStore`.

    async with FlywheelConversationStore() as store:
        conversation = await store.load("farm") or Conversation(conversation_id="farm")
        result = await agent.run("When do we harvest?", conversation=conversation)
        await store.save(result)

A conversation is the session of its id. The messages of its current branch are the turns, each as Pydantic AI gives it,
with the id of its entry; its record stands in the same document, so that both are written together or not at all. The
messages of branches that it left are kept beside it. A fork has its own copies. All of it goes when it is deleted.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict
from agentic_flywheel.integrations.adapter import AdapterBase, settings_of, tagged
from agentic_flywheel.integrations.pydantic_ai_messages import (
    FIELD,
    Kept,
    dump_record,
    entry_of,
    kept_in,
    left_record,
    turn_of,
)
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.settings import Settings

TAG = "pydantic-ai"
"""What tells its sessions from others."""

_LEFT = "left-messages"
"""The log of the messages that are on no current branch."""

REMEMBERED = 10_000
"""Entries of which it is remembered whose they are."""

SIDE_BY_SIDE = 16
"""Conversations read at a time."""

WRITTEN_AGAIN = 20
"""How often a record is written again because another door changed its session meanwhile."""


class FlywheelConversationStore(AdapterBase, ConversationStore):
    """A `ConversationStore`; the scope of a conversation is its session's `user_id` too.

    With `redact=True` messages are kept without what looks like a credential, and come back so.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        given = settings_of(settings, key_prefix, redis_url, ttl_seconds)
        self._user = given.user
        """Whose a conversation without a scope is. It narrows no list: those of every scope are asked for."""
        super().__init__(settings=given if given.user_only else replace(given, user=""), redact=redact)
        self._owners: OrderedDict[str, str] = OrderedDict()
        """The conversation in which an entry is, by its id."""
        self._just_read: OrderedDict[str, Kept] = OrderedDict()
        """Conversations whose record was read, for the history that is asked for next."""

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a conversation; `None` if there is none."""
        kept = await self._kept(conversation_id)
        if kept is None:
            return None
        self._remember(conversation_id, [*filter(None, [kept.record.head_id, *kept.record.branches])])
        self._just_read[conversation_id] = kept
        if len(self._just_read) > SIDE_BY_SIDE:
            self._just_read.popitem(last=False)
        return kept.record

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The records, or those of a scope, the newest first."""
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)

        async def record(conversation_id: str) -> ConversationRecord | None:
            async with limiter:
                kept = await self._kept(conversation_id)
            return kept.record if kept else None

        found = await asyncio.gather(*map(record, await self._conversations()))
        wanted = [each for each in found if each and (scope is None or each.scope == scope)]
        return sorted(wanted, key=lambda each: each.updated_at, reverse=True)[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Keep a record with its new entries, or neither.

        Raises:
            ConversationConflict: another revision is stored, or the head is no entry that is known.
            FlywheelError: it is not kept.

        """
        new = {entry.id: entry for entry in new_entries}
        for _ in range(WRITTEN_AGAIN):
            kept = await self._kept(record.conversation_id)
            if (kept.record.revision if kept else None) != expected_revision:
                break
            try:
                await self._write(record, new, kept)
            except LookupError:
                break
            except Conflict:  # somebody saved the session: it is looked up whether that was this conversation
                continue
            self._remember(record.conversation_id, [*new])
            return
        raise ConversationConflict(record.conversation_id)

    async def _write(self, record: ConversationRecord, new: Mapping[str, ConversationEntry], kept: Kept | None) -> None:
        """Write a record on top of what is kept.

        Raises:
            Conflict: something else is kept.
            LookupError: an entry of its history is not known.

        """
        there = [*kept.turns] if kept else []
        line = await self._line(record.head_id, record.conversation_id, there, new)
        ids = {str(turn["id"]) for turn in line}
        beside = [left_record(turn, parent) for turn, parent in _with_parents(there) if turn["id"] not in ids]
        beside += [left_record(turn_of(entry), entry.parent_id) for own, entry in new.items() if own not in ids]
        if beside:
            beside = (await self.without_credentials("write_record", records=beside))["records"]
            await (await self.stores()).attached.append(record.conversation_id, _LEFT, beside)
        goes_on = [turn["id"] for turn in there] == [turn["id"] for turn in line[: len(there)]]
        user = "" if self.settings.user_only else record.scope or ("" if kept else self._user)
        save = Save(
            session_id=record.conversation_id,
            history=line[len(there) :] if goes_on else line,
            mode="append" if goes_on else "replace",
            context=kept.context if kept and not goes_on else None,
            session_only=True,
            expected_revision=kept.revision if kept else 0,
            tags=tagged(kept.tags if kept else (), TAG),
            values={"user_id": user} if user else {},
            extra={FIELD: dump_record(record)},
        )
        await self.save_session(save)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation with all its messages; a fork has its own.

        Raises:
            ConversationConflict: another revision of it is stored, or none.
            FlywheelError: it may still be there.

        """
        kept = await self._kept(conversation_id)
        if kept is None or kept.record.revision != expected_revision:
            raise ConversationConflict(conversation_id)
        self._just_read.pop(conversation_id, None)
        await self.delete_session(conversation_id)

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id`, the oldest first, or the last `limit` of them.

        Raises:
            LookupError: one of them is not known.

        """
        if head_id is None:
            return []
        owner = self._owners.get(head_id, "")
        kept = self._just_read.pop(owner, None) or await self._kept(owner)
        line = [*_with_parents(await self._line(head_id, owner, kept.turns if kept else [], {}))]
        wanted = line if limit is None else line[len(line) - min(limit, len(line)) :]
        return [entry_of(turn, parent) for turn, parent in wanted]

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry of an id. Where this process has not met it, all conversations are looked through.

        Raises:
            LookupError: there is none.

        """
        owner, kept = await self._owner(entry_id)
        for turn, parent in _with_parents(kept.turns):
            if turn["id"] == entry_id:
                return entry_of(turn, parent)
        left = (await self._left(owner))[entry_id]
        return entry_of(left["turn"], left["parent"])

    async def _line(
        self, head_id: str | None, owner: str, there: Sequence[JSONObject], new: Mapping[str, ConversationEntry]
    ) -> list[JSONObject]:
        """The turns from the first one up to `head_id`, of those that are `there` in a conversation, and of others.

        Raises:
            LookupError: one of them is not known.

        """
        places = {turn["id"]: place for place, turn in enumerate(there)}
        behind: list[JSONObject] = []
        left: dict[str, JSONObject] | None = None
        while head_id is not None:
            if head_id in places:
                return [*there[: places[head_id] + 1], *reversed(behind)]
            if head_id in new:
                behind.append(turn_of(new[head_id]))
                head_id = new[head_id].parent_id
                continue
            left = await self._left(owner) if left is None else left
            if head_id not in left:  # a fork begins with what another conversation has
                other, kept = await self._owner(head_id, but=owner)
                return [*await self._line(head_id, other, kept.turns, {}), *reversed(behind)]
            behind.append(left[head_id]["turn"])
            head_id = left[head_id]["parent"]
        return behind[::-1]

    async def _owner(self, entry_id: str, but: str = "") -> tuple[str, Kept]:
        """A conversation that has an entry, other than one of them, and what is kept of it.

        Raises:
            LookupError: none has it.

        """
        first = self._owners.get(entry_id, "")
        for conversation_id in (first, *(await self._conversations() if first in ("", but) else ())):
            if not conversation_id or conversation_id == but or (kept := await self._kept(conversation_id)) is None:
                continue
            if entry_id in {turn["id"] for turn in kept.turns} or entry_id in await self._left(conversation_id):
                self._remember(conversation_id, [entry_id])
                return conversation_id, kept
        raise LookupError(entry_id)

    async def _kept(self, conversation_id: str) -> Kept | None:
        document = await self.read_session(conversation_id) if conversation_id else None
        return kept_in(document) if document else None

    async def _left(self, conversation_id: str) -> dict[str, JSONObject]:
        """The messages beside a conversation, by the ids of their entries."""
        if not conversation_id:
            return {}
        records = await (await self.stores()).attached.read(conversation_id, _LEFT)
        return {record["id"]: record for record in records}

    async def _conversations(self) -> list[str]:
        """The ids of all conversations, those saved last first."""
        sessions, cursor, found = (await self.stores()).sessions, "", list[str]()
        while True:
            page = await sessions.list_sessions(SessionFilter(tags=[TAG], each=True), limit=1000, cursor=cursor)
            found += [row["id"] for row in page.sessions]
            if not page.next_cursor:
                return found
            cursor = page.next_cursor

    def _remember(self, conversation_id: str, entries: Iterable[str]) -> None:
        for entry_id in entries:
            self._owners[entry_id] = conversation_id
            self._owners.move_to_end(entry_id)
        while len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)


def _with_parents(turns: Sequence[JSONObject]) -> Iterable[tuple[JSONObject, str | None]]:
    """Turns with the id of the one before each."""
    return zip(turns, [None, *(turn["id"] for turn in turns)], strict=False)

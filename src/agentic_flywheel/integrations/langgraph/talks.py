"""Keeps the messages of each thread readable as a session: listed, searched, resumed, restored and deleted as any.

The session is brought to the messages of the newest checkpoint: what is new is appended, what was changed or taken
away replaces. Its context names that checkpoint, in every revision, so that who goes back finds it there.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from agentic_flywheel.documents.renewal import ttl_of
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict, DocumentError, FlywheelError, Unavailable
from agentic_flywheel.integrations.adapter import Adapter, tagged
from agentic_flywheel.integrations.langgraph.messages import common, turn_of
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.history import save_fields

logger = logging.getLogger(__name__)

TAG = "langgraph"
"""What tells the sessions of threads from others: `list` and `delete_for_runs` look for threads by it."""

REMEMBERED = 64
"""Threads whose messages are remembered, to tell at once what is new."""

TRIES = 4
"""How often a session is brought up to date anew because others did meanwhile; the next checkpoint does too."""


@dataclass(slots=True)
class Talk:
    """What is known of a thread's session: its turns, or the messages of which they were made."""

    revision: int = 0
    ttl_seconds: int | None = None
    checkpoint_id: str = ""
    tags: Sequence[str] = ()
    turns: Sequence[object] = ()
    fields: JSONObject = field(default_factory=JSONObject)
    """What a replace keeps."""
    first: int = 0
    """How many turns stand before the thread's: the session was there when it began."""

    def is_of_others(self, messages: Sequence[object] | None) -> bool:
        """Whether it names no checkpoint and has nothing of these messages, as a revision from before the thread."""
        return bool(self.turns) and not self.checkpoint_id and bool(messages) and not common(self.turns, messages or ())


class Talks:
    """The sessions of the threads that an adapter keeps."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._known: OrderedDict[str, Talk] = OrderedDict()

    async def life(self, thread_id: str) -> int:
        """The time to live of a thread in seconds; 0: for ever."""
        try:
            known = self._known.get(thread_id) or await self._read(thread_id)
        except (DocumentError, Unavailable):  # who writes to the thread meets it again, or need not know
            return self._adapter.ttl_seconds
        return self._adapter.ttl_seconds if known.ttl_seconds is None else known.ttl_seconds

    def has(self, thread_id: str, checkpoint_id: str, messages: Sequence[object] | None) -> bool:
        """Whether the session is known to have these messages, or later ones, so that `keep` would save nothing."""
        known = self._known.get(thread_id)
        if known is None or not known.revision:
            return False
        if messages is None or known.checkpoint_id > checkpoint_id:
            return True
        if len(messages) != len(known.turns) or common(known.turns, messages) < len(messages):
            return False
        known.checkpoint_id = checkpoint_id
        return True

    def has_turns(self, thread_id: str) -> bool:
        """Whether the session is known to have turns."""
        known = self._known.get(thread_id)
        return known is not None and bool(known.turns)

    async def keep(
        self, thread_id: str, checkpoint_id: str, messages: Sequence[object] | None, *, begins: bool = False
    ) -> None:
        """Bring the session to these messages; `None`: to what it has, and begin it if there is none.

        `begins`: the thread does, so what the session has stays before them. What cannot be kept so is said in the log:
        the checkpoint has it, which is kept after this.
        """
        async with (await self._adapter.stores()).turns.of(thread_id):
            for _ in range(TRIES):
                try:
                    known = self._known.get(thread_id) or await self._read(thread_id)
                except (DocumentError, Unavailable) as exc:
                    logger.warning("The messages of thread %s were not kept as a session: %s", thread_id, exc)
                    return
                if begins or known.is_of_others(messages):
                    known = replace(known, first=known.first + len(known.turns), turns=())
                elif self.has(thread_id, checkpoint_id, messages):
                    return
                if await self._save(thread_id, checkpoint_id, known, messages):
                    return
            logger.info("Others bring the session of thread %s up to date.", thread_id)

    async def _save(self, thread_id: str, checkpoint_id: str, known: Talk, messages: Sequence[object] | None) -> bool:
        """Save what is new; `False` where somebody else saved meanwhile."""
        messages = [*messages] if messages is not None else [*known.turns]
        same = common(known.turns, messages)
        save = self._append(thread_id, checkpoint_id, known, messages[same:])
        if same < len(known.turns):
            read = await self._read(thread_id)
            if read.revision != known.revision:
                return False
            save = self._replace(thread_id, checkpoint_id, read, messages)
        save = save.model_copy(update={"synced_later": not self._adapter.settings.redis_enabled})
        self._known.pop(thread_id, None)
        try:
            saved = await self._adapter.save(save)
        except Conflict:
            return False
        except FlywheelError as exc:
            logger.warning("The messages of thread %s were not kept as a session: %s", thread_id, exc)
            return True
        tags = tagged(known.tags, TAG) or known.tags
        talk = Talk(saved.revision, known.ttl_seconds, checkpoint_id, tags, messages, first=known.first)
        self._remember(thread_id, talk)
        return True

    def _append(self, thread_id: str, checkpoint_id: str, known: Talk, new: Sequence[object]) -> Save:
        begins = known.revision == 0
        return Save(
            session_id=thread_id,
            history=[turn_of(message) for message in new],
            context=_context(checkpoint_id, known.first),
            tags=tagged(known.tags, TAG),
            ttl_seconds=self._adapter.ttl_seconds if begins else None,
            as_sent=True,
            expected_revision=known.revision,
        )

    def _replace(self, thread_id: str, checkpoint_id: str, read: Talk, messages: Sequence[object]) -> Save:
        kept: dict[str, Any] = read.fields | {
            "tags": tagged(read.tags, TAG) or [*read.tags],
            "history": [*read.fields["history"][: read.first], *map(turn_of, messages)],
            "context": read.fields["context"] | _context(checkpoint_id, read.first),
        }
        return Save(session_id=thread_id, mode="replace", expected_revision=read.revision, **kept)

    async def _read(self, thread_id: str) -> Talk:
        """What is stored of a thread's session.

        Raises:
            DocumentError, Unavailable: it is not known.

        """
        document = await self._adapter.load(thread_id)
        talk = Talk()
        if document:
            context: object = document.session.context.get(TAG)
            said = cast("JSONObject", context) if isinstance(context, dict) else JSONObject()
            checkpoint_id, first, fields = (
                said.get("checkpoint_id", ""),
                said.get("first_turn", 0),
                save_fields(document),
            )
            first = first if isinstance(first, int) and 0 <= first <= len(document.session.history) else 0
            talk = Talk(
                document.revision,
                ttl_of(document),
                str(checkpoint_id),
                document.tags,
                document.session.history[first:],
                fields,
                first,
            )
        self._remember(thread_id, talk)
        return talk

    async def set_life(self, thread_id: str, ttl_seconds: int) -> None:
        """Give a thread's session another time to live.

        Raises:
            FlywheelError: it lives as it did.

        """
        async with (await self._adapter.stores()).turns.of(thread_id):
            self._known.pop(thread_id, None)
            await self._adapter.save(Save(session_id=thread_id, ttl_seconds=ttl_seconds))

    def _remember(self, thread_id: str, talk: Talk) -> None:
        self._known[thread_id] = talk
        self._known.move_to_end(thread_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, thread_id: str) -> None:
        """Know nothing more of a thread."""
        self._known.pop(thread_id, None)


def _context(checkpoint_id: str, first: int) -> JSONObject:
    return {TAG: {"checkpoint_id": checkpoint_id} | ({"first_turn": first} if first else {})}

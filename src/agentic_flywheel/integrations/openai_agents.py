"""Keeps the items of an OpenAI Agents `Session` as the turns of a session.

    from agents import Agent, Runner
    from agentic_flywheel.integrations.openai_agents import FlywheelSession

    async with FlywheelSession("trip", title="Trip to Lisbon") as session:
        result = await Runner.run(Agent("Guide"), "Where were we?", session=session)

The items are kept as they are: what is read is equal to what was added. An item that cannot be kept raises, and none
of its call is kept. Taking away (`pop_item`, `clear_session`, compaction) makes a revision, and the one before can be
restored; `delete` takes the session away for good.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, cast

from agents.items import TResponseInputItem
from agents.memory import SessionABC, SessionSettings

from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.integrations.adapter import AdapterBase
from agentic_flywheel.integrations.checks import check_keys, check_text
from agentic_flywheel.integrations.spoken import spoken
from agentic_flywheel.integrations.turn_log import Edit, append_turns, edit_turns, finished, plain_turns
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings

try:  # private, and by that the compacting wrapper replaces only what the model has seen
    from agents.memory.session import _CompactionSnapshot as CompactionSnapshot  # pyright: ignore[reportPrivateUsage]
except ImportError:
    CompactionSnapshot = None

__all__ = ["FlywheelSession"]


class FlywheelSession(AdapterBase, SessionABC):
    """One conversation, for `Runner.run(..., session=…)` and for the wrappers of the SDK.

    Args:
        session_id: the session's id, the same by every other door.
        session_settings: how many items a read gives where its caller does not say.
        title, tags, user_id: those of the session, sent with the first items that this object adds, and where the
            session begins anew (it had expired or was deleted).
        settings: what the environment and the settings file would say.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: `redis://…`, `rediss://…` or `unix://…` instead of the environment's.
        ttl_seconds: the session's life after its last write; 0 means for ever. `None`: as stored, or as set.
        redact: replace what looks like a credential before it is kept; the items are not equal then.

    """

    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        title: str = "",
        tags: Sequence[str] = (),
        user_id: str = "",
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        check_text(session_id, "session_id")
        check_keys(tags, "tags")
        super().__init__(
            settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        self.session_id = session_id
        self.session_settings = _settings_of(session_settings)
        self._named: JSONObject = {"title": title} if title else {}
        self._named |= {"tags": list(tags)} if tags else {}
        self._named |= {"values": {"user_id": user_id}} if user_id else {}
        self._fields = self._named if ttl_seconds is None else self._named | {"ttl_seconds": ttl_seconds}

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest `limit` items, oldest first; without a limit that of `session_settings`, else all.

        Raises:
            DocumentError, Unavailable: they cannot be told.

        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is not None and limit <= 0:
            return []
        history = await self._history()
        return _items(history if limit is None else history[-limit:])

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, all or none; equal ones, and ones of one id, are added all the same.

        Raises:
            TypeError, InvalidArgument: JSON cannot carry one.
            DocumentError, Unavailable: they are not kept.

        """
        turns = plain_turns(items, "items")
        if turns:
            await finished(self._add(turns))

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item away, and give it; `None` if there is none. Two callers never get the same one."""
        taken: list[JSONObject] = []

        def without_last(history: list[JSONObject]) -> list[JSONObject] | None:
            taken[:] = history[-1:]
            return history[:-1] if history else None

        popped = await finished(self._edit(without_last, "its last item taken away"))
        return _items(taken)[0] if popped else None

    async def clear_session(self) -> None:
        """Take all items away. The session stays, empty, and can be restored; `delete` leaves nothing."""
        await finished(self._edit(lambda history: [] if history else None, "cleared"))

    async def describe(self, *, title: str = "", summary: str = "", tags: Sequence[str] | None = None) -> None:
        """Give the session a title, a summary or tags (which replace its tags); what is left out stays."""
        if tags is not None:
            check_keys(tags, "tags")
        sent = {"title": title, "summary": summary, "tags": None if tags is None else list(tags)}
        await finished(append_turns(self, self.session_id, [], **sent))

    async def delete(self) -> bool:
        """Take the session away for good, with its revisions; whether there was one."""
        return await finished(self.delete_session(self.session_id))

    async def list_sessions(
        self, pattern: str = "*", *, query: str = "", tags: Sequence[str] = (), limit: int = 20
    ) -> list[JSONObject]:
        """What lists show of the newest sessions, of whatever program; with a `query` of those that answer it best."""
        check_keys(tags, "tags")
        from agentic_flywheel.sessions.session_filter import SessionFilter

        stores = await self.stores()
        return (await stores.sessions.list_sessions(SessionFilter(pattern, query, tags), limit)).sessions

    async def _atomic_replace_items(self, items: list[TResponseInputItem]) -> bool:
        """Replace all items, as one revision: what the SDK's compacting wrapper asks the type of a store for.

        `False`, and nothing done, in a subclass that reads or adds items in its own way.
        """
        if not self._is_plain:
            return False
        turns = plain_turns(items, "items")
        await finished(self._edit(lambda _: turns, "compacted", begins=True))
        return True

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[TResponseInputItem], bool] | None = None
    ) -> object:
        """The newest `limit` items with what replaces those from one on, if they are still the newest then."""
        if CompactionSnapshot is None or not self._is_plain:
            return None
        history = await self._history()
        shown = history[-limit:] if limit > 0 else []

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            expected, turns = shown[start:], plain_turns(output, "items")

            def replaced(now: list[JSONObject]) -> list[JSONObject] | None:
                if not expected or now != history:
                    return None
                kept = now[: len(now) - len(expected)]
                while kept and prune_prefix is not None and prune_prefix(_items(kept[:1])[0]):
                    del kept[0]
                return kept + turns

            return await finished(self._edit(replaced, "compacted"))

        return CompactionSnapshot(_items(shown), len(shown) == len(history), replace_suffix)

    @property
    def _is_plain(self) -> bool:
        """Whether what is stored is what is read and added: a subclass may have other ideas."""
        own, plain = type(self), FlywheelSession
        return own.get_items is plain.get_items and own.add_items is plain.add_items

    async def _history(self) -> list[JSONObject]:
        document = await self.read_session(self.session_id)
        return document.session.history if document else []

    async def _add(self, turns: list[JSONObject]) -> None:
        fields, self._fields = self._fields, {}
        try:
            result = await append_turns(self, self.session_id, turns, **fields)
        except FlywheelError:
            self._fields = fields
            raise
        if self._named and not fields and result.turns == len(turns):
            document = await self.read_session(self.session_id)
            if document and not (document.title or document.tags or document.session.user_id):
                await append_turns(self, self.session_id, [], **self._named)  # it began anew

    async def _edit(self, edit: Edit, note: str, *, begins: bool = False) -> bool:
        return await edit_turns(self, self.session_id, edit, note, begins=begins)


def _settings_of(given: SessionSettings | dict[str, Any] | None) -> SessionSettings:
    """The settings as an object; a name that is none of theirs raises `TypeError`."""
    if isinstance(given, dict):
        if unknown := set(given) - {each.name for each in fields(SessionSettings)}:
            raise TypeError(f"Unknown session settings: {', '.join(sorted(unknown))}")
        return SessionSettings(**given)
    return given or SessionSettings()


_OTHERS_FIELDS = frozenset(
    ("author", "contents", "created_at", "data", "parts", "session_message", "timestamp", "tool_call_id", "tool_calls")
)
"""Fields of other programs' turns that no item of the SDK has."""


def _items(turns: list[JSONObject]) -> list[TResponseInputItem]:
    """The items that turns are; one of another program as a message with what it says, which the model takes."""
    said = (turn if _is_item(turn) else dict(zip(("role", "content"), spoken(turn), strict=True)) for turn in turns)
    return cast("list[TResponseInputItem]", list(said))


def _is_item(turn: JSONObject) -> bool:
    """Whether a turn may be an item of the SDK: none is that has the fields, or the blocks, of other programs."""
    content = turn.get("content")
    if turn.get("role") == "tool" or not _OTHERS_FIELDS.isdisjoint(turn):
        return False
    if "role" not in turn or not isinstance(content, list):
        return True
    kinds = (as_object(part).get("type") for part in cast("list[object]", content))
    return all(isinstance(kind, str) and kind.startswith(("input_", "output_", "refusal")) for kind in kinds)

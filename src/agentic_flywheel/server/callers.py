"""Knows which caller a request is of, where one server has several: a client over HTTP, or none that is remembered."""

from contextvars import ContextVar
from typing import Protocol

from agentic_flywheel.sessions.caller_view import CallerView, CallerViews


class Subscriptions(Protocol):
    """Where it is noted what a client subscribed to, for other processes and later ones."""

    async def add(self, uri: str, /) -> None:
        """Note that it did."""
        ...

    async def remove(self, uri: str, /) -> None:
        """Note that it does no more."""
        ...


class Caller:
    """One client that may be told of changes. Over pipes there is one for the life of the process."""

    def __init__(self, views: CallerViews | None = None) -> None:
        self.views = views if views is not None else CallerViews()
        self.subscriptions: Subscriptions | None = None


class RevisionsSeen(CallerViews):
    """Remembers of each session the revision alone, as another process may have answered the caller in between.

    What the caller has seen in turns is looked for in what is stored, as after a restart.
    """

    def of(self, session_id: str) -> CallerView:
        """What is remembered of a session."""
        seen = super().of(session_id)
        if not seen.users:
            seen.sent = seen.known = seen.shown = None
            seen.told, seen.newest = (), 0
            seen.cut.clear()
        return seen


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller_now() -> Caller | None:
    """The caller of the request at hand; `None` where there is one for the whole process."""
    return _caller.get()


def note_caller(caller: Caller) -> None:
    """Note whose the request is that this task serves."""
    _caller.set(caller)

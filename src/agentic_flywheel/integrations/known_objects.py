"""Remembers what a manager knows of the session objects that a program holds: each is a caller of its own.

A program may hold several objects of one session, in several threads. The revision that one of them is may be replaced
by that object alone: the holder of another one has not seen it. A program that builds a new object for each save is
remembered by its thread, so that its turns are told from those of others.
"""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.sessions.caller_view import REMEMBERED_SESSIONS, CallerViews


@dataclass(slots=True)
class Known:
    """What is known of an object: `revision` is the one that it is, `None` where others' turns may be in that too."""

    memory: CallerViews = field(default_factory=lambda: CallerViews(at_once=True))
    revision: int | None = None


class KnownObjects:
    """The objects that are alive and, for each thread, what it last did with the sessions of most use."""

    def __init__(self) -> None:
        self._objects: dict[int, tuple[weakref.ref[UniversalSession], str, Known]] = {}
        self._threads = threading.local()

    def of(self, session: UniversalSession) -> Known:
        """What is known of an object; of a new one what its thread has seen of the session."""
        there, session_id, known = self._objects.get(id(session), (None, "", None))
        if known and there and there() is session and session_id == session.id:
            return known
        return self.new(session.id)

    def new(self, session_id: str) -> Known:
        """What is known of an object that is none of those that were given or taken."""
        before = self._thread.get(session_id)
        return Known(before.memory.copy()) if before else Known()

    def keep(self, session: UniversalSession, known: Known) -> None:
        """Know the object from now on, for as long as the program holds it."""
        key, objects = id(session), self._objects
        there = weakref.ref(session, lambda _: objects.pop(key, None))
        objects[key] = there, session.id, known
        thread = self._thread
        thread[session.id] = known
        thread.move_to_end(session.id)
        if len(thread) > REMEMBERED_SESSIONS:
            thread.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """The session is gone."""
        self._thread.pop(session_id, None)
        for key, (_, name, _) in list(self._objects.items()):
            if name == session_id:
                self._objects.pop(key, None)

    @property
    def _thread(self) -> OrderedDict[str, Known]:
        if not hasattr(self._threads, "known"):
            self._threads.known = OrderedDict[str, Known]()
        return self._threads.known

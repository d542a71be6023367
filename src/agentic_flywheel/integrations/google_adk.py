"""Keeps the sessions of Google ADK programs: each is an ordinary session, whose turns are its events.

    async with FlywheelSessionService() as service:
        runner = Runner(app_name="gardener", agent=agent, session_service=service)

The state of a session is its context, written with the event that changes it. State under `app:` and `user:` are
sessions of their own without turns, which never expire. An append to a session that somebody else changed meanwhile
raises `StaleSessionError`, as the owner's database service does; what is not kept raises too.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session
from typing_extensions import override

from agentic_flywheel.documents.model import Document, iso
from agentic_flywheel.errors import Conflict
from agentic_flywheel.integrations.adapter import Adapter, settings_of
from agentic_flywheel.integrations.composed_ids import compose, parts_of
from agentic_flywheel.integrations.google_adk_documents import (
    SESSION,
    app_state,
    documents_below,
    share,
    user_state,
    user_states,
)
from agentic_flywheel.integrations.google_adk_events import (
    Scopes,
    event_of,
    events_of,
    merged,
    scoped,
    time_of,
    turn_of,
)
from agentic_flywheel.integrations.shared_stores import Closed
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings

__all__ = ["FlywheelSessionService"]

STALE = (
    "The session has been modified in storage since it was loaded. "
    "Please reload it with get_session before appending more events."
)


class FlywheelSessionService(Closed, BaseSessionService):
    """A `BaseSessionService` on the store of this package, for any number of event loops and processes.

    Args:
        settings: where sessions are kept; by default as the environment and the settings file say.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: `redis://…`, `rediss://…` or `unix://…`; by default what the settings name, else this machine.
        ttl_seconds: life of a session after its last event; 0 means for ever.
        redact: replace what looks like a credential before it is kept. What the program holds stays as it is.

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
        # Every call names its user, so one that the environment names must not narrow lists.
        self.adapter = Adapter(settings=replace(given, user="", user_only=False), redact=redact)
        """The sessions as the store has them."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.adapter!r})"

    async def aclose(self) -> None:
        """Let go of the store of the running event loop. Using the service opens it anew."""
        await self.adapter.aclose()

    async def close(self) -> None:
        """The same, under the name that the owner's services have."""
        await self.aclose()

    @override
    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Begin a session.

        Raises:
            AlreadyExistsError: there is one of that id.
            FlywheelError: it is not kept.

        """
        given = (session_id or "").strip() or str(uuid4())
        name, scopes, created = compose(SESSION, app_name, user_id, given), scoped(state), datetime.now(UTC)
        values = {"backend_session_id": given, "current_flow_id": app_name, "created_at": iso(created)}
        values |= {"user_id": user_id} if user_id else {}
        try:
            revision = await self._save(
                name, expected_revision=0, context=scopes.session, values=values, tags=[app_name]
            )
        except Conflict as exc:
            raise AlreadyExistsError(f"Session with id {given} already exists.") from exc
        await share(self.adapter, app_name, user_id, scopes.app, scopes.user, created)
        app, user = await asyncio.gather(app_state(self.adapter, app_name), user_state(self.adapter, app_name, user_id))
        session = Session(id=given, app_name=app_name, user_id=user_id, last_update_time=created.timestamp())
        session.state = merged(Scopes(app, user, scopes.session))
        return _marked(session, revision)

    @override
    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """The session with all the state that it sees and the events that `config` asks for; `None` if there is none.

        Raises:
            FlywheelError: it cannot be told.

        """
        document, app, user = await asyncio.gather(
            self.adapter.load(compose(SESSION, app_name, user_id, session_id.strip())),
            app_state(self.adapter, app_name),
            user_state(self.adapter, app_name, user_id),
        )
        if document is None:
            return None
        session = _session(document, app, user)
        session.events = events_of(document.session.history, config)
        return session

    @override
    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all users, with state and without events, the oldest update first.

        While Redis does not answer they are those that this machine knows.

        Raises:
            FlywheelError: one of them cannot be read.

        """
        whose = (app_name,) if user_id is None else (app_name, user_id)
        documents = await documents_below(self.adapter, *whose)
        app = await app_state(self.adapter, app_name)
        users = await user_states(self.adapter, app_name, (parts_of(each.session.id)[2] for each in documents))
        sessions = [_session(each, app, users[parts_of(each.session.id)[2]]) for each in documents]
        sessions.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=sessions)

    @override
    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with all that goes with it; the state that it shared stays.

        Raises:
            FlywheelError: it may still be there.

        """
        await self.adapter.delete(compose(SESSION, app_name, user_id, session_id.strip()))

    @override
    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The state that the user's sessions share, under keys without `user:`.

        Raises:
            FlywheelError: it cannot be told.

        """
        return await user_state(self.adapter, app_name, user_id)

    @override
    async def append_event(self, session: Session, event: Event) -> Event:
        """Add an event to a session, and apply the change of state that it carries; a partial one is not kept.

        An event that the session has is not added again. The changes of shared state are kept after the event: where
        that fails, the same call again makes up for it.

        Raises:
            StaleSessionError: somebody changed the session since it was loaded.
            SessionNotFoundError: there is none.
            FlywheelError: it is not kept.

        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        name = compose(SESSION, session.app_name, session.user_id, session.id)
        scopes, turn = scoped(event.actions.state_delta), turn_of(event)
        async with (await self.adapter.stores()).turns.of(name):
            if _has(session, event):
                return event
            context, before = scopes.session or None, datetime.now(UTC)
            seen = _marker(session)
            seen = await self._revision_that_it_is(name, session) if seen is None else seen
            try:
                revision = await self._save(name, expected_revision=seen, history=[turn], context=context)
            except Conflict as exc:
                revision = await self._kept_before(name, turn, exc)
            await share(self.adapter, session.app_name, session.user_id, scopes.app, scopes.user, before)
            _marked(session, revision)
            session.last_update_time = event.timestamp
            return self._commit_event_to_session(session, event)

    async def _save(self, name: str, **fields: Any) -> int:
        """The revision that a save makes."""
        from agentic_flywheel.documents.save_request import Save

        return (await self.adapter.save(Save(session_id=name, as_sent=True, **fields))).revision

    async def _revision_that_it_is(self, name: str, session: Session) -> int:
        """The stored revision, if a session that did not come from here ends with the same event.

        Raises:
            StaleSessionError: it ends with another one.
            SessionNotFoundError: there is none.

        """
        document = await self.adapter.load(name)
        if document is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        history = document.session.history
        last = event_of(history[-1], len(history) - 1).id if history else ""
        if last != (session.events[-1].id if session.events else ""):
            raise StaleSessionError(STALE)
        return document.revision

    async def _kept_before(self, name: str, turn: JSONObject, conflict: Conflict) -> int:
        """The stored revision, if a refused event is its last one: then it was kept when it was first sent.

        Raises:
            StaleSessionError: the session has been changed.
            SessionNotFoundError: there is none.

        """
        document = await self.adapter.load(name)
        if document is None:
            raise SessionNotFoundError(f"Session {parts_of(name)[-1]} not found.") from conflict
        kept = await self.adapter.without_credentials("append_event", history=[turn])
        if document.session.history[-1:] != kept["history"]:
            raise StaleSessionError(STALE) from conflict
        return document.revision


def _session(document: Document, app: JSONObject, user: JSONObject) -> Session:
    """The session without its events."""
    _, app_name, user_id, session_id = parts_of(document.session.id)
    state = merged(Scopes(app, user, document.session.context))
    created = document.session.created_at.timestamp()
    updated = time_of(document.session.history, created)
    session = Session(id=session_id, app_name=app_name, user_id=user_id, state=state, last_update_time=updated)
    return _marked(session, document.revision)


def _marked(session: Session, revision: int) -> Session:
    """The session as that revision of the stored one, which stands where the owner's services keep the like."""
    session._storage_update_marker = str(revision)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return session


def _marker(session: Session) -> int | None:
    """The revision that a session is; `None` for one that did not come from here."""
    marker = session._storage_update_marker  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return int(marker) if marker and marker.isdecimal() else None


def _has(session: Session, event: Event) -> bool:
    """Whether the session has an equal event of the same id: it was appended before."""
    name = event.id
    same = [each for each in session.events if each.id == name]  # a few of thousands, which alone are compared
    return bool(name) and event in same

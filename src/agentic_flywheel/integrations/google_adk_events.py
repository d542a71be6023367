"""Turns Google ADK's events into turns and back, and state into JSON by scope."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.state import State
from google.genai.types import Content, Part
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from agentic_flywheel.documents.turn_text import USER, read
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.integrations.spoken import spoken
from agentic_flywheel.json_text import JSONObject, check_json, mended

_EVENT_FIELDS = frozenset(("actions", "invocation_id", "invocationId"))
"""An event has each of these two; a turn of another program has neither."""


class Scopes(NamedTuple):
    """State by whom it belongs to, under keys without a prefix. What is temporary is in none of them."""

    app: JSONObject
    user: JSONObject
    session: JSONObject


def scoped(state: dict[str, Any] | None) -> Scopes:
    """The state, or a change of it, as JSON; a value that has no JSON is its text."""
    scopes = Scopes({}, {}, {})
    for key, value in _as_json(state or {}).items():
        if key.startswith(State.APP_PREFIX):
            scopes.app[key.removeprefix(State.APP_PREFIX)] = value
        elif key.startswith(State.USER_PREFIX):
            scopes.user[key.removeprefix(State.USER_PREFIX)] = value
        elif not key.startswith(State.TEMP_PREFIX):
            scopes.session[key] = value
    return scopes


def merged(scopes: Scopes) -> dict[str, Any]:
    """The state of a session as agents see it: its own, and that which it shares, under prefixes."""
    shared = {State.APP_PREFIX + key: value for key, value in scopes.app.items()}
    shared |= {State.USER_PREFIX + key: value for key, value in scopes.user.items()}
    return {**scopes.session, **shared}


def turn_of(event: Event) -> JSONObject:
    """The event as the owner's services write it, without what is not set; a number that is not finite is null."""
    turn = event.model_dump(mode="json", exclude_none=True)
    try:
        check_json(turn, "event")
    except InvalidArgument:
        turn = mended(json.loads(event.model_dump_json(exclude_none=True)))[0]
    return turn


def events_of(history: Sequence[JSONObject], config: GetSessionConfig | None = None) -> list[Event]:
    """The events of a history, oldest first: those that the configuration asks for, else all.

    A turn of another program is an event with its words.
    """
    limit = config.num_recent_events if config else None
    after = config.after_timestamp if config else None
    turns = list(_after(history, after) if after is not None else enumerate(history))
    if limit is not None:
        turns = turns[len(turns) - min(limit, len(turns)) :]
    events: list[Event] = []
    for position, turn in turns:
        events.append(event_of(turn, position, events[-1].timestamp if events else time_of(history[:position])))
    return events


def event_of(turn: JSONObject, position: int, said_at: float = 0.0) -> Event:
    """A turn as an event; `said_at` is the time of one that says none."""
    if isinstance(turn.get("author"), str) and not _EVENT_FIELDS.isdisjoint(turn):
        try:
            return Event.model_validate(turn)
        except ValidationError:  # written by a program that has other events: its words are read
            pass
    (speaker, said), who = spoken(turn), read(turn).who
    role = USER if speaker == USER else "model"
    author = role if role == USER or who == USER else who or role
    content = Content(role=role, parts=[Part(text=said)])
    return Event(id=f"turn-{position}", author=author, content=content, timestamp=said_at)


def time_of(history: Sequence[JSONObject], before: float = 0.0) -> float:
    """The time of the last event in a history; `before` where none says one."""
    return next((at for turn in reversed(history) if (at := _said_at(turn)) is not None), before)


def _after(history: Sequence[JSONObject], after: float) -> Iterator[tuple[int, JSONObject]]:
    last = 0.0
    for position, turn in enumerate(history):
        said_at = _said_at(turn)
        last = last if said_at is None else said_at
        if last >= after:
            yield position, turn


def _said_at(turn: JSONObject) -> float | None:
    at = turn.get("timestamp")
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None


def _as_json(state: dict[str, Any]) -> dict[str, Any]:
    plain = cast("dict[str, Any]", to_jsonable_python(state, inf_nan_mode="null", fallback=str))
    return mended(plain)[0]

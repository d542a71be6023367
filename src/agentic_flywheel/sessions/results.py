"""Defines what each tool answers: the result fields of the public contract. Fields may be added, never renamed.

A field with a default is left out of an answer in which it was not set.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agentic_flywheel.documents.model import iso
from agentic_flywheel.errors import Disabled, DocumentError, FlywheelError, Reason
from agentic_flywheel.json_text import JSONObject

StoredIn = Literal["redis", "journal", "none"]
Matched = Literal["all words", "some words"]


class Result(BaseModel):
    """What every answer has."""

    model_config = ConfigDict(defer_build=True)  # each is built when one is first given

    message: str = Field(default="", description="What happened, in one sentence.")


class KeptResult(Result):
    """What the answers to both tools that keep what a caller sent have: where values look like credentials."""

    secrets: list[JSONObject] | None = Field(default=None, description="[{path, kind}], never the values.")


class SaveResult(KeptResult):
    """The answer of `save_session`."""

    saved: bool
    session_id: str
    revision: int = Field(description="Current revision; pass it as expected_revision to be told of others' saves.")
    provisional: bool = Field(description="True if the revision may change once the shared store has it.")
    turns: int = Field(description="Turns in the session now.")
    added_turns: int
    resent_turns: int = Field(default=0, description="Turns sent that are stored already.")
    retyped_turns: list[int] | None = Field(
        default=None, description="Positions in what was sent: nearly what is stored, which was kept."
    )
    replaced: JSONObject | None = Field(
        default=None, description="With mode=replace: the revision it took the place of, its turns, what is gone."
    )
    stored_in: StoredIn
    expires_at: str | None
    reason: Reason | None = None
    deleted_revision: int | None = Field(
        default=None, description="The session was deleted at this revision; under it what was not saved is kept here."
    )


class ResumeResult(Result):
    """The answer of `resume_session`."""

    found: bool
    session: JSONObject | None = None
    revision: int | None = None
    total_turns: int = 0
    omitted_turns: int = Field(default=0, description="Turns of the session that are not in this answer.")
    next_before_turn: int | None = Field(default=None, description="Pass as before_turn for the turns before these.")
    cut_turn: int | None = Field(default=None, description="This turn is larger than the budget alone; it is cut.")
    cut_turns: list[int] | None = Field(default=None, description="All turns that are cut: a call with its results.")
    left_out_fields: list[str] | None = Field(default=None, description="Too large for the budget: shortened or empty.")
    children: list[JSONObject] | None = Field(default=None, description="Its sub-agents' sessions: {id, title}.")
    source: Literal["redis", "journal"] | None = None
    stale: bool = Field(default=False, description="True if the shared store could not be asked: it may know more.")
    reason: Reason | None = None
    suggestions: list[str] | None = None
    matched: Matched | None = Field(default=None, description="With a query: how much of it this session has.")


class ListResult(Result):
    """The answer of `list_sessions`."""

    sessions: list[JSONObject]
    next_cursor: str | None = None
    searched: str | None = Field(default=None, description="With a query: what was searched.")
    matched: Matched | None = Field(default=None, description="With a query: how much of it the best one has.")
    suggestions: list[JSONObject] | None = Field(default=None, description="If nothing is found: near titles.")
    scope: Literal["shared", "this machine"]


class DeleteResult(Result):
    """The answer of `delete_session`."""

    deleted: bool
    children: list[JSONObject] | None = Field(
        default=None, description="Its sub-agents' sessions, which stay: {id, title}."
    )
    reason: Reason | None = None


class RevisionsResult(Result):
    """The answer of `list_revisions`, newest first: {revision, saved_at, turns, note}."""

    found: bool
    revisions: list[JSONObject]
    reason: Reason | None = None


class RestoreResult(Result):
    """The answer of `restore_session`."""

    restored: bool
    session_id: str
    revision: int = Field(default=0, description="The new current revision.")
    reason: Reason | None = None


class ForkResult(Result):
    """The answer of `fork_session`."""

    forked: bool
    session_id: str = Field(description="The new session.")
    forked_from: JSONObject | None = None
    revision: int = 0
    reason: Reason | None = None


class CacheResult(KeptResult):
    """The answer of `cache_result`."""

    cached: bool
    execution_id: str
    stored_in: StoredIn
    expires_at: str | None
    dropped: int | None = Field(
        default=None, description="The oldest executions that had to leave the flow's history for room."
    )
    reason: Reason | None = None


class ExecutionResult(Result):
    """The answer of `get_result`."""

    found: bool
    execution: JSONObject | None = None
    cut: bool | None = Field(default=None, description="True if long texts in it are cut, as your client would.")
    reason: Reason | None = None


class FlowHistoryResult(Result):
    """The answer of `get_flow_history`; executions oldest first."""

    found: bool
    executions: list[JSONObject]
    cut_executions: list[int] | None = Field(
        default=None, description="Positions in executions of those that are cut: get_result has more of each."
    )
    dropped: int | None = Field(default=None, description="Older executions that have left the history for room.")
    reason: Reason | None = None


class StatusResult(Result):
    """The answer of `persistence_status`."""

    mode: Literal["redis", "mirror", "journal", "none"] = Field(
        description="redis: shared; mirror: journal rules, Redis has copies; journal: this machine; none: nothing kept."
    )
    reason: str
    child: JSONObject
    redis: JSONObject | None = Field(default=None, description="Absent where none is named.")
    journal: JSONObject
    versions: JSONObject
    tracing: JSONObject | None = Field(default=None, description="Whether traces arrive, where tools are traced.")
    settings: JSONObject = Field(default={}, description="Where each setting that is no default was given")
    key_prefix: str = ""
    user: str = ""
    redaction: str = ""
    sealed: str | None = Field(default=None, description="Names of the keys, where what is kept is sealed.")


def reason_of(error: FlywheelError) -> Reason:
    """The contract's reason for an answer that storage could not give."""
    if isinstance(error, DocumentError):
        return error.reason
    return "disabled" if isinstance(error, Disabled) else "unavailable"


def not_saved(session_id: str, exc: FlywheelError) -> SaveResult:
    """The answer to a save that was refused or could not be kept."""
    known = exc if isinstance(exc, DocumentError) else None
    return SaveResult(
        saved=False,
        session_id=session_id,
        revision=known.revision if known else 0,
        provisional=False,
        turns=known.turns if known else 0,
        added_turns=0,
        stored_in="none",
        expires_at=iso(known.kept_until) if known else None,
        reason=reason_of(exc),
        message=str(exc),
    )

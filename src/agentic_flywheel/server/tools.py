"""Turns the arguments of each tool into one call of the store, and the answer into a result with a sentence.

Long: a tool's signature is its published schema, so a tool with many parameters is a long function.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import anyio
from mcp.server.mcpserver import AcceptedElicitation, CancelledElicitation, ElicitationResult, Resolve
from mcp_types import CallToolResult, TextContent
from pydantic import Field

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.json_text import JSONObject, dumps
from agentic_flywheel.plain_text import escaped, one_line
from agentic_flywheel.server import fitting, halves
from agentic_flywheel.server.callers import caller_now
from agentic_flywheel.server.clients import budget_of
from agentic_flywheel.server.elicitation import Consent, consent_to_delete
from agentic_flywheel.server.fitting import DEFAULT_ROWS, fit_execution, fit_executions, rows_that_fit
from agentic_flywheel.server.messages import Messages
from agentic_flywheel.server.paused import OffRecord, never, uncached, unsaved
from agentic_flywheel.server.tool_tracing import ToolTracing, tracing_told
from agentic_flywheel.server.transcript import text_bytes, transcript
from agentic_flywheel.sessions.budget import DEFAULT_TOKENS
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.redaction.talk_ends import TalkEnds
from agentic_flywheel.sessions.results import (
    CacheResult,
    DeleteResult,
    ExecutionResult,
    FlowHistoryResult,
    ForkResult,
    KeptResult,
    ListResult,
    RestoreResult,
    Result,
    ResumeResult,
    RevisionsResult,
    SaveResult,
    StatusResult,
)
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.status import persistence_status
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding

# Arguments are read by `server/arguments.py`, so what comes here is of its kind, or absent.
Text = str  # never `str | None`: the SDK parses JSON-looking text for any other annotation
Number = int
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Backend = Literal["flowise", "langflow", "custom"]
SessionId = Annotated[Text, Field(description="Id of the session")]
TTL = Annotated[Number | None, Field(description="Seconds to live; 0 = never expires")]
UserId = Annotated[Text, Field(description="Only this user's: a filter, no protection")]

ResultType = TypeVar("ResultType", bound=Result)
KeptType = TypeVar("KeptType", bound=KeptResult)

LARGE = {"session", "sessions", "revisions", "execution", "executions"}
"""The field of an answer that may be long."""

INSTRUCTIONS = """\
Keeps conversations beyond this process: save now, resume in a later one, here or on another machine.
Save: call save_session after each exchange worth keeping, and before the talk ends. Keep the session_id it answers \
and send it every time. Send the whole history or only the new turns: turns already stored are not added twice. Give a \
title early and a summary when the talk grows.
Resume: at the start of a talk that continues an earlier one, call resume_session (without an id: the latest), or \
find it with list_sessions first. If found is false, say so and why; never take it for an empty session.
If answers name the journal, persistence_status says why."""


class Tools:
    """The tools of the contract, for the one caller of a server process, or the caller of each request."""

    def __init__(
        self,
        sessions: SessionStore,
        executions: ExecutionStore,
        settings: Settings,
        tracing: ToolTracing | None = None,
        off_record: OffRecord = never,
    ) -> None:
        self._sessions = sessions
        self._revisions = RevisionHistory(sessions)
        self._executions = executions
        self._settings = settings
        self._tracing = tracing
        self._off_record = off_record
        self._views = CallerViews()
        self._messages = Messages(sessions.repository, settings)
        self._credentials = Credentials(settings.secrets)
        self._ends = TalkEnds(self._credentials)

    @property
    def _memory(self) -> CallerViews:
        caller = caller_now()
        return caller.views if caller else self._views

    def prepare(self) -> None:
        """Do in advance, blocking, what the first save would wait for."""
        self._credentials.prepare()

    async def save_session(
        self,
        session_id: Annotated[
            Text, Field(description="A name such as garden, or the id of an earlier save; absent: a new one")
        ] = "",
        history: Annotated[
            list[dict[str, Any]] | None,
            Field(description="Turns, oldest first, e.g. {role, content}: all of them or only the new ones"),
        ] = None,
        context: Annotated[dict[str, Any] | None, Field(description="State to merge into the stored context")] = None,
        remove_context: Annotated[list[str] | None, Field(description="Keys to take out of the stored context")] = None,
        title: Annotated[Text, Field(description="Short title for lists")] = "",
        summary: Annotated[Text, Field(description="What a later reader needs to know")] = "",
        tags: Annotated[list[str] | None, Field(description="Replaces the stored tags")] = None,
        status: Annotated[Status | None, Field(description="Where it stands")] = None,
        backend: Annotated[Backend | None, Field(description="What runs its flows")] = None,
        backend_session_id: Annotated[Text, Field(description="The backend's own id of this session")] = "",
        current_flow_id: Annotated[Text, Field(description="Flow now running")] = "",
        user_id: Annotated[Text, Field(description="Whose session: the first save sets it")] = "",
        ttl_seconds: TTL = None,
        mode: Annotated[
            Literal["append", "replace"],
            Field(description="append adds what is new; replace makes the session exactly what is sent"),
        ] = "append",
        expected_revision: Annotated[
            Number | None,
            Field(description="Save only if this is still the revision; turns are then added exactly as sent"),
        ] = None,
    ) -> Annotated[CallToolResult, SaveResult]:
        """Save a conversation or add to it: after each exchange worth keeping, and before the talk ends. Send the
        session_id it answers each time. Absent arguments leave what is stored unchanged.
        """  # noqa: D205  the model reads it as one text
        if paused := self._off_record(session_id):
            return _answer(unsaved(session_id, paused), self._messages.saved)
        values = {
            "status": status,
            "backend": backend,
            "backend_session_id": backend_session_id,
            "current_flow_id": current_flow_id,
            "user_id": user_id,
        }
        continued, in_next = self._ends.continued(session_id, history)
        sent: JSONObject = {"history": continued, "context": context, "title": title, "summary": summary, "tags": tags}
        sent["remove_context"] = remove_context or []
        given = [name for name, value in values.items() if value]
        in_ids = await check_ids(self._credentials, self._sessions, session_id)
        clean, findings = await self._credentials.redact_in_time(sent | {name: values[name] for name in given})
        result = await self._sessions.save(
            Save(
                session_id=session_id,
                values={name: clean.pop(name) for name in given},
                **clean,
                ttl_seconds=ttl_seconds,
                mode=mode,
                expected_revision=expected_revision,
            ),
            self._memory,
        )
        if result.saved:
            self._ends.note(result.session_id, history)
        return self._kept(result, [*in_ids, *in_next, *findings], self._messages.saved)

    async def resume_session(
        self,
        session_id: Annotated[Text, Field(description="Absent: the most recently saved session")] = "",
        user_id: UserId = "",
        max_tokens: Annotated[
            Number, Field(description="Budget of each form of the answer, text and JSON; the newest turns that fit")
        ] = DEFAULT_TOKENS,
        before_turn: Annotated[
            Number | None, Field(description="Only turns before this 0-based position (next_before_turn of an answer)")
        ] = None,
        revision: Annotated[Number | None, Field(description="An older revision that is kept")] = None,
        query: Annotated[Text, Field(description="Instead of an id: a question or words; the best match")] = "",
    ) -> Annotated[CallToolResult, ResumeResult]:
        """Bring back a saved conversation: context, summary, newest turns. Call it first when the user goes on from an
        earlier talk. It renews the session's life.
        """  # noqa: D205  the model reads it as one text
        budget, strict = budget_of(max_tokens)
        result = await self._sessions.resume(
            self._memory, session_id, user_id, budget, before_turn, revision, query, strict=strict
        )
        return _answer(result, self._messages.resumed, partial(transcript, limit=text_bytes(result, budget)))

    async def list_sessions(
        self,
        pattern: Annotated[Text, Field(description="Glob on session ids")] = "*",
        query: Annotated[
            Text, Field(description="A question or words: said in it, or in title, summary, tags or id; the best first")
        ] = "",
        tags: Annotated[list[str] | None, Field(description="All of these tags")] = None,
        status: Annotated[Status | None, Field(description="With this status")] = None,
        user_id: UserId = "",
        limit: Annotated[Number, Field(description="1 to 1000")] = DEFAULT_ROWS,
        cursor: Annotated[Text, Field(description="next_cursor of the page before")] = "",
    ) -> Annotated[CallToolResult, ListResult]:
        """List saved sessions, newest first: when you do not know the id, or are asked what was said."""
        session_filter = SessionFilter(
            pattern=pattern or "*", query=query, tags=tags or (), status=status or "", user_id=user_id
        )
        listed = await self._sessions.list_sessions(session_filter, limit, cursor)
        if (fitting := rows_that_fit(listed.sessions, limit)) < len(listed.sessions):
            listed = await self._sessions.list_sessions(session_filter, fitting, cursor)
        return _answer(listed, self._messages.listed)

    async def delete_session(
        self, session_id: SessionId, consent: Annotated[ElicitationResult[Consent], Resolve(consent_to_delete)]
    ) -> Annotated[CallToolResult, DeleteResult]:
        """Delete a session with all that goes with it, for everybody. Only when the user asks for it."""
        if isinstance(consent, AcceptedElicitation) and consent.data.delete:
            return await self.delete_unasked(session_id)
        reason = "cancelled" if isinstance(consent, CancelledElicitation) else "declined"
        return _answer(DeleteResult(deleted=False, reason=reason), self._messages.deleted)

    async def delete_unasked(self, session_id: SessionId) -> Annotated[CallToolResult, DeleteResult]:
        """Delete a session with all that goes with it, for everybody. Only when the user asks for it."""
        result = DeleteResult(deleted=False, reason="cancelled")  # never: a shielded scope is not
        with anyio.CancelScope(shield=True):  # once begun, it is finished; only the question may be abandoned
            result = await self._sessions.delete(session_id, self._memory)
        return _answer(result, self._messages.deleted)

    async def list_revisions(self, session_id: SessionId) -> Annotated[CallToolResult, RevisionsResult]:
        """List the revisions of a session that restore_session and fork_session can go back to."""
        return _answer(await self._revisions.list_revisions(session_id), self._messages.revisions)

    async def restore_session(
        self, session_id: SessionId, revision: Annotated[Number, Field(description="From list_revisions")]
    ) -> Annotated[CallToolResult, RestoreResult]:
        """Undo: make an earlier revision the current one again. Nothing is lost: it becomes a new revision."""
        return _answer(await self._revisions.restore(self._memory, session_id, revision), self._messages.restored)

    async def fork_session(
        self,
        session_id: SessionId,
        revision: Annotated[Number | None, Field(description="Absent: the current one")] = None,
        new_session_id: Annotated[Text, Field(description="Absent: generated")] = "",
    ) -> Annotated[CallToolResult, ForkResult]:
        """Begin a new session as a branch of another, to try another way and keep both."""
        await check_ids(self._credentials, self._sessions, new_session_id=new_session_id)
        forked = await self._revisions.fork(self._memory, session_id, revision, new_session_id)
        return _answer(forked, self._messages.forked)

    async def cache_result(
        self,
        result: Annotated[dict[str, Any], Field(description="What the flow answered")],
        execution_id: Annotated[Text, Field(description="Absent: generated")] = "",
        session_id: SessionId = "",
        flow_id: Annotated[Text, Field(description="With session_id: also added to this flow's history")] = "",
        input: Annotated[dict[str, Any] | None, Field(description="What the flow was asked")] = None,  # noqa: A002
        parameters: Annotated[dict[str, Any] | None, Field(description="How the flow was set up")] = None,
        metrics: Annotated[dict[str, Any] | None, Field(description="Durations, token counts …")] = None,
        ttl_seconds: TTL = None,
    ) -> Annotated[CallToolResult, CacheResult]:
        """Keep the result of one flow execution, for when it is needed again."""
        if paused := self._off_record(session_id):
            return _answer(uncached(execution_id, paused), self._messages.cached)
        sent = {"result": result, "input": input, "parameters": parameters, "metrics": metrics}
        ids = {"execution_id": execution_id, "flow_id": flow_id}
        in_ids = await check_ids(self._credentials, self._sessions, session_id, **ids)
        clean, findings = await self._credentials.redact_in_time(sent)
        answer = await self._executions.cache_result(
            clean.pop("result"), execution_id, session_id, flow_id, ttl_seconds, **clean
        )
        return self._kept(answer, [*in_ids, *findings], self._messages.cached)

    async def get_result(
        self, execution_id: Annotated[Text, Field(description="Id of the execution")]
    ) -> Annotated[CallToolResult, ExecutionResult]:
        """Get a kept flow execution."""
        return _answer(fit_execution(await self._executions.get_result(execution_id)), self._messages.execution)

    async def get_flow_history(
        self,
        session_id: SessionId,
        flow_id: Annotated[Text, Field(description="Id of the flow")],
        limit: Annotated[Number | None, Field(description="Only the newest so many")] = None,
    ) -> Annotated[CallToolResult, FlowHistoryResult]:
        """Get the kept executions of a flow in a session, oldest first."""
        history = await self._executions.get_flow_history(session_id, flow_id, limit)
        kept = len(history.executions)
        return _answer(fit_executions(history), lambda answer: self._messages.flow(answer, kept))

    async def persistence_status(self) -> Annotated[CallToolResult, StatusResult]:
        """Tell where sessions are kept right now, and why there: if an answer says journal."""
        repository, settings = self._sessions.repository, self._settings
        status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
        told = settings.told | tracing_told(settings, self._tracing)
        return _answer(status.model_copy(update=told), lambda answer: answer.message)

    def _kept(self, result: KeptType, findings: "list[Finding]", message: Callable[[KeptType], str]) -> CallToolResult:
        """The answer of a tool that keeps what was sent, with where credentials were in it."""
        result.secrets, credentials = self._credentials.report(findings)
        return _answer(result, lambda kept: f"{message(kept)} {credentials}".rstrip())


def _answer(
    result: ResultType, message: Callable[[ResultType], str], text: Callable[[ResultType], str] | None = None
) -> CallToolResult:
    """A result as structured content, and as `text`, by default the same JSON, for clients that show only that."""
    result.message = one_line(f"{message(result)} {halves.said()}".rstrip())
    content: JSONObject = {
        name: value
        for name, value in vars(result).items()
        if value is not None or name == "expires_at"  # null there means: never
    }
    for name in LARGE & content.keys():  # last: what a client cuts off is at the end
        content[name] = content.pop(name)
    shown = fitting.in_lines(text(result)) if text else escaped(dumps(content))
    return CallToolResult(content=[TextContent(type="text", text=shown)], structured_content=content)

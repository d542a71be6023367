"""The rules of keeping execution results and flow histories."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.execution import ExecutionCommand, load_execution
from agentic_flywheel.documents.flow_document import flow_history
from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.model import iso
from agentic_flywheel.documents.parse import kept_until_in, tombstone_in
from agentic_flywheel.documents.save_request import check_ttl
from agentic_flywheel.errors import DocumentError, FlywheelError, InvalidArgument, TooLarge, Unavailable
from agentic_flywheel.journal.records import in_thread
from agentic_flywheel.json_text import JSONObject, check_json, dumps, size_of
from agentic_flywheel.keys import Keys, check_id
from agentic_flywheel.replication.repository import Found, Places, StoredIn
from agentic_flywheel.sessions.results import CacheResult, ExecutionResult, FlowHistoryResult, reason_of

_BOOKKEEPING = ("schema_version", "operation", "operations")
"""Fields of a stored execution that are the store's own affair."""


class ExecutionStore:
    """Executions by id, and the executions of each flow in each session."""

    def __init__(
        self, places: Places, keys: Keys, *, ttl_seconds: int, max_bytes: int, clock: Callable[[], datetime]
    ) -> None:
        self._places = places
        self._keys = keys
        self._ttl_seconds = ttl_seconds
        self._max_bytes = max_bytes
        self._clock = clock

    async def cache_result(
        self,
        result: JSONObject,
        execution_id: str = "",
        session_id: str = "",
        flow_id: str = "",
        ttl_seconds: int | None = None,
        **details: JSONObject | None,
    ) -> CacheResult:
        """Keep an execution; with both ids also at the end of its flow's history.

        `details` are `input`, `parameters` and `metrics`.
        """
        fresh = not execution_id
        execution_id = check_id(execution_id, "execution_id") if execution_id else f"execution_{uuid4().hex}"
        for name, value in (("session_id", session_id), ("flow_id", flow_id)):
            if value:
                check_id(value, name)
        given = {name: value for name, value in details.items() if value is not None}
        for name, value in (("result", result), *given.items()):
            check_json(value, name)
        ttl = self._ttl_seconds if ttl_seconds is None else check_ttl(ttl_seconds)
        now = self._clock()
        record: JSONObject = {
            "id": execution_id,
            "session_id": session_id or None,
            "flow_id": flow_id or None,
            "cached_at": iso(now),
            "kept_until": iso(now + timedelta(seconds=ttl)) if ttl else None,
            "result": result,
            **given,
        }
        if (size := size_of(dumps(record))) > self._max_bytes:
            limit = f"the limit is {self._max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES)"
            return _not_cached(execution_id, TooLarge(f"The result has {size:,} bytes; {limit}."))
        change = ExecutionCommand(key=self._keys.execution(execution_id), record=record, ttl_seconds=ttl)
        bound = self._places.bound()
        try:
            placed = await self._places.write(change, bound)
        except (DocumentError, Unavailable) as exc:
            return _not_cached(execution_id, exc)
        expires_at = iso(placed.answer.kept_until)
        kept = CacheResult(cached=True, execution_id=execution_id, stored_in=placed.stored_in, expires_at=expires_at)
        if session_id and flow_id:
            append = FlowHistoryCommand(
                key=self._keys.history(session_id, flow_id),
                session_id=session_id,
                flow_id=flow_id,
                records=[record],
                ttl_seconds=ttl,
                max_bytes=self._max_bytes,
                fresh=fresh,
            )
            try:
                dropped = (await self._places.write(append, bound)).answer.dropped
            except (DocumentError, Unavailable) as exc:
                kept.message = f"It could not be added to its flow's history: {exc}"
            else:
                kept.dropped = dropped or None
        return kept

    async def replace_flow_history(
        self, session_id: str, flow_id: str, executions: list[JSONObject], ttl_seconds: int
    ) -> StoredIn:
        """Make these, oldest first, the executions of a flow; where they are kept.

        Raises:
            DocumentError, Unavailable: they are not.

        """
        check_id(session_id, "session_id")
        check_id(flow_id, "flow_id")
        check_json(executions, "executions")
        change = FlowHistoryCommand(
            key=self._keys.history(session_id, flow_id),
            session_id=session_id,
            flow_id=flow_id,
            records=executions,
            replaces=True,
            ttl_seconds=check_ttl(ttl_seconds),
            max_bytes=self._max_bytes,
        )
        return (await self._places.write(change)).stored_in

    async def get_result(self, execution_id: str) -> ExecutionResult:
        """The execution kept under an id."""
        check_id(execution_id, "execution_id")
        try:
            found = await self._places.read(self._keys.execution(execution_id))
            if found.text is None:
                return ExecutionResult(found=False, reason="not_found")
            execution = load_execution(found.text, execution_id)
        except (DocumentError, Unavailable) as exc:
            return ExecutionResult(found=False, reason=reason_of(exc), message=str(exc))
        if tombstone := tombstone_in(execution, "the execution"):
            return ExecutionResult(found=False, reason=tombstone.because)
        if expired(kept_until_in(execution), self._clock()) and not self._held(found):
            return ExecutionResult(found=False, reason="expired")
        return ExecutionResult(found=True, execution={k: v for k, v in execution.items() if k not in _BOOKKEEPING})

    async def get_flow_history(self, session_id: str, flow_id: str, limit: int | None = None) -> FlowHistoryResult:
        """The newest executions of a flow in a session, oldest first."""
        check_id(session_id, "session_id")
        check_id(flow_id, "flow_id")
        if limit is not None and limit < 1:
            raise InvalidArgument("limit must be at least 1.")
        try:
            found = await self._places.read(self._keys.history(session_id, flow_id))
            now, held = self._clock(), self._held(found)
            history = await in_thread(flow_history, found.text, now, alive_remotely=held, limit=limit)
        except (DocumentError, Unavailable) as exc:
            return FlowHistoryResult(found=False, executions=[], reason=reason_of(exc), message=str(exc))
        if not history.executions:
            return FlowHistoryResult(found=False, executions=[], reason="not_found")
        return FlowHistoryResult(found=True, executions=history.executions, dropped=history.dropped or None)

    def _held(self, found: Found) -> bool:
        """Whether it comes from a Redis that expires documents by itself, whatever this machine's clock says."""
        stash = self._places.stash
        return found.source == "redis" and stash is not None and stash.atomic


def _not_cached(execution_id: str, exc: FlywheelError) -> CacheResult:
    return CacheResult(
        cached=False,
        execution_id=execution_id,
        stored_in="none",
        expires_at=None,
        reason=reason_of(exc),
        message=str(exc),
    )

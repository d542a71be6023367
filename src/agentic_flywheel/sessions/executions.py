"""Keeps the results of executions, and the executions of each flow in a session."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from agentic_flywheel.documents.execution import ExecutionCommand, load_execution
from agentic_flywheel.documents.flow_document import flow_history
from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.model import expired, iso
from agentic_flywheel.documents.parse import kept_until_in, tombstone_in
from agentic_flywheel.documents.save_request import check_ttl
from agentic_flywheel.errors import Conflict, DocumentError, InvalidArgument, TooLarge, Unavailable
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject, check_json, dumps, size_of
from agentic_flywheel.keys import Keys, check_id, refuse_hidden
from agentic_flywheel.plain_text import brief, first_hidden
from agentic_flywheel.replication.answers import StoredIn
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.results import CacheResult, ExecutionResult, FlowHistoryResult, reason_of

_BOOKKEEPING = ("schema_version", "operation", "operations")
"""Fields of a stored execution that are the store's own affair."""


class ExecutionStore:
    """Executions by id, and the executions of each flow in each session."""

    def __init__(
        self,
        repository: Repository,
        keys: Keys,
        *,
        ttl_seconds: int,
        max_bytes: int,
        clock: Callable[[], datetime],
        hides: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._repository = repository
        self._keys = keys
        self._ttl_seconds = ttl_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._hides = hides

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
        given = {name: value for name, value in details.items() if value is not None}
        _check_ids(execution_id=execution_id, session_id=session_id, flow_id=flow_id)
        await self._refuse_new(execution_id, session_id, flow_id)
        for name, value in (("result", result), *given.items()):
            check_json(value, name)
        ttl = self._ttl_seconds if ttl_seconds is None else check_ttl(ttl_seconds)
        now, fresh = self._clock(), not execution_id
        execution_id = execution_id or f"execution_{uuid4().hex}"
        record: JSONObject = {
            "id": execution_id,
            "session_id": session_id or None,
            "flow_id": flow_id or None,
            "cached_at": iso(now),
            "kept_until": iso(now + timedelta(seconds=ttl)) if ttl else None,
            "result": result,
            **given,
        }
        deadline = self._repository.deadline()
        kept = await self._keep(record, ttl, deadline)
        if kept.cached and session_id and flow_id:
            change = self._flow_change(session_id, flow_id, [record], ttl, fresh=fresh)
            try:
                kept.dropped = (await self._repository.write(change, deadline)).answer.dropped or None
            except (DocumentError, Unavailable) as exc:
                kept.message = f"It could not be added to its flow's history: {exc}"
        return kept

    async def cache_new(
        self, executions: Sequence[JSONObject], session_id: str, flow_id: str, ttl_seconds: int
    ) -> tuple[int, list[CacheResult]]:
        """Keep those executions of a session, oldest first, that are not kept yet; how many, and which are not kept.

        Each has an `id`, a `result`, and what else `cache_result` takes. Their ids tell them: nothing is kept twice.

        Args:
            executions: them; those that are kept already stay as they are.
            session_id: their session.
            flow_id: their flow; without one they are in no flow's history.
            ttl_seconds: how long each is kept; 0 means for ever.

        """
        history = await self.get_flow_history(session_id, flow_id) if flow_id else None
        there = {each.get("id") for each in history.executions} if history else set[object]()
        leaves = history is None or history.dropped  # of a full history the oldest are kept under their ids alone
        count, refused = 0, list[CacheResult]()
        for each in executions:
            if each["id"] in there or (leaves and (await self.get_result(each["id"])).found):
                continue
            details = {name: each.get(name) for name in ("input", "parameters", "metrics")}
            try:
                kept = await self.cache_result(each["result"], each["id"], session_id, flow_id, ttl_seconds, **details)
            except InvalidArgument as exc:
                kept = CacheResult(
                    cached=False, execution_id=each["id"], stored_in="none", expires_at=None, message=str(exc)
                )
            count += kept.cached and not kept.message
            refused += [kept] if kept.message else []
        return count, refused

    async def _refuse_new(self, execution_id: str, session_id: str, flow_id: str) -> None:
        """Refuse an id that nobody can read, unless something is stored under it."""
        history = self._keys.history(session_id, flow_id)
        for name, value, keys in (
            ("execution_id", execution_id, [self._keys.execution(execution_id)]),
            ("session_id", session_id, [self._keys.session(session_id), history]),
            ("flow_id", flow_id, [history]),
        ):
            if first_hidden(value) is not None and not any([await self._is_stored(key) for key in keys]):
                refuse_hidden(value, name)

    async def _is_stored(self, key: str) -> bool:
        try:
            return (await self._repository.read(key)).text is not None
        except DocumentError:
            return True
        except Unavailable:
            return False

    async def _keep(self, record: JSONObject, ttl_seconds: int, deadline: float) -> CacheResult:
        execution_id: str = record["id"]
        try:
            if await self._is_hidden(record["session_id"]):
                raise Conflict("The session belongs to another user: choose another session_id.")
            if (size := size_of(dumps(record))) > self._max_bytes:
                limit = f"the limit is {self._max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES)"
                raise TooLarge(f"The result has {size:,} bytes; {limit}.")
            change = ExecutionCommand(key=self._keys.execution(execution_id), record=record, ttl_seconds=ttl_seconds)
            placed = await self._repository.write(change, deadline)
        except (DocumentError, Unavailable) as exc:
            return _not_kept(execution_id, exc)
        expires_at = iso(placed.answer.kept_until)
        return CacheResult(cached=True, execution_id=execution_id, stored_in=placed.stored_in, expires_at=expires_at)

    def _flow_change(
        self,
        session_id: str,
        flow_id: str,
        records: list[JSONObject],
        ttl_seconds: int,
        *,
        replaces: bool = False,
        fresh: bool = False,
    ) -> FlowHistoryCommand:
        return FlowHistoryCommand(
            key=self._keys.history(session_id, flow_id),
            session_id=session_id,
            flow_id=flow_id,
            records=records,
            ttl_seconds=ttl_seconds,
            max_bytes=self._max_bytes,
            replaces=replaces,
            fresh=fresh,
        )

    async def replace_flow_history(
        self, session_id: str, flow_id: str, executions: list[JSONObject], ttl_seconds: int
    ) -> StoredIn:
        """Make these, oldest first, the executions of a flow; where they are kept.

        Raises:
            DocumentError, Unavailable: they are not.

        """
        check_id(session_id, "session_id")
        check_id(flow_id, "flow_id")
        await self._refuse_new("", session_id, flow_id)
        check_json(executions, "executions")
        change = self._flow_change(session_id, flow_id, executions, check_ttl(ttl_seconds), replaces=True)
        return (await self._repository.write(change)).stored_in

    async def get_result(self, execution_id: str) -> ExecutionResult:
        """The execution kept under an id."""
        check_id(execution_id, "execution_id")
        try:
            found = await self._repository.read(self._keys.execution(execution_id))
            if found.text is None:
                return ExecutionResult(found=False, reason="not_found")
            execution = load_execution(found.text, execution_id)
            if await self._is_hidden(execution.get("session_id")):
                return ExecutionResult(found=False, reason="not_found")
        except (DocumentError, Unavailable) as exc:
            return ExecutionResult(found=False, reason=reason_of(exc), message=str(exc))
        if tombstone := tombstone_in(execution, "the execution"):
            return ExecutionResult(found=False, reason=tombstone.because)
        if expired(kept_until_in(execution), self._clock()) and not self._repository.expires(found):
            return ExecutionResult(found=False, reason="expired")
        return ExecutionResult(found=True, execution={k: v for k, v in execution.items() if k not in _BOOKKEEPING})

    async def get_flow_history(self, session_id: str, flow_id: str, limit: int | None = None) -> FlowHistoryResult:
        """The newest executions of a flow in a session, oldest first."""
        check_id(session_id, "session_id")
        check_id(flow_id, "flow_id")
        if limit is not None and limit < 1:
            raise InvalidArgument(f"limit must be at least 1; {brief(limit)} came.")
        try:
            if await self._is_hidden(session_id):
                return FlowHistoryResult(found=False, executions=[], reason="not_found")
            found = await self._repository.read(self._keys.history(session_id, flow_id))
            held = self._repository.expires(found)
            now = self._clock() - self._repository.clock_ahead()
            history = await in_thread(flow_history, found.text, now, alive_remotely=held, limit=limit)
        except (DocumentError, Unavailable) as exc:
            return FlowHistoryResult(found=False, executions=[], reason=reason_of(exc), message=str(exc))
        if not history.executions:
            return FlowHistoryResult(found=False, executions=[], reason="not_found")
        return FlowHistoryResult(found=True, executions=history.executions, dropped=history.dropped or None)

    async def _is_hidden(self, session_id: object) -> bool:
        """Whether the session that something belongs to is another user's, and those are hidden."""
        return bool(self._hides and isinstance(session_id, str) and session_id and await self._hides(session_id))


def _not_kept(execution_id: str, exc: DocumentError | Unavailable) -> CacheResult:
    return CacheResult(
        cached=False,
        execution_id=execution_id,
        stored_in="none",
        expires_at=None,
        reason=reason_of(exc),
        message=str(exc),
    )


def _check_ids(**ids: str) -> None:
    """Raise `InvalidArgument` for one that is given and not allowed."""
    for name, value in ids.items():
        if value:
            check_id(value, name)

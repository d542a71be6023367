"""Records what a Flowise or a Langflow answered: the run as an execution of its flow, and its talk as turns.

    kept = await record(requests.post(f"{flowise}/api/v1/prediction/{flow}", json=asked).json(), flow_id=flow)

What is recorded and later imported (`agentic-flywheel-state import flowise`) is there once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentic_flywheel.errors import Unavailable
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.fail_safe import error_of
from agentic_flywheel.integrations.flow_answers import FlowAnswer, answer_in
from agentic_flywheel.settings import Settings


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an answer is kept now.

    `added_turns`: 0 where the talk had it already; `is_new`: whether the execution was kept by this call. `stored_in`:
    "redis" or "journal", of the session.
    """

    session_id: str
    execution_id: str
    flow_id: str
    added_turns: int
    is_new: bool
    revision: int
    stored_in: str


async def record(
    prediction: Mapping[str, Any],
    *,
    question: str | None = None,
    flow_id: str | None = None,
    session_id: str | None = None,
    backend: str | None = None,
    settings: Settings | None = None,
    key_prefix: str | None = None,
    redis_url: str | None = None,
    ttl_seconds: int | None = None,
    redact: bool = False,
) -> Recorded:
    """Keep one answer. A program that keeps many makes a `FlowRecorder`, whose store stays open between them.

    The arguments and exceptions are those of `FlowRecorder` and its `record`.
    """
    recorder = FlowRecorder(
        settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
    )
    async with recorder:
        return await recorder.record(
            prediction, question=question, flow_id=flow_id, session_id=session_id, backend=backend
        )


class FlowRecorder(Adapter):
    """Keeps the answers of flows; its arguments are those of every adapter."""

    async def record(
        self,
        prediction: Mapping[str, Any],
        *,
        question: str | None = None,
        flow_id: str | None = None,
        session_id: str | None = None,
        backend: str | None = None,
    ) -> Recorded:
        """Keep an answer, its question as a turn before it, and the run as an execution. The same again adds nothing.

        Args:
            prediction: what Flowise answered to `POST /api/v1/prediction/{id}`, or Langflow to `POST /api/v1/run/{id}`,
                as JSON gives it.
            question: what was asked; by default what the answer repeats of it.
            flow_id: the flow. Langflow's answers name it, Flowise's do not: without it the execution is in no flow's
                history, and an import cannot tell that it is the same talk.
            session_id: the session here; by default the one that an import makes of the same talk.
            backend: "flowise" or "langflow"; by default that is seen by the fields.

        Raises:
            InvalidArgument: it is no such answer, or an argument is wrong.
            Unavailable: neither Redis nor the journal took it. What was recorded may be recorded again.
            DocumentError: the session cannot be written: it is too large, another user's, or damaged.

        """
        if not isinstance(prediction, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"prediction must be a dict, as JSON gives it, not {type(prediction).__name__}")
        answer = answer_in(prediction, question=question or "", flow_id=flow_id or "", backend=backend or "")
        own, stores = session_id or answer.session_id, await self.stores()
        async with stores.turns.of(own):
            added, revision, stored_in = await self._talk(own, answer)
            is_new = await self._execution(own, answer)
        return Recorded(own, answer.execution_id, answer.flow_id, added, is_new, revision, stored_in)

    async def _talk(self, session_id: str, answer: FlowAnswer) -> tuple[int, int, str]:
        """Add the turns to the session, unless it has the answers; how many, its revision and where it is."""
        from agentic_flywheel.documents.model import Document
        from agentic_flywheel.documents.save_request import Save

        try:
            there, found = await (await self.stores()).sessions.load(session_id)
        except Unavailable:  # it is merged with what is there once that is known: turns are told by their ids
            there = found = None
        if isinstance(there, Document) and found and answer.is_in(there.session.history):
            return 0, there.revision, found.source or ""
        values = {
            "backend": answer.backend,
            "backend_session_id": answer.backend_session_id,
            "current_flow_id": answer.flow_id,
        }
        given = {name: value for name, value in values.items() if value}
        clean = await self.without_credentials("record", values=given)
        saved = await self.save(Save(session_id=session_id, history=answer.turns, values=clean["values"]))
        return saved.added_turns, saved.revision, saved.stored_in

    async def _execution(self, session_id: str, answer: FlowAnswer) -> bool:
        """Keep the run; whether it was not kept yet."""
        asked = {"question": answer.question} if answer.question else {}
        clean = await self.without_credentials("record", result=answer.result, input=asked)
        run = {"id": answer.execution_id, **clean}
        executions = (await self.stores()).executions
        count, refused = await executions.cache_new([run], session_id, answer.flow_id, self.ttl_seconds)
        if refused:
            raise error_of(refused[0].reason, refused[0].message)
        return bool(count)

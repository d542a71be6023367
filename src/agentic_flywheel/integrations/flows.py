"""Records what a Flowise or a Langflow answered: the run as an execution of its flow, and its talk as turns.

    kept = await record(requests.post(f"{flowise}/api/v1/prediction/{flow}", json=asked).json(), flow_id=flow)

What is recorded and later imported (`agentic-flywheel-state import flowise`) is there once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from agentic_flywheel.integrations.fail_safe import error_of
from agentic_flywheel.integrations.flow_answers import FlowAnswer, answer_in
from agentic_flywheel.integrations.shared_stores import SharedStores, Stores
from agentic_flywheel.sessions.redaction.policy import Credentials
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


class FlowRecorder:
    """Keeps the answers of flows.

    Args:
        settings: by default those of the environment and the settings file, as the server reads them.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: another Redis than the settings name.
        ttl_seconds: life of a session and an execution after they were last saved; 0 means for ever.
        redact: replace what looks like a credential by `[redacted: <kind>]` before it is kept.

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
        named = {"FLYWHEEL_KEY_PREFIX": key_prefix, "REDIS_URL": redis_url}
        settings = settings or Settings.of_this_process({name: value for name, value in named.items() if value})
        if key_prefix:
            settings = replace(settings, key_prefix=key_prefix)
        if ttl_seconds is not None:
            settings = replace(settings, session_ttl_seconds=ttl_seconds)
        self._settings = settings
        self._credentials = Credentials("redact" if redact else "off")
        self._shared = SharedStores(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the store; the last object of an event loop to do so closes it. Using it opens anew."""
        await self._shared.aclose()

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
        own, stores = session_id or answer.session_id, await self._shared.open()
        async with stores.turns.of(own):
            return await self._keep(stores, own, answer)

    async def _keep(self, stores: Stores, session_id: str, answer: FlowAnswer) -> Recorded:
        sent = {
            "turns": answer.turns,
            "execution": {
                "id": answer.execution_id,
                "result": answer.result,
                "input": {"question": answer.question} if answer.question else {},
            },
        }
        clean, _ = await self._credentials.redact_in_time(sent)
        added, revision, stored_in = await self._talk(stores, session_id, answer, clean["turns"])
        count, refused = await stores.executions.cache_new(
            [clean["execution"]], session_id, answer.flow_id, self._settings.session_ttl_seconds
        )
        if refused:
            raise error_of(None, refused[0])
        return Recorded(session_id, answer.execution_id, answer.flow_id, added, bool(count), revision, stored_in)

    async def _talk(
        self, stores: Stores, session_id: str, answer: FlowAnswer, turns: list[dict[str, Any]]
    ) -> tuple[int, int, str]:
        """Add the turns to the session, unless it has the answers; how many, its revision and where it is."""
        from agentic_flywheel.documents.model import Document
        from agentic_flywheel.documents.save_request import Save
        from agentic_flywheel.errors import Unavailable
        from agentic_flywheel.sessions.caller_view import CallerViews

        try:
            there, found = await stores.sessions.load(session_id)
        except Unavailable:  # it is merged with what is there once that is known: turns are told by their ids
            there = found = None
        if isinstance(there, Document) and found and answer.is_in(there.session.history):
            return 0, there.revision, found.source or ""
        values = {
            "backend": answer.backend,
            "backend_session_id": answer.backend_session_id,
            "current_flow_id": answer.flow_id,
        }
        save = Save(
            session_id=session_id, history=turns, values={name: value for name, value in values.items() if value}
        )
        saved = await stores.sessions.save(save, CallerViews())
        if not saved.saved:
            raise error_of(saved.reason, saved.message)
        return saved.added_turns, saved.revision, saved.stored_in

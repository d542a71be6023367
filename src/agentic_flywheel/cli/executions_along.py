"""Keeps the executions of flows that come in with a talk, each once, as long as the talk and without credentials."""

from dataclasses import dataclass

from agentic_flywheel.cli.added import Outcome
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.redaction.policy import Credentials

_THERE: frozenset[Outcome] = frozenset(("new", "more", "same", "copy"))
"""What became of a talk that is there now."""


@dataclass(slots=True)
class Along:
    """What is kept of executions in one import; `kept`: how many so far, `refused`: how many could not be."""

    executions: ExecutionStore
    credentials: Credentials
    ttl_seconds: int
    kept: int = 0
    refused: int = 0

    async def keep(self, talk: Imported, outcome: Outcome) -> str:
        """Keep those of a talk that are not kept yet; a sentence where there is something to tell."""
        if not talk.executions or outcome not in _THERE:
            return ""
        given = talk.values.get("current_flow_id")
        flow = given if isinstance(given, str) else ""
        try:
            new = await self._new(talk, flow)
            clean, findings = await self.credentials.redact_in_time({"executions": new})
            count, results = await self.executions.cache_new(
                clean["executions"], talk.session_id, flow, self.ttl_seconds
            )
            refused = [each.message for each in results]
        except FlywheelError as exc:
            count, refused, findings = 0, [str(exc)], []
        self.kept += count
        self.refused += len(refused)
        told = [f"its executions are not all kept: {refused[0].rstrip('.')}"] if refused else []
        if count and findings:
            told.append(self.credentials.report(findings)[1].rstrip("."))
        return ". ".join(told)

    async def _new(self, talk: Imported, flow: str) -> list[JSONObject]:
        """Those of which none is kept of the same time under another id: a download of Flowise names no message."""
        if not flow:
            return talk.executions
        history = await self.executions.get_flow_history(talk.session_id, flow)
        there = {_answer(each): each.get("id") for each in history.executions}
        return [each for each in talk.executions if there.get(_answer(each), each["id"]) == each["id"]]


def _answer(execution: JSONObject) -> tuple[object, str]:
    """When what was answered; where the time is not known, the execution alone."""
    result = as_object(execution.get("result"))
    return result.get("created_at") or execution.get("id"), str(result.get("text"))

"""Keeps the executions of flows that come in with a talk, each once, as long as the talk and without credentials."""

from dataclasses import dataclass

from agentic_flywheel.cli.importer import Outcome
from agentic_flywheel.cli.importers import Imported
from agentic_flywheel.errors import FlywheelError
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
        flow = talk.values.get("current_flow_id")
        clean, findings = await self.credentials.redact_in_time({"executions": talk.executions})
        try:
            count, results = await self.executions.cache_new(
                clean["executions"], talk.session_id, flow if isinstance(flow, str) else "", self.ttl_seconds
            )
            refused = [each.message for each in results]
        except FlywheelError as exc:
            count, refused = 0, [str(exc)]
        self.kept += count
        self.refused += len(refused)
        told = [f"its executions are not all kept: {refused[0].rstrip('.')}"] if refused else []
        if count and findings:
            told.append(self.credentials.report(findings)[1].rstrip("."))
        return ". ".join(told)

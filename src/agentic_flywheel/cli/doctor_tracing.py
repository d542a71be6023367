"""Tries for the doctor whether traces arrive: sends one, without content, and says what became of it."""

import asyncio
import logging

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions import tracing
from agentic_flywheel.sessions.tracing.calls import WholeCall
from agentic_flywheel.sessions.tracing.tracer import now
from agentic_flywheel.sessions.wiring import open_tracer
from agentic_flywheel.settings import Settings

TRIED_SECONDS = 20.0
"""How long the trial may take: the child imports Langfuse's SDK first."""


async def tracing_examined(settings: Settings) -> tuple[str, str]:
    """A mark and a sentence on the tracing that the settings ask for."""
    tracer = open_tracer(settings)
    if tracer is None:
        return "!", f"nothing is traced: {settings.langfuse}."
    logging.getLogger(tracing.__name__).setLevel(logging.ERROR)  # the report says it
    try:
        WholeCall().trace(tracer, "agentic-flywheel-state doctor", now())
        await asyncio.to_thread(tracer.sender.settle, TRIED_SECONDS)
        return _told(tracer.status())
    finally:
        await asyncio.to_thread(tracer.sender.close, 0.0)


def _told(status: JSONObject) -> tuple[str, str]:
    match status["state"]:
        case "arriving":
            return "✓", f"arrives at {status['to']}: a trace of this doctor's was taken."
        case "sent, unconfirmed":
            return "·", f"sends to {status['to']}; this child (FLYWHEEL_COAIA_COMMAND) does not say whether it arrives."
        case _:
            why = str(status["last_error"] or "no answer in time").rstrip(".")
            return "!", f"nothing arrives at {status['to']}: {why}."

"""Calls the child's tools for Langfuse: the one reader of what they reply, which does not go by `success` alone."""

import asyncio
import json
import re
from typing import cast

from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.errors import FlywheelError, StashUnavailable, TraceRefused, TraceUnreached
from agentic_flywheel.json_text import JSONObject

CREATE, OBSERVE, PATCH = "coaia_fuse_trace_create", "coaia_fuse_add_observation", "coaia_fuse_trace_patch_output"
SCORE, SCORE_BY_CONFIGURATION = "coaia_fuse_score_create", "coaia_fuse_score_apply"

START_SECONDS = 20.0
"""How long the child may take to start: it imports Langfuse's SDK, which takes a second or two of a processor."""

PASSING = (408, 425, 429)
"""Statuses below 500 after which the same may be taken later."""

KEYS = (401, 403)
"""Statuses that speak of the keys."""

NO_CONFIGURATION = "This child scores only where Langfuse has score configurations named success, latency and so on."

_NOT_CONFIGURED = re.compile(r"Score config '.*' not found")
_STATUS = re.compile(r"Langfuse answers (\d{3})")
_SILENCE = re.compile(r"Langfuse does not answer \(\w{1,40}\)")


class LangfuseCalls:
    """The tools of one child, which serves nothing else."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._without_configuration: set[object] = set()

    @property
    def installed(self) -> bool:
        """Whether the child has the tools: coaiapy-mcp is installed where it runs."""
        return CREATE in self._supervisor.verbs

    @property
    def confirms(self) -> bool:
        """Whether its `success` means that Langfuse took it. The released tools say that of every answer."""
        return SCORE in self._supervisor.verbs

    async def ready(self) -> None:
        """Wait until the child answers.

        Raises:
            TraceUnreached: it does not.

        """
        try:
            await self._supervisor.ready(asyncio.get_running_loop().time() + START_SECONDS)
        except StashUnavailable as exc:
            raise TraceUnreached(str(exc)) from exc

    async def send(self, verb: str, arguments: JSONObject, seconds: float) -> None:
        """Have a tool send something, within `seconds`.

        Raises:
            TraceRefused, TraceUnreached: it was not taken; the message has no content and no key.

        """
        if verb == SCORE and not self.confirms:
            if arguments["name"] in self._without_configuration:
                raise TraceRefused(NO_CONFIGURATION)
            verb, arguments = SCORE_BY_CONFIGURATION, _by_configuration(arguments)
        try:
            deadline = asyncio.get_running_loop().time() + seconds
            answer = await self._supervisor.call(verb, arguments, deadline)
        except StashUnavailable as exc:
            raise TraceUnreached(str(exc)) from exc
        except FlywheelError as exc:
            raise TraceRefused(str(exc)) from exc
        error = _error_in(answer)
        if error is None:
            return
        if silence := _SILENCE.search(error):
            raise TraceUnreached(f"{silence[0]}.")
        if verb == SCORE_BY_CONFIGURATION and _NOT_CONFIGURED.search(error):
            self._without_configuration.add(arguments["config_name_or_id"])  # to ask again takes it three requests
            raise TraceRefused(NO_CONFIGURATION)
        if not (status := _STATUS.search(error)):
            raise TraceRefused(f"{verb} failed.")  # its words may be those of what was traced
        number = int(status[1])
        if number >= 500 or number in PASSING:
            raise TraceUnreached(f"{status[0]}.")
        advice = _advice(number)
        raise TraceRefused(f"{status[0]}{advice}.", all_alike=bool(advice))

    async def aclose(self) -> None:
        """End the child."""
        await self._supervisor.aclose()


def _advice(status: int) -> str:
    if status in KEYS:
        return ": check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"
    return ": check LANGFUSE_HOST" if 300 <= status < 400 or status == 404 else ""


def _error_in(answer: JSONObject | str) -> str | None:
    """What an answer says that went wrong."""
    try:
        reply = json.loads(answer) if isinstance(answer, str) else answer
    except ValueError:
        return "no JSON"
    if not isinstance(reply, dict):
        return "no object"
    fields = cast("JSONObject", reply)
    return None if fields.get("success") is True else str(fields.get("error"))


def _by_configuration(score: JSONObject) -> JSONObject:
    """The same score for the released tool, which needs a score configuration of that name in Langfuse."""
    named = {"config_name_or_id": score["name"], "target_type": "trace", "target_id": score["trace_id"]}
    return named | {"value": score["value"], "comment": score.get("comment")}

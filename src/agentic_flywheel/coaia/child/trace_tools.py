"""Serves the released package's tools for Langfuse, and nothing else: the child of a tracer of its own.

They are coaiapy-mcp 0.4.3's functions as they are, but for what they send by: `requests` without a time-out waits for
ever, and they take every answer, a 401 too, for a success. `create_score_for_target`, which coaiapy 0.6.2 has and
coaiapy-mcp offers no tool for, is served as `coaia_fuse_score_create`: `coaia_fuse_score_apply` needs a score
configuration that somebody has made in Langfuse.
"""

# pyright: basic
# requests and coaiapy have no types; in strict mode every line that touches them would be an error.

import asyncio
import importlib.util
import inspect
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from stock_tools import finish, load_tools

SERVED = (
    "coaia_fuse_trace_create",
    "coaia_fuse_add_observation",
    "coaia_fuse_trace_patch_output",
    "coaia_fuse_score_apply",
    "coaia_fuse_trace_get",
)
"""Of the released package's tools; none that changes or deletes what others have traced."""

THREADS = 8
"""Requests that are sent at once."""

Reply = dict[str, Any]


class NotTakenError(Exception):
    """Langfuse did not take what was sent: the words that the parent reads (`coaia/langfuse_calls.py`)."""


class BoundedRequests:
    """Stands in for the module `requests`: keeps connections, waits `seconds` at most, and tells what is refused."""

    def __init__(self, requests: Any, seconds: float) -> None:  # noqa: ANN401
        self._requests = requests
        self._seconds = seconds
        self._of_thread = threading.local()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._requests, name)

    def get(self, url: str, **options: Any) -> Any:  # noqa: ANN401
        """Ask for what may not be there."""
        answer = self._ask("get", url, options)
        if answer.status_code >= 400 and answer.status_code != 404:
            raise NotTakenError(f"Langfuse answers {answer.status_code}")
        return answer

    def post(self, url: str, **options: Any) -> Any:  # noqa: ANN401
        """Send; an answer that is no success, or names events that were refused, is an error."""
        answer = self._ask("post", url, options)
        if not 200 <= answer.status_code < 300:
            raise NotTakenError(f"Langfuse answers {answer.status_code}")
        for error in _errors(answer.text):
            raise NotTakenError(f"Langfuse answers {error}")
        return answer

    def _ask(self, method: str, url: str, options: dict[str, Any]) -> Any:  # noqa: ANN401
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = self._requests.Session()
        try:
            return self._of_thread.session.request(method, url, timeout=self._seconds, allow_redirects=False, **options)
        except Exception as exc:  # noqa: BLE001  its text may have the address with what is in it
            raise NotTakenError(f"Langfuse does not answer ({type(exc).__name__})") from None


def _errors(text: str) -> list[int]:
    """The status of each event that an answer to several says was refused."""
    try:
        errors = json.loads(text).get("errors")
        return [int(error.get("status", 400)) for error in errors or ()]
    except (ValueError, TypeError, AttributeError):
        return []


class TraceCalls:
    """Calls of the tools for Langfuse; none where coaiapy-mcp is not installed."""

    def __init__(self, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._verbs: dict[str, Callable[..., Any]] = {}
        if importlib.util.find_spec("coaiapy_mcp") is None:
            return
        tools = load_tools()  # now: nothing is served meanwhile that would have to wait for it
        from coaiapy import cofuse

        cofuse.requests = BoundedRequests(cofuse.requests, seconds)
        self._verbs = {name: getattr(tools, name) for name in SERVED if hasattr(tools, name)}
        self._verbs["coaia_fuse_score_create"] = partial(_create_score, cofuse.create_score_for_target)

    def listed(self) -> dict[str, Any]:
        """The tools, as they go over the wire."""
        return {"tools": [_tool(name, verb) for name, verb in self._verbs.items()]}

    async def answer(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a call, as it goes over the wire."""
        reply = await asyncio.get_running_loop().run_in_executor(self._threads, self._reply, name, arguments)
        text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
        return {"content": [{"type": "text", "text": text}], "isError": False}

    def _reply(self, name: str, arguments: dict[str, Any]) -> Reply:
        verb = self._verbs.get(name)
        if verb is None:
            return {"success": False, "error": "Unknown tool"}
        try:
            return verb(**arguments) if name == "coaia_fuse_score_create" else finish(verb(**arguments))
        except NotTakenError as exc:
            return {"success": False, "error": str(exc)}
        except Exception as exc:  # noqa: BLE001  whatever the package does, the next call is answered
            return {"success": False, "error": f"the tool failed ({type(exc).__name__})"}


def _create_score(
    create: Callable[..., Any], trace_id: str, name: str, value: float, score_id: str = "", comment: str = ""
) -> Reply:
    """Score a trace under a name, without a configuration; sent again with the same id it is there once."""
    create("trace", trace_id, score_id or None, score_value=value, score_name=name, comment=comment or None)
    return {"success": True, "trace_id": trace_id, "name": name}


def _tool(name: str, verb: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(verb).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty]
    schema = {"type": "object", "properties": {each.name: {} for each in parameters}, "required": required}
    about = (inspect.getdoc(getattr(verb, "func", verb)) or "").strip().partition("\n")[0]
    return {"name": name, "description": about, "inputSchema": schema}

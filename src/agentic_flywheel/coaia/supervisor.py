"""Supervises one coaia child: starts it, bounds every wait, replaces a broken or deaf one with back-off, ends it.

One task of its own (the keeper) opens and closes each child, so that callers may come from any task. A call is
never cancelled on the wire, since a cancelled request can kill the stock child: it is left to finish by itself,
and if it does not, its child is killed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic_core import PydanticSerializationError

from agentic_flywheel.coaia.jsonrpc_client import INTERNAL_ERROR, ConnectionEndedError, JSONRPCClient, RequestError
from agentic_flywheel.coaia.launch import ChildFolder
from agentic_flywheel.coaia.process import ChildProcess, kill_children
from agentic_flywheel.errors import InvalidArgument, StashRefused, StashSilent, StashUnavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import cause

logger = logging.getLogger(__name__)

START_SECONDS = 15.0
"""How long a child may take until it answers: 0.8 s alone, 3 s among eight on two cores, more under `uvx`."""

FIRST_DELAY, LONGEST_DELAY = 0.1, 3.0
"""Back-off between children, doubled each time. The longest keeps the promise to be back 5 s after Redis is."""

HOPELESS_DELAY = 1.0
"""From this delay on, calls no longer wait for the next child; at once where its command cannot be run."""

CLOSE_SECONDS = 1.0
"""How long closing waits for the keeper before it is cancelled: it may be in the middle of starting a child."""

STEADY_SECONDS = 10.0
"""A child that served this long was a good one: the next failure starts the back-off anew."""

BROKEN = (-32000, INTERNAL_ERROR)
"""JSON-RPC errors after which a child is replaced (the first: connection closed); any other one is its refusal."""

State = Literal["not started", "starting", "ready", "waiting to restart", "closed"]


@dataclass(frozen=True, slots=True)
class ChildState:
    """What is known of the child. `generation` counts the children started so far."""

    state: State
    generation: int
    pid: int | None
    verbs: tuple[str, ...]
    last_error: str | None


class Supervisor:
    """Keeps a child alive. `start` and `aclose` may be called from different tasks of one event loop.

    A child that leaves a call unanswered for at least `fair_seconds` is replaced, unless it answers others: it is busy.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: ChildFolder, fair_seconds: float
    ) -> None:
        self._command = command
        self._env = env
        self._folder = folder
        self._fair_seconds = fair_seconds
        self._keeper: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._changed = asyncio.Event()
        self._replace = asyncio.Event()
        self._client: JSONRPCClient | None = None
        self._transport: ChildProcess | None = None
        self._state: State = "not started"
        self._generation = 0
        self._verbs: tuple[str, ...] = ()
        self._tash_expires = False
        self._last_error: str | None = None
        self._was_ready = False
        self._bounds: set[asyncio.Timeout] = set()  # of the calls under way

    def __repr__(self) -> str:
        return f"Supervisor({self._state}, generation {self._generation}, pid {self.state.pid})"

    @property
    def state(self) -> ChildState:
        """What is known of the child."""
        pid = self._transport.pid if self._transport else None
        return ChildState(self._state, self._generation, pid, self._verbs, self._last_error)

    @property
    def was_ready(self) -> bool:
        """Whether any child has ever answered."""
        return self._was_ready

    @property
    def generation(self) -> int:
        """The number of the current child, to name it in `replace`."""
        return self._generation

    @property
    def verbs(self) -> tuple[str, ...]:
        """The tools of the last child that answered; the same object for as long as it serves."""
        return self._verbs

    @property
    def tash_expires(self) -> bool:
        """Whether the child's `coaia_tash` takes `ttl_seconds`."""
        return self._tash_expires

    def start(self) -> None:
        """Begin to keep a child; returns at once."""
        if self._keeper is None and not self._closing.is_set():
            self._set("starting")
            self._keeper = asyncio.create_task(self._keep(), name="coaia keeper")

    async def aclose(self) -> None:
        """End the child, within about 0.3 s if it is well and 1.5 s if it is not."""
        self._closing.set()
        self._changed.set()
        for bound in self._bounds:
            with contextlib.suppress(RuntimeError):  # it is just expiring
                bound.reschedule(asyncio.get_running_loop().time())
        if self._keeper:
            if self._state != "ready" and self._transport:
                self._transport.kill()  # it has not answered yet, so it has nothing to finish
            _, late = await asyncio.wait({self._keeper}, timeout=CLOSE_SECONDS)
            if late:
                self._keeper.cancel()
                await asyncio.wait(late)
        self._folder.close()
        self._set("closed")

    def abandon(self) -> None:
        """Kill the child, as this process ends without more ado."""
        if self._transport:
            self._transport.kill()
        kill_children()
        self._folder.close()

    async def ready(self, deadline: float) -> None:
        """Wait until a child answers, till `deadline` (event loop time) at the most.

        Raises:
            StashUnavailable: none does; at once if the last one could not be started.

        """
        self.start()
        while self._state != "ready":
            if self._state in ("closed", "waiting to restart") or self._closing.is_set():
                raise StashUnavailable(self._last_error or "The coaia child is not running.")
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                kind = StashSilent if self._was_ready else StashUnavailable
                raise kind("The coaia child is still starting.") from None

    async def call(self, verb: str, arguments: dict[str, Any], deadline: float) -> JSONObject | str:
        """Call a tool of the child: its structured content, or else text, by `deadline` (event loop time).

        Raises:
            StashUnavailable: no answer; whether the verb had its effect is unknown.
            StashRefused: the child answered that it does not do this.
            InvalidArgument: an argument is nothing that JSON can carry.

        """
        await self.ready(deadline)
        client, generation = self._client, self._generation
        if client is None:
            raise StashUnavailable("The coaia child has just gone.")
        remaining = deadline - asyncio.get_running_loop().time()
        bound = asyncio.timeout_at(deadline)
        self._bounds.add(bound)
        try:
            async with bound:
                answer = await client.request("tools/call", {"name": verb, "arguments": arguments})
        except TimeoutError:
            silence = f"The coaia child did not answer {verb} in time."
            is_busy = asyncio.get_running_loop().time() - client.heard_at < self._fair_seconds
            if remaining < self._fair_seconds or is_busy or self._closing.is_set():
                raise StashUnavailable(silence) from None
            self.replace(generation, f"no answer to {verb} in time")
            raise StashSilent(silence) from None
        except PydanticSerializationError as exc:  # nothing was sent
            raise InvalidArgument(f"{verb} was given something that JSON cannot carry.") from exc
        except RequestError as exc:
            if exc.code not in BROKEN:  # its words may be those of the session
                raise StashRefused(f"The coaia child refused {verb} ({exc}).") from exc
            raise self._broke_off(verb, generation, str(exc)) from exc
        except ConnectionEndedError as exc:
            raise self._broke_off(verb, generation, str(exc)) from exc
        except (RuntimeError, ValueError) as exc:
            raise self._broke_off(verb, generation, type(exc).__name__) from exc
        finally:
            self._bounds.discard(bound)
        return _content(answer)

    def _broke_off(self, verb: str, generation: int, how: str) -> StashUnavailable:
        self.replace(generation, f"connection lost ({how})")
        return StashUnavailable(f"The coaia child broke off at {verb}.")

    def replace(self, generation: int, why: str) -> None:
        """Have the child of that generation replaced; one that has been already is left alone."""
        if generation == self._generation and self._state == "ready":
            logger.warning("Replacing the coaia child: %s.", why)
            self._last_error = f"The last child was replaced: {why}."
            if self._transport:
                self._transport.kill()
            self._set("starting")
            self._replace.set()

    async def _keep(self) -> None:
        """One child after another, until closed."""
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            began = loop.time()
            self._generation += 1
            self._replace.clear()
            self._set("starting")
            self._transport = transport = ChildProcess(self._command, self._env, self._folder.path)
            try:
                await self._serve(transport)
            except* Exception as group:  # noqa: BLE001  whatever ended this child, the next one is started
                if not self._replace.is_set():
                    self._last_error = _why(group, transport)
            finally:
                self._client = None
            if loop.time() - began > STEADY_SECONDS:
                delay = FIRST_DELAY
            if self._closing.is_set():
                break
            if not self._replace.is_set():
                logger.warning("The coaia child ended: %s Next try in %.1f s.", self._last_error, delay)
            self._set("starting" if transport.can_run and delay < HOPELESS_DELAY else "waiting to restart")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            delay = min(2 * delay, LONGEST_DELAY)
        self._set("closed")

    async def _serve(self, transport: ChildProcess) -> None:
        """Start one child, let it be called, and end it when it is to be replaced or has died."""
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(START_SECONDS):
                client = JSONRPCClient(*await transport.open())
                stack.push_async_callback(transport.aclose)
                await stack.enter_async_context(client.reading())
                await client.initialize()
                schemas = {str(tool.get("name")): tool.get("inputSchema") for tool in await client.tools()}
            self._verbs = tuple(sorted(schemas))
            tash: Any = schemas.get("coaia_tash") or {}
            self._tash_expires = "ttl_seconds" in tash.get("properties", {})
            transport.forget_stderr()
            self._client = client
            self._was_ready = True
            self._last_error = None
            self._set("ready")
            ends = (self._replace.wait(), self._closing.wait(), transport.ended())
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(end) for end in ends]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if not self._closing.is_set() and not self._replace.is_set():
                self._last_error = "The coaia child ended by itself."
                self._set("starting")

    def _set(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()


def _why(group: BaseExceptionGroup[Exception], transport: ChildProcess) -> str:
    """One line that says why a child could not be started."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, TimeoutError):
        return f"The coaia child did not answer within {START_SECONDS:g} s of its start."
    said = f"{first.filename}: {first.strerror}" if isinstance(first, OSError) and first.strerror else str(first)
    return f"The coaia child could not be started: {cause(transport.last_words or said or type(first).__name__)}"


def _content(answer: JSONObject) -> JSONObject | str:
    """The content of a tool's result: structured, or else text."""
    structured = answer.get("structuredContent")
    if structured and isinstance(structured, dict):
        return cast("JSONObject", structured)
    parts = answer.get("content")
    if not isinstance(parts, list):
        return ""
    texts = [cast("JSONObject", part).get("text") for part in cast("list[object]", parts) if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))

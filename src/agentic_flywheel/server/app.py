"""Builds the MCP server and serves it: which tools there are, and what a model is told of an error."""

import asyncio
import logging
import sys
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Resource,
)

from agentic_flywheel import __version__
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import cause, one_line, quoted
from agentic_flywheel.server import halves
from agentic_flywheel.server.arguments import read_arguments
from agentic_flywheel.server.clients import note_client
from agentic_flywheel.server.elicitation import NEVER_ASK
from agentic_flywheel.server.front import ENDING, Front, end_at_signals
from agentic_flywheel.server.passthrough import attach_content, detach_content
from agentic_flywheel.server.paused import OffRecord, never
from agentic_flywheel.server.prompts import Prompts
from agentic_flywheel.server.published import published
from agentic_flywheel.server.request_params import take_params
from agentic_flywheel.server.resources import Resources
from agentic_flywheel.server.sdk_internals import add_middleware, run_over
from agentic_flywheel.server.stdio import stdio
from agentic_flywheel.server.subscriptions import ChangeNotifier
from agentic_flywheel.server.tool_tracing import ToolTracing
from agentic_flywheel.server.tools import INSTRUCTIONS, Tools
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.settings import Settings

logger = logging.getLogger(__name__)

ASKS_FIRST = frozenset({"delete_session"})
"""Tools that ask the person first, who may take their time or never answer."""


class FlywheelServer(MCPServer[SessionStore]):
    """`MCPServer` whose tool errors say what to do, and whose tools, once begun, finish."""

    _schemas: Mapping[str, JSONObject] = {}
    """The schema of each tool's arguments; all tools are there from the beginning."""
    list_newest: Callable[[], Awaitable[list[Resource]]] | None = None
    """What `resources/list` shows; the templates are listed by themselves."""
    notifier: ChangeNotifier | None = None
    """Who is told of each call of a tool."""
    tracing: ToolTracing | None = None
    """What traces each call of a tool."""
    _asking: set[anyio.CancelScope] | None = None
    """The calls that may be waiting for a person."""

    def end_questions(self) -> None:
        """Have each call that waits for a person answered: nothing was done. What the person allowed is finished."""
        for scope in self._asking or ():
            scope.cancel()

    async def list_resources(self) -> list[Resource]:
        """The newest sessions."""
        return await self.list_newest() if self.list_newest else []

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[SessionStore, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Get a prompt.

        Raises:
            MCPError: there is no such prompt, or it takes no such argument; the nearest right name is named.

        """
        prompts = {prompt.name: [part.name for part in prompt.arguments or ()] for prompt in await self.list_prompts()}
        if name not in prompts:
            raise unknown_name("prompt", name, prompts)
        for argument in arguments or {}:
            if argument not in prompts[name]:
                raise unknown_name(f"argument of {name}", argument, prompts[name])
        return await super().get_prompt(name, arguments, context)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[SessionStore, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. A client that goes away or cancels does not stop a save half-way: every wait is bounded.

        Raises:
            MCPError: there is no such tool.
            ToolError: wrong arguments, named with what is allowed.

        """
        call = partial(self._called, name, arguments, context)
        return detach_content(await (self.tracing.around(name, arguments, call) if self.tracing else call()))

    async def _called(
        self, name: str, arguments: dict[str, Any], context: Context[SessionStore, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        if name not in (schemas := await self.known_schemas()):
            raise unknown_name("tool", name, schemas)
        try:
            halves.begin_call(context.request_context.meta if context else None)
            arguments = read_arguments(name, schemas[name], arguments)
            with self._scope_of(name):
                result = await super().call_tool(name, arguments, context)
                if self.notifier:
                    await self.notifier.tool_called(name, arguments, result)
                return result
        except InvalidArgument as exc:
            raise ToolError(one_line(str(exc))) from None
        except MCPError as exc:
            why = f"{name}: the person could not be asked ({cause(str(exc))}); nothing was done. {NEVER_ASK}"
            raise ToolError(why) from exc
        except ToolError as exc:
            raise ToolError(one_line(_explain(name, exc.__cause__) if exc.__cause__ else str(exc))) from None
        raise ToolError(f"{name} was cancelled.")  # a shielded scope never is, which no type checker can know

    @contextmanager
    def _scope_of(self, name: str) -> Generator[None]:
        asking = self._asking = set() if self._asking is None else self._asking
        with anyio.CancelScope(shield=name not in ASKS_FIRST) as scope:
            if name in ASKS_FIRST:
                asking.add(scope)
            try:
                yield
            finally:
                asking.discard(scope)

    async def known_schemas(self) -> Mapping[str, JSONObject]:
        """The schemas of the tools' arguments, by tool."""
        if not self._schemas:
            self._schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
        return self._schemas


def unknown_name(what: str, name: str, known: Iterable[str]) -> MCPError:
    """The protocol's error for a name that is none of ours, with the nearest that is."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, 0.5)
    hint = f"the nearest is {near[0]}" if near else f"known: {', '.join(names) or 'none'}"
    return MCPError(INVALID_PARAMS, f"Unknown {what}: {quoted(name[:80])}; {hint}.")


def _explain(name: str, error: BaseException) -> str:
    """What a caller can do about it; never values, which are the caller's conversation."""
    if name in ASKS_FIRST and isinstance(error, ToolError):  # the SDK's word for an answer that makes no sense
        return f"{name}: what the client answered for the person makes no sense; nothing was done."
    if isinstance(error, InvalidArgument):
        return str(error)
    # Where it happened, without the exception's own text: that may quote a conversation.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("Tool %s failed with %s:\n%s", name, type(error).__name__, where)
    return f"{name} failed inside the server ({type(error).__name__}); its log says where."


def build_server(
    settings: Settings,
    sessions: SessionStore,
    executions: ExecutionStore,
    tracing: ToolTracing | None = None,
    state_key: bytes | None = None,
    off_record: OffRecord = never,
) -> FlywheelServer:
    """The server for these settings and stores, which its lifespan opens and closes; the tracing is the caller's.

    `state_key` seals what a client carries from a question to its answer, where another process may be answered;
    `off_record` says what the person of this machine wants nothing kept of.
    """
    tools = Tools(sessions, executions, settings, tracing, off_record)
    notifier = ChangeNotifier(sessions)
    server = FlywheelServer(
        name="agentic-flywheel-state",
        title="Agentic Flywheel State",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=_lifespan(sessions, tools, notifier),
        subscriptions=notifier.bus,
        request_state_security=RequestStateSecurity(keys=[state_key]) if state_key else None,
        log_level=settings.log_level,  # type: ignore[arg-type]  checked against the same five names
        tools=published(tools, settings),
    )
    add_middleware(server, partial(take_params, server.known_schemas))
    add_middleware(server, note_client)
    add_middleware(server, attach_content)
    resources = Resources(sessions, executions)
    resources.register(server)
    server.list_newest = resources.newest
    server.notifier = notifier
    server.tracing = tracing
    notifier.register(server)
    Prompts(sessions).register(server)
    return server


def _lifespan(
    sessions: SessionStore, tools: Tools, notifier: ChangeNotifier
) -> Callable[[MCPServer[SessionStore]], AbstractAsyncContextManager[SessionStore]]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[SessionStore]) -> AsyncGenerator[SessionStore]:
        async with sessions:
            watching = asyncio.create_task(notifier.watch(), name="notifier")
            preparing = asyncio.create_task(asyncio.to_thread(tools.prepare), name="preparing")
            try:
                yield sessions
            finally:
                watching.cancel()
                await asyncio.wait({watching, preparing})

    return lifespan


async def serve(server: FlywheelServer, sessions: SessionStore, front: Front | None) -> int:
    """Serve over standard input and output, whose beginning `front` has read; the process's exit code."""
    if sys.platform == "win32":  # asyncio has no pipes for standard input there
        async with stdio_server() as (incoming, outgoing):
            await run_over(server, incoming, outgoing)
        return 0
    stop, received = asyncio.Event(), 0
    if server.notifier and front:
        server.notifier.owes_list = front.answers.owes_list
        server.notifier.listens_since = front.answers.listens_since

    def on_signal(number: int) -> None:
        nonlocal received
        received = number
        stop.set()

    loop = asyncio.get_running_loop()
    for number in ENDING:
        with suppress(ValueError):
            loop.add_signal_handler(number, on_signal, number)
    end_streams = server.notifier.end_streams if server.notifier else lambda: None
    async with stdio(stop, sessions.repository.close_client, front, end_streams) as (incoming, outgoing):
        await run_over(server, incoming, outgoing)
    for number in ENDING:  # all is done; asyncio would have Ctrl-C end the last steps with a traceback
        loop.remove_signal_handler(number)
    end_at_signals()
    return 128 + received if received else 0

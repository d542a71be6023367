"""Makes a child process a transport of the MCP SDK's client; only the demo needs one."""

from types import TracebackType

from agentic_flywheel.coaia.process import ChildProcess
from agentic_flywheel.jsonrpc_lines import Incoming, Outgoing


class ChildTransport(ChildProcess):
    """A child as a transport of the SDK's client (its `Transport` protocol)."""

    async def __aenter__(self) -> tuple[Incoming, Outgoing]:
        """Start the child."""
        next_line, write = await self.open()

        async def skip(_line: bytes) -> None:
            """A stray print."""

        return Incoming(next_line, skip), Outgoing(write)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the child."""
        await self.aclose()

"""The real server behind the real SDK client, with the pids that tests need to be unkind."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import ContentBlock, TextContent

from .preloaded import noted_pids
from .processes import children, kill, wait_gone
from .waiting import eventually


def text_of(content: ContentBlock) -> str:
    """The text of a part of an answer, which is text."""
    assert isinstance(content, TextContent), content
    return content.text


class Session:
    """A connected client, and the process it talks to."""

    def __init__(self, client: Client, pid: int, stderr_path: Path) -> None:
        self.client = client
        self.pid = pid
        self.stderr_path = stderr_path

    @property
    def children(self) -> list[int]:
        return children(self.pid)

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool call that is no error."""
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, result.content
        answer = result.structured_content
        assert isinstance(answer, dict)
        assert answer["message"], "every answer has a human sentence"
        return answer

    async def warm(self) -> "Session":
        """Come back when the child is ready and Redis answers: only then is "not found" said of a stranger."""

        async def reached() -> bool:
            return (await self.call("resume_session", session_id="nobody"))["reason"] == "not_found"

        await eventually(reached, what=f"the server to reach Redis; stderr: {self.stderr[-2000:]}")
        return self

    def kill(self) -> None:
        """kill -9 of the server and of all below it."""
        below = self.children
        for pid in (self.pid, *below):
            kill(pid)
        wait_gone([self.pid, *below])


@asynccontextmanager
async def open_server(
    env: Mapping[str, str],
    *,
    mode: Literal["legacy", "auto"] | str = "auto",
    cwd: Path | None = None,
    **client_can: Any,
) -> AsyncIterator[Session]:
    """A new server process behind an SDK client. Enter and leave it in one task. It leaves no process.

    `client_can`: callbacks of the client.
    """
    home = Path(env["HOME"])
    stderr_path = home / f"stderr-{os.urandom(4).hex()}.log"
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "agentic_flywheel"], env=dict(env), cwd=cwd or home
    )
    seen: list[int] = []
    with stderr_path.open("w") as errlog, noted_pids() as started:
        try:
            async with Client(stdio_client(command, errlog=errlog), mode=mode, **client_can) as client:
                seen.append(started[0])
                try:
                    yield Session(client, seen[0], stderr_path)
                finally:
                    seen += children(seen[0])
        except BaseExceptionGroup as group:
            raise _only(group) from None  # what a test raised inside, without the task groups around it
        finally:
            if seen:
                wait_gone(seen)


def _only(group: BaseException) -> BaseException:
    """The exception in a nest of groups of one."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group

"""A server over HTTP as a process of its own, and clients of it: the SDK's, and one that sends what it is told."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from .ports import HeldPort
from .processes import children, kill, wait_gone
from .waiting import wait_until

JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
MODERN = {"mcp-protocol-version": "2026-07-28"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}


class HTTPProcess:
    """One server process; `url` is its endpoint, at the same port after each start."""

    def __init__(self, env: Mapping[str, str], *arguments: str) -> None:
        self.env, self.arguments = env, arguments
        self._held = HeldPort()
        self.port = self._held.number
        self.stderr_path = Path(env["HOME"]) / f"http-{os.urandom(4).hex()}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.taken = 0
        self._said_before = 0  # characters of its log from earlier starts

    def start(self) -> "HTTPProcess":
        command = [sys.executable, "-m", "agentic_flywheel", "serve", "--http", "--port", str(self.port)]
        self._said_before = len(self.stderr) if self.stderr_path.exists() else 0
        with self.stderr_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                env=dict(self.env),
                cwd=self.env["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        found = wait_until(self._listens, what=f"the server to listen: {self.stderr}")
        self.port = int(found[2])
        host = "127.0.0.1" if found[1].startswith(("0.", "localhost")) else found[1]
        self.url = f"{found[0]}://{host}:{found[2]}/mcp"
        return self

    @property
    def root(self) -> str:
        return self.url.removesuffix("/mcp")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def _listens(self) -> tuple[str, str, str] | None:
        assert self.process
        assert self.process.poll() is None, self.stderr
        found = re.findall(r"listens on (https?)://(.+):(\d+)/mcp", self.stderr[self._said_before :])
        return found[-1] if found else None

    def end(self, *, within: float = 30) -> int:
        """SIGTERM; the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(within)

    def kill(self) -> None:
        """kill -9 of it and of all below it."""
        if self.process and self.process.poll() is None:
            below = children(self.process.pid)
            self.process.kill()
            self.process.wait(30)
            for pid in below:
                kill(pid)
            wait_gone(below)
        self.process = None


@contextmanager
def http_server(env: Mapping[str, str], *arguments: str) -> Iterator[HTTPProcess]:
    """A server over HTTP, until the block ends."""
    server = HTTPProcess(env, *arguments).start()
    try:
        yield server
    finally:
        server.kill()


def command(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the console script."""
    program = [sys.executable, "-m", "agentic_flywheel", *arguments]
    return subprocess.run(program, env=dict(env), cwd=env["HOME"], capture_output=True, text=True, timeout=60)


def token_of(env: Mapping[str, str], name: str, *options: str) -> str:
    """A new token."""
    done = command(env, "tokens", "add", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def http_client(url: str, token: str = "", *, mode: Any = "auto", **client_can: Any) -> AsyncIterator[Client]:
    """The SDK's client of a server over HTTP."""
    async with (
        httpx2.AsyncClient(headers=bearer(token) if token else {}, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **client_can) as client,
    ):
        yield client


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool call that is no error."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def request(method: str, params: dict[str, Any] | None = None, *, identity: int = 1) -> dict[str, Any]:
    """A request of 2026-07-28, which needs no session."""
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": {**(params or {}), "_meta": META}}


def headers_of(method: str, name: str = "", token: str = "") -> dict[str, str]:
    """The headers of such a request."""
    routing = {"mcp-method": method, **({"mcp-name": name} if name else {})}
    return JSON | MODERN | routing | (bearer(token) if token else {})


async def post(http: httpx2.AsyncClient, url: str, method: str, params: dict[str, Any], token: str = "") -> Any:
    """The answer, as JSON, to a request of 2026-07-28."""
    name = params.get("name") or params.get("uri") or ""
    answer = await http.post(url, json=request(method, params), headers=headers_of(method, name, token))
    assert answer.status_code < 500, (answer.status_code, answer.text)
    return answer.json()


async def tool(http: httpx2.AsyncClient, url: str, name: str, token: str = "", **arguments: Any) -> Any:
    """The structured content of a tool's answer, or its error."""
    answer = await post(http, url, "tools/call", {"name": name, "arguments": arguments}, token)
    return answer["result"].get("structuredContent") or answer["result"] if "result" in answer else answer

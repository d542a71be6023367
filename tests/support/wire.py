"""The MCP protocol spoken line by line: for what an SDK client would not send, and for driving signals and ends."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from .processes import children, kill, wait_gone
from .waiting import wait_until

SERVER = (sys.executable, "-m", "agentic_flywheel")
REPLY_WITHIN = 30.0  # far above every bound of the contract; only a wedged server reaches it


class WireServer:
    """A server process, and the plainest possible client of it. Synchronous, so that any fixture may hold it."""

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        command: Sequence[str] = SERVER,
        cwd: Path | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        self.env = dict(env)
        self.command = list(command)
        self.cwd = cwd or Path(env["HOME"])
        self.stderr_path = Path(env["HOME"]) / f"stderr-{os.urandom(4).hex()}.log"
        self.junk: list[bytes] = []  # lines on stdout that are no protocol
        self.process: subprocess.Popen[bytes] | None = None
        self._capabilities = dict(capabilities or {})
        self._received = bytearray()
        self._messages: list[dict[str, Any]] = []
        self._next_id = 0

    # life

    def __enter__(self) -> Self:
        self.spawn()
        try:
            self.initialize()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def spawn(self) -> Self:
        with self.stderr_path.open("ab") as err:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                bufsize=0,
                start_new_session=True,
            )
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            os.set_blocking(pipe.fileno(), False)
        return self

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process, "the server is not started"
        return self.process

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def children(self) -> list[int]:
        return children(self.pid)

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def close_stdin(self) -> None:
        assert self.running.stdin
        self.running.stdin.close()

    def wait(self, within: float) -> int:
        """The exit code; stdout is read on, so that nobody waits for us."""
        return wait_until(self._ended, within=within, what=f"the server's end; stderr: {self.stderr[-2000:]}")[0]

    def _ended(self) -> tuple[int] | None:
        self._read(0)
        code = self.running.poll()
        return None if code is None else (code,)

    def close(self) -> None:
        """The polite end; the impolite one where that fails. Nothing of the server is left."""
        if self.process is None:
            return
        below = self.children
        try:
            if self.process.stdin and not self.process.stdin.closed:
                self.close_stdin()
            if self.process.poll() is None:
                self.wait(REPLY_WITHIN)
        finally:
            self.kill(*below)

    def kill(self, *others: int) -> list[int]:
        """kill -9 of the server and all below it, and wait for their end; the pids that were killed."""
        below = [*others, *self.children]
        for pid in (self.pid, *below):
            if pid != self.pid or self.running.poll() is None:
                kill(pid)
        self.running.wait(REPLY_WITHIN)
        for pipe in (self.running.stdin, self.running.stdout):
            if pipe:
                pipe.close()
        wait_gone(below)
        return [self.pid, *below]

    # lines

    def _read(self, timeout: float) -> bool:
        """Take in what is there; False at the end of the stream."""
        out = self.running.stdout
        if not out or out.closed or not select.select([out], [], [], timeout)[0]:
            return True
        try:
            chunk = os.read(out.fileno(), 1 << 20)
        except BlockingIOError:
            return True
        if b"\n" not in chunk:
            self._received += chunk
            return bool(chunk)
        first, *lines, rest = chunk.split(b"\n")
        for line in (bytes(self._received) + first, *lines):
            self._take(line)
        self._received = bytearray(rest)
        return True

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict) and message.get("jsonrpc") == "2.0":
            self._messages.append(message)
        else:
            self.junk.append(line)

    def send_line(self, line: str, *, within: float = REPLY_WITHIN) -> None:
        """Write one line of text, taking in what the server says meanwhile."""
        self.send_bytes(line.encode("utf-8", "surrogatepass"), within=within)

    def send_bytes(self, line: bytes, *, within: float = REPLY_WITHIN) -> None:
        """Write one line of any bytes, taking in what the server says meanwhile."""
        data = memoryview(line + b"\n")
        assert self.running.stdin
        fd = self.running.stdin.fileno()
        deadline = time.monotonic() + within
        while data:
            assert time.monotonic() < deadline, "the server does not take its input"
            if select.select([], [fd], [], 0.01)[1]:
                data = data[os.write(fd, data[: 1 << 16]) :]
            self._read(0)

    def send(self, method: str, params: Mapping[str, Any] | None = None, *, raw_params: str = "") -> int:
        """Send a request, its parameters as they are or as raw JSON text; its id."""
        self._next_id += 1
        body = raw_params or json.dumps(params or {}, ensure_ascii=False)
        self.send_line(f'{{"jsonrpc":"2.0","id":{self._next_id},"method":{json.dumps(method)},"params":{body}}}')
        return self._next_id

    def reply(self, request: int, *, within: float = REPLY_WITHIN) -> dict[str, Any]:
        """The reply to one request; others are kept."""
        deadline = time.monotonic() + within
        while True:
            for i, message in enumerate(self._messages):
                if message.get("id") == request and "method" not in message:
                    return self._messages.pop(i)
            left = deadline - time.monotonic()
            assert left > 0, f"no reply to request {request} within {within} s; stderr: {self.stderr[-2000:]}"
            assert self._read(min(left, 1.0)), f"the server closed its output; stderr: {self.stderr[-2000:]}"

    def request(self, method: str, params: Mapping[str, Any] | None = None, *, within: float = REPLY_WITHIN) -> Any:
        """The result of a request that succeeds."""
        reply = self.reply(self.send(method, params), within=within)
        assert "result" in reply, reply
        return reply["result"]

    # the protocol

    def heard(self, method: str) -> list[dict[str, Any]]:
        """What the server has asked or told by itself."""
        self._read(0.05)
        return [message for message in self._messages if message.get("method") == method]

    def initialize(self) -> dict[str, Any]:
        known = {"protocolVersion": "2025-06-18", "clientInfo": {"name": "wire", "version": "1"}}
        result = self.request("initialize", {**known, "capabilities": self._capabilities})
        self.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return result

    def ping(self, *, within: float = REPLY_WITHIN) -> None:
        """Come back when the server has read all that was sent before."""
        self.request("ping", within=within)

    def send_call(self, name: str, arguments: Mapping[str, Any]) -> int:
        return self.send("tools/call", {"name": name, "arguments": dict(arguments)})

    def call(self, name: str, *, within: float = REPLY_WITHIN, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool call that is no error."""
        reply = self.reply(self.send_call(name, arguments), within=within)
        assert "result" in reply, reply
        result = reply["result"]
        assert not result.get("isError"), result
        answer = result["structuredContent"]
        assert answer["message"], "every answer has a human sentence"
        return answer

    def refused(self, name: str, **arguments: Any) -> str:
        """The text of a tool call that is an error."""
        return error_text(self.reply(self.send_call(name, arguments)))

    def warm(self) -> Self:
        """Come back when the child is ready and Redis answers: only then is "not found" said of a stranger."""
        wait_until(
            lambda: self.call("resume_session", session_id="nobody")["reason"] == "not_found",
            what=f"the server to reach Redis; stderr: {self.stderr[-2000:]}",
        )
        return self


def error_text(reply: Mapping[str, Any]) -> str:
    """The words of a tool error (`isError`); AssertionError for anything else."""
    assert "result" in reply, f"a protocol error, which a model does not see: {reply}"
    result = reply["result"]
    assert result.get("isError"), f"accepted: {str(result)[:2000]}"
    return "\n".join(block["text"] for block in result["content"])

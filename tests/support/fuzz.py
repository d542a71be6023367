"""A live server to be unkind to: one line in, and all that it says to it out."""

import json
import os
from collections.abc import Callable
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, settings

from .conversations import TALK, exact
from .waiting import wait_until
from .wire import WireServer

Era = Literal["handshake", "per request"]
ERAS: tuple[Era, ...] = ("handshake", "per request")

FUZZ = int(os.environ.get("FUZZ", "1"))
"""How many times the usual examples are tried, and other ones at each run: `FUZZ=100 pytest --timeout 0 -k fuzz`."""

ANSWER_WITHIN = 30.0  # seconds, which only a line that is never answered takes

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
"""What every request carries in the era without a handshake."""

INTERNALS = ("Traceback", "failed inside the server", "Error executing tool", "pydantic", "site-packages")


def fuzzed(examples: int) -> settings:
    """Hypothesis settings: the same examples at each run, as they were found, and nothing left behind."""
    return settings(
        max_examples=examples * FUZZ,
        deadline=None,
        derandomize=FUZZ == 1,
        phases=[Phase.generate] if FUZZ == 1 else [Phase.generate, Phase.shrink],  # which takes minutes of time-outs
        database=None,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]  declared to be of its metaclass
    )


class LiveServer:
    """One server for many lines. It is started anew only where a line has ended it, which fails that line's test."""

    def __init__(self, start: Callable[[], WireServer], era: Era = "handshake") -> None:
        self._start = start
        self._era = era
        self._meta: dict[str, Any] = {"_meta": META} if era == "per request" else {}
        self._server: WireServer | None = None
        self._calls = 0

    def close(self) -> None:
        if self._server:
            self._server.close()

    @property
    def server(self) -> WireServer:
        """The server, ready for any line."""
        if self._server is None:
            self._server = self._start().spawn()
            if self._era == "handshake":
                self._server.initialize()
            wait_until(lambda: self.call("resume_session", session_id="nobody")["reason"] == "not_found")
        return self._server

    def said_to(self, line: bytes, *, awaited: bool) -> list[dict[str, Any]]:
        """All that the server says to a line until it has answered the next one; `awaited`: at least one message."""
        server = self.server
        assert self._messages() == [], "an answer that came late, or twice"
        try:
            server.send_bytes(line)
            server.reply(self._send("server/discover" if self._era == "per request" else "ping"), within=ANSWER_WITHIN)
        except BaseException:
            self._server = None
            server.kill()
            raise
        if awaited:
            wait_until(lambda: server._read(0.01) and server._messages, within=ANSWER_WITHIN, what="an answer")
        return self._messages()

    def _messages(self) -> list[dict[str, Any]]:
        """What the server said and nobody took."""
        messages = self.server._messages
        taken, messages[:] = messages[:], []
        return taken

    def answer_to_call(self, tool: str, arguments: Any, *, ascii_only: bool = True) -> dict[str, Any]:
        """The one answer to a tool call; NaN and lone surrogates in the arguments are written as they are."""
        self._calls -= 1
        params = {"name": tool, "arguments": arguments} | self._meta
        message = {"jsonrpc": "2.0", "id": self._calls, "method": "tools/call", "params": params}
        line = json.dumps(message, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        (answer,) = self.said_to(line, awaited=True)
        assert answer["id"] == self._calls
        return answer

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool call that is no error."""
        reply = self.server.reply(self._send("tools/call", name=tool, arguments=arguments), within=ANSWER_WITHIN)
        assert not reply["result"].get("isError"), reply
        return reply["result"]["structuredContent"]

    def _send(self, method: str, **params: Any) -> int:
        return self.server.send(method, params | self._meta)

    def check_that_it_serves(self) -> None:
        """A save and a resume work as if nothing had happened, and the log tells of no fault."""
        self.call("save_session", session_id="afterwards", history=TALK, mode="replace")
        assert exact(self.call("resume_session", session_id="afterwards")["session"]["history"]) == exact(TALK)
        assert self.server.junk == [], "stdout is the protocol's alone"
        assert "Traceback" not in self.server.stderr, self.server.stderr[-4000:]

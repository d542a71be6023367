"""A Langfuse that records what it is sent, in whatever mood; and a child that has the released tools' names alone."""

import json
import shlex
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from .ports import HeldPort
from .waiting import wait_until

PUBLIC_KEY, SECRET_KEY = "pk-lf-for-tests", "sk-lf-for-tests"

# An MCP server on standard input and output that notes each call of a tool, and answers that all went well.
NOTING_CHILD = r"""
import json, sys
noted, names = sys.argv[1], sys.argv[2].split(",")
tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names if name]
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = {}
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "noting", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": tools}
    elif message["method"] == "tools/call":
        with open(noted, "a") as file:
            file.write(json.dumps([message["params"]["name"], message["params"]["arguments"]]) + "\n")
        result = {"content": [{"type": "text", "text": '{"success": true}'}], "isError": False}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def noting_child(folder: Path, *names: str) -> str:
    """For FLYWHEEL_COAIA_COMMAND: a child with tools of these names, whose calls `noted` reads."""
    program = folder / "noting.py"
    program.write_text(NOTING_CHILD)
    return shlex.join([sys.executable, str(program), str(folder / "noted"), ",".join(names)])


def noted(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The calls that the child was sent."""
    path = folder / "noted"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    keys: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.body["batch"][0]["type"] if "batch" in self.body else "score"

    @property
    def fields(self) -> dict[str, Any]:
        """The trace, observation or score in it."""
        return self.body["batch"][0]["body"] if "batch" in self.body else self.body


class RecordingLangfuse:
    """An HTTP server on loopback. `mood`: `well`, `slow`, a status, `event refused` or `silent`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.mood = "well"
        self.over = threading.Event()
        self._held = HeldPort()
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        return self._held.number

    @property
    def env(self) -> dict[str, str]:
        return {
            "LANGFUSE_HOST": f"http://127.0.0.1:{self.port}",
            "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
            "LANGFUSE_SECRET_KEY": SECRET_KEY,
        }

    def start(self) -> Self:
        langfuse = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                langfuse.take(self)

            def do_GET(self) -> None:
                langfuse.requests.append(Request(self.path, "", {}))
                langfuse.answer(self, 404, {})

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.over.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        mood = self.mood
        if mood == "silent":
            self.over.wait(30)
        if mood == "slow":
            self.over.wait(0.3)
        if mood in ("well", "slow"):
            self.requests.append(Request(handler.path, handler.headers["authorization"], body))
        errors = [{"id": "x", "status": 400, "message": "no"}] if mood == "event refused" else []
        self.answer(handler, int(mood) if mood.isdigit() else 207, {"successes": [], "errors": errors})

    def answer(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def of(self, kind: str, where: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[dict[str, Any]]:
        """The traces (`trace-create`), observations (`observation-create`) or `score`s that came."""
        return [request.fields for request in self.requests if request.kind == kind and where(request.fields)]

    def traces(self) -> dict[str, dict[str, Any]]:
        """Each trace as Langfuse has it in the end, by its name."""
        merged: dict[str, dict[str, Any]] = {}
        for fields in self.of("trace-create"):
            merged.setdefault(fields["id"], {}).update(fields)
        return {trace["name"]: trace for trace in merged.values()}

    def wait_for(self, number: int, within: float = 30.0) -> None:
        """Wait until so many requests have come."""
        wait_until(lambda: len(self.requests) >= number, within=within, what=f"{number} requests")

    @property
    def text(self) -> str:
        """All that came."""
        return json.dumps([request.body for request in self.requests], ensure_ascii=False)


BASIC = "Basic " + b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
"""What says the keys to Langfuse."""

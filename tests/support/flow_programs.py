"""A Flowise and a Langflow as their own code answers over HTTP: routes, pages and refusals, over rows of ours."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-that-nobody-guesses"

Answer = tuple[int, dict[str, str], bytes]


class FlowProgramServer:
    """An HTTP server on loopback; `answer` makes of a path and its query what is answered, `seen` are its requests."""

    def __init__(self, answer: Callable[[str, dict[str, str]], Answer]) -> None:
        self.answer = answer
        self.seen: list[tuple[str, dict[str, str]]] = []
        """Path with query, and headers in lower case."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append((self.path, headers))
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                status, more, body = outer.answer(parts.path, query | {"key": _key(headers)})
                self.send_response(status)
                for name, value in ({"content-length": str(len(body))} | more).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: pytest's output is its own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["FlowProgramServer"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(30)


def _key(headers: dict[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def as_json(value: Any, status: int = 200) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(value).encode()


def flowise(flows: dict[str, list[dict[str, Any]]]) -> Callable[[str, dict[str, str]], Answer]:
    """Flowise 3.1.4: all messages of a flow at once, the interface's page for a path that it does not know."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        if not path.startswith("/api/v1/"):
            return 200, {"content-type": "text/html"}, b"<!DOCTYPE html><html><title>Flowise</title></html>"
        if query["key"] != KEY:
            return as_json({"error": "Unauthorized Access"}, 401)
        if path == "/api/v1/chatflows":
            return as_json([{"id": flow, "name": f"Flow {flow}", "flowData": "{}"} for flow in flows])
        flow = path.removeprefix("/api/v1/chatmessage/")
        if flow not in flows:
            return as_json({"statusCode": 500, "success": False, "message": "Error: Unauthorized access"}, 500)
        return as_json(sorted(flows[flow], key=lambda row: row["createdDate"]))

    return answer


def langflow(messages: list[dict[str, Any]], *, most: int = 200) -> Callable[[str, dict[str, str]], Answer]:
    """Langflow 1.13.0: at most so many a call, the newest first and then the order that was asked for."""

    def answer(path: str, query: dict[str, str]) -> Answer:
        if query["key"] != KEY:
            return as_json({"detail": "Invalid or missing API key"}, 403)
        if path != "/api/v1/monitor/messages":
            return as_json({"detail": "Not Found"}, 404)
        found = [each for each in messages if query.get("flow_id") in (None, each["flow_id"])]
        newest = sorted(found, key=lambda each: (each["timestamp"], each["id"]), reverse=True)
        begin, count = int(query.get("offset", 0)), min(int(query.get("limit", 100)), most)
        window = newest[begin : begin + count]
        return as_json(window if query.get("order") == "DESC" else window[::-1])

    return answer

"""Speaks Anthropic's Messages interface on loopback: a model that calls a tool once if it is asked to, then answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASKS = "use the tool"
"""What a prompt says for the model to call its tool."""

FOUND = "quinces-and-plums"
"""What the command that it calls, if nobody names another tool, prints."""

LOOK_AROUND = {"command": f"echo {FOUND}", "description": "Look around"}


class _Model(BaseHTTPRequestHandler):
    tool: str
    arguments: dict[str, Any]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server has
        """Nobody reads it."""

    def do_GET(self) -> None:
        self._whole({})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if "count_tokens" in self.path:
            self._whole({"input_tokens": 10})
            return
        said = json.dumps(asked.get("messages", []))
        offered = f'"{self.tool}"' in json.dumps(asked.get("tools", []))
        calls = ASKS in said and '"tool_result"' not in said and offered
        block = {"type": "tool_use", "id": "toolu_01", "name": self.tool, "input": self.arguments}
        if not calls:
            block = {"type": "text", "text": f"I know of {said.count(FOUND)} findings."}
        message = {"id": f"msg_{len(said)}", "type": "message", "role": "assistant", "model": asked.get("model"),
                   "content": [block], "stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None,
                   "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
        if asked.get("stream"):
            self._streamed(message, block)
        else:
            self._whole(message)

    def _whole(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _streamed(self, message: dict[str, Any], block: dict[str, Any]) -> None:
        begun = block | ({"text": ""} if block["type"] == "text" else {"input": {}})
        delta = {"type": "text_delta", "text": block.get("text")}
        if block["type"] == "tool_use":
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in (
            {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": begun},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


@contextmanager
def model(tool: str = "Bash", arguments: dict[str, Any] = LOOK_AROUND) -> Iterator[str]:
    """The address of the model, as long as it is needed, and the one call that it makes."""
    handler = type("Model", (_Model,), {"tool": tool, "arguments": arguments})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

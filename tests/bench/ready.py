"""What the client alone costs: a program that has every answer ready, in the shape in which our server sends it.

It reads a line and writes a line; no SDK, no checks, no storage. No server that is asked with the same arguments and
answers the same can be quicker.
"""

import sys
from typing import Any

from pydantic_core import from_json, to_json

SAVED = {"message": "", "saved": True, "session_id": "", "revision": 1, "provisional": False, "turns": 0,
         "added_turns": 0, "stored_in": "none", "expires_at": None}  # fmt: skip
SCHEMA = {"type": "object"}
ANSWERS = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "ready", "version": "1"},
    },
    "tools/list": {
        "tools": [
            {"name": name, "inputSchema": SCHEMA, "outputSchema": SCHEMA} for name in ("save_session", "resume_session")
        ]
    },
}


def structured(content: dict[str, Any]) -> bytes:
    """The result of a tool call."""
    return to_json({"content": [{"type": "text", "text": ""}], "structuredContent": content})


def answer(identity: int, result: bytes | None) -> None:
    """Write it; none: the method is not known."""
    what = b'"result":%b' % result if result else b'"error":{"code":-32601,"message":"Method not found"}'
    sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":%d,%b}\n' % (identity, what))
    sys.stdout.buffer.flush()


def main() -> None:
    """Answer until standard input ends."""
    saved, resumed = structured(SAVED), structured({"found": False})
    for line in sys.stdin.buffer:
        message = from_json(line)
        if "id" not in message:
            continue
        params = message.get("params") or {}
        if message["method"] != "tools/call":
            known = ANSWERS.get(message["method"])
            answer(message["id"], to_json(known) if known else None)
        elif params["name"] == "resume_session":
            answer(message["id"], resumed)
        else:
            answer(message["id"], saved)
            history = params["arguments"]["history"]
            resumed = structured({"found": True, "source": "none", "session": {"history": history}})


if __name__ == "__main__":
    main()

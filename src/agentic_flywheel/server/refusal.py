"""Tells requests from what is none or what no parser reads, and answers that under the id that can be found in it."""

import json
import re
from typing import cast

import mcp_types as types
from pydantic_core import from_json

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.jsonrpc_lines import message_of
from agentic_flywheel.server.halves import message_in

SCANNED = 2**20
"""Bytes of an unreadable line that are searched for the id of its request."""

UNREADABLE = (
    "This is no JSON-RPC message that can be read. Nesting beyond some 200 levels, numbers of thousands "
    "of digits, and half of a surrogate pair outside of parameters are beyond every parser on the way."
)

NO_REQUEST = (
    'This is JSON, but no JSON-RPC message: that has "jsonrpc": "2.0", a method, and params that are an object.'
)

# A string that is not closed takes the rest of the line, so that no byte is looked at twice.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)
_ID = re.compile(rb'".*"|-?\d{1,18}', re.DOTALL)


def request_of(line: bytes) -> types.JSONRPCMessage:
    """The message in a line or body.

    Raises:
        ValueError: there is none, or it is a request with an id that cannot be answered, which the SDK takes for a
            notification and never answers.

    """
    message = message_in(line)
    if isinstance(message, types.JSONRPCNotification) and b'"id"' in line and "id" in json.loads(line):
        raise ValueError("a request with an id that is neither text nor a whole number")
    return message


def refusal(line: bytes) -> bytes:
    """The answer to a line that is no request, or nests or counts beyond what the SDK's parser reads."""
    try:
        message_of(line)
    except ValueError:
        identity = _id_in(line[:SCANNED])
        code, text = (types.INVALID_REQUEST, NO_REQUEST) if _is_json(line) else (types.PARSE_ERROR, UNREADABLE)
        if line.lstrip().startswith(b"["):
            text = "Batches are not taken: send each message by itself."
    else:
        code, identity = types.INVALID_REQUEST, None
        text = "The id of a request must be a string or an integer."
    error = types.ErrorData(code=code, message=text)
    return types.JSONRPCError(jsonrpc="2.0", id=identity, error=error).model_dump_json(by_alias=True).encode() + b"\n"


def answer_of(line: bytes) -> types.JSONRPCError | None:
    """What stands for an answer to us of another shape, if a line was meant for one: who waits for it learns so.

    Its id is ours, so nothing is answered to it.
    """
    try:
        value = from_json(line)
    except ValueError:
        return None
    message = cast("JSONObject", value) if isinstance(value, dict) else {}
    if "method" in message or {"result", "error"}.isdisjoint(message.keys()):
        return None
    identity: types.RequestId | None = message.get("id")
    told = types.ErrorData(code=types.INVALID_REQUEST, message="The client's answer is none of JSON-RPC.")
    is_id = isinstance(identity, str | int) and not isinstance(identity, bool)
    return types.JSONRPCError(jsonrpc="2.0", id=identity if is_id else None, error=told)


def _is_json(line: bytes) -> bool:
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def _id_in(line: bytes) -> types.RequestId | None:
    """The top-level `id` of a JSON object, found without parsing the rest of it."""
    depth = 0
    recent: tuple[bytes, bytes] = (b"", b"")
    for match in _TOKEN.finditer(line):
        token = match.group()
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and recent == (b'"id"', b":"):
            try:
                identity = cast("types.RequestId", json.loads(token)) if _ID.fullmatch(token) else None
                str(identity).encode()
            except ValueError:  # bad escapes, bad UTF-8, half of a surrogate pair
                return None
            return identity
        recent = (recent[1], token)
    return None

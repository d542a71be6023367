r"""Takes texts that were cut inside of an emoji: each half of a surrogate pair becomes U+FFFD, and answers say where.

Programs in JavaScript send such a half as an escape (`\ud83c`), which no parser on the way takes for JSON.
"""

import contextlib
import json
import re
from contextvars import ContextVar
from typing import cast

import mcp_types as types

from agentic_flywheel.json_text import JSONObject, mended
from agentic_flywheel.jsonrpc_lines import line_of, message_of

META = "agentic-flywheel-state/halves"
"""In the `_meta` of a request: where in its arguments halves were replaced."""

NAMED = 3
"""Places that a message names."""

_IN_LINE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_IN_TEXT = re.compile(r"\\u[dD][89a-fA-F]")
"""A half or a whole pair, escaped; in a line also raw, which is no UTF-8."""

_places: ContextVar[list[str]] = ContextVar("places")


def message_in(line: bytes) -> types.JSONRPCMessage:
    """The message in a line, which may have halves in its parameters.

    Raises:
        ValueError: there is none.

    """
    try:
        return message_of(line)
    except ValueError:
        if not _IN_LINE.search(line):
            raise
    return _with_halves(line)


def mended_body(body: bytes) -> bytes:
    """The body of a request, its halves mended if it has any that no parser reads; else as it is."""
    if not _IN_LINE.search(body):
        return body
    try:
        message_of(body)
    except ValueError:
        with contextlib.suppress(ValueError):
            return line_of(_with_halves(body))
    return body


def _with_halves(line: bytes) -> types.JSONRPCMessage:
    try:
        message = json.loads(line.decode(errors="surrogatepass"))
        given = message.pop("params")
        params, _ = mended(given)
        json.dumps(message, ensure_ascii=False).encode()  # an id with a half could not be answered
        if isinstance(arguments := given.get("arguments"), dict):
            params["arguments"], places = mended(cast("JSONObject", arguments))
            if places:
                params["_meta"] = params.get("_meta", {}) | {META: places}
    except (AttributeError, KeyError, RecursionError, TypeError):
        raise ValueError("no request with parameters") from None
    return types.jsonrpc_message_adapter.validate_python(message | {"params": params}, by_name=False)


def begin_call(meta: object) -> None:
    """Begin a call of a tool whose request has this `_meta`: what `said` says is of this call."""
    places = cast("JSONObject", meta).get(META) if isinstance(meta, dict) else None
    found = cast("list[object]", places) if isinstance(places, list) else []
    _places.set([str(place) for place in found])


def read_json(text: str, name: str) -> object:
    """What an argument of that name is as JSON, its halves mended and noted.

    Raises:
        ValueError, RecursionError: it is no JSON.

    """
    value: object = json.loads(text)
    if not _IN_TEXT.search(text):
        return value
    whole, places = mended({name: value})
    _places.get([]).extend(places)
    return whole[name]


def said() -> str:
    """What the answer to this call is to say of halves in its arguments."""
    places = _places.get([])
    if not places:
        return ""
    more = f" and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
    named = f"{'; '.join(places[:NAMED])}{more}"
    return f"Half of a surrogate pair is no character, so U+FFFD stands in its place ({named})."

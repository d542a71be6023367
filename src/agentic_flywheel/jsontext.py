"""JSON as text: what JSON can carry, how it is written, when two values are the same."""

import json
import math
from typing import Any, cast

from agentic_flywheel.errors import Damaged, InvalidArgument

MAX_DEPTH = 120
"""Levels of nesting in a value. JSON parsers of MCP clients and servers give up a little above this."""

MAX_INTEGER_BITS = 14_281
"""Of a number with 4,300 digits, the most that Python reads or writes as decimal text (`sys.int_info`)."""

JSONObject = dict[str, Any]


def dumps(value: object) -> str:
    """Compact JSON as it is stored: UTF-8, non-ASCII as it is, no NaN."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: object) -> str:
    """The JSON by which two turns are equal: compact, keys sorted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def check_json(value: object, path: str, depth: int = 0) -> None:
    """Make sure that `value` survives JSON exactly.

    Raises:
        InvalidArgument: names the path of the first number that is not finite, lone surrogate, key that is not
            text, type JSON has not, or nesting below `MAX_DEPTH`.

    """
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise InvalidArgument(f"{path} is a whole number of more than 4,300 digits. Send it as text.")
        return
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(f"{path} is {value}: JSON has no such number. Send null or text instead.")
    elif depth >= MAX_DEPTH:
        raise InvalidArgument(f"{path} is nested deeper than {MAX_DEPTH} levels. Flatten it or send it as text.")
    elif isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            if not isinstance(key, str):
                raise InvalidArgument(f"{path} has the key {key!r}: keys must be text.")
            _check_text(key, f"a key of {path}")
            check_json(item, f"{path}.{key[:80]}", depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(cast("list[object]", value)):
            check_json(item, f"{path}[{position}]", depth + 1)
    else:
        raise InvalidArgument(
            f"{path} is a {type(value).__name__}, which JSON has not. Send text, a list or an object."
        )


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(
            f"{path} has half of a surrogate pair at position {exc.start}, which is no character. Remove it."
        ) from None


def load_object(text: str, what: str) -> JSONObject:
    """The JSON object in `text`.

    Raises:
        Damaged: `what` is not a JSON object, or holds a number that is none.

    """
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Damaged(f"What is stored as {what} is not JSON.") from None
    if not isinstance(data, dict):
        raise Damaged(f"What is stored as {what} is not a JSON object.")
    return cast("JSONObject", data)


def _no_constant(name: str) -> None:
    raise ValueError(name)

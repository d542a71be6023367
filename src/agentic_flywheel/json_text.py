"""Reads and writes JSON text, and tells what JSON can carry and when two values are the same."""

import functools
import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any, cast

from agentic_flywheel.errors import Damaged, InvalidArgument

MAX_DEPTH = 120
"""Levels of nesting in a value. JSON parsers of MCP clients and servers give up a little above this."""

MAX_INTEGER_BITS = 14_281
"""Of a number with 4,300 digits, the most that Python reads or writes as decimal text (`sys.int_info`)."""

JSONObject = dict[str, Any]


def dumps(value: object) -> str:
    """Compact JSON as it is stored: non-ASCII as it is, no NaN.

    Raises:
        ValueError, TypeError: JSON cannot carry it.

    """
    import pydantic_core  # here: what only reads a list does without

    try:
        text = pydantic_core.to_json(value, inf_nan_mode="constants")  # a fifth of the standard library's time
    except ValueError:
        text = b"NaN"
    if b"NaN" in text or b"Infinity" in text:  # which may also be somebody's words
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.decode()


def dumps_checked(value: object) -> bytes:
    """The same in UTF-8, for what is known to be JSON since it was read as such or has passed `check_json`."""
    import pydantic_core

    try:
        return pydantic_core.to_json(value, inf_nan_mode="constants")
    except ValueError:
        return dumps(value).encode()


def narrow(text: bytes) -> bytes:
    """JSON with the characters of U+2000 to U+2FFF and from U+10000 on escaped: punctuation, symbols, emoji.

    Python keeps a text with one of those in two or four bytes a character, so that all that is done with it takes
    two or four times as long. No script in daily use lies there, so a text hardly gets longer.
    """
    if b"\xe2" in text:
        text = _PUNCTUATION.sub(_escaped, text)
    return _EMOJI.sub(_escaped, text) if b"\xf0" in text else text


_PUNCTUATION, _EMOJI = re.compile(rb"\xe2[\x80-\xbf]{2}"), re.compile(rb"\xf0[\x80-\xbf]{3}")


def _escaped(match: re.Match[bytes]) -> bytes:
    return _escape(match.group())


@functools.lru_cache(10_000)
def _escape(character: bytes) -> bytes:
    return json.dumps(character.decode())[1:-1].encode()


def size_of(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def is_larger(text: str, limit: int) -> bool:
    """Whether a text has more bytes than that in UTF-8; counted only where it might."""
    return len(text) > limit or (4 * len(text) > limit and size_of(text) > limit)


def canonical(value: object) -> str:
    """The JSON by which two turns are equal: compact, keys sorted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def check_json(value: object, path: str, depth: int = 0, *, is_whole: bool = False) -> None:
    """Make sure that `value` survives JSON exactly. `is_whole`: its texts are known to do so.

    Raises:
        InvalidArgument: names the path of the first number that is not finite, lone surrogate, key that is not
            text, type JSON has not, or nesting below `MAX_DEPTH`.

    """
    if not (_survives_as_read if is_whole else _survives)(value, depth):
        _find_fault(value, path, depth)


def _survives_as_read(value: Any, depth: int) -> bool:  # noqa: ANN401
    """The same of what was read as JSON whose texts are whole: what is left are numbers, and nesting."""
    kind = value.__class__
    if kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            return False
        for item in value.values() if kind is dict else value:
            if item.__class__ is not str and not _survives_as_read(item, depth + 1):
                return False
        return True
    return kind is str or _survives(value, depth)


def _survives(value: Any, depth: int) -> bool:  # noqa: ANN401, PLR0912  casts and calls would take as long as it does
    """Whether nothing is wrong with it, as far as a quick look tells.

    One function with many branches, because every call counts: texts are looked at in place, being so many.
    """
    kind = value.__class__
    if kind is dict:
        if depth >= MAX_DEPTH:
            return False
        for key, item in value.items():
            if type(key) is not str or not (key.isascii() or _is_text(key)):
                return False
            if type(item) is str:
                if not (item.isascii() or _is_text(item)):
                    return False
            elif not _survives(item, depth + 1):
                return False
        return True
    if kind is list:
        if depth >= MAX_DEPTH:
            return False
        for item in value:  # noqa: SIM110  `all` would make a generator of each list, of which there are many
            if not _survives(item, depth + 1):
                return False
        return True
    if kind is str:
        return _is_text(value)
    if kind is int:
        return value.bit_length() <= MAX_INTEGER_BITS
    if kind is float:
        return math.isfinite(value)
    return kind is bool or value is None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_fault(value: object, path: str, depth: int) -> None:
    if isinstance(value, dict | list):
        _find_fault_inside(cast("dict[object, object] | list[object]", value), path, depth)
    elif isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise InvalidArgument(f"{path} is a whole number of more than 4,300 digits. Send it as text.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(f"{path} is {value}: JSON has no such number. Send null or text instead.")
    elif value is not None:
        raise InvalidArgument(
            f"{path} is a {type(value).__name__}, which JSON has not. Send text, a list or an object."
        )


def _find_fault_inside(value: dict[object, object] | list[object], path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise InvalidArgument(f"{path} is nested deeper than {MAX_DEPTH} levels. Flatten it or send it as text.")
    if isinstance(value, list):
        for position, item in enumerate(value):
            _find_fault(item, f"{path}[{position}]", depth + 1)
        return
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"{path} has the key {key!r}: keys must be text.")
        _check_text(key, f"a key of {path}")
        _find_fault(item, f"{path}.{key[:80]}", depth + 1)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(
            f"{path} has half of a surrogate pair at position {exc.start}, which is no character. Remove it."
        ) from None


_HALF = re.compile("[\ud800-\udfff]")


def mended(value: JSONObject) -> tuple[JSONObject, list[str]]:
    """The same with U+FFFD for each half of a surrogate pair, and where the first one of each text was.

    Below `MAX_DEPTH` nothing is looked at: `check_json` refuses that.
    """
    places = list[str]()

    def mend(text: str, path: str) -> str:
        if not (half := _HALF.search(text)):
            return text
        places.append(f"{path}, position {half.start()}")
        return _HALF.sub("\ufffd", text)

    return {mend(name, "a name"): each_text(item, mend, name, 1) for name, item in value.items()}, places


def each_text(value: Any, made_of: Callable[[str, str], str], path: str = "", depth: int = 0) -> Any:  # noqa: ANN401
    """The value with what is made of each text and key in it, which is told where it stands; down to `MAX_DEPTH`."""
    if isinstance(value, str):
        return made_of(value, path)
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [each_text(item, made_of, f"{path}[{at}]", depth + 1) for at, item in enumerate(items)]
    if isinstance(value, dict):
        members = cast("JSONObject", value)
        return {
            made_of(key, f"a key of {path}"): each_text(item, made_of, f"{path}.{key[:80]}", depth + 1)
            for key, item in members.items()
        }
    return value


def load_object(text: str, what: str) -> JSONObject:
    """The JSON object in `text`.

    Raises:
        Damaged: `what` is not a JSON object, or holds a number that is none.

    """
    fast: Any = sys.modules.get("pydantic_core")  # half the time; to import it would take longer than to read a list
    try:
        if fast is None:
            raise ValueError
        data = fast.from_json(text, allow_inf_nan=False)  # what it does not take, the other may
    except ValueError:
        try:
            data = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Damaged(f"What is stored as {what} is not JSON.") from None
    if not isinstance(data, dict):
        raise Damaged(f"What is stored as {what} is not a JSON object.")
    return cast("JSONObject", data)


def _no_constant(name: str) -> None:
    raise ValueError(name)

"""Finds where things stand in a JSON text, so that a person's file is changed by the piece and kept to the byte else.

Comments and trailing commas, which Gemini CLI and Qwen Code allow in their settings, count as space.
"""

import json
import re
from dataclasses import dataclass

_SKIPPED = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object (with its key) or of an array: where it begins and where its value ends."""

    key: str
    begin: int
    value_begin: int
    end: int


def plain(text: str) -> str:
    """The text with spaces in the place of comments and trailing commas: as long as before."""
    return _TRAILING.sub(_blank, without_comments(text))


def without_comments(text: str) -> str:
    """The text with spaces in the place of comments."""
    return _SKIPPED.sub(_blank, text)


def comment_over(text: str, at: int) -> bool:
    """Whether a comment begins before this place and ends behind it."""
    return any(match.start() < at < match.end() and match[0][0] == "/" for match in _SKIPPED.finditer(text))


def members(text: str, at: int) -> list[Member]:
    """The members of the object or array that begins at this place of a plain text.

    Raises:
        ValueError: there is neither.

    """
    decoder, found = json.JSONDecoder(), list[Member]()
    opening = text[at]
    if opening not in "{[":
        raise ValueError("neither an object nor an array")
    place = _after_space(text, at + 1)
    while text[place] not in "}]":
        begin, key = place, ""
        if opening == "{":
            key, place = decoder.raw_decode(text, place)
            place = _after_space(text, _after_space(text, place) + 1)  # the colon
        value_begin = place
        _, place = decoder.raw_decode(text, place)
        found.append(Member(str(key), begin, value_begin, place))
        place = _after_space(text, place)
        if text[place] == ",":
            place = _after_space(text, place + 1)
    return found


def end_of(text: str, at: int) -> int:
    """Where the value that begins here ends: behind its last character."""
    return json.JSONDecoder().raw_decode(text, at)[1]


def begin_of(text: str) -> int:
    """Where the value of a whole plain text begins."""
    return _after_space(text, 0)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _blank(match: re.Match[str]) -> str:
    found = match[0]
    return found if found[0] == '"' else re.sub(r"[^\r\n]", " ", found)

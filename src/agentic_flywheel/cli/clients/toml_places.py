"""Finds where things stand in a TOML text that is known to be one: its statements, and the pairs of an inline table."""

import re
import tomllib
from dataclasses import dataclass
from typing import Any

_STRING = r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'"
_TOKEN = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}},\n]", re.DOTALL)
_KEY = re.compile(rf"(?:[A-Za-z0-9_-]+|{_STRING})(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|{_STRING}))*", re.DOTALL)
_SPACE = re.compile(r"[ \t]*")
_SPACE_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A header, or a key with its value."""

    table: Path
    """Whose it is: the table of the header above; a header is its own table's."""
    path: Path
    """What it is about, from the root on."""
    begin: int
    """Where its line begins."""
    end: int
    """Where the next line begins."""
    value: int
    """Where its value begins; -1: it is a header."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One member of an inline table, from its key to the end of its value."""

    path: Path
    begin: int
    end: int


def statements(text: str) -> list[Statement]:
    """All statements, in order."""
    found: list[Statement] = []
    table: Path = ()
    at = _after(text, 0, _SPACE_AND_COMMENTS)
    while at < len(text):
        begin, value = text.rfind("\n", 0, at) + 1, -1
        if text[at] == "[":
            path, end = _key(text, _after(text, at + 1 + (text[at + 1] == "["), _SPACE))
            table = path
        else:
            path, end = _key(text, at)
            path, value = table + path, _after(text, _after(text, end, _SPACE) + 1, _SPACE)
            end = _value_end(text, value)
        end = text.find("\n", end) + 1 or len(text)
        found.append(Statement(table, path, begin, end, value))
        at = _after(text, end, _SPACE_AND_COMMENTS)
    return found


def pairs(text: str, at: int) -> list[Pair]:
    """The members of the inline table that begins here."""
    found: list[Pair] = []
    at = _after(text, at + 1, _SPACE_AND_COMMENTS)
    while text[at] != "}":
        path, after = _key(text, at)
        end = _value_end(text, _after(text, _after(text, after, _SPACE) + 1, _SPACE))
        found.append(Pair(path, at, end))
        at = _after(text, end, _SPACE_AND_COMMENTS)
        if text[at] == ",":
            at = _after(text, at + 1, _SPACE_AND_COMMENTS)
    return found


def _key(text: str, at: int) -> tuple[Path, int]:
    """The parts of the key that begins here, and where it ends."""
    match = _KEY.match(text, at)
    if not match:
        raise ValueError(f"no key at {at}")
    if '"' not in match[0] and "'" not in match[0]:
        return tuple(part.strip() for part in match[0].split(".")), match.end()
    parts: list[str] = []
    inner: Any = tomllib.loads(f"{match[0]} = 0")
    while isinstance(inner, dict):
        ((part, inner),) = inner.items()  # pyright: ignore[reportUnknownVariableType]
        parts.append(str(part))  # pyright: ignore[reportUnknownArgumentType]
    return tuple(parts), match.end()


def _value_end(text: str, at: int) -> int:
    """Where the value that begins here ends: behind its last character."""
    depth = 0
    for match in _TOKEN.finditer(text, at):
        piece = match[0]
        if not depth and piece[0] in ",\n#]}":
            return at + len(text[at : match.start()].rstrip())
        depth += (piece in "[{") - (piece in "]}")
    return len(text.rstrip())


def _after(text: str, at: int, what: re.Pattern[str]) -> int:
    match = what.match(text, at)
    return match.end() if match else at

"""Reads the objects of a JSON array or a JSON Lines file, one at a time, each with the line on which it begins.

Neither the file nor more than one entry of it is held in memory, and a damaged entry costs only itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol, cast

import pydantic_core

from agentic_flywheel.cli.importers.quick_array import QuickArray
from agentic_flywheel.json_text import JSONObject

MAX_ENTRY_BYTES = 64 * 1024 * 1024
"""Of one entry. A conversation of this size is four times what a session may be; a broken file has no bound."""

CHUNK_BYTES = 1024 * 1024
"""Read at a time: few calls for a large file, little memory for many small ones."""

BOM = b"\xef\xbb\xbf"
"""What some editors put before UTF-8 text; it belongs to no entry."""

BLANK = b" \t\r\n"

# Possessive repeats around groups miss matches before Python 3.11.5, so no group has one. All of these match whatever
# they meet, so that nothing is tried twice; `separators` goes on where a bounded repeat ends.
_TO_THE_NEXT_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+){0,99}"[^"\[\]{}]*+){0,999}', re.DOTALL)
_TO_THE_NEXT_COMMA = re.compile(rb'[^"\[\]{},]*+')
_TO_THE_END_OF_THE_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+){0,999}', re.DOTALL)


@dataclass(slots=True)
class JsonEntry:
    """One object of a file; `line` is the 1-based line on which it begins, `number` its 1-based place in an array.

    `is_whole`: it is known to have no halves of characters. It is not frozen, which takes three times as long to make.
    """

    line: int
    value: JSONObject
    number: int = field(default=0, compare=False)
    is_whole: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadEntry:
    """What could not be read, and why; `line` is the 1-based line of the file on which it begins.

    The reason is a sentence's rest ("is not JSON …") that never quotes the conversation. `talk` names it, by title and
    id as far as they are known. `is_message`: it costs a message, and the talk comes in. `is_foreign`: nothing of the
    file is understood. `is_unfinished`: the last line, which may still be written.
    """

    line: int
    reason: str
    talk: str = field(default="", compare=False)
    is_message: bool = field(default=False, compare=False)
    is_foreign: bool = field(default=False, compare=False)
    is_unfinished: bool = field(default=False, compare=False)


class Lines(Protocol):
    """What is read line by line."""

    def readline(self, size: int = -1, /) -> bytes:
        """The next line, or `size` bytes of it; nothing at the end."""
        ...


class Given:
    """Entries that stand for those of a file: all of it as somebody else follows it, or what is new of it."""

    def __init__(self, entries: Iterator["JsonEntry | BadEntry"]) -> None:
        self.entries = entries


def lines(file: Lines | Given, limit: int = MAX_ENTRY_BYTES, first: int = 1) -> Iterator[JsonEntry | BadEntry]:
    """The objects of a JSON Lines file, in order; blank lines are nothing. A line may have `limit` bytes.

    `first`: the number of the first line that is read.
    """
    if isinstance(file, Given):
        yield from file.entries
        return
    line = first - 1
    while raw := file.readline(limit + 1):
        line += 1
        if len(raw) > limit and not raw.endswith(b"\n"):
            yield BadEntry(line, _too_long(limit))
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(CHUNK_BYTES)
            continue
        text = (raw.removeprefix(BOM) if line == 1 else raw).strip(BLANK)
        if text:
            entry = _entry(line, text)
            if isinstance(entry, BadEntry) and not raw.endswith(b"\n"):
                entry = BadEntry(line, f"{entry.reason}; it is the last line, and has no end", is_unfinished=True)
            yield entry


def whole(file: IO[bytes], limit: int) -> JSONObject:
    """The object that the file is; one of no fields if it is anything else."""
    data = file.read(limit + 1).removeprefix(BOM).strip(BLANK)
    if len(data) > limit or not data.startswith(b"{"):
        return {}
    try:
        value: Any = json.loads(data.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):
        return {}
    return cast("JSONObject", value)


def array(
    file: IO[bytes], limit: int = MAX_ENTRY_BYTES, *, line: int = 1, alone: bool = True
) -> Iterator[JsonEntry | BadEntry]:
    """The objects of a file that is one JSON array, in order; of a file that was cut, those before the cut.

    An entry may have `limit` bytes. What is wrong with the array itself is told as a bad entry as well. `line` is where
    it begins; if it is not `alone`, something else may stand behind it.
    """
    head = file.read(CHUNK_BYTES).removeprefix(BOM)
    begin = len(head) - len(head.lstrip(BLANK))
    if head[begin : begin + 1] != b"[":
        yield BadEntry(line, "is not the beginning of a JSON array")
        return
    quick = QuickArray(file, head[begin + 1 :], line + head.count(b"\n", 0, begin), CHUNK_BYTES, limit)
    for line, value, has_halves in quick.entries():
        yield JsonEntry(line, value, quick.number, is_whole=not has_halves)
    piece, scanner = _Piece(quick.line, limit, quick.number), _Scanner()
    data = quick.rest
    while True:
        begin = 0
        for at in scanner.separators(data):
            piece.add(data[begin : at - 1])
            if scanner.depth or not piece.blank:
                yield piece.entry()
            begin = at
        if not scanner.depth:
            yield from _behind(file, data[begin:], piece.line) if alone else ()
            return
        piece.add(data[begin : scanner.at])
        chunk = file.read(CHUNK_BYTES)
        if not chunk:
            break
        data = data[scanner.at :] + chunk
    if scanner.depth > 1 or scanner.in_string:
        yield BadEntry(piece.first_line, "begins an entry that has no end in this file")
        return
    if not piece.blank:
        yield piece.entry()
    yield BadEntry(piece.line, "is where the file ends, before its array does")


class _Scanner:
    """Finds where the entries of an array end, chunk by chunk."""

    def __init__(self) -> None:
        self.depth = 1
        self.in_string = False
        self.at = 0
        """Where it stopped in the last chunk: what is left over is a backslash whose character comes with the next."""

    def separators(self, data: bytes) -> Iterator[int]:
        """The positions behind each comma of the array, and behind its end, where `depth` is 0."""
        at = 0
        while at < len(data):
            if self.in_string:
                at = _end(_TO_THE_END_OF_THE_STRING, data, at)
                if data[at : at + 1] == b"\\" and at + 1 < len(data):
                    continue
                if data[at : at + 1] != b'"':
                    break
                self.in_string = False
                at += 1
            at = _end(_TO_THE_NEXT_BRACKET if self.depth > 1 else _TO_THE_NEXT_COMMA, data, at)
            mark = data[at : at + 1]
            at += len(mark)
            if mark == b'"':
                self.in_string = True
            elif mark in (b"{", b"["):
                self.depth += 1
            elif mark:
                self.depth -= mark != b","
                if mark == b"," or not self.depth:
                    yield at
                if not self.depth:
                    return
        self.at = at


class _Piece:
    """The bytes of the entry that is being read, up to the limit."""

    def __init__(self, line: int, limit: int, number: int) -> None:
        self.line = line
        self._limit = limit
        self._begin = line
        self._number = number
        self._bytes = bytearray()

    @property
    def blank(self) -> bool:
        return not self._bytes.strip(BLANK)

    @property
    def first_line(self) -> int:
        """The line of the first character that is not blank."""
        return self._begin + self._bytes.count(b"\n", 0, len(self._bytes) - len(self._bytes.lstrip(BLANK)))

    def add(self, part: bytes) -> None:
        self.line += part.count(b"\n")
        if len(self._bytes) <= self._limit:
            self._bytes += part

    def entry(self) -> JsonEntry | BadEntry:
        """What was gathered; the next entry begins."""
        line, raw = self.first_line, bytes(self._bytes.strip(BLANK))
        self._begin = self.line
        self._number += 1
        self._bytes.clear()
        entry = BadEntry(line, _too_long(self._limit)) if len(raw) > self._limit else _entry(line, raw)
        if isinstance(entry, BadEntry):
            return replace(entry, talk=f"entry {self._number:,}")
        return replace(entry, number=self._number)


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at


def _behind(file: IO[bytes], data: bytes, line: int) -> Iterator[BadEntry]:
    """A bad entry if there is anything but blanks behind the array."""
    while not data.strip(BLANK):
        line += data.count(b"\n")
        if not (data := file.read(CHUNK_BYTES)):
            return
    line += data.count(b"\n", 0, len(data) - len(data.lstrip(BLANK)))
    yield BadEntry(line, "stands behind the end of the array")


def _too_long(limit: int) -> str:
    return f"is longer than {limit:,} bytes"


def _parsed(raw: bytes) -> tuple[Any, bool]:
    """Any JSON, and whether it is known to have no halves of characters."""
    try:
        return pydantic_core.from_json(raw, cache_strings="keys"), True  # the quickest; it takes no halves
    except ValueError:
        return json.loads(raw.decode(errors="surrogatepass")), False  # which reads more, and says what is wrong


def _entry(line: int, raw: bytes) -> JsonEntry | BadEntry:
    try:
        value, is_whole = _parsed(raw)
    except UnicodeDecodeError:
        return BadEntry(line, "is not UTF-8")
    except json.JSONDecodeError as exc:
        return BadEntry(line, f"is not JSON: it breaks at its character {exc.pos + 1:,}")
    except RecursionError:
        return BadEntry(line, "is nested too deeply")
    except ValueError:
        return BadEntry(line, "has a whole number of more than 4,300 digits")
    if value.__class__ is not dict:
        return BadEntry(line, "is not a JSON object")
    return JsonEntry(line, value, is_whole=is_whole)

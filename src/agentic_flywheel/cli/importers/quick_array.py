"""Reads the entries of a JSON array as fast as the standard library's scanner does, as long as nothing is odd.

It gives up at the first entry that is damaged, very long or no object, and says where: the slower reader of
`json_entries.py`, which knows what to say of such a one, goes on from there.
"""

import json
from collections.abc import Iterator
from typing import IO, Any

BLANK = " \t\r\n"

LONGEST = 4_000_000
"""Characters of an entry, beyond which it is not tried again with more of the file."""

_DECODER = json.JSONDecoder()


class QuickArray:
    """The entries behind the bracket of an array, read in chunks; `rest` is what was read and not given."""

    def __init__(self, file: IO[bytes], data: bytes, line: int, chunk: int, limit: int) -> None:
        self._file = file
        self._chunk = chunk
        self._longest = min(limit // 4, LONGEST)  # a character has at most four bytes
        self._text: str = ""
        self._tail: bytes = data
        self._at: int = 0
        self.line: int = line
        """The line at which the rest begins."""
        self.number = 0
        """How many entries were given."""

    @property
    def rest(self) -> bytes:
        """What of the file was read and is not given: an entry's beginning, behind the comma before it."""
        return self._text[self._at :].encode() + self._tail

    def entries(self) -> Iterator[tuple[int, Any, bool]]:
        """Each entry's line, the object, and whether it can have halves of characters; up to where it gives up."""
        self._more(b"")
        while True:
            begin = self._after_blanks(self._at)
            try:
                value, end = _DECODER.raw_decode(self._text, begin)
            except (ValueError, RecursionError):
                end, value = len(self._text), None
            behind = self._after_blanks(end)
            if not isinstance(value, dict) or behind == len(self._text):
                if len(self._text) - self._at > self._longest or not self._more(self._file.read(self._chunk)):
                    return
                continue
            if end - begin > self._longest or self._text[behind] not in ",]":
                return
            if self._text[behind] == "]":  # the slower reader ends the array, and looks behind it
                return
            line = self.line + self._text.count("\n", self._at, begin)
            self.line = line + self._text.count("\n", begin, behind)
            halves = any(self._text.find(sign, begin, end) >= 0 for sign in ("\\ud", "\\uD"))
            self.number += 1
            self._at = behind + 1
            yield line, value, halves

    def _more(self, data: bytes) -> bool:
        """Take in what was read; whether there is more text than before."""
        raw = self._tail + data
        try:
            text, self._tail = raw.decode(), b""
        except UnicodeDecodeError as exc:
            if exc.start < len(raw) - 3:
                self._tail = raw
                return False
            text, self._tail = raw[: exc.start].decode(), raw[exc.start :]
        self._text = self._text[self._at :] + text
        self._at = 0
        return bool(text)

    def _after_blanks(self, at: int) -> int:
        while at < len(self._text) and self._text[at] in BLANK:
            at += 1
        return at

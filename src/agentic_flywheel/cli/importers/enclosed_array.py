"""Reads talks one at a time however they are wrapped: in an array, alone, a line each, or in a field of one object.

ChatGPT's export shows them in a page too (`chat.html`), in which a script begins with the array.
"""

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from agentic_flywheel.cli.importers.json_entries import (
    BLANK,
    BOM,
    CHUNK_BYTES,
    MAX_ENTRY_BYTES,
    BadEntry,
    JsonEntry,
    array,
    lines,
    whole,
)


def enclosed(
    file: IO[bytes], limit: int = MAX_ENTRY_BYTES, field: str = "conversations"
) -> Iterator[JsonEntry | BadEntry]:
    """The objects of the array that the file is or that is in that field, or else the file's own object or lines.

    An object may have `limit` bytes; what stands before the array in a file must lie in its first megabyte.
    """
    head = file.read(CHUNK_BYTES)
    blank = len(head) - len(head.removeprefix(BOM).lstrip(BLANK))
    at = blank if head[blank : blank + 1] == b"[" else array_at(head, field)
    if at is None and is_page(head) and (script := _SCRIPT.search(head)):
        at = script.end()
    if at is not None:
        file.seek(at)
        yield from array(file, limit, line=1 + head.count(b"\n", 0, at), alone=at == blank)
        return
    file.seek(0)
    if value := whole(file, limit):
        yield JsonEntry(1, value)
        return
    file.seek(0)
    yield from lines(file, limit)


_SCRIPT = re.compile(rb"<script[^<>]{0,200}>\s{0,200}(?:var|let|const)\s{1,9}jsonData\s{0,9}=\s{0,9}(?=\[)")


def is_page(head: bytes) -> bool:
    """Whether a file that begins so is a page of HTML."""
    return head.removeprefix(BOM).lstrip(BLANK)[:15].lower().startswith((b"<html", b"<!doctype html"))


def array_at(head: bytes, field: str) -> int | None:
    """Where the array of that field of an object begins, of which this is the head; `None` if it has none there."""
    text = head.decode("latin-1")  # a character is a byte, and all that is looked for is ASCII
    decoder = json.JSONDecoder(strict=False)
    at = _after_blanks(text, 3 if head.startswith(BOM) else 0)
    if text[at : at + 1] != "{":
        return None
    try:
        while text[at : at + 1] in ("{", ","):
            name, at = _value(decoder, text, at + 1)
            at = _after_blanks(text, at)
            if text[at : at + 1] != ":":
                return None
            at = _after_blanks(text, at + 1)
            if name == field and text[at : at + 1] == "[":
                return at
            _, at = _value(decoder, text, at)
            at = _after_blanks(text, at)
    except (ValueError, RecursionError):
        return None
    return None


def _value(decoder: json.JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    return decoder.raw_decode(text, _after_blanks(text, at))


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at

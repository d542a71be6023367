"""Finds credentials that lie over the seam of two neighbouring texts: turns, blocks of a turn, parts of a message.

Three kinds: a key of which one text has the beginning and the next the rest; a key that was found at the very end of a
text and goes on in the next; a name at the end of a text and its value, alone, in the next. Only the ends of texts are
looked at, each once, so that the cost grows with the number of texts and with nothing else.
"""

import re
import string
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, cast

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.redaction.assignments import ANCHORS
from agentic_flywheel.sessions.redaction.names import is_random
from agentic_flywheel.sessions.redaction.text import mark, spans

Trail = tuple[str | int, ...]
"""Keys and positions from the outside in."""

SPOKEN = frozenset({"content", "text", "thinking", "reasoning", "input", "output", "parts", "message", "body"})
"""Names under which a turn, a block or a part has what was said; the rest says who said it, when and how."""

_TAIL, _HEAD = 160, 600
"""Characters of the two texts that are looked at together."""

_LONGEST = 8192
"""Characters of a key that are looked at, where it goes over the seam."""

_NAMED_WITHIN = 28
"""Characters at the end of a text in which the name is that announces what the next one has."""

_LONG = 20
"""Characters of the shortest key that is known by its shape."""

_ANCHOR = re.compile("|".join(anchor.decode() for anchor in ANCHORS), re.IGNORECASE | re.ASCII)
_RUN = re.compile(r"[\w.+/=-]*", re.ASCII)
_JOINS = frozenset(string.ascii_letters + string.digits + "-_=+/")
_BLOCK_BEGINS = "-----BEGIN "
_LINES_OF_A_KEY = re.compile(
    r"(?:[A-Za-z0-9+/=]{1,15}+(?=\s))?(?:\s*+[A-Za-z0-9+/=]{16,}+)++(?:\s*+[A-Za-z0-9+/=]{1,15}+)?+"
    r"(?:\s*-----END [A-Z0-9 ]{0,30}-----)?"
    r"|[A-Za-z0-9+/=]{1,15}\s{1,8}-----END [A-Z0-9 ]{0,30}-----"
)
_NAME_ENDS = re.compile(rb"[\w-]{0,24}+[^\w]{0,8}(?:(?:is|are|was|be|bearer|basic)\b[^\w]{0,6})?", re.ASCII)
_GIVES = re.compile(r"(?:[:=]|[ ](?:is|are|was|be|bearer|basic):?)\Z", re.IGNORECASE)
_ASIDE = " \t\r\n\"'`*"
"""What may stand around a name or a value."""

_ALONE = re.compile(r"[\s\"'`*]*([^\s\"'`]{4,512}?)[.,;!]?[\s\"'`*]*")
_ENDS_WITH_ITS_TEXT = frozenset({"password", "connection string"})
"""Kinds that do not go on in the next text: people write them."""


class Seam(NamedTuple):
    """A credential of that kind: the text before from `start` on (`None`: nothing of it), this one up to `end`.

    In this one it begins at `begin`, behind a quote or a blank.
    """

    start: int | None
    end: int
    kind: str
    begin: int = 0


def spoken(value: object) -> Iterator[tuple[Trail, str]]:
    """What was said, in order, with its place, nothing empty: neighbours in it are neighbours in the talk."""
    stack: list[tuple[Trail, object, bool]] = [((), value, False)]
    while stack:
        trail, node, said = stack.pop()
        if isinstance(node, dict):
            items = cast("JSONObject", node).items()
            stack.extend(((*trail, key), item, key in SPOKEN) for key, item in reversed(items))
        elif isinstance(node, list):
            places = [*enumerate(cast("list[object]", node))]
            stack.extend(((*trail, place), item, said) for place, item in reversed(places))
        elif said and node and isinstance(node, str) and len(trail) > 1:
            yield trail, node


def open_end_of(turns: list[JSONObject]) -> str:
    """The end of what was said last, as much as the next text may have to do with; empty where it has nothing to."""
    said = turns[-1].get("content")
    text = said if isinstance(said, str) and said else next((text for _, text in reversed([*spoken(turns[-1:])])), "")
    return text[-_LONGEST:] if text[-1:] in _JOINS or _may_name(text) else ""


def may_go_on(before: str, text: str) -> bool:
    """Whether a text may go on from the end of the one before, by a fifth of the look that `has_seam` takes."""
    if before[-1] in _JOINS and text[0] in _JOINS and _is_joined(before, text):
        return True
    return _may_name(before)


def _may_name(text: str) -> bool:
    """Whether the end of a text may name a credential."""
    return _ANCHOR.search(text, max(0, len(text) - _NAMED_WITHIN)) is not None


def has_seam(texts: Sequence[str]) -> bool:
    """Whether anything lies over a seam of these neighbours, none of them empty."""
    return any(seam_of(texts[place], texts[place + 1]) for place in _worth_a_look(texts))


def _worth_a_look(texts: Sequence[str]) -> set[int]:
    """The places of texts that may end within a credential, or with the name of one."""
    joins = _JOINS
    found = {
        place
        for place, (before, text) in enumerate(pairwise(texts))
        if before[-1] in joins and text[0] in joins and _is_joined(before, text)
    }
    ends = [text[-_NAMED_WITHIN:] for text in texts[:-1]]
    folded = "\n".join(ends).encode("latin-1", "replace").lower()
    named: list[int] = []
    for anchor in ANCHORS:
        at = folded.find(anchor)
        while at >= 0:
            named.append(at)
            at = folded.find(anchor, at + 1)
    after = [*accumulate(len(end) + 1 for end in ends)] if named else []
    for at in named:
        place = bisect_right(after, at)
        if _NAME_ENDS.fullmatch(folded, at, after[place] - 1):
            found.add(place)
    return found


def _is_joined(before: str, text: str) -> bool:
    """Whether a word that is long enough for a key goes over the seam."""
    last, first = before[-_LONG:], text[:_LONG]
    if len(last) - last.rfind(" ") - 1 + len(first.partition(" ")[0]) < _LONG:  # most words are too short by far
        return False
    return len(_last_run(last)) + len(_first_run(text if "." in first else first)) >= _LONG


def _last_run(text: str) -> str:
    match = _RUN.match(text[: -_LONGEST - 1 : -1])
    return match[0] if match else ""


def _first_run(text: str) -> str:
    match = _RUN.match(text, 0, _LONGEST)
    return match[0].rstrip(".") if match else ""


def seam_of(before: str, text: str) -> Seam | None:
    """The credential that lies over the seam of two texts, in which nothing was replaced yet."""
    tail = before[-max(_TAIL, len(_last_run(before)) + _NAMED_WITHIN) :]
    block = before.rfind(_BLOCK_BEGINS, max(0, len(before) - _LONGEST))
    tail = before[block:] if block >= 0 else tail
    if last := next((span for span in spans(tail) if span[1] == len(tail)), None):
        return rest_of(last[2], text)
    if announced := _announced(before[-_TAIL:], text[: _HEAD + 1]):
        return announced
    if before[-1:] in _JOINS and text[:1] in _JOINS and _is_joined(before, text):
        for start, end, kind in spans(tail + text[:_LONGEST]):
            if start < len(tail) < end:
                return Seam(len(before) - len(tail) + start, end - len(tail), kind)
    return None


def rest_of(kind: str, text: str) -> Seam | None:
    """How far a credential of this kind, with which the text before ended, goes on in this one."""
    if kind == "private key":
        lines = _LINES_OF_A_KEY.match(text)
        return Seam(None, lines.end(), kind) if lines else None
    run = _first_run(text)
    goes_on = kind not in _ENDS_WITH_ITS_TEXT and is_random(run, piece=8)
    return Seam(None, len(run), kind) if goes_on else None


def _announced(tail: str, text: str) -> Seam | None:
    """The value at the beginning of a text that the end of the one before gives a name."""
    tail = tail.rstrip(_ASIDE)
    value = text.lstrip(_ASIDE)
    skipped = len(text) - len(value)
    gap = "" if tail.endswith("=") else " "
    found = _given(tail + gap, value) if _GIVES.search(tail[-10:]) else None
    alone = _ALONE.fullmatch(text) if len(text) <= _HEAD else None
    if not found and alone:
        found = _given(_GIVES.sub("", tail).rstrip("?.! ") + ": ", alone[1])
    return Seam(None, skipped + found[0], found[1], skipped) if found else None


def _given(before: str, value: str) -> tuple[int, str] | None:
    """Where a credential ends with which the value begins, and its kind, if what stands before makes it one."""
    for start, end, kind in spans(before + value):
        if len(before) <= start <= len(before) + len("bearer ") and end > start:
            return end - len(before), kind
    return None


class Seams:
    """The credentials over the seams of one value: what is to stand in the place of each text, and what was found."""

    def __init__(self, value: object) -> None:
        said = [*spoken(value)]
        self.texts: dict[Trail, str] = {}
        self.found: list[tuple[Trail, str]] = []
        going_on = ""  # the kind of a credential that had all of the text before
        consumed = 0
        worth_a_look = _worth_a_look([text for _, text in said])
        for number, ((place_before, before), (place, text)) in enumerate(pairwise(said)):
            seam = None
            if going_on:
                seam = rest_of(going_on, text)
            elif number in worth_a_look:
                seam = seam_of(before[consumed:], text)
            if seam and seam.start is not None:
                kept = self.texts.get(place_before, before)
                cut = len(before) - consumed - seam.start
                self._replace(place_before, kept[: len(kept) - cut] + mark(seam.kind), seam.kind)
            if seam:
                self._replace(place, text[: seam.begin] + mark(seam.kind) + text[seam.end :], seam.kind)
            going_on = seam.kind if seam and seam.end == len(text) else ""
            consumed = seam.end if seam else 0

    def _replace(self, place: Trail, text: str, kind: str) -> None:
        self.texts[place] = text
        self.found.append((place, kind))

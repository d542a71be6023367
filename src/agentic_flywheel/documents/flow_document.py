"""Reads and writes flow histories as text, one JSON object.

The fields around the executions say all that an append has to know:
`{"schema_version", "revision", "session_id", "flow_id", "executions": […], "saved_at", "kept_until", "ttl_seconds",
"count", "dropped", "next_expiry", …, "operations"}`. So both ends of a text tell how many executions there are, until
when the history lives and when the first of them expires, and none of it need be read in between.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import NoReturn, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.model import SCHEMA_VERSION, Operation, expired, instant_of, iso
from agentic_flywheel.documents.parse import kept_until_in, load, operations_in, revision_in, tombstone_of
from agentic_flywheel.documents.writes import Ends, Splice, ends_of
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.json_text import JSONObject, dumps, size_of

_BEFORE, _BEHIND = ',"executions":[', '],"saved_at":"'
"""What stands around the executions. No field ever comes between them and `saved_at`."""

_NEVER_EXTRA = ("schema_version", "executions")

OUTLINES_REMEMBERED = 128
"""Outlines that are kept in memory; each is some thousand characters."""

_FIRST = '{"id":'
"""How an execution begins."""


class Outline(BaseModel):
    """What a flow history says besides its executions; fields that this version does not know are carried along.

    It lives until `kept_until`, as long as the longest-living execution; the first one expires at `next_expiry`.
    `count` is `None` in a document of an older version, which kept no count and ended with its last execution.
    """

    model_config = ConfigDict(frozen=True, defer_build=True, extra="allow")

    revision: NonNegativeInt = 0
    session_id: str
    flow_id: str
    saved_at: AwareDatetime | None = None
    kept_until: AwareDatetime | None = None
    ttl_seconds: int | None = None
    count: NonNegativeInt | None = None
    dropped: NonNegativeInt = 0
    next_expiry: AwareDatetime | None = None
    began: NonNegativeInt = 1
    """The revision with which this life of it began: above 1 once it was deleted and begun anew."""
    begun_after: AwareDatetime | None = None
    """When it was deleted, then; or when its session was, where what is of that life was taken out of it."""
    operations: list[list[object]] = []

    @property
    def writes(self) -> tuple[Operation, ...]:
        """The writes that the document names."""
        return operations_in({"operations": self.operations})

    @property
    def newest(self) -> tuple[Operation, ...]:
        """The last of them."""
        return operations_in({"operations": self.operations[-1:]})

    def around(self) -> tuple[str, str]:
        """The text of the document up to its first execution, and from the end of its last one on."""
        counted: JSONObject = {"count": self.count, "dropped": self.dropped, "next_expiry": iso(self.next_expiry)}
        before = {
            "schema_version": SCHEMA_VERSION,
            "revision": self.revision,
            "session_id": self.session_id,
            "flow_id": self.flow_id,
        }
        behind = {
            "saved_at": iso(self.saved_at),
            "kept_until": iso(self.kept_until),
            "ttl_seconds": self.ttl_seconds,
            **({} if self.count is None else counted),
            **{name: value for name, value in (self.model_extra or {}).items() if name not in _NEVER_EXTRA},
            **(
                {"began": self.began, "begun_after": iso(self.begun_after)}
                if self.began > 1 or self.begun_after
                else {}
            ),
            "operations": self.operations,
        }
        return dumps(before)[:-1] + _BEFORE, "]," + dumps(behind)[1:]


_KNOWN: dict[tuple[str, str], Outline] = {}
"""Outlines that were read or written last, by their text."""

Placed = tuple[JSONObject, int, int]
"""An execution, and where in a text its own begins and ends."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A flow history whose executions are read: each with its place in `text`, the whole as this version writes it."""

    outline: Outline
    text: str = ""
    executions: Sequence[Placed] = ()


@dataclass(frozen=True, slots=True)
class FlowHistory:
    """The executions that can be shown, oldest first; before them `dropped` older ones have left for room."""

    executions: list[JSONObject]
    dropped: int = 0


def flow_history(
    text: str | None, now: datetime, *, alive_remotely: bool = False, limit: int | None = None
) -> FlowHistory:
    """The executions, or the newest `limit`, in a flow history's text; none if it is absent, deleted or expired.

    `alive_remotely`: a store that expires documents by itself still has it.

    Raises:
        Damaged, NewerSchema: it is no flow history, or one of a newer version.

    """
    if text is None or tombstone_of(text):
        return FlowHistory([])
    there = outline(ends_of(text))
    if there and expired(there.kept_until, now) and not alive_remotely:
        return FlowHistory([])
    known = _newest(text, there, limit, now) if there and limit else None
    if known is None:
        stored = whole(text)
        if expired(stored.outline.kept_until, now) and not alive_remotely:
            return FlowHistory([])
        known = [execution for execution, _, _ in stored.executions if not expired(kept_until_in(execution), now)]
        there = stored.outline
    return FlowHistory(known[-limit:] if limit else known, there.dropped if there else 0)


def outline(ends: Ends) -> Outline | None:
    """The outline of the flow history that begins and ends so; `None` if it is not written as this version writes."""
    start, end = ends.head.find(_BEFORE), ends.tail.rfind(_BEHIND)
    if min(start, end) < 0:
        return None
    own = ends.head[:start] + _BEFORE, ends.tail[end:]
    if known := _KNOWN.get(own):
        return known
    try:
        there = Outline.model_validate(load("".join(own), "the flow history"))
    except (Damaged, NewerSchema, ValidationError):
        return None
    return remembered(there, own) if there.around() == own else None


def remembered(there: Outline, own: tuple[str, str]) -> Outline:
    """The same outline, whose text is its `own`: it need not be read again, as it is by whoever reads the history."""
    if len(_KNOWN) >= OUTLINES_REMEMBERED:
        _KNOWN.clear()  # which of them is the oldest takes longer to tell than to read one again
    _KNOWN[own] = there
    return there


def whole(text: str, new: Outline | None = None) -> Stored:
    """The flow history in a text; of a text of another shape, what is missing is as in `new`.

    Raises:
        Damaged, NewerSchema: it is no flow history, or one of a newer version.

    """
    if there := outline(ends_of(text)):
        head, tail = there.around()
        with contextlib.suppress(ValueError, RecursionError):  # as somebody else wrote it, or not JSON
            return Stored(there, text, [*_executions(text, len(head), len(text) - len(tail))])
    data = load(text, "the flow history")
    executions = data.get("executions")
    if not isinstance(executions, list) or not all(isinstance(item, dict) for item in cast("list[object]", executions)):
        raise Damaged("What is stored as the flow history has no list of executions.")
    there = _outline_in(data, new or Outline(session_id="", flow_id=""))
    return _written_anew(there, cast("list[JSONObject]", executions))


def _written_anew(there: Outline, executions: Sequence[JSONObject]) -> Stored:
    head, tail = there.around()
    texts = [dumps(execution) for execution in executions]
    starts = accumulate((len(text) + 1 for text in texts), initial=len(head))
    placed = [(e, start, start + len(t)) for e, t, start in zip(executions, texts, starts, strict=False)]
    return Stored(there, head + ",".join(texts) + tail, placed)


def _outline_in(data: JSONObject, new: Outline) -> Outline:
    """The outline in a document of another shape; what cannot be read in it counts as absent."""
    own = {
        "session_id": new.session_id,
        "flow_id": new.flow_id,
        **{name: value for name, value in data.items() if name not in _NEVER_EXTRA},
        "revision": revision_in(data),
        "saved_at": instant_of(data.get("saved_at")),
        "kept_until": kept_until_in(data),
        "operations": listed(operations_in(data)),
        "count": None,
    }
    try:
        return Outline.model_validate(own)
    except ValidationError:
        return new.model_copy(update={name: own[name] for name in ("revision", "saved_at", "kept_until", "operations")})


def _executions(text: str, start: int, end: int) -> Iterator[Placed]:
    """The executions between two places of a text, one by one, so that other threads get their turn.

    Raises:
        ValueError, RecursionError: they are not written as this version writes.

    """
    while start < end:
        execution, stop = _DECODER.raw_decode(text, start)
        if not isinstance(execution, dict) or (stop != end and (text[stop] != "," or stop + 1 == end)):
            raise ValueError("no list of executions")
        yield cast("JSONObject", execution), start, stop
        start = stop + 1


def _newest(text: str, there: Outline, limit: int, now: datetime) -> list[JSONObject] | None:
    """The newest living executions, read from the end of a text; `None` if they do not begin with their ids.

    What begins at `{"id":` and ends where the one after it begins is an execution: whatever lies inside of one ends
    before it, and in a string the quotes would be escaped.
    """
    head, tail = there.around()
    end, found = len(text) - len(tail), list[JSONObject]()
    while end > len(head) and len(found) < limit:
        place, stop, execution = end, -1, JSONObject()
        while stop != end:
            place = text.rfind(_FIRST, len(head), place)
            if place < 0:
                return None
            try:
                execution, stop = _DECODER.raw_decode(text, place)
            except (ValueError, RecursionError):
                return None
        if not expired(kept_until_in(execution), now):
            found.append(execution)
        end = place - 1
    return found[::-1]


def put_together(stored: Stored, stay: Sequence[Placed], head: str, tail: str) -> tuple[str, Splice | None]:
    """The text with these executions; as a splice of what is stored, where only some of the first are left out."""
    behind = stored.executions[len(stored.executions) - len(stay) :]
    if not stay or [start for _, start, _ in stay] != [start for _, start, _ in behind]:
        return head + ",".join(stored.text[start:end] for _, start, end in stay) + tail, None
    start, end = stay[0][1], stay[-1][2]
    splice = Splice(head, size_of(stored.text[:start]), size_of(stored.text[end:]), tail)
    return head + stored.text[start:end] + tail, splice


def outline_of(there: Outline, executions: Sequence[Placed], dropped: int = 0) -> Outline:
    """The outline of the executions that stay when so many had to leave for room."""
    return there.model_copy(
        update={
            "kept_until": latest(end_of(execution, there.kept_until) for execution, _, _ in executions),
            "next_expiry": earliest(kept_until_in(execution) for execution, _, _ in executions),
            "dropped": there.dropped + dropped,
        }
    )


def end_of(execution: JSONObject, default: datetime | None) -> datetime | None:
    """When an execution expires; by `default` where it does not say."""
    return kept_until_in(execution) if "kept_until" in execution else default


def latest(ends: Iterable[datetime | None]) -> datetime | None:
    """The latest end; `None` never comes."""
    known = [*ends]
    return None if None in known else max(cast("list[datetime]", known), default=None)


def earliest(ends: Iterable[datetime | None]) -> datetime | None:
    """The earliest end; `None` if none ever comes."""
    return min((end for end in ends if end), default=None)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)

"""Append: which of the turns that were sent are new, given what this caller has seen."""

import asyncio
import contextlib
import hashlib
import itertools
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, cast

from pydantic_core import to_json

from agentic_flywheel.jsontext import JSONObject

Fingerprint = bytes
"""Sixteen bytes that stand for a turn; equal exactly when its canonical JSON is."""

View = tuple[Fingerprint, ...]
"""The turns without an `id` that a caller has seen (or sent), in order."""


def fingerprint(turn: JSONObject) -> Fingerprint:
    """What a turn is compared by."""
    return hashlib.blake2b(to_json(_sorted(turn)), digest_size=16).digest()


def _sorted(value: JSONObject) -> JSONObject:
    """The same with its keys in order, at every level."""
    return {key: _in_order(value[key]) for key in sorted(value)}


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        return _sorted(cast("JSONObject", value))
    return [_in_order(item) for item in cast("list[object]", value)] if isinstance(value, list) else value


NOTHING_CUT: Mapping[Fingerprint, Fingerprint] = MappingProxyType({})


def view(turns: Iterable[JSONObject], cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT) -> View:
    """What a caller has seen, having seen these turns. `cut` names the whole turn for one that was shown cut."""
    plain = (fingerprint(turn) for turn in turns if _id(turn) is None)
    return tuple(cut.get(mark, mark) for mark in plain)


def last(turns: Sequence[JSONObject], count: int) -> View:
    """The end of the view of these turns."""
    plain = (turn for turn in reversed(turns) if _id(turn) is None)
    return view(itertools.islice(plain, count))[::-1]


def new_turns(
    stored: Sequence[JSONObject],
    sent: Sequence[JSONObject],
    views: Sequence[View] | None,
    cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT,
    *,
    set_back: bool = False,
) -> list[JSONObject]:
    """The turns of `sent` that are not in `stored` yet, in order.

    A turn with an `id` is known anywhere, as often as it is stored, by its id and its words. Of the others, the longest
    prefix of `sent` that ends one of the `views`, or is the whole stored history, is dropped; an empty sequence of
    views drops nothing, `None` (no memory of this caller) takes the stored history as seen. `cut` is that of `view`.
    Where the store was `set_back` since those views, it may lack what they show: only what it holds is dropped.
    """
    prints = [cut.get(mark, mark) for mark in map(fingerprint, sent)]
    plain = tuple(mark for turn, mark in zip(sent, prints, strict=True) if _id(turn) is None)
    seen = [last(stored, len(plain))] if views is None else views
    drop = max((_overlap(each, plain) for each in seen), default=0)
    if seen and drop < len(stored):  # the views may be of an older state than what is stored
        drop = max(drop, _whole(stored, plain))
    ids = {identity for turn in sent if (identity := _id(turn)) is not None}
    there = Counter(fingerprint(turn) for turn in stored if _id(turn) in ids) if ids else Counter[Fingerprint]()
    there += Counter(view(stored) if set_back else plain[:drop])
    added: list[JSONObject] = []
    for turn, mark in zip(sent, prints, strict=True):
        if _id(turn) is None:
            drop -= 1
        if there[mark] and (drop >= 0 or _id(turn) is not None):
            there[mark] -= 1
        else:
            added.append(turn)
    return added


def _id(turn: JSONObject) -> str | int | None:
    """A turn's own id, a text or a whole number; `None` if it has none.

    Other values tell a turn's kind, not the turn: LangChain gives the path of its class.
    """
    value: Any = turn.get("id")
    if isinstance(value, str):
        return value or None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _overlap(seen: View, sent: View) -> int:
    """The length of the longest prefix of `sent` that is a suffix of `seen` (Knuth, Morris and Pratt)."""
    border = [0] * (len(sent) + 1)
    length = 0
    for i in range(1, len(sent)):
        while length and sent[i] != sent[length]:
            length = border[length]
        length += sent[i] == sent[length]
        border[i + 1] = length
    matched = 0
    for turn in seen[-len(sent) :] if sent else ():
        while matched and (matched == len(sent) or sent[matched] != turn):
            matched = border[matched]
        matched += sent[matched] == turn
    return matched


def _whole(stored: Sequence[JSONObject], sent: View) -> int:
    """How many turns the stored history has, if `sent` begins with all of them; else 0."""
    count = 0
    for turn in stored:
        if _id(turn) is None:
            if count == len(sent) or fingerprint(turn) != sent[count]:
                return 0
            count += 1
    return count


REMEMBERED_SESSIONS = 256
"""Sessions whose turns are remembered per caller, 16 bytes a turn; the longest unused goes first."""


REMEMBERED_CUTS = 32
"""Turns shown cut that are remembered of a session; each answer has one at the most."""


class Glance:
    """Turns whose view is taken when it is needed, or bit by bit when nobody waits."""

    def __init__(self, turns: Sequence[JSONObject]) -> None:
        self._turns = turns
        self._taken: list[Fingerprint] = []
        self._next = 0

    def take(self, count: int) -> bool:
        """Look at so many turns more; whether there are others."""
        end = self._next + count
        self._taken += view(self._turns[self._next : end])
        self._next = end
        if end < len(self._turns):
            return True
        self._turns = ()
        return False

    def view(self) -> View:
        """The view of all of them."""
        while self.take(TAKEN_AT_ONCE):
            pass
        return tuple(self._taken)


TAKEN_AT_ONCE = 100
"""Turns looked at before others have their turn: half a millisecond."""


@dataclass(slots=True)
class Seen:
    """What one caller has sent to a session, and what it has seen of it.

    `sent` are its own turns; `known` what it first saw and then its own; `shown` what it saw last and then its own.
    """

    at_once: bool = False
    """Whether views are taken at once, because the caller may change the turns afterwards."""
    revision: int = 0
    """The highest revision of the shared store that it was given: what its next save is based on."""
    sent: View | Glance | None = None
    known: View | Glance | None = None
    shown: View | Glance | None = None
    cut: dict[Fingerprint, Fingerprint] = field(default_factory=dict[Fingerprint, Fingerprint])
    """The whole turn of each that it was shown cut: what it has of that turn may be sent again."""
    newest: int = 0
    """The revision that it was told of last."""
    told: tuple[str, ...] = ()
    """The writes by which a document shows that it holds what these views are of; else its store was set back."""
    users: int = 0
    """Saves under way that will add to it: it is not to be forgotten for others."""

    @property
    def views(self) -> tuple[View, ...] | None:
        """What append compares with; `None` without memory."""
        self._finish()
        return tuple(each for each in (self.sent, self.known, self.shown) if isinstance(each, tuple)) or None

    def resumed(self, history: Sequence[JSONObject], cut: tuple[JSONObject, JSONObject] | None = None) -> None:
        """The caller has been shown this history; `cut` is a turn as it was shown, and as it is."""
        if cut:
            self.cut[fingerprint(cut[0])] = fingerprint(cut[1])
            if len(self.cut) > REMEMBERED_CUTS:
                del self.cut[next(iter(self.cut))]
        self.shown = self._glance(history)
        if self.known is None:
            self.known = self.shown

    def saved(
        self, turns: Sequence[JSONObject], history: Sequence[JSONObject], *, afresh: bool, exactly: bool = False
    ) -> None:
        """The caller has sent these turns, and the history is this now.

        `afresh`: it is theirs alone. `exactly`: they were added as sent, repeated ones too.
        """
        if afresh:
            self.sent = self.known = self.shown = self._glance(turns)
            return
        views, plain = self.views or (), view(turns, self.cut)
        new = plain if exactly else plain[max((_overlap(each, plain) for each in views), default=0) :]
        self.sent = plain if not isinstance(self.sent, tuple) else self.sent + new
        self.known = self._glance(history) if not isinstance(self.known, tuple) else self.known + new
        self.shown = None if not isinstance(self.shown, tuple) else self.shown + new

    def _glance(self, turns: Sequence[JSONObject]) -> View | Glance:
        return view(turns) if self.at_once else Glance(turns)

    async def look_closer(self) -> None:
        """Take the views that are still to be taken, while others go on: they hold the turns until then."""
        for glance in {each for each in (self.sent, self.known, self.shown) if isinstance(each, Glance)}:
            while glance.take(TAKEN_AT_ONCE):  # noqa: ASYNC110  nothing is waited for: others have their turn
                await asyncio.sleep(0)
        self._finish()

    def _finish(self) -> None:
        glances = {each: each.view() for each in (self.sent, self.known, self.shown) if isinstance(each, Glance)}
        self.sent = glances[self.sent] if isinstance(self.sent, Glance) else self.sent
        self.known = glances[self.known] if isinstance(self.known, Glance) else self.known
        self.shown = glances[self.shown] if isinstance(self.shown, Glance) else self.shown


class Memory:
    """What one caller (an MCP connection, or a library object) has sent and seen, per session.

    `at_once`: the caller may change the turns that it sent or was given.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._sessions: OrderedDict[str, Seen] = OrderedDict()

    def of(self, session_id: str) -> Seen:
        """The caller's memory of a session, empty at first."""
        seen = self._sessions.setdefault(session_id, Seen(at_once=self._at_once))
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > REMEMBERED_SESSIONS:
            unused = (name for name, each in self._sessions.items() if not each.users and each is not seen)
            if (oldest := next(unused, None)) is not None:
                del self._sessions[oldest]
        return seen

    @contextlib.contextmanager
    def used(self, session_id: str) -> Generator[Seen]:
        """The same, which stays while it is used."""
        seen = self.of(session_id)
        seen.users += 1
        try:
            yield seen
        finally:
            seen.users -= 1

    def copy(self) -> "Memory":
        """A memory that begins as this one is."""
        other = Memory(at_once=self._at_once)
        for session_id, seen in self._sessions.items():
            other._sessions[session_id] = replace(seen, users=0)
        return other

    def forget(self, session_id: str) -> None:
        """The session is gone."""
        self._sessions.pop(session_id, None)

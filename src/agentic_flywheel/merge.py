"""Append: which of the turns that were sent are new, given what this caller has seen."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentic_flywheel.jsontext import JSONObject, canonical

Fingerprint = bytes
"""Sixteen bytes that stand for a turn; equal exactly when its canonical JSON is."""

View = tuple[Fingerprint, ...]
"""The turns without an `id` that a caller has seen (or sent), in order."""


def fingerprint(turn: JSONObject) -> Fingerprint:
    """What a turn is compared by."""
    return hashlib.blake2b(canonical(turn).encode(), digest_size=16).digest()


def view(turns: Iterable[JSONObject]) -> View:
    """What a caller has seen, having seen these turns."""
    return tuple(fingerprint(turn) for turn in turns if _id(turn) is None)


def new_turns(
    stored: Sequence[JSONObject], sent: Sequence[JSONObject], views: Sequence[View] | None
) -> list[JSONObject]:
    """The turns of `sent` that are not in `stored` yet, in order.

    A turn with an `id` is matched by it anywhere. Of the others, the longest prefix of `sent` that ends one of
    the `views` is dropped; an empty sequence of views drops nothing, `None` (no memory of this caller) takes
    the stored history as seen.
    """
    known = {identity for turn in stored if (identity := _id(turn)) is not None}
    plain = view(sent)
    seen = [view(stored)] if views is None and plain else views or ()
    drop = max((_overlap(each, plain) for each in seen), default=0)
    added: list[JSONObject] = []
    for turn in sent:
        identity = _id(turn)
        if identity is None:
            if drop:
                drop -= 1
                continue
        elif identity in known:
            continue
        else:
            known.add(identity)
        added.append(turn)
    return added


def _id(turn: JSONObject) -> str | None:
    """A turn's own id, told apart by type (1 is not "1"); `None` if it has none."""
    value: Any = turn.get("id")
    return None if value is None or value == "" else canonical(value)


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


REMEMBERED_SESSIONS = 256
"""Sessions whose turns are remembered per caller, 16 bytes a turn; the longest unused goes first."""


@dataclass(slots=True)
class Seen:
    """What one caller has sent to a session, and what it has seen of it.

    `sent` are its own turns; `known` what it first saw and then its own; `shown` what it saw last and then its own.
    """

    revision: int = 0
    """The highest revision of the shared store that it was given: what its next save is based on."""
    sent: View | None = None
    known: View | None = None
    shown: View | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held over a save, so that a caller's concurrent saves are merged one after the other."""

    @property
    def views(self) -> tuple[View, ...] | None:
        """What append compares with; `None` without memory."""
        return tuple(each for each in (self.sent, self.known, self.shown) if each is not None) or None

    def resumed(self, history: Sequence[JSONObject]) -> None:
        """The caller has been shown this history."""
        self.shown = view(history)
        if self.known is None:
            self.known = self.shown

    def saved(
        self, turns: Sequence[JSONObject], history: Sequence[JSONObject], *, afresh: bool, exactly: bool = False
    ) -> None:
        """The caller has sent these turns, and the history is this now.

        `afresh`: it is theirs alone. `exactly`: they were added as sent, repeated ones too.
        """
        plain = view(turns)
        if afresh:
            self.sent = self.known = self.shown = plain
            return
        new = plain if exactly else plain[max((_overlap(each, plain) for each in self.views or ()), default=0) :]
        self.sent = plain if self.sent is None else self.sent + new
        self.known = view(history) if self.known is None else self.known + new
        self.shown = None if self.shown is None else self.shown + new


class Memory:
    """What one caller (an MCP connection, or a library object) has sent and seen, per session."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Seen] = OrderedDict()

    def of(self, session_id: str) -> Seen:
        """The caller's memory of a session, empty at first."""
        seen = self._sessions.setdefault(session_id, Seen())
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > REMEMBERED_SESSIONS:
            self._sessions.popitem(last=False)
        return seen

    def forget(self, session_id: str) -> None:
        """The session is gone."""
        self._sessions.pop(session_id, None)

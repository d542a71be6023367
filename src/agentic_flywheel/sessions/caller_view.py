"""Remembers what each caller has sent to a session and seen of it, so that append can tell what is new."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from agentic_flywheel.documents.append import Fingerprint, Fingerprints, fingerprint, overlap, view
from agentic_flywheel.documents.appended import Appended
from agentic_flywheel.json_text import JSONObject

REMEMBERED_SESSIONS = 256
"""Sessions whose turns are remembered per caller, 16 bytes a turn; the longest unused goes first."""

REMEMBERED_CUTS = 32
"""Turns shown cut that are remembered of a session; an answer seldom has more than one."""


class LazyFingerprints:
    """Takes the fingerprints of turns when they are needed, or bit by bit while nobody waits."""

    def __init__(self, turns: Sequence[JSONObject]) -> None:
        self._turns = turns
        self._taken: list[Fingerprint] = []
        self._next = 0

    def take(self, count: int) -> bool:
        """Take those of so many turns more; whether there are others."""
        end = self._next + count
        self._taken += view(self._turns[self._next : end])
        self._next = end
        if end < len(self._turns):
            return True
        self._turns = ()
        return False

    def view(self) -> Fingerprints:
        """Those of all the turns."""
        while self.take(TAKEN_AT_ONCE):
            pass
        return tuple(self._taken)


IDLE_SECONDS = 0.2
"""Turns are looked at after so long, when the answer is written and the next save, if it came at once, as well."""

TAKEN_AT_ONCE = 100
"""Turns looked at before others have their turn: half a millisecond."""


@dataclass(slots=True)
class CallerView:
    """What one caller has sent to a session, and what it has seen of it.

    `sent` are its own turns; `known` what it first saw and then its own; `shown` what it saw last and then its own.
    """

    at_once: bool = False
    """Whether views are taken at once, because the caller may change the turns afterwards."""
    revision: int = 0
    """The highest revision of the shared store that it was given: what its next save is based on."""
    sent: Fingerprints | LazyFingerprints | None = None
    known: Fingerprints | LazyFingerprints | None = None
    shown: Fingerprints | LazyFingerprints | None = None
    cut: dict[Fingerprint, Fingerprint] = field(default_factory=dict[Fingerprint, Fingerprint])
    """The whole turn of each that it was shown cut: what it has of that turn may be sent again."""
    newest: int = 0
    """The revision that it was told of last."""
    told: tuple[str, ...] = ()
    """The writes by which a document shows that it holds what these views are of; else its store was set back."""
    users: int = 0
    """Saves under way that will add to it: it is not to be forgotten for others."""
    _is_to_look: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether all fingerprints are taken."""
        return not self._glances()

    @property
    def views(self) -> tuple[Fingerprints, ...] | None:
        """What append compares with; `None` if the caller has seen nothing."""
        self._finish()
        return tuple(each for each in (self.sent, self.known, self.shown) if isinstance(each, tuple)) or None

    def resumed(self, history: Sequence[JSONObject], cut: Sequence[tuple[JSONObject, JSONObject]] = ()) -> None:
        """The caller has been shown this history; `cut` are turns, each as it was shown, and as it is."""
        for shown, whole in cut:
            self.cut[fingerprint(shown)] = fingerprint(whole)
            if len(self.cut) > REMEMBERED_CUTS:
                del self.cut[next(iter(self.cut))]
        self.shown = self._glance(history)
        if self.known is None:
            self.known = self.shown

    def saved(
        self,
        turns: Sequence[JSONObject],
        history: Sequence[JSONObject],
        *,
        afresh: bool,
        exactly: bool = False,
        append: Appended | None = None,
    ) -> None:
        """The caller has sent these turns, and the history is this now.

        `afresh`: it is theirs alone. `exactly`: they were added as sent, repeated ones too. `append`: what they were
        taken for, where that was looked at.
        """
        if afresh:
            self.sent = self.known = self.shown = self._glance(turns)
            return
        # What says the same as a stored turn is remembered as that turn.
        views, plain = self.views or (), append.marks if append else view(turns, self.cut)
        new = plain if exactly else plain[max((overlap(each, plain) for each in views), default=0) :]
        self.sent = plain if not isinstance(self.sent, tuple) else self.sent + new
        self.known = self._glance(history) if not isinstance(self.known, tuple) else self.known + new
        self.shown = None if not isinstance(self.shown, tuple) else self.shown + new

    def _glance(self, turns: Sequence[JSONObject]) -> Fingerprints | LazyFingerprints:
        return view(turns) if self.at_once else LazyFingerprints(turns)

    def look_later(self) -> None:
        """Take the fingerprints that are still to be taken, while nobody waits; until then the turns are held."""
        if not self._is_to_look and not self.is_taken:
            self._is_to_look = True
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        if any(glance.take(TAKEN_AT_ONCE) for glance in self._glances()):
            asyncio.get_running_loop().call_soon(self._look)
        else:
            self._is_to_look = False
            self._finish()

    def _glances(self) -> list[LazyFingerprints]:
        return [each for each in (self.sent, self.known, self.shown) if isinstance(each, LazyFingerprints)]

    def _finish(self) -> None:
        glances = {each: each.view() for each in self._glances()}
        self.sent = glances[self.sent] if isinstance(self.sent, LazyFingerprints) else self.sent
        self.known = glances[self.known] if isinstance(self.known, LazyFingerprints) else self.known
        self.shown = glances[self.shown] if isinstance(self.shown, LazyFingerprints) else self.shown


class CallerViews:
    """Keeps what one caller (an MCP connection, or a library object) has sent to each session and seen of it.

    `at_once`: the caller may change the turns that it sent or was given. `once`: it saves once, so nothing is kept.
    """

    def __init__(self, *, at_once: bool = False, once: bool = False) -> None:
        self._at_once = at_once
        self.once = once
        self._sessions: OrderedDict[str, CallerView] = OrderedDict()

    def of(self, session_id: str) -> CallerView:
        """What the caller has sent to a session and seen of it: nothing at first."""
        seen = self._sessions.setdefault(session_id, CallerView(at_once=self._at_once))
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > REMEMBERED_SESSIONS:
            unused = (name for name, each in self._sessions.items() if not each.users and each is not seen)
            if (oldest := next(unused, None)) is not None:
                del self._sessions[oldest]
        return seen

    @contextlib.contextmanager
    def used(self, session_id: str) -> Generator[CallerView]:
        """The same, which is not forgotten while it is used."""
        seen = self.of(session_id)
        seen.users += 1
        try:
            yield seen
        finally:
            seen.users -= 1

    def copy(self) -> "CallerViews":
        """Another one that begins as this one is."""
        other = CallerViews(at_once=self._at_once)
        for session_id, seen in self._sessions.items():
            other._sessions[session_id] = replace(seen, users=0)
        return other

    def forget(self, session_id: str) -> None:
        """Forget a session: it is gone, or its caller was told so."""
        self._sessions.pop(session_id, None)

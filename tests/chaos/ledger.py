"""What must be true of every session, by what was sent and what was answered.

Each acknowledged turn, deletion and execution has holders: its Redis (by the name of its destination) and the machines
whose journal has it, each since a moment. A fault takes holders away: a Redis that comes back as it was at some moment
holds nothing of what came later, a journal that is put back neither, a machine whose journal cannot be written learns
nothing, and one whose server is killed may have missed the copies of its last half second.

What may legitimately be lost is what has no holder left at some moment, and nothing else: acknowledged `redis`, taken
away from Redis, and never on a machine or on none any more; or acknowledged `journal` and the journal taken away before
it was drained. A client that sends such a turn again has it acknowledged anew. Whatever one machine still holds must be
in its Redis again soon, each turn once, in its client's order, without a turn missing between two of a client's.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from .book import Kind

KILLED_SECONDS = 0.5
"""A killed server may not have made the copies of what Redis acknowledged in its last moments."""

HERE = "here"
"""The destination that is a machine's journal alone."""

MARKERS = {"A": "alder", "B": "birch", "here": "cedar"}
"""A word of each destination: every turn, title and result of it begins with it, and nothing of another has it."""

Text = str  # a turn's canonical JSON: equal texts are equal turns
Outcome = Literal["under way", "acknowledged", "refused", "unknown"]
Finding = tuple[Kind, str, str]  # what is wrong, about what, in words


@dataclass(slots=True)
class Fate:
    """What became of one thing that a client sent; `held`: who holds it, each since when."""

    client: str
    text: str
    outcome: Outcome = "under way"
    reason: str = ""
    held: dict[str, float] = field(default_factory=dict)
    waits: str = ""  # the machine in whose outbox it may be
    arrived: bool = False  # whether a Redis has ever held it
    excused: bool = False  # it was acknowledged, and every holder is gone
    strayed: bool = False  # it was excused once: where it stands when it is sent again, nobody can say
    removed_by: "Fate | None" = None  # the replace that was acknowledged later

    @property
    def must_be(self) -> bool:
        return self.outcome == "acknowledged" and not self.excused and self.removed_by is None

    @property
    def must_not_be(self) -> bool:
        return self.removed_by is not None and not self.removed_by.excused and self.removed_by.arrived

    def hold(self, *holders: str) -> None:
        for holder in holders:
            self.held.setdefault(holder, time.monotonic())
        self.arrived = self.arrived or not MARKERS.keys().isdisjoint(holders)

    def acknowledged(self, *holders: str) -> None:
        self.outcome, self.excused = "acknowledged", False
        self.hold(*holders)

    def forget(self, holder: str, since: float) -> None:
        """`holder` holds only what it held at that moment."""
        if holder in self.held and self.held[holder] > since:
            del self.held[holder]
            self.excused = self.excused or not self.held
            self.strayed = self.strayed or self.excused


@dataclass(slots=True)
class Session:
    """One session of one destination. `owner`: the only client that writes it; empty where several append."""

    id: str
    destination: str
    owner: str = ""
    turns: dict[Text, Fate] = field(default_factory=dict)
    deletion: Fate | None = None
    replaces: list[Fate] = field(default_factory=list)
    turning: bool = False  # a replace is under way
    turned: int = 0  # how many replaces are over
    unsure: bool = False  # its Redis may have evicted it since it was last seen there

    def live(self, client: str) -> list[Text]:
        """What that client sent and nobody took away, in order: all its turns, as it knows them."""
        return [text for text, fate in self.turns.items() if fate.client == client and fate.removed_by is None]

    def known_to(self, machine: str) -> list[Text]:
        """What a server of that machine has to show."""
        return [text for text, fate in self.turns.items() if fate.must_be and machine in fate.held]

    @property
    def is_deleted(self) -> bool:
        return self.deletion is not None and self.deletion.must_be  # by an answer

    @property
    def must_exist(self) -> bool:
        return self.deletion is None and any(fate.must_be for fate in self.turns.values())

    def judge(self, stored: Sequence[Text] | None) -> list[Finding]:
        """What is wrong with what is stored; `None`: nothing is."""
        if self.deletion is not None:
            return [("resurrected", self.id, "deleted, and there")] if stored is not None and self.is_deleted else []
        found: list[Finding] = []
        stored = list(stored or ())
        for text, fate in self.turns.items():
            times, name = stored.count(text), short(text)
            if times > 1:
                found.append(("duplicated", f"{self.id} {name}", f"stored {times} times"))
            elif fate.must_be and not times:
                found.append(self._missing(text, fate, stored))
            elif times and fate.must_not_be:
                found.append(("resurrected", f"{self.id} {name}", "taken away by a replace, and there"))
            elif times and fate.outcome == "refused" and fate.reason != "unavailable":
                found.append(("wrongly reported", f"{self.id} {name}", f"refused ({fate.reason}), and stored"))
        for text in dict.fromkeys(stored):
            if text not in self.turns:
                kind = "crossed" if foreign(text, self.destination) else "torn"
                found.append((kind, f"{self.id} {text[:60]}", "a turn that nobody sent there"))
        return found + self._disorder(stored)

    def _missing(self, text: Text, fate: Fate, stored: Sequence[Text]) -> Finding:
        later = list(self.turns)[list(self.turns).index(text) + 1 :]
        if after := [t for t in later if t in stored and self.turns[t].client == fate.client]:
            known = f"acknowledged, held by {_names(fate)}, missing, and {short(after[0])} is there"
            return "holes", f"{self.id} {short(text)}", known
        return "lost", f"{self.id} {short(text)}", f"acknowledged, held by {_names(fate)}, and not stored"

    def _disorder(self, stored: Sequence[Text]) -> list[Finding]:
        found: list[Finding] = []
        steady = {text: fate for text, fate in self.turns.items() if fate.must_be and not fate.strayed}
        for client in {fate.client for fate in steady.values()}:
            mine = [text for text, fate in steady.items() if fate.client == client and stored.count(text) == 1]
            for one, then in pairwise(mine):
                if stored.index(one) > stored.index(then):
                    found.append(("torn", f"{self.id} {short(one)}", f"stored after {short(then)}"))
        return found


@dataclass(slots=True)
class Execution:
    """A result that one client keeps, once, and the flow that it belongs to."""

    id: str
    destination: str
    machine: str
    result: Text
    fate: Fate
    flow: tuple[str, str] | None = None
    in_flow: bool = False  # whether the answer said so


class Ledger:
    """All sessions and executions of a world."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], Session] = {}
        self.executions: dict[str, Execution] = {}
        self._killed: dict[str, float] = {}
        self.deaf: set[str] = set()  # machines whose journal cannot be written: they learn nothing
        self._evicting: set[str] = set()

    def session(self, destination: str, session_id: str, owner: str = "") -> Session:
        new = Session(session_id, destination, owner, unsure=destination in self._evicting)
        return self.sessions.setdefault((destination, session_id), new)

    def evicts(self, destination: str) -> None:
        """From now on that Redis may drop any session: of none is it known what a save found there."""
        self._evicting.add(destination)
        for session in self.of(destination):
            session.unsure = True

    def has_room(self, destination: str) -> None:
        """It evicts nothing any more; what it dropped is not yet there again."""
        self._evicting.discard(destination)

    def move(self, session: Session, destination: str) -> None:
        """The session belongs to another destination from now on."""
        del self.sessions[session.destination, session.id]
        session.destination = destination
        self.sessions[destination, session.id] = session

    def of(self, destination: str) -> list[Session]:
        return [session for session in self.sessions.values() if session.destination == destination]

    @property
    def fates(self) -> Iterable[tuple[str, Fate]]:
        """All that was sent, each with its destination."""
        for session in self.sessions.values():
            yield from ((session.destination, fate) for fate in [*session.turns.values(), *session.replaces])
            if session.deletion:
                yield session.destination, session.deletion
        for execution in self.executions.values():
            yield execution.destination, execution.fate

    def kept(self, fate: Fate, destination: str, machine: str, stored_in: str) -> None:
        """What a server of that machine acknowledged is in Redis, or waits in its journal; it has a copy of either."""
        places = [destination] if stored_in == "redis" else []
        killed = time.monotonic() - self._killed.get(machine, -math.inf) < KILLED_SECONDS  # it answered just before
        fate.acknowledged(*places, *([] if places and (machine in self.deaf or killed) else [machine]))
        fate.waits = "" if places else machine

    def saved(
        self, session: Session, machine: str, fates: Iterable[Fate], stored_in: str, since: float = math.inf
    ) -> None:
        """A save of these was acknowledged: its place holds them, and the machine, with all that was there `since`."""
        for fate in fates:
            self.kept(fate, session.destination, machine, stored_in)
        if stored_in == "redis":
            self._learns(session, machine, since)

    def replaced(
        self,
        session: Session,
        machine: str,
        old: Iterable[Fate],
        replace: Fate,
        stored_in: str,
        since: float = math.inf,
    ) -> None:
        """A replace that takes away what is old was acknowledged."""
        self.saved(session, machine, [replace], stored_in, since)
        session.replaces.append(replace)
        for fate in old:
            fate.removed_by = replace

    def shown(self, session: Session, machine: str, texts: Iterable[Text], since: float = math.inf) -> None:
        """Redis showed these turns to a server of that machine."""
        for text in texts:
            if (fate := session.turns.get(text)) and fate.must_be:
                fate.hold(session.destination, *([] if machine in self.deaf else [machine]))
        self._learns(session, machine, since)

    def _learns(self, session: Session, machine: str, since: float) -> None:
        """What was in Redis then is in that machine's journal now, if it can be written."""
        if session.unsure:
            return
        for fate in [*session.turns.values(), *session.replaces]:
            there = fate.must_be and fate.held.get(session.destination, math.inf) <= since
            if there and machine not in self.deaf:
                fate.hold(machine)

    def drained(self, destination: str, machine: str, by: float) -> None:
        """Nothing was pending on that machine at this moment: what waited there before is in Redis."""
        for of, fate in self.fates:
            if of == destination != HERE and fate.waits == machine and fate.held.get(machine, by) < by:
                fate.hold(destination)
                fate.waits = ""

    def forget(self, holder: str, since: float) -> None:
        """A Redis (by its destination) or a machine holds only what it held at that moment."""
        for _, fate in self.fates:
            fate.forget(holder, since)

    def set_back(self, machine: str, since: float) -> None:
        """A machine's journal is as it was then: its copy of what Redis acknowledged just before may not be in it."""
        for _, fate in self.fates:
            fate.forget(machine, since - (KILLED_SECONDS if len(fate.held) > 1 else 0.0))

    def killed(self, machine: str) -> None:
        """A server of that machine was killed: of what Redis acknowledged last, its journal may have no copy."""
        self._killed[machine] = time.monotonic()
        for _, fate in self.fates:
            if len(fate.held) > 1:
                fate.forget(machine, time.monotonic() - KILLED_SECONDS)

    def confirmed(self, session: Session, machines: Iterable[str]) -> None:
        """All that must be there was seen in its Redis, and by these machines."""
        session.unsure = session.destination in self._evicting
        for fate in [*session.turns.values(), *session.replaces]:
            if fate.must_be:
                fate.hold(session.destination, *machines)

    def facts(self, session: Session) -> dict[str, Any]:
        """What a story tells of a session."""
        return {
            short(text): f"{fate.outcome}, held by {_names(fate)}{', taken away' if fate.removed_by else ''}"
            for text, fate in session.turns.items()
        }


def foreign(text: str, *destinations: str) -> str:
    """The destination, none of these, whose word stands in a text; empty if there is none."""
    return next((name for name, word in MARKERS.items() if name not in destinations and word in text), "")


def short(text: Text) -> str:
    """A turn's name, which stands in its words between a marker and a full stop."""
    return text.partition('"content": "')[2].split(" ", 1)[-1].partition(".")[0][:40] or text[:40]


def _names(fate: Fate) -> str:
    return "+".join(sorted(fate.held)) or "nobody"

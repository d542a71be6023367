"""What must be true of the three families of sessions, given what was sent and what was answered.

Shared sessions are known by turn: how often each may be there. Owned ones and executions are known exactly: the set
of states that are allowed, which has one member unless a server was killed before it answered.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ...support.conversations import exact

Turn = str
"""A turn's canonical JSON: equal texts are equal turns, byte for byte."""

State = tuple[Turn, ...] | None
"""A session's turns; `None`: there is none."""

Outcome = Literal["under way", "acknowledged", "refused", "unknown"]


@dataclass(slots=True)
class Write:
    """One write that a client sent. `reason` and `stored_in` are those of its answer."""

    number: int
    client: str
    about: str
    turns: tuple[Turn, ...]
    outcome: Outcome = "under way"
    stored_in: str = ""
    reason: str = ""
    repeated: bool = False  # sent a second time, the first outcome being unknown

    def facts(self) -> dict[str, Any]:
        """What a violation tells of it."""
        return {
            "client": self.client, "write_number": self.number, "turns": self.turns, "outcome": self.outcome,
            "stored_in": self.stored_in, "reason": self.reason, "repeated": self.repeated,
        }  # fmt: skip


@dataclass(slots=True)
class Shared:
    """A session to which every client appends."""

    id: str
    writes: list[Write] = field(default_factory=list)

    def acknowledged(self, client: str) -> list[Turn]:
        """The turns whose saves were acknowledged to that client, in order."""
        mine = (w.turns for w in self.writes if w.client == client and w.outcome == "acknowledged")
        return [turn for turns in mine for turn in turns]

    @property
    def sent(self) -> dict[Turn, Write]:
        return {turn: write for write in self.writes for turn in write.turns}


@dataclass(slots=True)
class Exact:
    """A session or execution that one client alone writes. `states`: what may be stored, as far as it knows."""

    id: str
    owner: str
    machine: str
    states: set[Any] = field(default_factory=lambda: {None})
    ever: set[Any] = field(default_factory=lambda: {None})  # all that was allowed at any time
    version: int = 0  # counts beginnings and ends of writes, so that a reader can tell whether one came in between
    settled: bool = True  # no write of unknown outcome can still arrive
    certain: bool = True  # its owner has seen it since the last unknown outcome
    revision: int | None = None  # the last one answered, if it was final
    writes: list[Write] = field(default_factory=list)
    _result: Callable[[Any], Any] = field(default=lambda state: state)

    def begin(self, write: Write, result: Callable[[Any], Any]) -> None:
        """A write is about to be sent that turns each state into `result(state)`."""
        self.version += 1
        self.writes.append(write)
        self._result = result
        self.ever |= {result(state) for state in self.states}

    def acknowledged(self, stored_in: str, turns: int | None = None) -> None:
        """It was: `stored_in` Redis means that nothing sent before can arrive later."""
        self.version += 1
        self.states = {self._result(state) for state in self.states}
        if stored_in == "redis":
            self.settled = True
            narrowed = {state for state in self.states if turns is not None and len(state or ()) == turns}
            self.states = narrowed or self.states
        self.ever |= self.states

    def unknown(self) -> None:
        """Nobody knows."""
        self.version += 1
        self.states = self.states | {self._result(state) for state in self.states}
        self.settled, self.certain, self.revision = False, False, None

    @property
    def exists(self) -> bool | None:
        """Whether there is something now; `None`: either may be."""
        kinds = {state is not None for state in self.states}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def only(self) -> Any:
        """The one state that is allowed. Ask only where `is_exact`."""
        (state,) = self.states
        return state

    @property
    def is_exact(self) -> bool:
        return self.settled and len(self.states) == 1


class Model:
    """All sessions and executions of a run."""

    def __init__(self) -> None:
        self.shared: dict[str, Shared] = {}
        self.owned: dict[str, Exact] = {}
        self.executions: dict[str, Exact] = {}
        self.flows: dict[tuple[str, str], list[str]] = defaultdict(list)  # (session, flow): ids acknowledged with it
        self._numbers = itertools.count(1)

    def write(self, client: str, about: str, turns: Sequence[dict[str, Any]]) -> Write:
        return Write(next(self._numbers), client, about, tuple(exact(turn) for turn in turns))

    def shared_session(self, session_id: str) -> Shared:
        return self.shared.setdefault(session_id, Shared(session_id))

    def owned_session(self, session_id: str, owner: str, machine: str) -> Exact:
        return self.owned.setdefault(session_id, Exact(session_id, owner, machine))

    def execution(self, execution_id: str, owner: str, machine: str) -> Exact:
        return self.executions.setdefault(execution_id, Exact(execution_id, owner, machine))


def appended(turns: Sequence[Turn]) -> Callable[[State], State]:
    """The effect of an append of new turns; one of turns with ids that are there already adds nothing."""
    return lambda state: state if state and state[-len(turns) :] == tuple(turns) else (*(state or ()), *turns)


def replaced(turns: Sequence[Turn]) -> Callable[[State], State]:
    return lambda _state: tuple(turns)


def deleted(_state: State) -> State:
    return None

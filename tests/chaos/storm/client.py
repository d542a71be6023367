"""One client: which operation comes next, and those on the sessions that everybody appends to."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from ...support.conversations import exact
from ..caller import Caller
from ..turns import Turns
from .executions import Executions
from .model import Model, Shared, Write
from .owner import Owner

PAUSE = (0.0, 0.12)  # seconds between two operations of a client
SAVES_A_WINDOW = 120  # of one client to the same shared sessions; then all move on to others, or they grow for ever
SHARED_AT_ONCE = 3
BURST_ONE_IN, BURST = 25, 12  # now and then a client saves so often in a row, without a pause, to the first of them
RESENT_AT_MOST = 300  # turns
RETRY_SHARE = 0.8
WHOLE = 10_000_000  # tokens: more than any session here has


@dataclass(slots=True)
class Talk:
    """What this client has sent to a shared session and seen of it, in the life of its present server."""

    own: list[dict[str, Any]] = field(default_factory=list)
    view: list[dict[str, Any]] | None = None  # what it was shown last, and its own since
    revision: int | None = None


class Client:
    """Works until told to stop. All draws come from one generator of its own."""

    def __init__(self, seed: int, caller: Caller, model: Model) -> None:
        self._caller = caller
        self._name = caller.name
        self._model = model
        self._rng = random.Random(f"client {seed} {self._name}")
        self._turns = Turns(self._name)
        self._owner = Owner(caller, model, self._rng, self._turns)
        self._executions = Executions(caller, model, self._rng)
        self._life = 0
        self._talks: dict[str, Talk] = {}
        self._saves = 0

    async def work(self, stop: asyncio.Event) -> None:
        """One operation after another."""
        actions = {
            self._save_shared: 30,
            self._resume_shared: 8,
            self._owner.save: 18,
            self._owner.delete: 5,
            self._owner.resume: 8,
            self._owner.resume_of_others: 7,
            self._owner.list_own: 4,
            self._executions.cache: 9,
            self._executions.get: 5,
            self._executions.flow_history: 3,
            self._resume_nobody: 1,
            self._burst: 30 / BURST_ONE_IN,
        }
        while not stop.is_set():
            (action,) = self._rng.choices(list(actions), list(actions.values()))
            await action()
            await asyncio.sleep(self._rng.uniform(*PAUSE))

    async def _burst(self) -> None:
        hot = self._model.shared_session(f"shared-{self._window}")
        for _ in range(BURST):
            await self._save_shared(hot)

    async def _save_shared(self, hot: Shared | None = None) -> None:
        shared, talk = await self._shared(hot)
        self._saves += 1
        way = self._rng.choice(("new", "new", "ids", "ids", "talk", "talk", "view", "expected"))
        new = self._turns.some(self._rng.randint(1, 3), ids=way == "ids")
        arguments: dict[str, Any] = {"session_id": shared.id, "history": new}
        if way == "talk" and len(talk.own) <= RESENT_AT_MOST:
            arguments["history"] = [*talk.own, *new]
        elif way == "view" and talk.view is not None and len(talk.view) <= RESENT_AT_MOST:
            arguments["history"] = [*talk.view, *new]
        elif way == "expected" and talk.revision is not None:
            arguments["expected_revision"] = talk.revision
        else:
            way = "ids" if way == "ids" else "new"
        write = self._model.write(self._name, shared.id, new)
        shared.writes.append(write)
        await self._send(write, shared, talk, way, arguments)
        if write.outcome == "unknown" and way in ("ids", "expected") and self._rng.random() < RETRY_SHARE:
            write.repeated = True
            _, talk = await self._shared(shared)
            await self._send(write, shared, talk, f"{way} again", arguments)

    async def _send(self, write: Write, shared: Shared, talk: Talk, way: str, arguments: dict[str, Any]) -> None:
        answer = await self._caller.call(
            "save_session", f"{shared.id} {way} write {write.number} {self._turns.names(write.turns)}", **arguments
        )
        if answer is None:
            write.outcome = "unknown"
            return
        if not answer.get("saved"):
            # The first try of a save that is sent again may have been the one that somebody's save came after.
            write.outcome, write.reason = "unknown" if write.repeated else "refused", str(answer.get("reason"))
            if write.reason == "unavailable" and "expected_revision" in arguments and "not known" in answer["message"]:
                write.outcome = "unknown"  # sent to a Redis that froze, and this machine has saved since
            elif write.reason != "conflict":
                self._caller.wrong(shared.id, "a save was refused though the journal works", **write.facts())
            return
        write.outcome, write.stored_in = "acknowledged", answer["stored_in"]
        self._caller.book.acknowledged += 1
        new = arguments["history"][-len(write.turns) :]
        talk.own += new
        if talk.view is not None:
            talk.view += new
        talk.revision = answer["revision"]
        mine = shared.acknowledged(self._name)
        if answer["turns"] < len(mine):
            text = f"turns: {answer['turns']}, but this client alone has {len(mine)} acknowledged turns there"
            self._caller.wrong(shared.id, text, **write.facts())

    async def _resume_shared(self) -> None:
        shared, talk = await self._shared()
        mine = shared.acknowledged(self._name)
        answer = await self._caller.call("resume_session", shared.id, session_id=shared.id, max_tokens=WHOLE)
        if answer is None:
            return
        if not answer.get("found"):
            if mine:
                text = f"{answer.get('reason')}, but this client has {len(mine)} acknowledged turns there"
                self._caller.wrong(shared.id, text)
            return
        talk.view = answer["session"]["history"]
        talk.revision = answer["revision"]
        shown = [exact(turn) for turn in answer["session"]["history"]]
        if missing := set(mine) - set(shown):
            text = f"{len(missing)} of this client's acknowledged turns are not shown to it (source {answer['source']})"
            self._caller.wrong(shared.id, text, missing=sorted(missing)[:5])
        sent = shared.sent
        for turn in shown:
            if turn not in sent:
                self._caller.book.violation("torn", f"{shared.id} {turn}", "a turn that nobody sent was shown")

    async def _resume_nobody(self) -> None:
        await self._caller.ready()
        answer = await self._caller.call("resume_session", "nobody", session_id="nobody")
        if answer and answer.get("found"):
            self._caller.wrong("nobody", "a session that nobody saved was found")

    @property
    def _window(self) -> int:
        return self._saves // SAVES_A_WINDOW * SHARED_AT_ONCE

    async def _shared(self, again: Shared | None = None) -> tuple[Shared, Talk]:
        """A session of the present window (or that one), when there is a server, and what is known of it there."""
        life = await self._caller.ready()
        if life != self._life:
            self._life = life
            self._talks.clear()
        number = (
            self._saves // SAVES_A_WINDOW * SHARED_AT_ONCE + self._rng.randrange(SHARED_AT_ONCE) if not again else 0
        )
        shared = again or self._model.shared_session(f"shared-{number}")
        return shared, self._talks.setdefault(shared.id, Talk())

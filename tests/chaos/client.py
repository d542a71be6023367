"""One client: it saves, replaces, reads, deletes, caches; some clients always send all their turns, others what is new.

Every client has a session of its own, one that it deletes some day, and one that all clients of its destination append
to. Turns of the latter have ids when a client sends all of its own, since others' stand between them.
"""

import json
import random
import time
from collections.abc import Sequence
from typing import Any

from ..support.conversations import exact
from .caller import Caller
from .ledger import MARKERS, Execution, Fate, Ledger, Session, Text, foreign, short
from .turns import AWKWARD

WHOLE = 10_000_000  # tokens: more than any session here has
TRIES = 8  # of a replace or a deletion whose outcome is unknown: one that arrived late would undo what comes after it
PADDING = "and so on, " * 12


class Client:
    """Works at one seat. `resends`: whether each save sends all that it ever said in the session."""

    def __init__(self, caller: Caller, ledger: Ledger, rng: random.Random, episode: str, *, resends: bool) -> None:
        self.caller = caller
        self.name = caller.name
        self.machine = caller.seat.machine
        self.destination = caller.seat.destination
        self._ledger = ledger
        self._rng = rng
        self._resends = resends
        self._count = 0
        self.marker = MARKERS[self.destination]
        self.own = ledger.session(self.destination, f"{episode}-own-{self.name}", self.name)
        self.doomed = ledger.session(self.destination, f"{episode}-gone-{self.name}", self.name)
        self.shared = ledger.session(self.destination, f"{episode}-shared")
        self.may_replace = True
        self._mine: list[Execution] = []
        self._dies_at = rng.randint(1, 30)  # after so many operations the doomed session is deleted

    async def work(self, operations: int) -> None:
        """So many operations, one after the other."""
        actions = {
            self.save_own: 30,
            self.save_shared: 24,
            self._replace: 4,
            self._read_own: 8,
            self._read_any: 12,
            self._cache: 6,
            self._get: 3,
            self._list: 3,
        }
        for _ in range(operations):
            self._dies_at -= 1
            if self._dies_at == 0:
                await self.delete()
            else:
                await self._rng.choices(list(actions), list(actions.values()))[0]()

    def draw(self, least: int, most: int) -> int:
        """A number of this client's choice."""
        return self._rng.randint(least, most)

    async def begin(self) -> None:
        """Have something in each session."""
        for session in (self.own, self.doomed, self.shared):
            await self.save(session)

    async def again(self) -> None:
        """After a fault: everything once more, with something new, or what is new alone."""
        await self.save_own()
        await self.save_shared()

    async def save_own(self) -> None:
        await self.save(self.own)

    async def save_shared(self) -> None:
        await self.save(self.shared)

    async def save(self, session: Session, *, size: int = 0) -> None:
        """Append one to three new turns, after all of one's own if this client resends."""
        before = session.live(self.name) if self._resends else []
        new = self._new(session, self._rng.randint(1, 3), size)
        sent = [*before, *new]
        way = f"{session.id} {f'all {len(before)}' if self._resends else 'new'} + {' '.join(map(short, new))}"
        await self._send(session, sent, new, way)

    async def _replace(self) -> None:
        """Put new turns in the place of all of one's own session; sent again until it is known."""
        session = self.own
        if not self.may_replace or any(fate.outcome == "unknown" for fate in session.turns.values()):
            return  # what is unknown may still arrive, after the replace
        old = [fate for fate in session.turns.values() if fate.removed_by is None]
        new = self._new(session, 2)
        way = f"{session.id} replace by {' '.join(map(short, new))}"
        session.turning = True
        for _ in range(TRIES):
            since = time.monotonic()
            if answer := await self._send(session, new, new, way, mode="replace"):
                replace = Fate(self.name, way)
                self._ledger.replaced(session, self.machine, old, replace, answer["stored_in"], since)
            if session.turns[new[0]].outcome != "unknown":
                session.turning = False
                session.turned += 1
                return
        raise AssertionError(f"no outcome of a replace of {session.id} in {TRIES} tries")

    async def _send(
        self, session: Session, sent: Sequence[Text], new: Sequence[Text], way: str, **more: Any
    ) -> dict[str, Any] | None:
        """One save; the answer if it was acknowledged."""
        await self.caller.ready()
        must = [text for text in session.known_to(self.machine) if session.turns[text].client == self.name]
        arguments = {"session_id": session.id, "history": _turns(sent), "title": f"{self.marker} talk", **more}
        since = time.monotonic()
        answer = await self.caller.call("save_session", way, **arguments)
        fates = [session.turns[text] for text in new]
        if answer is None:
            for fate in fates:
                fate.outcome = "unknown"
            return None
        if not answer.get("saved"):
            self._refused(session, fates, answer)
            return None
        self.caller.book.acknowledged += 1
        fates = [session.turns[text] for text in sent]
        self._ledger.saved(session, self.machine, fates, answer["stored_in"], since)
        # A journal may have been put back meanwhile.
        still = {text for text in must if session.turns[text].must_be and self.machine in session.turns[text].held}
        if not more and answer["turns"] < len({*still, *sent}):
            known = f"turns: {answer['turns']}, but this client alone has {len({*still, *sent})} there"
            self.caller.wrong(session.id, known, answer=answer)
        return answer

    def _refused(self, session: Session, fates: Sequence[Fate], answer: dict[str, Any]) -> None:
        for fate in fates:
            fate.outcome, fate.reason = "refused", str(answer.get("reason"))
        if not (answer.get("reason") == "unavailable" and self.machine in self._ledger.deaf):
            self.caller.wrong(session.id, "a save was refused though it could be kept", answer=answer)

    async def delete(self) -> None:
        """Delete the doomed session, again and again until the outcome is known."""
        session = self.doomed
        session.deletion = session.deletion or Fate(self.name, "")
        for _ in range(TRIES):
            await self.caller.ready()
            answer = await self.caller.call("delete_session", session.id, session_id=session.id)
            if answer is None:
                session.deletion.outcome = "unknown"
                continue
            known = session.known_to(self.machine)
            if answer.get("deleted") or answer.get("reason") in ("deleted", "not_found", "expired"):
                if not answer["deleted"] and answer["reason"] != "deleted" and known:
                    self.caller.wrong(session.id, "not deleted, though it is there", answer=answer)
                # The answer does not say where the deletion is kept: it may wait here, if it can be written here.
                place = "redis" if self.machine in self._ledger.deaf else "journal"
                self._ledger.kept(session.deletion, self.destination, self.machine, place)
            else:
                session.deletion.outcome, session.deletion.reason = "refused", str(answer.get("reason"))
                if self.machine not in self._ledger.deaf:
                    self.caller.wrong(session.id, "a deletion was refused though it could be kept", answer=answer)
            return
        raise AssertionError(f"no outcome of a deletion of {session.id} in {TRIES} tries")

    async def _read_own(self) -> None:
        await self.read(self.own)

    async def _read_any(self) -> None:
        sessions = [s for s in self._ledger.of(self.destination) if s.turns][-24:]
        await self.read(self._rng.choice(sessions))

    async def read(self, session: Session) -> dict[str, Any] | None:
        """Resume: all that this machine must know is shown, nothing that it knows to be gone, nothing foreign."""
        await self.caller.ready()
        must = [] if session.turning else session.known_to(self.machine)
        turned = session.turned
        gone = session.deletion is not None and session.is_deleted and self.machine in session.deletion.held
        since = time.monotonic()
        answer = await self.caller.call("resume_session", session.id, session_id=session.id, max_tokens=WHOLE)
        if answer is None or "found" not in answer:
            return answer
        shown = [exact(turn) for turn in answer["session"]["history"]] if answer["found"] else []
        if answer["found"] and gone:
            self.caller.wrong(session.id, "found, though this machine knows that it was deleted", answer=_brief(answer))
        still = [text for text in must if session.turns[text].must_be and self.machine in session.turns[text].held]
        quiet = session.deletion is None and not session.turning and session.turned == turned
        if quiet and (missing := [text for text in still if text not in shown]):
            known = f"{len(missing)} turns that this machine holds are not shown: {' '.join(map(short, missing[:4]))}"
            self.caller.wrong(session.id, known, answer=_brief(answer))
        for text in set(shown) - session.turns.keys():
            kind = "crossed" if foreign(text, session.destination) else "torn"
            self.caller.book.violation(kind, f"{session.id} {text[:60]}", "a turn that nobody sent there was shown")
        if answer["found"] and answer["source"] == "redis" and session.deletion is None:
            self._ledger.shown(session, self.machine, shown, since)
        return answer

    async def _cache(self) -> None:
        """Keep a result; every second one belongs to a flow of the own session."""
        self._count += 1
        flow = (self.own.id, "f") if self._count % 2 else None
        result = {"value": f"{self.marker} {self.name}-{self._count}", "awkward": AWKWARD}
        execution = Execution(
            f"{self.own.id}-{self._count}", self.destination, self.machine, exact(result), Fate(self.name, ""), flow
        )
        self._ledger.executions[execution.id] = execution
        await self.caller.ready()
        more = {"session_id": flow[0], "flow_id": flow[1]} if flow else {}
        answer = await self.caller.call("cache_result", execution.id, execution_id=execution.id, result=result, **more)
        if answer is None:
            execution.fate.outcome = "unknown"
        elif answer.get("cached"):
            self._ledger.kept(execution.fate, self.destination, self.machine, answer["stored_in"])
            execution.in_flow = bool(flow) and "could not be added" not in answer["message"]
            self._mine.append(execution)
        elif not (answer.get("reason") == "unavailable" and self.machine in self._ledger.deaf):
            execution.fate.outcome = "refused"
            self.caller.wrong(execution.id, "a result was refused though it could be kept", answer=answer)

    async def _get(self) -> None:
        """Read one of one's own results."""
        if not self._mine:
            return
        execution = self._rng.choice(self._mine)
        await self.caller.ready()
        must = execution.fate.must_be and self.machine in execution.fate.held
        answer = await self.caller.call("get_result", execution.id, execution_id=execution.id)
        if answer is None or "found" not in answer:
            return
        if must and execution.fate.must_be and self.machine in execution.fate.held and not answer["found"]:
            self.caller.wrong(execution.id, f"{answer.get('reason')}, though this machine holds it")
        if answer["found"] and exact(answer["execution"]["result"]) != execution.result:
            self.caller.book.violation("torn", execution.id, "another result than was kept")

    async def _list(self) -> None:
        await self.caller.ready()
        await self.caller.call("list_sessions", "list", limit=1000)

    def _new(self, session: Session, count: int, size: int = 0) -> list[Text]:
        """New turns, noted before they are sent."""
        texts: list[Text] = []
        for _ in range(count):
            self._count += 1
            words = f"{self.marker} {self.name}-{self._count:04d}. {PADDING}{'x' * size}"
            turn: dict[str, Any] = {"role": ("user", "assistant")[self._count % 2], "content": words}
            if not session.owner and self._resends:
                turn["id"] = f"id-{session.id}-{self.name}-{self._count}"
            if self._count % 5 == 0:
                turn["metadata"] = AWKWARD
            text = exact(turn)
            session.turns[text] = Fate(self.name, text)
            texts.append(text)
        return texts


def _turns(texts: Sequence[Text]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts]


def _brief(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer.get(name) for name in ("found", "reason", "revision", "total_turns", "source", "stale")}

"""The judgement of a world when all is well again: what each Redis holds, and what each server says, beside the ledger.

What came back older has `HEALED_WITHIN` seconds to be whole again; then every difference is a violation. The seconds
count from when every server has a child, since starting one is the machine's work, and takes it long when it is busy.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from ..support.conversations import exact
from .client import WHOLE
from .ledger import MARKERS, Execution, Finding, Session
from .seat import Seat
from .world import World

HEALED_WITHIN = 10.0
PATIENCE = 45.0  # seconds for which children may be missing
LOOK_SECONDS = 0.15
AT_ONCE = 4  # calls under way at one server
NAMED = ("session_id", "execution_id", "query")  # what a call is about
HERE = "this machine"  # how lists mark what is on this machine alone


class Judge:
    """Judges a world's sessions. `here_counts`: a session that a machine lists as its own need not be in Redis."""

    def __init__(self, world: World, *, here_counts: bool = False, within: float = HEALED_WITHIN) -> None:
        self._world = world
        self._within = within
        self._ledger = world.ledger
        self._here_counts = here_counts

    async def judge(self, sessions: Sequence[Session], executions: Sequence[Execution]) -> float:
        """Wait until all is right, or for so long; note what is not. The seconds that it took."""
        began = time.monotonic()
        sessions = [session for session in sessions if session.id not in self._world.wrong]

        async def look() -> list[Finding]:
            return await self._in_redis(sessions) or await self._by_servers(sessions, executions)

        if found := await self._wait(look):  # what is wrong in Redis is told once, not as every server shows it
            found = await self._in_redis(sessions)
            known = {_session(about) for _, about, _ in found}
            shown = await self._by_servers(sessions, executions)
            found += [finding for finding in shown if _session(finding[1]) not in known]
        found += await self._crossed()
        self._note(found, sessions)
        wrong = {_session(about) for _, about, _ in found}
        for session in sessions:
            if session.id not in wrong and session.destination != "here":
                self._ledger.confirmed(session, {seat.machine for seat in self._seats(session.destination)})
        return time.monotonic() - began

    async def arrives(self, sessions: Sequence[Session]) -> None:
        """Wait until these are right in their Redis, or for so long; note what is not. Something else may be wrong."""
        self._note(await self._wait(lambda: self._in_redis(sessions)), sessions)

    async def _wait(self, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
        """What is found at last."""
        began = time.monotonic()
        while True:
            found, now = await look(), time.monotonic()
            whole = max(began, *(seat.childless_at for seat in self._world.seats.values()))
            if not found or now - whole > self._within or now - began > PATIENCE:
                return found
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, found: Iterable[Finding], sessions: Iterable[Session]) -> None:
        by_id = {session.id: session for session in sessions}
        for kind, about, text in found:
            session = by_id.get(_session(about))
            self._world.book.violation(kind, about, text, turns=self._ledger.facts(session) if session else {})
            self._world.wrong.add(_session(about))

    async def _in_redis(self, sessions: Iterable[Session]) -> list[Finding]:
        """What is wrong with the documents themselves."""
        found: list[Finding] = []
        for name, address in self._world.addresses.items():
            mine = [session for session in sessions if session.destination == name]
            stored = await address.documents([session.id for session in mine])
            for session in mine:
                wrong = session.judge(stored[session.id])
                if wrong and stored[session.id] is None and self._here_counts and await self._is_here(session):
                    continue
                found += wrong
        return found

    async def _is_here(self, session: Session) -> bool:
        """Whether a server of a machine that holds it shows all of it, and lists it as its own alone."""
        for seat in self._seats(session.destination):
            listed = await self._call(seat, "list_sessions", limit=1000)
            row = next((row for row in listed.get("sessions", []) if row["id"] == session.id), None)
            marked = row is not None and (HERE in str(row) or HERE in listed["message"])
            if marked and not session.judge(_shown(await self._resume(seat, session))):
                return True
        return False

    async def _by_servers(self, sessions: Sequence[Session], executions: Sequence[Execution]) -> list[Finding]:
        """What is wrong with what the servers show."""
        found: list[Finding] = []
        for seat in self._world.seats.values():
            if seat.is_up:
                mine = [session for session in sessions if session.destination == seat.destination]
                found += await self._resumed(seat, mine)
                found += await self._listed(seat, mine)
                found += await self._told(seat)
        for destination in MARKERS:
            mine = [each for each in executions if each.destination == destination]
            if mine and (seats := self._seats(destination)):
                found += await self._results(seats, mine)
        return found

    async def _resumed(self, seat: Seat, sessions: Sequence[Session]) -> list[Finding]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(session: Session) -> list[Finding]:
            async with gate:
                answer = await self._resume(seat, session)
            if answer.get("reason") == "unavailable" or answer.get("stale"):
                return [
                    ("wrongly reported", f"{session.id} {seat.name}", f"all is well, and: {answer['message'][:200]}")
                ]
            wrong = session.judge(_shown(answer))
            return [(kind, f"{about} shown by {seat.name}", text) for kind, about, text in wrong]

        return [finding for found in await asyncio.gather(*map(one, sessions)) for finding in found]

    async def _listed(self, seat: Seat, sessions: Iterable[Session]) -> list[Finding]:
        """A list has what exists, each once, and nothing that is gone; a search for another's words finds nothing."""
        answer = await self._call(seat, "list_sessions", limit=1000)
        rows = [row["id"] for row in answer.get("sessions", [])]
        counts = {row["id"]: row["turns"] for row in answer.get("sessions", [])}
        found: list[Finding] = []
        for session in sessions:
            about = f"{session.id} list of {seat.name}"
            if session.must_exist and rows.count(session.id) != 1:
                found.append(("wrongly reported", about, f"it is there, and listed {rows.count(session.id)} times"))
            elif session.is_deleted and session.id in rows:
                found.append(("wrongly reported", about, "it was deleted, and is listed"))
            elif session.must_exist and counts[session.id] < sum(fate.must_be for fate in session.turns.values()):
                found.append(("wrongly reported", about, f"listed with {counts[session.id]} turns, too few"))
        for session in self._ledger.of("here") if seat.destination != "here" and seat.machine == "m0" else []:
            row = next((row for row in answer.get("sessions", []) if row["id"] == session.id), None)
            if session.must_exist and HERE not in str(row):
                text = f"it is on this machine, and {'not listed' if row is None else 'not marked so'}"
                found.append(("wrongly reported", f"{session.id} list of {seat.name}", text))
        if seat.destination != "here" and answer.get("scope") != "shared":
            found.append(("wrongly reported", f"list of {seat.name}", f"all is well, and: {answer.get('message')}"))
        for name, marker in MARKERS.items():
            if name not in (seat.destination, "here"):
                hits = (await self._call(seat, "list_sessions", query=marker)).get("sessions", [])
                found.extend(("crossed", f"{row['id']} search of {seat.name}", f"found for {marker!r}") for row in hits)
        return found

    async def _told(self, seat: Seat) -> list[Finding]:
        """The status: nothing pending, no dead letter but those that are meant to be."""
        status = await self._call(seat, "persistence_status")
        journal: dict[str, Any] = status.get("journal", {})
        found: list[Finding] = []
        if journal.get("pending"):
            text = f"{journal['pending']} pending though all is well: {status['reason']}"
            found.append(("wrongly reported", f"{seat.name} pending", text))
        letters, meant = len(journal.get("set_aside", [])), self._world.dead_letters.get(seat.machine, 0)
        if letters != meant and (letters or seat.destination == "A"):  # they are those of Redis A
            text = f"{letters} dead letters, not {meant}"
            found.append(("wrongly reported", f"{seat.name} dead letters", f"{text}: {journal.get('set_aside')}"))
        return found

    async def _results(self, seats: Sequence[Seat], executions: Iterable[Execution]) -> list[Finding]:
        """Results, and the flows that they belong to, by the server of the machine that has not cached them."""
        found: list[Finding] = []
        flows: dict[tuple[str, str], list[Execution]] = {}
        for each in executions:
            seat = next((seat for seat in seats if seat.machine != each.machine), seats[0])
            if not each.fate.must_be:
                continue
            answer = await self._call(seat, "get_result", execution_id=each.id)
            if self._here_counts and not _is_result(each, answer):
                owner = next((seat for seat in seats if seat.machine in each.fate.held), seat)
                answer = await self._call(owner, "get_result", execution_id=each.id)
            if not _is_result(each, answer):
                held = "+".join(sorted(each.fate.held))
                found.append(("lost", each.id, f"acknowledged, held by {held}: {answer.get('message')}"))
            if each.flow and each.in_flow:
                flows.setdefault(each.flow, []).append(each)
        for (session_id, flow_id), expected in flows.items():
            seat = next((seat for seat in seats if seat.machine != expected[0].machine), seats[0])
            answer = await self._call(seat, "get_flow_history", session_id=session_id, flow_id=flow_id)
            shown = [each.get("id") for each in answer.get("executions", [])]
            if self._here_counts and not {each.id for each in expected} <= {*shown}:
                owner = next((seat for seat in seats if seat.machine in expected[0].fate.held), seat)
                answer = await self._call(owner, "get_flow_history", session_id=session_id, flow_id=flow_id)
                shown = [each.get("id") for each in answer.get("executions", [])]
            for each in expected:
                if shown.count(each.id) != 1:
                    kind = "duplicated" if each.id in shown else "lost"
                    found.append((kind, f"{each.id} flow", f"{shown.count(each.id)} times in its flow's history"))
        return found

    async def _crossed(self) -> list[Finding]:
        """Every key of each Redis: nothing of another destination is in it."""
        found: list[Finding] = []
        for name, address in self._world.addresses.items():
            foreign = {marker: other for other, marker in MARKERS.items() if other != name}
            for key, text in (await address.everything()).items():
                found.extend(
                    ("crossed", f"{key} in {name}", f"holds {marker!r} of {other}: {text[:200]}")
                    for marker, other in foreign.items()
                    if marker in text
                )
        return found

    def _seats(self, destination: str) -> list[Seat]:
        return [seat for seat in self._world.seats.values() if seat.destination == destination and seat.is_up]

    async def _resume(self, seat: Seat, session: Session) -> dict[str, Any]:
        return await self._call(seat, "resume_session", session_id=session.id, max_tokens=WHOLE)

    async def _call(self, seat: Seat, tool: str, **arguments: Any) -> dict[str, Any]:
        about = next((str(arguments[name]) for name in NAMED if name in arguments), tool)
        answer = await self._world.caller(seat, f"judge of {seat.name}").call(tool, about, **arguments)
        return answer or {"message": "the server ended"}


def _is_result(execution: Execution, answer: dict[str, Any]) -> bool:
    """Whether the answer shows the result that was kept."""
    return bool(answer.get("found")) and exact(answer["execution"]["result"]) == execution.result


def _session(about: str) -> str:
    return about.split(" ")[0]


def _shown(answer: dict[str, Any]) -> list[str] | None:
    return [exact(turn) for turn in answer["session"]["history"]] if answer.get("found") else None

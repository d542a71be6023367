"""The end of a run: what is stored, seen by a server of an empty machine and by the old ones, beside the model."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from ...support.async_wire import AsyncWireServer, ServerGone
from ...support.conversations import exact
from ...support.waiting import eventually
from ..book import Book
from ..turns import Turns
from .model import Exact, Model, Shared, State, Turn

WHOLE = 10_000_000
AT_ONCE = 4  # calls under way at one server
ASKED_WITHIN = 30.0  # seconds until a calm server must know what is stored


class Judge:
    """Compares the model with what `fresh`, whose machine has nothing, finds in Redis, and with what `old` ones say."""

    def __init__(self, model: Model, book: Book, fresh: AsyncWireServer, old: dict[str, AsyncWireServer]) -> None:
        self._model = model
        self._book = book
        self._fresh = fresh
        self._old = old
        self._patient = True

    async def judge(self) -> None:
        """Everything, and the lists."""
        model = self._model
        stored = await self._sessions(self._fresh, [*model.shared, *model.owned])
        self._book.event("judge", "sessions are read", count=len(stored))
        for shared in model.shared.values():
            self._judge_shared(shared, stored[shared.id] or ())
        for owned in model.owned.values():
            self._judge_owned(owned, stored[owned.id], "a server of an empty machine")
        await self._judge_list(stored)
        results = await self._results(self._fresh, list(model.executions))
        for execution in model.executions.values():
            self._judge_execution(execution, results[execution.id], "a server of an empty machine")
        await self._judge_flows()
        self._book.event("judge", "executions are read", count=len(results))
        for name, server in self._old.items():
            seen = await self._sessions(server, list(stored))
            for session_id, state in seen.items():
                if state != stored[session_id]:
                    self._differs(name, session_id, state, stored[session_id])
            mine = [execution.id for execution in model.executions.values() if execution.owner == name]
            for execution_id, result in (await self._results(server, mine)).items():
                if result != results[execution_id]:
                    text = "a server shows another result than Redis holds"
                    known: dict[str, Any] = {"shown": result, "stored": results[execution_id]}
                    self._book.violation("wrongly reported", f"{name} {execution_id}", text, **known)

    def _judge_shared(self, shared: Shared, stored: Sequence[Turn]) -> None:
        counts, sent = Counter(stored), shared.sent
        for write in shared.writes:
            for turn in write.turns:
                self._judge_turn(shared.id, turn, counts[turn], write)
        for turn in counts.keys() - sent.keys():
            self._book.violation("torn", f"{shared.id} {turn}", "a turn that nobody sent is stored")
        where = {turn: place for place, turn in reversed(list(enumerate(stored)))}
        for client in {write.client for write in shared.writes}:
            mine = [turn for turn in shared.acknowledged(client) if turn in where]
            for one, next_one in pairwise(mine):
                if where[one] > where[next_one]:
                    text = (
                        f"{Turns.names([next_one])} is stored before {Turns.names([one])}, which {client} saved first"
                    )
                    self._book.violation("torn", f"{shared.id} {one}", text, **sent[next_one].facts())

    def _judge_turn(self, session_id: str, turn: Turn, times: int, write: Any) -> None:
        about = f"{session_id} {Turns.names([turn])}"
        if times > 1:
            self._book.violation("duplicated", about, f"stored {times} times", **write.facts())
        elif write.outcome == "acknowledged" and not times:
            self._book.violation("lost", about, "acknowledged and not stored", write=write.number, **write.facts())
        elif write.outcome == "refused" and times:
            if write.reason == "unavailable":
                self._book.notes["answered unavailable, and stored"] += 1
            else:
                self._book.violation("wrongly reported", about, "answered saved: false, and stored", **write.facts())
        elif write.outcome == "unknown":
            self._book.notes[f"of unknown outcome and {'stored' if times else 'not stored'}"] += 1

    def _judge_owned(self, owned: Exact, stored: State, who: str) -> None:
        if stored in owned.states:
            return
        allowed = max(owned.states, key=lambda state: len(set(state or ()) & set(stored or ())))
        last = owned.writes[-1]
        known = {"seen_by": who, "stored": _names(stored), "allowed": _names(allowed), "others": len(owned.states) - 1,
                 "last_write": last.facts()}  # fmt: skip
        writes = {turn: write for write in owned.writes for turn in write.turns}
        for turn in dict.fromkeys(allowed or ()):
            if turn not in (stored or ()):
                about, write = f"{owned.id} {Turns.names([turn])}", writes[turn].number
                self._book.violation("lost", about, "acknowledged and not stored", write=write, **known)
        if allowed is None:
            self._book.violation("resurrected", owned.id, "deleted, and there", write=last.number, **known)
            return
        counts = Counter(stored or ())
        for turn in counts.keys() - set(allowed):
            about = f"{owned.id} {turn}"
            if turn in writes:
                text = "a turn that was removed, deleted or never acknowledged is there"
                self._book.violation("resurrected", about, text, write=last.number, **known)
            else:
                self._book.violation("torn", about, "a turn that nobody sent is there", **known)
        for turn, times in counts.items():
            if times > 1:
                about = f"{owned.id} {Turns.names([turn])}"
                self._book.violation("duplicated", about, f"stored {times} times", **known)
        if stored and sorted(stored) == sorted(allowed):
            self._book.violation("torn", owned.id, "the turns are in another order", **known)

    def _judge_execution(self, execution: Exact, stored: str | None, who: str) -> None:
        if stored in execution.states:
            return
        last = execution.writes[-1]
        text = f"acknowledged and {'not stored' if stored is None else 'something else is stored'}"
        known = {"seen_by": who, "stored": stored, "allowed": execution.states}
        self._book.violation("lost", execution.id, text, write=last.number, **known, **last.facts())

    async def _judge_flows(self) -> None:
        for (session_id, flow_id), expected in self._model.flows.items():
            answer = await self._ask(self._fresh, "get_flow_history", session_id=session_id, flow_id=flow_id)
            shown = Counter(each["id"] for each in answer["executions"])
            for execution_id in expected:
                about = f"{session_id} {flow_id} {execution_id}"
                if not shown[execution_id]:
                    number = self._model.executions[execution_id].writes[-1].number
                    self._book.violation("lost", about, "acknowledged and not in its flow's history", write=number)
                elif shown[execution_id] > 1:
                    self._book.violation("duplicated", about, f"{shown[execution_id]} times in its flow's history")

    async def _judge_list(self, stored: dict[str, State]) -> None:
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            answer = await self._ask(self._fresh, "list_sessions", limit=200, cursor=cursor)
            rows += answer["sessions"]
            if not (cursor := answer.get("next_cursor") or ""):
                break
        listed = Counter(row["id"] for row in rows)
        for session_id, state in stored.items():
            if listed[session_id] != (state is not None):
                text = f"listed {listed[session_id]} times, and it {'is' if state is not None else 'is not'} there"
                self._book.violation("wrongly reported", f"list {session_id}", text)
        for row in rows:
            if row["turns"] != len(stored.get(row["id"]) or ()):
                text = f"listed with {row['turns']} turns; it has {len(stored.get(row['id']) or ())}"
                self._book.violation("wrongly reported", f"list {row['id']} turns", text, row=row)

    def _differs(self, name: str, session_id: str, shown: State, stored: State) -> None:
        text = "a server shows another history than Redis holds"
        known: dict[str, Any] = {"shown": _names(shown), "stored": _names(stored)}
        self._book.violation("wrongly reported", f"{name} {session_id}", text, **known)
        if session_id in self._model.owned:
            self._judge_owned(self._model.owned[session_id], shown, name)

    async def _sessions(self, server: AsyncWireServer, ids: Sequence[str]) -> dict[str, State]:
        answers = await self._ask_all(server, "resume_session", [{"session_id": i, "max_tokens": WHOLE} for i in ids])
        states = [tuple(map(exact, a["session"]["history"])) if a["found"] else None for a in answers]
        return dict(zip(ids, states, strict=True))

    async def _results(self, server: AsyncWireServer, ids: Sequence[str]) -> dict[str, str | None]:
        answers = await self._ask_all(server, "get_result", [{"execution_id": i} for i in ids])
        return {i: exact(a["execution"]["result"]) if a["found"] else None for i, a in zip(ids, answers, strict=True)}

    async def _ask_all(
        self, server: AsyncWireServer, tool: str, arguments: Iterable[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(each: dict[str, Any]) -> dict[str, Any]:
            async with gate:
                return await self._ask(server, tool, **each)

        return await asyncio.gather(*map(ask, arguments))

    async def _ask(self, server: AsyncWireServer, tool: str, **arguments: Any) -> dict[str, Any]:
        """What is stored, once Redis was asked: all is calm now, so it must be soon. Else the last answer."""
        answer: dict[str, Any] = {}

        async def asked() -> bool:
            nonlocal answer
            try:
                answer = (await server.call(tool, **arguments)).answer
            except ServerGone:
                raise AssertionError(f"the server ended at {tool} {arguments}") from None
            return bool(answer) and answer.get("reason") != "unavailable" and not answer.get("stale")

        try:
            await eventually(asked, within=ASKED_WITHIN if self._patient else 0.0)
        except AssertionError:
            self._patient = False  # one such wait is enough to know
            text = f"{tool} is not answered from Redis though all is well: {str(answer)[:300]}"
            self._book.violation("wrongly reported", f"{tool} {arguments}", text, stderr=str(server.stderr_path))
        return answer


def _names(state: State) -> str:
    return "none" if state is None else f"{len(state)}: {Turns.names(state)}"

"""The operations on execution results, each owned by the client that caches it, and on their flows' histories."""

import random
from typing import Any

from ...support.conversations import exact
from ..caller import Caller
from ..turns import AWKWARD
from .model import Exact, Model

AGAIN_SHARE = 0.25  # of results that take the place of an earlier one
FLOW_SHARE = 0.4  # of executions that belong to a flow
FLOWS = 3
EXECUTIONS_A_FLOW = 15  # then the client goes on with other flows


class Executions:
    """One client's executions."""

    def __init__(self, caller: Caller, model: Model, rng: random.Random) -> None:
        self._caller = caller
        self._name = caller.name
        self._model = model
        self._rng = rng
        self._mine: list[Exact] = []
        self._flow_of: dict[str, tuple[str, str]] = {}
        self._count = 0

    async def cache(self) -> None:
        """Keep a new result, or another under the id of an earlier one."""
        await self._caller.ready()
        self._count += 1
        if self._mine and self._rng.random() < AGAIN_SHARE:
            execution = self._rng.choice(self._mine[-20:])
        else:
            execution = self._model.execution(f"e-{self._name}-{self._count}", self._name, self._caller.seat.machine)
            self._mine.append(execution)
            if self._rng.random() < FLOW_SHARE:
                number = self._count // (EXECUTIONS_A_FLOW * FLOWS)
                self._flow_of[execution.id] = f"flow-{self._name}-{number}", f"f{self._rng.randrange(FLOWS)}"
        result = {"value": f"{self._name}-{self._count}", **(AWKWARD if self._count % 3 == 0 else {})}
        arguments: dict[str, Any] = {"result": result, "execution_id": execution.id}
        flow = self._flow_of.get(execution.id)
        if flow:
            arguments |= {"session_id": flow[0], "flow_id": flow[1]}
        write = self._model.write(self._name, execution.id, [result])
        execution.begin(write, lambda _: write.turns[0])
        about = f"{execution.id} write {write.number} {result['value']} {flow or ''}"
        answer = await self._caller.call("cache_result", about, **arguments)
        if answer is None:
            write.outcome = "unknown"
            execution.unknown()
        elif answer.get("cached"):
            write.outcome, write.stored_in = "acknowledged", answer["stored_in"]
            self._caller.book.acknowledged += 1
            execution.acknowledged(write.stored_in)
            if flow and "could not be added" in answer["message"]:
                self._caller.wrong(execution.id, f"not added to its flow's history: {answer['message']}")
            elif flow and execution.id not in self._model.flows[flow]:
                self._model.flows[flow].append(execution.id)
        else:
            write.outcome, write.reason = "refused", str(answer.get("reason"))
            execution.unknown()
            self._caller.wrong(execution.id, f"not cached: {answer}")

    async def get(self) -> None:
        """Read a result: one's own exactly, anybody else's as it was at some time."""
        await self._caller.ready()
        known = list(self._model.executions.values())[-80:]
        if not known:
            return
        execution = self._rng.choice(known)
        mine = execution.owner == self._name
        answer = await self._caller.call("get_result", execution.id, execution_id=execution.id)
        if answer is None:
            return
        allowed = execution.states if mine else execution.ever
        if answer.get("found"):
            found = exact(answer["execution"]["result"])
            if found not in execution.ever:
                self._caller.book.violation("torn", f"{execution.id} {found}", "a result that nobody cached")
            elif found not in allowed:
                text = "an older result than the last acknowledged"
                self._caller.wrong(execution.id, text, found=found, allowed=allowed, last_write=execution.writes[-1:])
        elif mine and execution.exists:
            text = f"answered {answer.get('reason')} though this machine cached it"
            self._caller.wrong(execution.id, text, last_write=execution.writes[-1:])

    async def flow_history(self) -> None:
        """Read the history of one of one's own flows: every acknowledged execution is in it, once."""
        await self._caller.ready()
        flows = [flow for flow in self._model.flows if flow[0].startswith(f"flow-{self._name}-")][-6:]
        if not flows:
            return
        flow = self._rng.choice(flows)
        expected = list(self._model.flows[flow])
        answer = await self._caller.call("get_flow_history", str(flow), session_id=flow[0], flow_id=flow[1])
        if answer is None:
            return
        shown = [each.get("id") for each in answer.get("executions", [])]
        if missing := [each for each in expected if each not in shown]:
            known = {"reason": answer.get("reason"), "missing": missing}
            self._caller.wrong(str(flow), f"{len(missing)} acknowledged executions are not in their flow", **known)
        if twice := {each for each in shown if shown.count(each) > 1}:
            self._caller.book.violation(
                "duplicated", str(flow), "executions are in their flow twice", twice=sorted(twice)
            )

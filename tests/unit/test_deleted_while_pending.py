"""A session that is saved, deleted and begun anew while Redis refuses it: what went with its earlier life goes too."""

from pathlib import Path

import pytest

from agentic_flywheel.documents.execution import ExecutionCommand
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.store import SessionStore

from ..support.conversations import turns, words
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain
from .test_flow_history_set_back import answers, machine

__all__ = ["machine"]  # a fixture


def execution(machine: Machine, name: str) -> ExecutionCommand:
    record = {"id": name, "session_id": "s", "result": {}}
    return ExecutionCommand(key=machine.keys.execution(name), record=record, ttl_seconds=3600)


def allow(machine: Machine, rule: str) -> None:
    with machine.redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", rule)


@pytest.mark.parametrize("lost", ["", "the session"])
async def test_what_went_with_the_life_before_goes_though_it_was_begun_anew(
    machine: Machine, tmp_path: Path, clock: Clock, lost: str
):
    machine.redis.require(6, 0, "access lists")
    async with machine.repository(tmp_path / "child", worker=False) as here:
        store, memory = SessionStore(
            here, machine.keys, session_ttl_seconds=0, max_bytes=1_000_000, revisions=10, user="", clock=clock
        ), CallerViews()  # fmt: skip
        assert (await store.save(Save(session_id="s", history=turns("one")), memory)).stored_in == "redis"
        await here.write(execution(machine, "earlier"))
        await here._locks.idle()
        allow(machine, "-@scripting")
        assert (await store.save(Save(session_id="s", history=turns("two")), memory)).stored_in == "journal"
        clock.move(seconds=1)
        assert (await store.delete("s", memory)).deleted
        clock.move(seconds=1)
        assert (await store.save(Save(session_id="s", history=turns("anew")), memory)).stored_in == "journal"
        assert (await here.write(execution(machine, "later"))).stored_in == "journal"
        allow(machine, "+@all")
        if lost:
            with machine.redis.client() as client:
                client.delete(machine.keys.session("s"))
        await eventually(lambda: answers(here), what="Redis to answer")
        machine.journal.try_all_now()
        await drain(here)
        stored = machine.stored("s")
        assert stored
        assert words(stored["history"]) == ["anew"]
        assert machine.redis.get(machine.keys.execution("earlier")) is None
        assert machine.redis.get(machine.keys.execution("later"))

"""Flow histories in a Redis that goes back, again and again: no execution stands for one that was lost."""

import json
from pathlib import Path

import pytest

from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.lineage import covers
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, Writer
from agentic_flywheel.errors import StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.local_writer import LocalWriter
from agentic_flywheel.replication.repository import Repository

from ..support.conversations import words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain
from .test_flow_history import flow, history
from .test_writes_in_a_row import uncopied


@pytest.fixture
def machine(journal: Journal, own_redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, own_redis.start(), clock)


@pytest.fixture
def elsewhere(tmp_path: Path, machine: Machine, clock: Clock):
    """Another machine: a journal of its own, the same Redis."""
    other = Journal(tmp_path / "elsewhere", clock, addresses=("redis",))
    yield Machine(other, machine.redis, clock)
    other.close()


def key_of(machine: Machine) -> str:
    return machine.keys.history("s", "f")


def kept(machine: Machine, name: str) -> FlowHistoryCommand:
    return flow(name, key=key_of(machine))


async def answers(repository: Repository) -> bool:
    """Whether Redis answers a poll, as the worker makes it."""
    worker = repository._worker
    assert worker._outbox
    try:
        await worker._poll(worker._outbox)
    except StashUnavailable:
        return False
    return True


async def put_back(repository: Repository) -> None:
    """What the worker does after each poll."""
    assert repository._worker._outbox
    await drain(repository)
    await repository._worker._put_back.run(repository._worker._outbox.remote)


def there(machine: Machine) -> set[str]:
    text = machine.redis.get(key_of(machine))
    return {each["id"] for each in json.loads(text)["executions"]} if text else set()


def test_an_execution_does_not_stand_for_the_one_before_where_that_is_gone(clock: Clock):
    writer = Writer()
    first, second = writer.next(), writer.next()
    before = history(clock(), flow("a").with_write_id(first))
    after = history(clock(), flow("b").with_write_id(second, first))
    assert not covers(after, before)
    assert covers(history(clock(), flow("b").with_write_id(second, first), base=before), before)


async def test_what_waits_behind_many_others_brings_back_what_redis_lost_before_them(
    machine: Machine, elsewhere: Machine, tmp_path: Path
):
    names = [f"e{number}" for number in range(KEPT_OPERATIONS + 9)]
    async with (
        machine.repository(tmp_path / "child", worker=False) as here,
        elsewhere.repository(tmp_path / "there", worker=False) as other,
    ):
        assert (await here.write(kept(machine, names[0]))).stored_in == "redis"
        machine.redis.kill()
        for name in names[1:]:
            assert (await here.write(kept(machine, name))).stored_in == "journal"
        machine.redis.start()
        await eventually(lambda: answers(other), what="the other child to be connected")
        assert (await other.write(kept(elsewhere, "other"))).stored_in == "redis"
        await eventually(lambda: answers(here), what="the child to be connected")
        await put_back(here)
        assert there(machine) == {*names, "other"}


async def test_what_is_lost_again_while_it_is_put_back_is_not_taken_for_put_back(
    machine: Machine, elsewhere: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child", worker=False) as here:
        await here.write(kept(machine, "mine"))
        await eventually(lambda: machine.journal.copy(key_of(machine)), what="the copy")
        assert here._worker._outbox
        remote, copy = here._worker._outbox.remote, machine.journal.copy(key_of(machine))
        assert copy
        # Redis is emptied behind the back of what puts back, and another machine begins the history anew.
        machine.redis.flush()
        async with elsewhere.repository(tmp_path / "there", worker=False) as other:
            await other.write(kept(elsewhere, "theirs"))
        assert not await remote.refresh_copy(copy, remote.stash.deadline())
        await put_back(here)
        assert there(machine) == {"mine", "theirs"}


async def test_what_redis_took_and_lost_before_it_was_copied_is_kept_beside_what_came_instead(
    machine: Machine, elsewhere: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with (
        machine.repository(tmp_path / "child", worker=False) as here,
        elsewhere.repository(tmp_path / "there", worker=False) as other,
    ):
        with uncopied(machine.journal, monkeypatch):
            await here.write(kept(machine, "mine"))
            machine.redis.flush()
            await other.write(kept(elsewhere, "theirs"))
            text = machine.redis.get(key_of(machine))
            assert text
            machine.journal.overwrite_replica(as_copy(key_of(machine), text))  # as a process beside this one does
        await here._locks.idle()
        await put_back(here)
        assert there(machine) == {"mine", "theirs"}


async def test_what_redis_took_and_lost_while_another_process_had_something_pending_is_kept_beside_that(
    machine: Machine, elsewhere: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with (
        machine.repository(tmp_path / "child", worker=False) as here,
        elsewhere.repository(tmp_path / "there", worker=False) as other,
    ):
        with uncopied(machine.journal, monkeypatch):
            await here.write(machine.save("s", "mine"))
            beside = LocalWriter(machine.journal, machine.clock, offline=False)  # another process of this machine
            beside.write(machine.save("s", "pending"), pending=True)
        await here._locks.idle()
        machine.redis.flush()
        await other.write(elsewhere.save("s", "theirs"))
        await put_back(here)
        stored = machine.stored("s")
        assert stored
        assert sorted(words(stored["history"])) == ["mine", "pending", "theirs"]

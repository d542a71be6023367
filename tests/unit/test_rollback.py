"""A Redis that goes back to an older state gets back what this machine knows, and nobody's turns are lost over it."""

import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.saved import Saved
from agentic_flywheel.documents.writes import Outcome, Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.repository import Repository

from ..support.conversations import words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain


@pytest.fixture
def machine(journal: Journal, redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, redis, clock)


@pytest.fixture
def elsewhere(tmp_path: Path, redis: RedisServer, clock: Clock):
    """Another machine: a journal of its own, the same Redis."""
    other = Journal(tmp_path / "elsewhere", clock, addresses=("redis",))
    yield Machine(other, redis, clock)
    other.close()


def put(machine: Machine, text: str) -> None:
    """What a restored snapshot does to one key."""
    with machine.redis.client() as client:
        client.set(machine.keys.session("s"), text)


async def save(machine: Machine, repository: Repository, *said: str) -> Saved:
    placed = await repository.write(machine.save("s", *said))
    assert placed.stored_in == "redis"
    return placed.answer


def said(machine: Machine) -> list[str]:
    stored = machine.stored("s")
    return words(stored["history"]) if stored else []


async def at_revision(machine: Machine, repository: Repository, older: int, newest: int) -> str:
    """Save that often; the text that was stored after the first `older` saves."""
    text = ""
    for number in range(1, newest + 1):
        await save(machine, repository, str(number))
        if number == older:
            text = machine.redis.get(machine.keys.session("s")) or ""
    return text


async def test_a_save_over_an_older_state_brings_back_what_was_lost(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        older = await at_revision(machine, repository, 2, 5)
        put(machine, older)
        answer = await save(machine, repository, "6")
        assert (said(machine), answer.revision, answer.turns) == (["1", "2", "3", "4", "5", "6"], 6, 6)


async def test_a_resume_of_an_older_state_brings_back_what_was_lost(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        put(machine, await at_revision(machine, repository, 2, 5))
        found = await repository.read(machine.keys.session("s"), "s", machine.keys.index)
        assert found.text
        assert words(json.loads(found.text)["history"]) == ["1", "2", "3", "4", "5"]
        assert said(machine) == ["1", "2", "3", "4", "5"]


async def test_what_nobody_asks_for_is_brought_back_in_the_background(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        put(machine, await at_revision(machine, repository, 2, 5))
        await eventually(lambda: said(machine) == ["1", "2", "3", "4", "5"], what="the lost turns to be back")


async def test_what_others_saved_on_an_older_state_stays_and_gets_the_turns_that_it_lacks(
    machine: Machine, elsewhere: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child") as repository:
        older = await at_revision(machine, repository, 2, 5)
    put(machine, older)
    async with elsewhere.repository(tmp_path / "child elsewhere") as theirs:
        await save(elsewhere, theirs, "theirs")
        assert said(machine) == ["1", "2", "theirs"]
    async with machine.repository(tmp_path / "child") as repository:
        answer = await save(machine, repository, "6")
        assert said(machine) == ["1", "2", "theirs", "3", "4", "5", "6"]
        assert answer.revision > 5
        stored = machine.stored("s")
        assert stored
        assert "before Redis went back" in json.dumps(stored["revisions"])
    async with elsewhere.repository(tmp_path / "child elsewhere"):
        await eventually(
            lambda: (copy := elsewhere.journal.copy(machine.keys.session("s"))) and "theirs" in copy.text,
            what="their own turn to be kept",
        )


async def test_what_is_pending_does_not_leave_a_hole_in_an_older_state(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        older = await at_revision(machine, repository, 2, 5)
    machine.keep(machine.save("s", "6"))
    put(machine, older)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
        assert said(machine) == ["1", "2", "3", "4", "5", "6"]


def goes_back_before(
    machine: Machine, repository: Repository, older: str, new: str, times: int
) -> Callable[..., Awaitable[Outcome]]:
    """The way to commit of a stash that goes back to an older state before the first commits that bring a new turn."""
    assert repository.stash
    commit, number = repository.stash.commit, itertools.count(1)

    async def overtaken(write: Write, *more: Any) -> Outcome:
        if new in words(json.loads(write.text)["history"]) and next(number) <= times:
            put(machine, older)
        return await commit(write, *more)

    return overtaken


@pytest.mark.parametrize("emptied", [True, False])
async def test_an_older_state_that_comes_while_what_is_pending_is_sent_leaves_no_hole(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    emptied: bool,  # noqa: FBT001
):
    async with machine.repository(tmp_path / "child") as repository:
        older = await at_revision(machine, repository, 2, 5)
    machine.keep(machine.save("s", "6"))
    if emptied:
        with machine.redis.client() as client:
            client.delete(machine.keys.session("s"))
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        monkeypatch.setattr(repository.stash, "commit", goes_back_before(machine, repository, older, "6", 1))
        await drain(repository)
        assert said(machine) == ["1", "2", "3", "4", "5", "6"]


async def test_an_older_state_that_comes_twice_during_a_save_leaves_no_hole(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        older = await at_revision(machine, repository, 2, 5)
        monkeypatch.setattr(repository.stash, "commit", goes_back_before(machine, repository, older, "6", 2))
        await save(machine, repository, "6")
        assert said(machine) == ["1", "2", "3", "4", "5", "6"]


async def test_where_an_older_state_takes_nothing_back_a_resume_shows_all_that_is_known(
    journal: Journal, own_redis: RedisServer, clock: Clock, tmp_path: Path
):
    machine = Machine(journal, own_redis.start(), clock)
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        put(machine, await at_revision(machine, repository, 2, 5))
        with machine.redis.client() as client:
            client.config_set("maxmemory", 1)
        found = await repository.read(machine.keys.session("s"), "s", machine.keys.index)
        assert words(json.loads(found.text or "")["history"]) == ["1", "2", "3", "4", "5"]
        assert (found.source, found.stale) == ("journal", True)


async def test_a_copy_that_redis_does_not_cover_is_not_overwritten(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        older = await at_revision(machine, repository, 2, 5)
    before = machine.journal.copy(machine.keys.session("s"))
    assert before
    machine.journal.put_replica(as_copy(before.key, older, "s", machine.keys.index))
    after = machine.journal.copy(before.key)
    assert after
    assert after.text == before.text


async def test_a_deletion_that_redis_lost_stands(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        older = await at_revision(machine, repository, 2, 5)
        await repository.write(machine.deletion("s"))
        with machine.redis.client() as client:
            client.delete(machine.keys.tombstone(machine.keys.session("s")))
        put(machine, older)
        found = await repository.read(machine.keys.session("s"), "s", machine.keys.index)
        assert '"deleted_at"' in (found.text or "")
        assert machine.stored("s") is None, "it is gone there again as well"


async def test_a_deletion_of_which_redis_lost_the_second_half_is_finished(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        await save(machine, repository, "1")
        older = machine.redis.get(machine.keys.session("s"))
        await repository.write(machine.deletion("s"))
        assert older
        with machine.redis.client() as client:  # listed, too: else whoever compares the list with it would meet it
            client.zadd(machine.keys.index, {"s": 1})
        put(machine, older)  # below the tombstone, as a cut append-only file leaves it
        machine.journal.mark_unverified()
        await eventually(lambda: machine.stored("s") is None, what="nothing to be left below the tombstone")
        assert machine.redis.get(machine.keys.tombstone(machine.keys.session("s")))


async def test_a_session_begun_anew_by_somebody_who_knew_nothing_of_the_deletion_stays(
    machine: Machine, elsewhere: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child") as repository:
        await at_revision(machine, repository, 2, 5)
        await repository.write(machine.deletion("s"))
    machine.redis.flush()
    async with elsewhere.repository(tmp_path / "child elsewhere") as theirs:
        await save(elsewhere, theirs, "anew")
    async with machine.repository(tmp_path / "child") as repository:
        await save(machine, repository, "more")
        assert said(machine) == ["anew", "more"]


async def test_a_redis_that_was_emptied_gets_everything_back(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        for number in range(30):
            save_of = machine.save(f"s{number}", "a")
            assert (await repository.write(save_of)).stored_in == "redis"
        machine.redis.flush()
        await eventually(lambda: all(machine.stored(f"s{number}") for number in range(30)), what="all to be back")

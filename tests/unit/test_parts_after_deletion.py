"""A session is deleted and Redis emptied then: what went with the session stays deleted, what was kept since stays."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentic_flywheel.documents.execution import ExecutionCommand
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.session_keys import SessionKeys
from agentic_flywheel.sessions.attached import AttachedStore

from ..support.conversations import words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine
from .test_flow_history import cached
from .test_flow_history_begun_anew import deletion
from .test_flow_history_set_back import answers, key_of, put_back, there

NAMES = "ABC"


class Several:
    """Machines with journals of their own that share a Redis; nothing is done behind their backs."""

    def __init__(self, redis: RedisServer, clock: Clock) -> None:
        self.redis = redis
        self.clock = clock
        self.machines: dict[str, Machine] = {}
        self.repositories: dict[str, Repository] = {}

    def any(self) -> Machine:
        return self.machines["A"]

    async def save(self, name: str, *said: str) -> None:
        self.clock.move(seconds=1)
        assert (await self.repositories[name].write(self.machines[name].save("s", *said))).stored_in == "redis"

    async def keep(self, name: str, execution: str) -> None:
        """An execution, at the end of a flow's history as well."""
        self.clock.move(seconds=1)
        machine, here = self.machines[name], self.repositories[name]
        record = {"id": execution, "session_id": "s", "cached_at": self.clock().isoformat(), "result": {"by": name}}
        await here.write(ExecutionCommand(key=machine.keys.execution(execution), record=record, ttl_seconds=3600))
        await here.write(cached(self.clock(), execution, key=key_of(machine), ttl=3600))

    async def attach(self, name: str, document: str) -> None:
        """A document of a framework, which says nothing of its time but when it was written."""
        self.clock.move(seconds=1)
        machine = self.machines[name]
        record = {"id": document, "session_id": "s", "flow_id": None, "result": {}}
        change = ExecutionCommand(
            key=machine.keys.execution(document), record=record, ttl_seconds=3600, written_at=self.clock(), direct=True
        )  # fmt: skip
        await self.repositories[name].write(change)

    async def delete(self, name: str) -> None:
        self.clock.move(seconds=1)
        here = self.repositories[name]
        placed = await here.write(deletion(self.machines[name]))
        await here.erase(SessionKeys(self.any().keys.session("s")), placed.answer)

    async def read(self, name: str, *executions: str) -> None:
        """Have copies of all that is there."""
        machine, here = self.machines[name], self.repositories[name]
        await here.read(machine.keys.session("s"), "s", machine.keys.index)
        await here.read(key_of(machine))
        for execution in executions:
            await here.read(machine.keys.execution(execution))
        await here._locks.idle()

    async def round(self, *names: str) -> None:
        """What the workers do from time to time, in this order."""
        for name in names:
            await self.repositories[name]._locks.idle()
            assert await answers(self.repositories[name])
            await put_back(self.repositories[name])

    def executions(self) -> set[str]:
        """Those that Redis has: alone, and in the history, which must be the same but for documents of frameworks."""
        beginning = self.any().keys.execution("")
        return {key.removeprefix(beginning) for key in self.redis.all_keys(f"{beginning}*")}

    def in_history(self) -> set[str]:
        return there(self.any()) if self.redis.get(key_of(self.any())) else set()

    def copies(self, name: str) -> set[str]:
        """The executions of which a machine has copies."""
        with self.machines[name].journal._snapshot() as db:
            rows = db.execute("SELECT key FROM documents WHERE NOT tombstone").fetchall()
        beginning = self.any().keys.execution("")
        return {key.removeprefix(beginning) for (key,) in rows if key.startswith(beginning)}


@pytest.fixture
async def several(tmp_path: Path, own_redis: RedisServer, clock: Clock) -> AsyncIterator[Several]:
    several = Several(own_redis.start(), clock)
    async with AsyncExitStack() as stack:
        for name in NAMES:
            journal = Journal(tmp_path / name, clock, addresses=("redis",))
            stack.callback(journal.close)
            machine = several.machines[name] = Machine(journal, several.redis, clock)
            several.repositories[name] = await stack.enter_async_context(
                machine.repository(tmp_path / f"child-{name}", worker=False)
            )
        yield several


async def begin(several: Several) -> None:
    await several.save("A", "hello")
    for execution in ("one", "two"):
        await several.keep("A", execution)
    await several.attach("A", "attached")
    await several.round(*NAMES)
    await several.read("B", "one", "two", "attached")


async def settle(several: Several, order: Sequence[str]) -> None:
    for _ in range(3):
        await several.round(*order)


def said(several: Several) -> list[str]:
    stored = several.any().stored("s")
    return words(stored["history"]) if stored else []


@pytest.mark.parametrize("order", ["AB", "BA", "BBA", "ABC", "CBA"])
@pytest.mark.parametrize("anew", ["nowhere", "A", "B", "A, with its session", "B, with its session", "B, unaware"])
async def test_what_went_with_a_session_stays_deleted_and_what_was_kept_since_stays(
    several: Several, order: str, anew: str
):
    await begin(several)
    await several.delete("A")
    if anew == "B, unaware":
        several.redis.flush()
    if "C" in order:
        await several.round("C")
    new = {"new", "attached since"} if anew != "nowhere" else set[str]()
    if new:
        if "session" in anew:
            await several.round(anew[0])
            await several.save(anew[0], "anew")
        await several.keep(anew[0], "new")
        await several.attach(anew[0], "attached since")
        await several.repositories[anew[0]]._locks.idle()
    several.redis.flush()
    await settle(several, order)
    assert several.executions() == new
    assert several.in_history() == new - {"attached since"}
    assert said(several) == (["anew"] if "session" in anew else [])
    assert all(several.copies(name) <= new for name in NAMES)


@pytest.mark.parametrize("order", ["AB", "BA", "BAAB"])
async def test_an_execution_that_was_kept_again_under_its_id_is_the_later_one(several: Several, order: str):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.keep("A", "one")
    await several.repositories["A"]._locks.idle()
    kept = several.redis.get(several.any().keys.execution("one"))
    several.redis.flush()
    await settle(several, order)
    assert several.executions() == several.in_history() == {"one"}
    found = several.redis.get(several.any().keys.execution("one"))
    assert kept
    assert found
    assert json.loads(found)["saved_at"] == json.loads(kept)["saved_at"]


async def test_what_was_put_back_before_the_tombstone_goes_though_its_machine_is_off_since(several: Several):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.round("B")
    assert several.executions() == {"one", "two", "attached"}
    await several.round("A")
    assert several.executions() == several.in_history() == set()


async def test_what_is_put_back_after_the_tombstone_goes_when_its_machine_hears_of_it(several: Several):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    assert await answers(several.repositories["B"])  # it learns that Redis was emptied, and nothing else
    await several.round("A")
    await put_back(several.repositories["B"])
    assert several.executions() == {"one", "two", "attached"}
    await several.round("B")
    assert several.executions() == several.in_history() == several.copies("B") == set()


async def test_a_part_that_went_with_its_session_is_gone_though_clocks_differ(several: Several):
    await begin(several)
    several.clock.move(seconds=20)
    await several.keep("B", "of a clock that is ahead")
    await several.round("B")
    several.clock.move(seconds=-19)
    await several.delete("A")
    await settle(several, "BA")
    assert several.executions() == several.in_history() == several.copies("B") == set()


async def test_a_deletion_that_redis_heard_of_late_takes_nothing_that_was_kept_before_that(several: Several):
    await begin(several)
    several.redis.freeze()
    await several.delete("A")
    await several.keep("A", "new")
    several.redis.thaw()
    several.clock.move(seconds=9)
    await eventually(lambda: answers(several.repositories["A"]), what="Redis to answer")
    await put_back(several.repositories["A"])
    several.redis.flush()
    await settle(several, "BA")
    assert several.executions() == several.in_history() == {"new"}


@pytest.mark.parametrize("order", ["AB", "BA"])
async def test_a_log_keeps_what_its_program_added_since(several: Several, order: str):
    async def log(name: str, *entries: str) -> None:
        several.clock.move(seconds=1)
        keys, clock = several.any().keys, several.clock
        logs = AttachedStore(several.repositories[name], keys, ttl_seconds=3600, max_bytes=100_000, clock=clock)
        await logs.append("s", "events", [{"id": each} for each in entries])
        await several.repositories[name]._locks.idle()

    await several.save("A", "hello")
    await log("A", "a", "b")
    await log("B", "c")
    await several.delete("A")
    several.redis.flush()
    await log("B", "d")  # its program has not heard of the deletion
    several.redis.flush()
    await settle(several, order)
    store = AttachedStore(
        several.repositories["C"], several.any().keys, ttl_seconds=9, max_bytes=9, clock=several.clock
    )
    assert [each["id"] for each in await store.read("s", "events")] == ["d"]


@pytest.mark.parametrize("order", ["AB", "BA"])
async def test_a_session_begun_anew_in_an_empty_redis_tells_of_the_life_before(several: Several, order: str):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.save("A", "anew")
    await settle(several, order)
    assert (several.executions(), several.in_history(), said(several)) == (set(), set(), ["anew"])


async def test_the_later_of_two_deletions_counts(several: Several):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.save("B", "still there")
    await several.keep("C", "of C")
    await several.repositories["C"]._locks.idle()
    await several.delete("B")
    several.redis.flush()
    await settle(several, "ACB")
    assert several.executions() == several.in_history() == several.copies("C") == set()

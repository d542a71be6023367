"""Writes of one key in a row over Redis: each goes on from the one before, while that is copied. Nothing is lost."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication import key_locks
from agentic_flywheel.replication.document_reader import DocumentReader
from agentic_flywheel.replication.key_locks import IN_A_ROW, Held, KeyLocks
from agentic_flywheel.replication.replica import Replica

from ..support.conversations import words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine

WRITE = Write("k", "{}", None, None)


@pytest.fixture
def machine(journal: Journal, redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, redis, clock)


@contextmanager
def locked(journal: Journal) -> Generator[None]:
    """Another process writes to the journal: no copy can be put."""
    with closing(sqlite3.connect(journal.path, timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@contextmanager
def uncopied(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No copy is put until this ends, however long that takes; copies that wait for a lock give up after a while."""
    put, goes_on = journal.put_replica, threading.Event()

    def put_later(*writes: Any, **options: Any) -> Any:
        goes_on.wait(60)
        return put(*writes, **options)

    with monkeypatch.context() as patched:
        patched.setattr(journal, "put_replica", put_later)
        try:
            yield
        finally:
            goes_on.set()


def nobody(*_: object) -> None:
    raise AssertionError("this is not called")


def said(text: str | None) -> list[str]:
    return words(json.loads(text)["history"]) if text else []


async def test_a_save_does_not_wait_until_the_one_before_is_copied(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key = machine.keys.session("s")
    async with machine.repository(tmp_path / "child") as repository:
        await repository.write(machine.save("s", "a"))
        await eventually(lambda: machine.journal.copy(key), what="the first copy")
        with uncopied(machine.journal, monkeypatch):
            placed = [await repository.write(machine.save("s", "b"))]
            with monkeypatch.context() as patched:
                patched.setattr(machine.journal, "lookup_nowait", nobody)
                placed.append(await repository.write(machine.save("s", "c")))
            assert {each.stored_in for each in placed} == {"redis"}
            assert [each.answer.revision for each in placed] == [2, 3]
        await repository.write(machine.save("s", "d"))
        await eventually(lambda: said(getattr(machine.journal.copy(key), "text", "")) == [*"abcd"], what="its copy")
    stored = machine.stored("s")
    assert stored
    assert words(stored["history"]) == [*"abcd"]


async def test_a_read_does_not_wait_until_what_was_written_is_copied(
    journal: Journal, own_redis: RedisServer, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    machine = Machine(journal, own_redis.start(), clock)
    key = machine.keys.session("s")
    async with machine.repository(tmp_path / "child") as repository:
        await repository.write(machine.save("s", "a"))
        await eventually(lambda: machine.journal.copy(key), what="the first copy")
        with uncopied(machine.journal, monkeypatch):
            await repository.write(machine.save("s", "b"))
            found = await repository.read(key)
            assert said(getattr(machine.journal.copy(key), "text", "")) == ["a"], "it is not copied yet"
            assert (said(found.text), found.source, found.stale) == ([*"ab"], "redis", False)
            machine.redis.freeze()
            found = await repository.read(key, deadline=asyncio.get_running_loop().time() + 0.3)
            assert (said(found.text), found.source, found.stale) == ([*"ab"], "journal", True)
        machine.redis.thaw()


async def test_a_read_sees_what_another_process_has_pending_on_top_of_what_was_just_written(machine: Machine):
    journal, held = machine.journal, Held(in_a_row=True)
    reader = DocumentReader(journal, None, Replica(journal), journal._clock)
    held.written_before = WRITE
    assert await reader._lookup("k", held) == (None, WRITE)
    both = replace(WRITE, text='{"both":1}')
    journal.commit(both, "change")
    pending, copy = await reader._lookup("k", held)
    assert (pending and pending.change, copy) == ("change", both)


async def test_what_redis_does_not_take_any_more_is_kept_on_top_of_what_it_took(
    journal: Journal, own_redis: RedisServer, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    machine = Machine(journal, own_redis.start(), clock)
    async with machine.repository(tmp_path / "child") as repository:
        await repository.write(machine.save("s", "a"))
        with uncopied(machine.journal, monkeypatch):
            await repository.write(machine.save("s", "b"))
            machine.redis.freeze()
            soon = asyncio.get_running_loop().time() + 0.5
            kept = asyncio.create_task(repository.write(machine.save("s", "c"), soon))
            await asyncio.wait({kept}, timeout=0.1)
        assert (await kept).stored_in == "journal"
        copy = machine.journal.copy(machine.keys.session("s"))
        assert copy
        assert said(copy.text) == [*"abc"]
        machine.redis.thaw()
        await machine.drained()
        await eventually(lambda: words((machine.stored("s") or {})["history"]) == [*"abc"], what="all of it in Redis")


async def test_a_deletion_in_a_row_waits_for_the_copies_and_leaves_none(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        for each in "abc":
            await repository.write(machine.save("s", each))
        await repository.write(machine.deletion("s"))
        key = machine.keys.session("s")
        await eventually(lambda: getattr(machine.journal.copy(key), "tombstone", False), what="the tombstone")
    assert machine.stored("s") is None


async def test_a_large_history_grows_in_a_row_and_its_copy_with_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key = machine.keys.history("s", "f")

    def added(name: str) -> FlowHistoryCommand:
        records = [{"id": name, "result": {"text": "grün " * 3200}}]
        return FlowHistoryCommand(
            key=key, session_id="s", flow_id="f", records=records, ttl_seconds=0, max_bytes=10**7, fresh=True
        )  # fmt: skip

    names = [f"e{number}" for number in range(40)]
    async with machine.repository(tmp_path / "child") as repository:
        for name in names[:20]:
            assert (await repository.write(added(name))).stored_in == "redis"
        with monkeypatch.context() as patched:
            patched.setattr(repository.stash, "commit", nobody)  # only ends are sent
            for name in names[20:]:
                assert (await repository.write(added(name))).stored_in == "redis"
        text = machine.redis.get(key)
        assert text
        assert [each["id"] for each in json.loads(text)["executions"]] == names
        await eventually(lambda: getattr(machine.journal.copy(key), "text", "") == text, what="the same here")


class Holders:
    """Holders of one key in a row, each of which leaves a follow-up behind that goes on until it is let end."""

    def __init__(self, *, known: bool = True) -> None:
        self.locks, self.known = KeyLocks(), known
        self.looked: list[bool] = []
        self.ends: list[asyncio.Event] = []

    async def hold(self) -> None:
        async with self.locks.of("k", in_a_row=True) as held:
            self.looked.append(held.written_before is None)
            self.ends.append(asyncio.Event())
            held.follow_up, held.wrote = self._follow_up(self.ends[-1]), WRITE

    async def _follow_up(self, end: asyncio.Event) -> bool:
        await end.wait()
        return self.known

    async def waits(self) -> asyncio.Task[None]:
        waiting = asyncio.create_task(self.hold())
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        return waiting

    async def end(self) -> None:
        for each in self.ends:
            each.set()
        await asyncio.wait_for(self.locks.idle(), 60)


async def test_no_more_than_two_writes_are_without_their_copies():
    holders = Holders()
    for _ in range(2):
        await asyncio.wait_for(holders.hold(), 60)
    third = await holders.waits()
    holders.ends[0].set()
    await asyncio.wait_for(third, 60)
    assert holders.looked == [True, False, False]
    await holders.end()


async def test_after_so_many_in_a_row_one_waits_and_looks():
    holders = Holders()
    for number in range(IN_A_ROW):
        await asyncio.wait_for(holders.hold(), 60)
        if number:
            holders.ends[number - 1].set()
    last = await holders.waits()
    holders.ends[-1].set()
    await asyncio.wait_for(last, 60)
    assert holders.looked == [True] + [False] * (IN_A_ROW - 1) + [True]
    await holders.end()


@pytest.mark.parametrize("known", [True, False])
async def test_the_next_goes_on_from_what_was_copied_just_now_unless_the_copy_is_another(*, known: bool):
    holders = Holders(known=known)
    for _ in range(3):
        await holders.hold()
        await holders.end()
    assert holders.looked == [True, not known, not known]


async def test_what_was_settled_is_looked_up():
    holders = Holders()
    await holders.hold()
    await holders.end()
    async with holders.locks.of("k", in_a_row=True) as held:
        assert held.written_before is WRITE
        await held.settled()  # it goes elsewhere, and leaves nothing behind
    await holders.hold()
    await holders.end()
    async with holders.locks.of("k") as held:
        assert held.written_before is None
    await holders.hold()
    await holders.end()
    assert holders.looked == [True, True, True]


async def test_it_is_not_known_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_locks, "KNOWN_SECONDS", 0)
    holders = Holders()

    async def looks() -> bool:
        await holders.hold()
        await holders.end()
        return holders.looked[1:][-1:] == [True]

    await eventually(looks, what="a look at what is stored")
    assert len(holders.looked) < IN_A_ROW, "else it looks anyway"


async def test_who_gives_up_while_waiting_leaves_the_key_to_the_next():
    locks, done = KeyLocks(), asyncio.Event()

    async def hold(*, in_a_row: bool) -> None:
        async with locks.of("k", in_a_row=in_a_row) as held:
            held.follow_up, held.wrote = done_wait(), WRITE

    async def done_wait() -> bool:
        await done.wait()
        return True

    await hold(in_a_row=True)
    waiting = asyncio.create_task(hold(in_a_row=False))
    await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=60)
    await asyncio.wait_for(hold(in_a_row=True), 60)
    done.set()
    await asyncio.wait_for(locks.idle(), 60)


async def test_a_copy_that_comes_after_redis_was_seen_to_have_lost_things_is_looked_at_again(
    machine: Machine, tmp_path: Path
):
    """Redis took the write, died and came back older, and all copies were marked, before this one was put."""
    key, journal = machine.keys.session("s"), machine.journal
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        await repository.write(machine.save("t", "x"))
        await eventually(lambda: journal.copy(machine.keys.session("t")), what="a journal")
        with locked(journal):
            await repository.write(machine.save("s", "a"))
            journal.marks += 1
        await eventually(lambda: journal.copy(key), what="the copy")
        assert [each.key for each in journal.list_unverified(10)] == [key]
        await repository.write(machine.save("s", "b"))
        await eventually(lambda: said(getattr(journal.copy(key), "text", "")) == ["a", "b"], what="the next copy")
        assert journal.list_unverified(10) == []


def test_to_mark_all_copies_is_counted_and_to_mark_one_is_not(journal: Journal):
    journal.mark_unverified("k")
    assert journal.marks == 0
    journal.mark_unverified()
    assert journal.marks == 1

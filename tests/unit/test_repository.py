"""The way from the journal to Redis: what was kept here meanwhile arrives there, once, and nothing blocks the rest."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.journal import LARGEST_NOWAIT
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.replication.worker import ReplicationWorker

from ..support.conversations import words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain


@pytest.fixture
def machine(journal: Journal, redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, redis, clock)


async def test_what_was_kept_meanwhile_arrives_in_order(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a"), machine.save("s", "b"), machine.save("t", "x"))
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored, other = machine.stored("s"), machine.stored("t")
    assert stored
    assert other
    assert (words(stored["history"]), words(other["history"])) == (["a", "b"], ["x"])


async def test_what_was_kept_meanwhile_is_merged_with_what_others_saved(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "mine"))
    theirs = machine.save("s", "theirs").apply(None, machine.clock()).write
    assert theirs
    with machine.redis.client() as client:
        client.set(theirs.key, theirs.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert (words(stored["history"]), stored["revision"]) == (["theirs", "mine"], 2)
    copy = machine.journal.copy(theirs.key)
    assert copy
    assert words(json.loads(copy.text)["history"]) == ["theirs", "mine"]


async def test_what_arrived_before_is_not_sent_twice(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a"))
    arrived = machine.journal.copy(machine.keys.session("s"))
    assert arrived
    with machine.redis.client() as client:
        client.set(arrived.key, arrived.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert (words(stored["history"]), stored["revision"]) == (["a"], 1)


async def test_a_session_begun_and_deleted_meanwhile_is_deleted(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a"), machine.deletion("s"))
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    assert machine.stored("s") is None
    assert machine.journal.state().dead_letters == ()


async def test_a_deletion_of_what_is_gone_there_is_not_set_aside(machine: Machine, tmp_path: Path):
    known = machine.save("s", "a", ttl_seconds=60).apply(None, machine.clock()).write
    assert known
    machine.journal.put_replica(known)
    machine.keep(machine.deletion("s"))
    machine.clock.move(days=61)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    assert machine.stored("s") is None
    assert machine.journal.state().dead_letters == ()


async def test_a_deletion_kept_by_an_older_version_deletes_no_key_of_anybody_else(machine: Machine, tmp_path: Path):
    known = machine.save("s", "a").with_write_id("other.1").apply(None, machine.clock()).write
    assert known
    machine.journal.put_replica(known)
    older = {
        "key": known.key, "operation": "ab.1", "kind": "deletion", "member": "s", "index": machine.keys.index,
        "because": "deleted", "revisions": machine.keys.revisions("s"), "saw": 1, "saw_operation": "other.1",
    }  # fmt: skip
    grave = machine.deletion("s").apply(known.text, machine.clock()).write
    assert grave
    assert machine.journal.commit(replace(grave, seen=known.text), json.dumps(older)).accepted
    foreign, older_revision = f"foreign-{machine.redis.prefix}", f"{older['revisions']}1"
    with machine.redis.client() as client:
        client.set(known.key, known.text)
        client.set(foreign, "theirs")
        client.set(older_revision, "ours")
        async with machine.repository(tmp_path / "child"):
            await machine.drained()
        assert machine.stored("s") is None
        assert client.getdel(foreign) == "theirs"
        assert client.getdel(older_revision) is None, "what is known to be the session's goes"
        assert machine.journal.state().dead_letters == ()


async def test_no_keys_are_listed_without_a_beginning(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        assert repository.stash
        with pytest.raises(ValueError, match="keys of one session"):
            await repository.stash.parts.beginning("", repository.stash.deadline())


async def test_what_expired_before_it_arrived_does_not_come_back(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a", ttl_seconds=60))
    machine.keep(machine.save("t", "b"))
    machine.clock.move(seconds=61)
    machine.keep(machine.save("u", "c"))
    async with machine.repository(tmp_path / "child") as repository:
        await eventually(lambda: machine.journal.state().pending == 1, what="what has not expired to arrive")
        assert machine.stored("u")
        assert machine.stored("s") is None
        machine.journal.purge_expired()
        machine.clock.move(hours=1)
        machine.journal.purge_expired()
        assert machine.journal.state().pending == 0
        await drain(repository)
        assert machine.stored("s") is None


async def test_what_seems_expired_by_a_wrong_clock_arrives_when_the_clock_is_right(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a", ttl_seconds=60))
    machine.clock.move(days=40)
    async with machine.repository(tmp_path / "child") as repository:
        await drain(repository)
        assert machine.stored("s") is None
        machine.clock.move(days=-40)
        await machine.drained()
        assert machine.stored("s")


async def test_a_deletion_elsewhere_wins_and_what_was_saved_meanwhile_stays_here_as_a_revision(
    machine: Machine, tmp_path: Path
):
    known = machine.save("s", "a").with_write_id("other.1").apply(None, machine.clock()).write
    assert known
    machine.journal.put_replica(known)
    prefix = machine.keys.revisions("s")
    for said in ("b", "c"):
        base = machine.journal.copy(known.key)
        machine.keep(machine.save("s", said, revisions=prefix).with_base_revision(base, machine.clock()))
    grave = machine.deletion("s").apply(known.text, machine.clock()).write
    assert grave
    with machine.redis.client() as client:
        client.set(machine.keys.tombstone(known.key), grave.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    assert machine.stored("s") is None
    kept = machine.journal.copy(prefix + "1")
    assert kept
    assert words(json.loads(kept.text)["history"]) == ["a", "b", "c"]
    ((key, why),) = machine.journal.state().dead_letters
    assert key == known.key
    assert "revision 1" in why


async def test_a_deletion_kept_meanwhile_does_not_take_what_others_saved_since(machine: Machine, tmp_path: Path):
    known = machine.save("s", "a").with_write_id("other.1").apply(None, machine.clock()).write
    assert known
    machine.journal.put_replica(known)
    machine.keep(machine.deletion("s"))
    theirs = machine.save("s", "b").with_write_id("other.2").apply(known.text, machine.clock()).write
    assert theirs
    with machine.redis.client() as client:
        client.set(theirs.key, theirs.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert words(stored["history"]) == ["a", "b"]
    assert machine.journal.state().dead_letters


async def test_a_replace_that_came_too_late_is_kept_as_an_older_revision(machine: Machine, tmp_path: Path):
    known = machine.save("s", "a").with_write_id("other.1").apply(None, machine.clock()).write
    assert known
    machine.journal.put_replica(known)
    prefix = machine.keys.revisions("s")
    machine.keep(machine.save("s", "mine", mode="replace", revisions=prefix))
    theirs = machine.save("s", "b").with_write_id("other.2").apply(known.text, machine.clock()).write
    assert theirs
    with machine.redis.client() as client:
        client.set(theirs.key, theirs.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert (words(stored["history"]), stored["revision"]) == (["a", "b"], 4)
    older = machine.redis.get(prefix + "3")
    assert older
    assert words(json.loads(older)["history"]) == ["mine"]


async def test_what_redis_lost_is_put_back_and_what_was_deleted_is_not(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        for name in ("s", "t"):
            await repository.write(machine.save(name, "a"))
        await repository.write(machine.deletion("t"))
        with machine.redis.client() as client:
            client.flushall()
        await eventually(lambda: machine.stored("s"), what="the session to be back")
        await eventually(
            lambda: machine.redis.get(machine.keys.tombstone(machine.keys.session("t"))),
            what="the tombstone to be back",
        )
        assert machine.stored("t") is None
        with machine.redis.client() as client:
            assert client.zrange(machine.keys.index, 0, -1) == ["s"]


async def test_what_was_deleted_since_it_was_listed_as_lost_is_not_put_back(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        for name in ("s", "t"):
            await repository.write(machine.save(name, "a"))
        await eventually(lambda: len(machine.journal.list_replica(9, 0)) == 2, what="the copies")
        listed = machine.journal.list_replica(9, 0)
        await repository.write(machine.deletion("t"))
        key = machine.keys.session("t")
        await eventually(lambda: (copy := machine.journal.copy(key)) and copy.tombstone, what="the copy of its end")
        with machine.redis.client() as client:
            client.flushall()
        worker = repository._worker
        assert worker._outbox
        await worker._put_back._restore_lost(worker._outbox.remote, listed, [])
        assert machine.stored("s")
        assert machine.stored("t") is None
        assert machine.redis.get(machine.keys.tombstone(key))


async def test_a_deletion_announced_by_others_is_learnt(machine: Machine, tmp_path: Path):
    async with machine.repository(tmp_path / "child") as repository:
        await repository.write(machine.save("s", "a"))
        text = machine.redis.get(machine.keys.session("s"))
        grave = machine.deletion("s").apply(text, machine.clock()).write
        assert grave
        with machine.redis.client() as client:
            client.xadd(machine.keys.deletions, {"key": "p:session:elsewhere", "text": grave.text})
            client.xadd(machine.keys.deletions, {"key": grave.key, "text": "not ours"})
            client.xadd(machine.keys.deletions, {"key": grave.key, "text": grave.text})

        def is_buried() -> bool:
            copy = machine.journal.copy(grave.key)
            return copy is not None and copy.tombstone

        await eventually(is_buried, what="the deletion to be learnt")
        assert machine.journal.copy("p:session:elsewhere") is None


@pytest.mark.parametrize("kind", ["text of nobody's", "a document of a newer version", "a list", "no text"])
async def test_what_cannot_be_written_there_is_set_aside_and_the_rest_arrives(
    machine: Machine, tmp_path: Path, kind: str
):
    machine.keep(machine.save("bad", "a"), machine.save("good", "b"))
    key = machine.keys.session("bad")
    with machine.redis.client() as client:
        if kind == "a list":
            client.rpush(key, "item")
        else:
            values = {"text of nobody's": "not ours", "no text": b"\xff\xfe"}
            client.set(key, values.get(kind, '{"schema_version": 99, "id": "bad", "revision": 1}'))
        before = client.dump(key) if kind == "a list" else None
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
        ((aside, why),) = machine.journal.state().dead_letters
        assert aside == key
        assert why
    good = machine.stored("good")
    assert good
    assert words(good["history"]) == ["b"]
    with machine.redis.client() as client:
        assert client.type(key) == ("list" if before else "string")


async def test_what_is_too_large_once_merged_is_set_aside_and_the_rest_arrives(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("big", "x" * 6000), machine.save("good", "b"))
    theirs = machine.save("big", "y" * 6000).apply(None, machine.clock()).write
    assert theirs
    with machine.redis.client() as client:
        client.set(theirs.key, theirs.text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    assert [key for key, _ in machine.journal.state().dead_letters] == [theirs.key]
    assert machine.redis.get(theirs.key) == theirs.text
    assert machine.stored("good")


async def test_what_belongs_to_another_deployment_stays_where_it_is(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("s", "a"))
    foreign = Machine(machine.journal, machine.redis, machine.clock)
    foreign.keys = Keys(machine.redis.prefix + ":other")
    foreign.keep(foreign.save("s", "theirs"))
    async with machine.repository(tmp_path / "child"):
        await eventually(lambda: machine.stored("s"), what="our own change to arrive")
    assert [due.key for due in machine.journal.due_keys(())] == [foreign.keys.session("s")]
    assert foreign.stored("s") is None


async def test_a_replace_that_followed_an_append_while_redis_was_away_is_what_is_stored(
    machine: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        assert (await repository.write(machine.save("s", "a", "b"))).stored_in == "redis"
    offline = Repository(machine.journal, None, machine.keys, machine.clock)
    for change in (machine.save("s", "c"), machine.save("s", "d", "e", mode="replace"), machine.save("s", "f")):
        assert (await offline.write(change)).stored_in == "journal"
    assert len(machine.journal.pending(machine.keys.session("s"))) == 2, "what was replaced is not to be sent"
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert words(stored["history"]) == ["d", "e", "f"]


@pytest.mark.parametrize("others", [False, True], ids=["that alone arrived", "others went on from it"])
async def test_a_replace_stands_in_the_place_of_an_append_that_arrived_without_an_answer(
    machine: Machine,
    tmp_path: Path,
    others: bool,  # noqa: FBT001
):
    offline = Repository(machine.journal, None, machine.keys, machine.clock)
    added = machine.save("s", "a")
    assert (await offline.write(added)).stored_in == "journal"
    arrived = machine.journal.copy(machine.keys.session("s"))
    assert arrived
    assert (await offline.write(machine.save("s", "b", mode="replace"))).stored_in == "journal"
    text = arrived.text
    if others:
        theirs = machine.save("s", "x").with_write_id("other.1").apply(text, machine.clock()).write
        assert theirs
        text = theirs.text
    with machine.redis.client() as client:
        client.set(arrived.key, text)
    async with machine.repository(tmp_path / "child"):
        await machine.drained()
    stored = machine.stored("s")
    assert stored
    assert words(stored["history"]) == (["a", "x"] if others else ["b"])


async def test_keys_are_drained_side_by_side(machine: Machine):
    names = {machine.keys.session(name) for name in "abcde"}
    machine.keep(*(machine.save(name, "x") for name in "abcde"))
    under_way, all_are = set[str](), asyncio.Event()

    async def drain(key: str, _deadline: float) -> None:
        under_way.add(key)
        if under_way == names:
            all_are.set()
        await asyncio.wait_for(all_are.wait(), 60)

    stash = SimpleNamespace(deadline=lambda: 0.0)
    outbox = cast("Any", SimpleNamespace(drain=drain, remote=SimpleNamespace(stash=stash)))
    await ReplicationWorker(machine.journal, outbox, KeyLocks(), machine.keys, machine.clock).drain()
    assert all_are.is_set()


async def test_what_redis_lost_is_put_back_by_whoever_knows_it_by_another_address(
    machine: Machine, tmp_path: Path, clock: Clock
):
    async with machine.repository(tmp_path / "child") as repository:
        assert (await repository.write(machine.save("s", "a"))).stored_in == "redis"
        await eventually(machine.journal.sync_state, what="it to be known by its epoch")
    with machine.redis.client() as client:
        client.delete(machine.keys.session("s"))
    renamed = Machine(Journal(tmp_path / "data", clock, addresses=("another",)), machine.redis, clock)
    async with renamed.repository(tmp_path / "another child"):
        await eventually(lambda: renamed.stored("s"), what="it to be put back")


def flow(machine: Machine, name: str, result: str = "") -> FlowHistoryCommand:
    """An execution with an id that nobody else has, at the end of a flow's history."""
    records = [{"id": name, "result": {"text": result}}]
    key = machine.keys.history("s", "f")
    return FlowHistoryCommand(
        key=key, session_id="s", flow_id="f", records=records, ttl_seconds=0, max_bytes=10**7, fresh=True
    )  # fmt: skip


def executions(text: str | None) -> list[str]:
    return [each["id"] for each in json.loads(text or '{"executions": []}')["executions"]]


async def test_what_is_added_to_a_large_history_is_added_without_reading_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key, journal = machine.keys.history("s", "f"), machine.journal
    read = journal.copy

    def nobody(_: str) -> None:
        raise AssertionError("all of it was read")

    async with machine.repository(tmp_path / "child", worker=False) as repository:
        await repository.write(flow(machine, "e1", "x" * LARGEST_NOWAIT))
        monkeypatch.setattr(journal, "lookup", nobody)
        monkeypatch.setattr(journal, "copy", nobody)
        assert (await repository.write(flow(machine, "e2"))).stored_in == "redis"
        assert executions(machine.redis.get(key)) == ["e1", "e2"]
    assert (
        await Repository(journal, None, machine.keys, machine.clock).write(flow(machine, "e3"))
    ).stored_in == "journal"
    copy = read(key)
    assert copy
    assert executions(copy.text) == ["e1", "e2", "e3"]


async def test_all_that_belongs_to_this_machine_moves_with_its_next_change(machine: Machine, tmp_path: Path):
    alone = Repository(Journal(tmp_path / "data", machine.clock), None, machine.keys, machine.clock)
    for change in (machine.save("s", "a"), machine.save("t", "a"), flow(machine, "e1")):
        await alone.write(change)
    await alone.aclose()
    away = Repository(machine.journal, None, machine.keys, machine.clock)
    assert (await away.write(machine.save("t", "b"))).stored_in == "journal"
    async with machine.repository(tmp_path / "child") as repository:
        for change in (machine.save("s", "b"), flow(machine, "e2")):
            assert (await repository.write(change)).stored_in == "redis"
        await machine.drained()
        for name in "st":
            stored = machine.stored(name)
            assert stored
            assert words(stored["history"]) == ["a", "b"]
        assert executions(machine.redis.get(machine.keys.history("s", "f"))) == ["e1", "e2"]
        assert machine.journal.of_this_machine() == 0

"""Two processes share a data folder, and one puts a copy while the other one is about to: neither loses a turn."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentic_flywheel.coaia.replies import StoredVersion
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.lineage import MergeForwardCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.kept_apart import keep_both
from agentic_flywheel.replication.local_writer import LocalWriter

from ..support.conversations import words
from ..support.redis_server import RedisServer
from .conftest import Clock
from .destinations import Machine
from .test_flow_history_set_back import put_back


@pytest.fixture
def machine(journal: Journal, own_redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, own_redis.start(), clock)


def _text_of(change: SaveCommand, base: str | None) -> str:
    write = change.apply(base, Clock()()).write
    assert write
    return write.text


async def test_a_copy_that_a_process_beside_this_one_put_meanwhile_is_not_replaced_by_what_is_older(
    machine: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child", worker=False) as here:
        await here.write(machine.save("s", "first"))
        key = machine.keys.session("s")
        await here._locks.idle()
        first = machine.journal.copy(key)  # with which this process begins to put back
        assert first
        assert here._worker._outbox
        async with machine.repository(tmp_path / "beside", worker=False) as beside:
            await beside.write(machine.save("s", "second"))
        machine.redis.flush()
        machine.redis.client().set(key, first.text)
        assert not await here._worker._outbox.remote.restore(first, here.deadline())
        await put_back(here)
        stored = machine.stored("s")
        assert stored
        assert words(stored["history"]) == ["first", "second"]


async def test_what_redis_lost_is_kept_beside_what_another_process_puts_while_it_is_merged(
    machine: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child", worker=False) as here:
        assert here._worker._outbox
        remote, key, now = here._worker._outbox.remote, machine.keys.session("s"), machine.clock()
        texts = [_text_of(machine.save("s", "first"), None)]
        texts += [_text_of(machine.save("s", *said), texts[0]) for said in (("lost",), ("other",))]
        texts.append(_text_of(machine.save("s", "later"), texts[2]))
        later = [as_copy(key, text, "s", machine.keys.index) for text in texts[3:]]
        machine.journal.put_replica(as_copy(key, texts[2], "s", machine.keys.index))

        def merge_of(lost: Write) -> MergeForwardCommand:
            for copy in later[:]:  # the other process saves on, once
                machine.journal.put_replica(copy)
                later.remove(copy)
            return remote.merge_of(lost)

        keep_both(machine.journal, merge_of, machine.save("s", "lost"), [as_copy(key, texts[1], "s")], now)
        copy = machine.journal.copy(key)
        assert copy
        assert sorted(words(json.loads(copy.text)["history"])) == ["first", "later", "lost", "other"]


async def test_what_redis_lost_is_not_merged_into_what_another_process_has_pending_by_then(
    machine: Machine, tmp_path: Path
):
    async with machine.repository(tmp_path / "child", worker=False) as here:
        assert here._worker._outbox
        remote, key, index = here._worker._outbox.remote, machine.keys.session("s"), machine.keys.index
        first = _text_of(machine.save("s", "first"), None)
        lost, other = (_text_of(machine.save("s", said), first) for said in ("lost", "other"))
        machine.journal.put_replica(as_copy(key, other, "s", index))

        def merge_of(write: Write) -> MergeForwardCommand:
            beside = LocalWriter(machine.journal, machine.clock, offline=False)
            beside.write(machine.save("s", "pending"), pending=True)
            return remote.merge_of(write)

        change = machine.save("s", "lost")
        assert keep_both(machine.journal, merge_of, change, [as_copy(key, lost, "s", index)], machine.clock())
        copy = machine.journal.copy(key)
        assert copy
        assert sorted(words(json.loads(copy.text)["history"])) == ["first", "other", "pending"]


async def test_what_a_process_beside_put_while_redis_was_asked_is_not_taken_for_verified(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with machine.repository(tmp_path / "child", worker=False) as here:
        await here.write(machine.save("s", "first"))
        await here._locks.idle()
        key = machine.keys.session("s")
        machine.journal.mark_unverified()
        assert here._worker._outbox
        stash = here._worker._outbox.remote.stash
        ask = stash.versions

        async def ask_and_be_late(keys: Sequence[str], deadline: float) -> dict[str, StoredVersion | None]:
            answer = await ask(keys, deadline)  # Redis has the first version
            if not beside_saved:
                beside_saved.append(await beside.write(machine.save("s", "second")))
                await beside._locks.idle()
                machine.redis.flush()
                machine.journal.mark_unverified()  # as the process beside does that notices it
            return answer

        beside_saved: list[object] = []
        monkeypatch.setattr(stash, "versions", ask_and_be_late)
        async with machine.repository(tmp_path / "beside", worker=False) as beside:
            assert here._worker._outbox
            rows = machine.journal.list_unverified(10)
            await here._worker._put_back._verify(here._worker._outbox.remote, rows)
            assert [row.key for row in machine.journal.list_unverified(10)] == [key]
            await put_back(here)
        stored = machine.stored("s")
        assert stored
        assert words(stored["history"]) == ["first", "second"]

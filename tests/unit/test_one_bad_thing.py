"""One bad thing stops only itself: an unreadable row, a refused key, a key that cuts the connection."""

import asyncio
from pathlib import Path

import pytest

from agentic_flywheel.backoff import LONGEST_DELAY, LONGEST_SMALL_DELAY, delay
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.put_back import RESTORED_BYTES_AT_ONCE

from ..support.conversations import words
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain

pytestmark = pytest.mark.slow

LARGE = "x" * 1_500_000


@pytest.fixture
def machine(journal: Journal, own_redis: RedisServer, clock: Clock) -> Machine:
    """A machine whose Redis takes no value of more than a megabyte."""
    own_redis.arguments = ["--proto-max-bulk-len", "1mb"]
    return Machine(journal, own_redis.start(), clock)


def poison(machine: Machine, session_id: str, change: str) -> None:
    """A pending row that this version cannot read, as a newer one or a damaged disk leaves it, for a session that is
    in Redis: it must be applied to what is there."""
    theirs = machine.save(session_id, "theirs").apply(None, machine.clock()).write
    assert theirs
    with machine.redis.client() as client:
        client.set(theirs.key, theirs.text)
    assert machine.journal.commit(Write(machine.keys.session(session_id), "text", None, None), change).accepted


@pytest.mark.parametrize("change", ['{"kind": "of tomorrow", "key": "k"}', '{"kind": "session"}', "no JSON"])
async def test_a_pending_row_that_cannot_be_read_is_a_dead_letter_and_blocks_nobody(
    machine: Machine, tmp_path: Path, change: str
):
    poison(machine, "poison", change)
    machine.keep(machine.save("s", "a"))
    async with machine.repository(tmp_path / "child") as repository:
        await machine.drained()
        assert machine.stored("s")
        machine.redis.flush()
        await eventually(lambda: machine.stored("s"), what="the other session to be put back")
        assert repository.stash
        child = repository.stash.supervisor
    assert child.state.state == "closed"
    (letter,) = machine.journal.dead_letters()
    assert letter.key == machine.keys.session("poison")
    assert machine.journal.command_of(letter.position) == change
    assert "cannot be read" in letter.cause
    assert change not in letter.cause


async def test_a_session_that_redis_refuses_waits_and_the_others_are_sent_and_put_back(
    machine: Machine, tmp_path: Path
):
    machine.keep(machine.save("large", LARGE, max_bytes=10_000_000))
    machine.keep(*(machine.save(f"s{number}", "a") for number in range(5)))
    async with machine.repository(tmp_path / "child"):
        await eventually(lambda: all(machine.stored(f"s{number}") for number in range(5)), what="the others to be sent")
        machine.redis.flush()
        await eventually(lambda: all(machine.stored(f"s{number}") for number in range(5)), what="the others to be back")

        def postponed() -> bool:
            item = machine.journal.next_pending(machine.keys.session("large"))
            return bool(item and item.attempts and item.cause and item.next_attempt)

        await eventually(postponed, what="the refused one to wait, with its cause")
        assert machine.journal.state().pending == 1


async def test_a_refused_key_does_not_end_what_goes_on_in_the_background(
    machine: Machine, clock: Clock, tmp_path: Path
):
    machine.redis.require(6, 0, "access lists")
    names = [f"s{number}" for number in range(5)]
    prefix = machine.redis.prefix
    allowed = [f"~{prefix}:{rest}" for rest in ("epoch", "index*", "deletions", "session:s*", "tombstone:session:s*")]
    machine.keep(*(machine.save(name, "a") for name in ("refused", *names)))
    with machine.redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", *allowed)
        try:
            async with machine.repository(tmp_path / "child"):
                await eventually(lambda: all(machine.stored(name) for name in names), what="the others there")
                client.execute_command("FLUSHALL")
                await eventually(lambda: all(machine.stored(name) for name in names), what="the others back")
                client.execute_command("ACL", "SETUSER", "default", "allkeys")
                clock.move(seconds=LONGEST_DELAY)
                await eventually(lambda: machine.stored("refused"), what="the refused one, once it may be")
        finally:
            client.execute_command("ACL", "SETUSER", "default", "allkeys")


async def test_a_session_that_costs_the_connection_does_not_keep_the_others_from_being_put_back(
    machine: Machine, tmp_path: Path
):
    names = [f"s{number}" for number in range(5)]
    with Proxy(machine.redis.port) as proxy:
        machine.url = machine.redis.url.replace(str(machine.redis.port), str(proxy.port))
        machine.keep(*(machine.save(name, "a") for name in names[:2]))
        large = "x" * (RESTORED_BYTES_AT_ONCE // 2)  # small enough to be sent together with the others
        machine.keep(machine.save("large", large, max_bytes=10_000_000))
        machine.keep(*(machine.save(name, "a") for name in (*names[2:], "gone")))
        async with machine.repository(tmp_path / "child") as repository:
            await machine.drained()
            await repository.write(machine.deletion("gone"))
            proxy.most = RESTORED_BYTES_AT_ONCE // 4
            machine.redis.flush()
            await eventually(lambda: all(machine.stored(name) for name in names), what="the others")
            tombstone = machine.keys.tombstone(machine.keys.session("gone"))
            await eventually(lambda: machine.redis.get(tombstone), what="the tombstone")
            assert not machine.stored("large")
            proxy.most = 0
            await eventually(lambda: machine.stored("large"), what="the large one, once it is let through")


def full(*_: object, **__: object) -> None:
    """What a journal does that cannot be written."""
    raise JournalUnavailable("The disk is full.")


async def test_what_was_saved_after_a_deletion_is_not_taken_away_by_it_though_the_journal_cannot_be_told(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with machine.repository(tmp_path / "child", worker=False) as repository:
        assert (await repository.write(machine.save("s", "0"))).stored_in == "redis"
        await eventually(lambda: machine.journal.copy(machine.keys.session("s")), what="the copy to be kept")
        machine.keep(machine.save("s", "1"))
        item = machine.journal.next_pending(machine.keys.session("s"))
        assert item
        machine.journal.ack([item.position], None)  # as if another had taken its place: numbers are higher here
        machine.keep(machine.save("s", "2"), machine.deletion("s"), machine.save("s", "new"))
        with monkeypatch.context() as patch:
            patch.setattr(machine.journal, "ack", full)
            for _ in range(3):
                await drain(repository)
        await drain(repository)
        stored = machine.stored("s")
        assert stored
        assert words(stored["history"]) == ["new"]
        assert not machine.journal.state().pending


async def test_all_that_is_pending_is_sent_though_the_journal_cannot_be_told(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    machine.keep(machine.save("s", "1"), machine.save("s", "2"), machine.save("s", "3"))
    elsewhere = machine.save("s", "0").apply(None, machine.clock()).write
    assert elsewhere
    with machine.redis.client() as client:
        client.set(elsewhere.key, elsewhere.text)  # else the document would go as a whole

    def history() -> list[str]:
        stored = machine.stored("s")
        return words(stored["history"]) if stored else []

    async with machine.repository(tmp_path / "child", worker=False) as repository:
        with monkeypatch.context() as patch:
            patch.setattr(machine.journal, "ack", full)
            for _ in range(2):
                await drain(repository)
                assert history() == ["0", "1", "2", "3"]
        await drain(repository)
        assert not machine.journal.state().pending
        assert history() == ["0", "1", "2", "3"]


async def test_what_was_refused_is_sent_once_it_is_taken(machine: Machine, tmp_path: Path):
    machine.keep(machine.save("large", LARGE, max_bytes=10_000_000))
    async with machine.repository(tmp_path / "child"):
        key = machine.keys.session("large")
        await eventually(lambda: (item := machine.journal.next_pending(key)) and item.attempts, what="a first attempt")
        with machine.redis.client() as client:
            client.config_set("proto-max-bulk-len", "512mb")
        for _ in range(3):
            machine.clock.move(seconds=LONGEST_DELAY)
            await asyncio.sleep(0)
        await eventually(lambda: machine.stored("large"), what="it to be sent")


def test_a_refused_write_is_tried_ever_more_rarely_and_a_large_one_more_rarely_than_a_small_one():
    small = [delay(attempts, 1_000) for attempts in range(1, 30)]
    large = [delay(attempts, 16 * 2**20) for attempts in range(1, 30)]
    assert small == sorted(small)
    assert (small[-1], large[-1]) == (LONGEST_SMALL_DELAY, LONGEST_DELAY)
    assert large[0] == small[0] == 1.0

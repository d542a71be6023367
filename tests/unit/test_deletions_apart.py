"""Deletions, and lives of a session, none of which knew of the other: neither takes what the other one did away."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.delete import DeleteCommand, TombstoneCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand, tombstone_beats
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication import ended_elsewhere
from agentic_flywheel.replication.replica import deletion_told_by

from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine
from .test_flow_history_set_back import answers, key_of, put_back
from .test_parts_after_deletion import Several, begin, said, settle
from .test_parts_after_deletion import several as several

KEY = "p:session:s"


def deletion(clock: Clock, session: str | None, **more: object) -> Write:
    """The tombstone that a deletion of this leaves a second later."""
    change = DeleteCommand(key=KEY, member="s", index="p:index", operation="d")
    step = change.model_copy(update=more).apply(session, clock.move(seconds=1))
    assert step.write
    return as_copy(KEY, step.write.text, "s", "p:index")


def begun(clock: Clock, words: str, text: str | None) -> str:
    """The session with what is said a second later."""
    machine = Machine.__new__(Machine)
    machine.keys = type("Keys", (), {"session": lambda *_: KEY, "index": "p:index"})()  # type: ignore[assignment]
    step = machine.save("s", words).apply(text, clock.move(seconds=1))
    assert step.write
    return step.write.text


def two_deletions(clock: Clock) -> tuple[str, str, Write, Write]:
    """Two sessions under one id, begun by machines that did not know of each other, and the tombstones of them."""
    one, other = begun(clock, "more", begun(clock, "one", None)), begun(clock, "other", None)
    return one, other, deletion(clock, one), deletion(clock, other)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("way", ["heard of", "read", "put back"])
def test_of_two_deletions_what_is_left_stands_for_both(
    journal: Journal, clock: Clock, order: tuple[int, int], way: str
):
    one, other, *tombstones = two_deletions(clock)
    first, second = (tombstones[at] for at in order)
    if way == "put back":
        burial = TombstoneCommand(key=KEY, member="s", index="p:index", text=second.text)
        step = burial.apply(first.text, clock())
        left = step.write.text if step.write else first.text
    else:
        put = (lambda write: journal.apply_tombstones([write])) if way == "heard of" else journal.put_replica
        for tombstone in (first, second):
            put(tombstone)
        copy = journal.copy(KEY)
        assert copy
        left = copy.text
    tombstone, later = tombstone_of(left), tombstone_of(tombstones[1].text)
    assert tombstone
    assert later
    assert tombstone.deleted_at == later.deleted_at
    assert tombstone_beats(left, one)
    assert tombstone_beats(left, other)
    again = TombstoneCommand(key=KEY, member="s", index="p:index", text=second.text).apply(left, clock())
    assert again.write is None


def test_a_session_that_was_put_back_is_not_parsed_to_find_whose_part_it_is(
    journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(ended_elsewhere, "load")
    session = as_copy(KEY, begun(clock, "one", None), "s", "p:index")
    assert ended_elsewhere.gone_with_session(journal, [session], clock()) == []


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_lives_that_are_merged_the_last_deletion_is_told_of(clock: Clock, *, turned: bool):
    one, *_ = two_deletions(clock)
    first = deletion(clock, one)
    unaware = begun(clock, "unaware", first.text)
    last = deletion(clock, begun(clock, "anew", first.text))
    again = begun(clock, "again", last.text)
    mine, there = (unaware, again) if turned else (again, unaware)
    step = MergeForwardCommand(key=KEY, operation="m.1", member="s", index="p:index", text=mine).apply(there, clock())
    assert step.write
    told, tombstone = deletion_told_by(KEY, step.write.text, clock()), tombstone_of(last.text)
    before = tombstone_of(told.text) if told else None
    assert told
    assert before
    assert tombstone
    assert before.deleted_at == tombstone.deleted_at
    assert tombstone_beats(told.text, one)
    assert not tombstone_beats(told.text, unaware)


def test_a_late_copy_of_a_tombstone_does_not_take_the_place_of_what_was_begun_since(journal: Journal, clock: Clock):
    _, other, tombstone, _ = two_deletions(clock)
    journal.put_replica(as_copy(KEY, other, "s", "p:index"))
    journal.put_replica(tombstone)
    copy = journal.copy(KEY)
    assert copy
    assert copy.text == other


def test_a_deletion_of_what_was_kept_since_the_session_was_deleted_is_told_anew(clock: Clock):
    one, *_ = two_deletions(clock)
    before = deletion(clock, one)
    now = tombstone_of(deletion(clock, before.text, saw=0).text)
    then = tombstone_of(before.text)
    assert now
    assert then
    assert now.deleted_at == then.deleted_at + timedelta(seconds=1)
    assert (now.revision, now.operations) == (then.revision, then.operations)


@pytest.mark.parametrize("order", ["AB", "BA"])
async def test_a_save_that_did_not_know_of_the_deletion_stays_whoever_puts_back_first(several: Several, order: str):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.save("B", "unaware")
    await several.repositories["B"]._locks.idle()
    several.redis.flush()
    await settle(several, order)
    assert said(several) == ["hello", "unaware"]


@pytest.mark.parametrize("order", ["AC", "CA"])
@pytest.mark.parametrize("anew", [False, True])
async def test_a_session_that_was_begun_by_a_machine_that_knew_nothing_stays(
    several: Several, order: str, *, anew: bool
):
    for words in ("hello", "there"):
        await several.save("A", words)
    await several.delete("A")
    if anew:
        await several.save("A", "anew")
    several.redis.flush()
    await several.save("C", "of C")
    await several.repositories["C"]._locks.idle()
    several.redis.flush()
    await settle(several, order)
    assert sorted(said(several)) == (["anew", "of C"] if anew else ["of C"])
    await several.save("A", "last")
    assert sorted(said(several)) == sorted(["last", "of C", *(["anew"] if anew else [])])


@pytest.mark.parametrize("order", ["AC", "CA"])
async def test_a_history_begun_anew_and_one_begun_unaware_are_one(several: Several, order: str):
    await begin(several)
    await several.delete("A")
    await several.keep("A", "anew")
    await several.repositories["A"]._locks.idle()
    several.redis.flush()
    await several.keep("C", "of C")
    await several.repositories["C"]._locks.idle()
    several.redis.flush()
    for _ in range(3):
        for name in order:
            await put_back(several.repositories[name])
            await several.round(name)
    assert several.executions() == several.in_history() == {"anew", "of C"}


async def test_a_deletion_that_redis_hears_of_late_leaves_what_was_kept_since_anywhere(several: Several):
    await begin(several)
    several.redis.freeze()
    await several.delete("A")
    several.redis.thaw()
    for name in "AC":
        await eventually(lambda name=name: answers(several.repositories[name]), what="an answer")
        await several.keep(name, f"of {name}, since")
        await several.repositories[name]._locks.idle()
    await settle(several, "ABC")
    assert several.executions() == several.in_history() == {"of A, since", "of C, since"}


async def test_a_machine_that_read_of_the_deletion_alone_ends_what_went_with_the_session(several: Several):
    await begin(several)
    await several.delete("A")
    several.redis.flush()
    await several.round("A")
    with several.redis.client() as client:
        client.delete(several.any().keys.deletions)
    keys = several.machines["B"].keys
    await several.repositories["B"].read(keys.session("s"), "s", keys.index)
    await several.round("B")
    assert several.executions() == several.in_history() == several.copies("B") == set()


async def test_what_is_put_back_while_its_session_is_deleted_is_taken_away_again(
    several: Several, monkeypatch: pytest.MonkeyPatch
):
    await begin(several)
    several.redis.flush()
    stash = several.repositories["A"].stash
    assert stash
    restore = stash.restore

    async def late(writes: Sequence[Write], deadline: float) -> list[str]:
        if writes and several.machines["A"].journal.copy(writes[0].key):
            several.redis.flush()
            await several.delete("A")
        return await restore(writes, deadline)

    monkeypatch.setattr(stash, "restore", late)
    await several.round("A")
    assert several.executions() == several.in_history() == set()


async def test_what_is_kept_on_an_older_copy_of_a_history_outlives_the_tombstone_of_that(several: Several):
    await begin(several)
    await several.keep("A", "three")
    await several.delete("A")
    grave = several.redis.get(several.any().keys.tombstone(key_of(several.any())))
    assert grave
    several.redis.flush()
    await several.keep("B", "since")  # on a copy of the first two, which becomes the revision that was deleted
    await several.repositories["B"]._locks.idle()
    copy = several.machines["B"].journal.copy(key_of(several.any()))
    assert copy
    assert not tombstone_beats(grave, copy.text)

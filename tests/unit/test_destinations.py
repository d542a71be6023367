"""Destinations in one file: nothing of one Redis is ever seen by a server of another, and one found again is gone on
with."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.commands import load_command
from agentic_flywheel.documents.lineage import MergeForwardCommand
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.records import SyncState, Waiting

from .conftest import Clock

INDEX = "p:index"
MACHINE = ""


def document(member: str, revision: int, words: str, *writers: str) -> str:
    """A document as the store writes it, by these writers, the newest last."""
    operations = [[f"{writer}.{revision}", revision, 1, 1] for writer in writers or ("aa",)]
    head = {"schema_version": 1, "id": member, "revision": revision, "words": words}
    return json.dumps(head | {"operations": operations}, separators=(",", ":"))


def listed(member: str, text: str, saved_at: int = 1) -> Write:
    return Write(f"p:session:{member}", text, None, None, list_row=ListRow(INDEX, member, saved_at, json.dumps(text)))


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Journal]]:
    """Servers that share the folder, each with the addresses of its Redis."""
    with ExitStack() as stack:
        yield lambda *addresses: stack.enter_context(
            closing(Journal(tmp_path / "data", clock, addresses, shown=f"redis at {addresses[:1]}"))
        )


def test_pending_changes_wait_for_the_redis_that_they_were_made_for(opened: Callable[..., Journal]):
    one, two = opened("redis://one"), opened("redis://two")
    one.commit(listed("s", document("s", 1, "private")), pending="change")
    assert [each.key for each in one.due_keys(["p:"])] == ["p:session:s"]
    assert (two.due_keys(["p:"]), two.pending("p:session:s"), two.unsent(INDEX)) == ([], [], ([], []))
    assert two.waiting() == [Waiting("redis at ('redis://one',)", 1, 1)]
    assert (one.waiting(), one.state().pending, two.state().pending) == ([], 1, 0)
    assert two.state().waiting == tuple(two.waiting())


def test_what_belongs_to_this_machine_is_listed_and_marked_until_the_redis_has_it(opened: Callable[..., Journal]):
    machine, redis = opened(), opened("redis://one")
    machine.commit(listed("s", document("s", 1, "here")))
    machine.commit(listed("t", document("t", 1, "here"), 2))
    assert [(entry.member, entry.here_alone) for entry in redis.recent(INDEX, None, 9)] == [("t", True), ("s", True)]
    assert [entry.here_alone for entry in redis.entries(INDEX, ["s"])] == [True]
    assert [entry.here_alone for entry in machine.recent(INDEX, None, 9)] == [False, False]
    copy = redis.copy_of_this_machine("p:session:s")
    assert copy
    assert [redis.has_none_here(f"p:session:{member}") for member in "sx"] == [False, True]
    assert (redis.copy(copy.key), machine.copy_of_this_machine(copy.key)) == (None, None)
    redis.put_replica(copy)
    assert redis.recent_of_this_machine(INDEX, None, 9) == [replace(redis.recent(INDEX, None, 1)[0], member="t")]
    machine.commit(replace(listed("s", document("s", 2, "added meanwhile")), seen=copy.text))
    assert not redis.leave_this_machine(copy.key, copy.text)
    kept = machine.copy(copy.key)
    assert kept
    assert "added meanwhile" in kept.text, "by a process for which no Redis is named"
    assert redis.leave_this_machine(copy.key, kept.text)
    assert redis.leave_this_machine(copy.key, kept.text), "it has left"
    assert machine.copy(copy.key) is None
    assert redis.move_from_this_machine("p:session:t")
    assert not redis.move_from_this_machine("p:session:t")
    assert (machine.recent(INDEX, None, 9), [e.here_alone for e in redis.recent(INDEX, None, 9)]) == ([], [False] * 2)


def test_another_spelling_of_the_address_is_the_same_redis_whether_it_is_read_or_written_first(
    opened: Callable[..., Journal],
):
    opened("old").put_replica(listed("s", document("s", 1, "here")))
    reader = opened("new", "old")
    assert reader.copy("p:session:s")
    writer = opened("newer", "old")
    writer.commit(listed("t", document("t", 1, "here")), pending="change")
    assert reader.pending("p:session:t")


def test_a_redis_that_is_met_by_another_address_is_gone_on_with(opened: Callable[..., Journal]):
    before, after = opened("redis://localhost"), opened("redis://127.0.0.1")
    before.save_sync_state(SyncState("epoch", "run", "1-0"), lost=False)
    before.put_replica(listed("kept", document("kept", 3, "before")))
    after.commit(listed("new", document("new", 1, "after")), pending="change")
    after.recognise("epoch")
    assert after.sync_state() == SyncState("epoch", "run", "1-0")
    assert after.copy("p:session:kept")
    assert [item.change for item in before.pending("p:session:new")] == ["change"]
    assert after.waiting() == []
    after.recognise("epoch")
    after.recognise("another")
    after.recognise("")
    assert after.copy("p:session:kept")


def test_an_address_that_leads_to_another_redis_now_leaves_what_was_for_the_first(opened: Callable[..., Journal]):
    one, two = opened("redis://one"), opened("redis://two")
    one.save_sync_state(SyncState("epoch one", "", "0-0"), lost=False)
    two.save_sync_state(SyncState("epoch two", "", "0-0"), lost=False)
    one.commit(listed("s", document("s", 1, "for one")), pending="change")
    one.recognise("epoch two")
    assert (one.copy("p:session:s"), one.pending("p:session:s")) == (None, [])
    assert [waiting.changes for waiting in one.waiting()] == [1]
    one.recognise("epoch one")
    assert (two.sync_state(), one.sync_state()) == (
        SyncState("epoch two", "", "0-0"),
        SyncState("epoch one", "", "0-0"),
    )
    assert one.pending("p:session:s"), "and it is there when the address leads back"


@dataclass
class Met:
    """The same Redis, first under one address, then under another, before that was recognised."""

    before: Journal
    after: Journal


@pytest.fixture
def met(opened: Callable[..., Journal]) -> Met:
    before, after = opened("redis://localhost"), opened("redis://127.0.0.1")
    before.save_sync_state(SyncState("epoch", "", "0-0"), lost=False)
    return Met(before, after)


def changes(journal: Journal, key: str = "p:session:s") -> list[str]:
    return [item.change for item in journal.pending(key)]


def test_where_both_have_pending_changes_of_a_key_each_is_sent_and_neither_document_stands_for_the_other(met: Met):
    met.before.commit(listed("s", document("s", 2, "seen and changed", "aa", "bb")), pending="before")
    met.after.commit(listed("s", document("s", 1, "made anew", "cc")), pending="after")
    met.after.recognise("epoch")
    sent = changes(met.after)
    assert sent[:2] == ["before", "after"]
    brought = load_command(sent[2])
    assert isinstance(brought, MergeForwardCommand), "what the first document held may be nowhere else"
    assert brought.text == document("s", 2, "seen and changed", "aa", "bb")
    assert met.after.unsent_document("p:session:s")[0] is None


def test_what_is_pending_for_a_redis_that_is_recognised_goes_on_top_of_the_copy_that_was_known(met: Met):
    met.before.put_replica(listed("s", document("s", 2, "acknowledged", "aa", "bb")))
    met.after.commit(listed("s", document("s", 1, "made anew", "cc")), pending="after")
    met.after.recognise("epoch")
    first, second = changes(met.after)
    assert first == "after"
    brought = load_command(second)
    assert isinstance(brought, MergeForwardCommand)
    assert (brought.member, brought.index, bool(brought.operation)) == ("s", INDEX, True)


def test_a_copy_gives_way_to_a_document_with_pending_changes(met: Met):
    met.before.commit(listed("s", document("s", 2, "changed", "aa", "bb")), pending="before")
    met.after.put_replica(listed("s", document("s", 1, "seen", "aa")))
    met.after.recognise("epoch")
    document_, positions = met.after.unsent_document("p:session:s")
    assert document_
    assert (document_.text, len(positions)) == (document("s", 2, "changed", "aa", "bb"), 1)


@pytest.mark.parametrize("newer", ["before", "after"])
def test_of_two_copies_the_one_that_goes_on_from_the_other_is_kept_and_verified(met: Met, newer: str):
    older = {"before": met.after, "after": met.before}[newer]
    older.put_replica(listed("s", document("s", 1, "old", "aa")))
    later = document("s", 2, "new", "aa", "bb")
    {"before": met.before, "after": met.after}[newer].put_replica(listed("s", later))
    met.after.recognise("epoch")
    copy = met.after.copy("p:session:s")
    assert copy
    assert (copy.text, [each.key for each in met.after.list_unverified(9)]) == (later, ["p:session:s"])


# whatever is done, in whatever order

WHO = ["redis://one", "redis://two", MACHINE]
VERBS = ["save", "offline", "delete", "remember", "settle", "dead letter", "retry", "doubt", "adopt", "drop", "purge"]


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    step = st.tuples(st.sampled_from(WHO), st.sampled_from(VERBS), st.sampled_from("abc"))
    return draw(st.lists(step, max_size=25))


def act(journal: Journal, who: str, verb: str, member: str, number: int) -> None:
    key = f"p:session:{member}"
    copy = journal.copy(key)
    seen = copy.text if copy else None
    write = replace(listed(member, document(member, number, f"of {who or 'this machine'}", "aa")), seen=seen)
    letters = [letter for letter in journal.dead_letters() if letter.shown == who]
    match verb:
        case "save":
            journal.commit(write)
        case "offline" if who != MACHINE:
            journal.commit(write, pending=f"change for {who}", supersedes=number % 2 == 0)
        case "delete":
            journal.commit(replace(write, tombstone=True, list_row=None), pending=f"change for {who}" if who else None)
        case "remember" if who != MACHINE:
            journal.put_replica(write)
        case "adopt" if who != MACHINE:
            journal.overwrite_replica(write)
        case "settle":
            journal.ack([item.position for item in journal.pending(key)], None)
        case "dead letter":
            for item in journal.pending(key)[:1]:
                journal.make_dead_letter(item.position, f"refused by {who}")
        case "retry" if letters:
            journal.retry(letters[0].position)
        case "doubt":
            journal.mark_unverified()
        case "drop":
            journal.drop(key)
        case "purge":
            journal.purge_expired()
        case _:
            pass


def seen_by(journal: Journal) -> list[Any]:
    keys = [f"p:session:{member}" for member in "abc"]
    return [
        [journal.copy(key) for key in keys],
        [journal.lookup(key) for key in keys],
        [journal.pending(key) for key in keys],
        [journal.unsent_document(key) for key in keys],
        journal.unsent(INDEX),
        journal.list_unverified(9),
        journal.list_replica(9, 0),
        [entry for entry in journal.recent(INDEX, None, 9) if not entry.here_alone],
        [entry for entry in journal.entries(INDEX, "abc") if not entry.here_alone],
        journal.due_keys([]),
        journal.keys("p:"),
        journal.state().pending,
        journal.sync_state(),
    ]


@pytest.mark.slow
@settings(max_examples=25)
@given(stories())
def test_what_one_destination_does_is_never_seen_by_another(story: list[tuple[str, str, str]]):
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            who: stack.enter_context(closing(Journal(Path(folder), Clock(), (who,) if who else (), shown=who)))
            for who in WHO
        }
        for number, (who, verb, member) in enumerate(story, start=1):
            before = {other: seen_by(servers[other]) for other in WHO if other != who}
            act(servers[who], who, verb, member, number)
            assert {other: seen_by(servers[other]) for other in before} == before, (who, verb)
        for who in WHO:
            shown = repr(seen_by(servers[who]))
            assert not [other for other in WHO if other not in (who, MACHINE) and other in shown]


EPOCHS = {"redis://one": "epoch one", "redis://localhost": "epoch two", "redis://127.0.0.1": "epoch two"}


@pytest.mark.parametrize("order", [*permutations(EPOCHS)])
def test_epochs_that_are_learnt_in_any_order_join_what_is_one_redis_and_nothing_else(
    opened: Callable[..., Journal], order: tuple[str, ...]
):
    servers = {address: opened(address) for address in EPOCHS}
    for i, (address, server) in enumerate(servers.items()):
        server.commit(listed(f"s{i}", document(f"s{i}", 1, address)), pending=address)
    for address in order:
        servers[address].recognise(EPOCHS[address])
        servers[address].save_sync_state(SyncState(EPOCHS[address], "", "0-0"), lost=False)
    sent = {address: {change for i in range(3) for change in changes(server, f"p:session:s{i}")}
            for address, server in servers.items()}  # fmt: skip
    two = {"redis://localhost", "redis://127.0.0.1"}
    assert sent == {"redis://one": {"redis://one"}, "redis://localhost": two, "redis://127.0.0.1": two}


def test_what_waits_for_a_redis_that_nobody_named_and_that_never_answered_is_this_machines(
    tmp_path: Path, clock: Clock
):
    def opened(*addresses: str, unnamed: tuple[str, ...] = ()) -> Journal:
        return Journal(tmp_path / "data", clock, addresses, unnamed=unnamed)

    with closing(opened("localhost")) as earlier, closing(opened()) as machine:
        for member in ("s", "both"):
            earlier.commit(listed(member, document(member, 1, "there")), pending="change")
        machine.commit(listed("both", document("both", 1, "here")))
    forget_that_it_was_named(tmp_path / "data")
    with closing(opened(unnamed=("localhost", "older"))) as machine:
        assert [entry.member for entry in machine.recent(INDEX, None, 9)] == ["s", "both"]
        both = machine.copy("p:session:both")
        assert both
        assert "here" in both.text
        assert [(each.changes, each.keys) for each in machine.waiting()] == [(1, 1)], "it has another one"
    with closing(opened("localhost")) as named:
        assert [each.key for each in named.due_keys(["p:"])] == ["p:session:both"]


def test_what_waits_for_a_redis_that_a_program_named_goes_on_waiting(tmp_path: Path, clock: Clock):
    with closing(Journal(tmp_path / "data", clock, ["localhost"])) as program:
        program.commit(listed("s", document("s", 1, "there")), pending="change")
    with closing(Journal(tmp_path / "data", clock, unnamed=["localhost"])) as machine:
        assert machine.recent(INDEX, None, 9) == []
    with closing(Journal(tmp_path / "data", clock, ["localhost"])) as program:
        assert [each.key for each in program.due_keys(["p:"])] == ["p:session:s"]


def forget_that_it_was_named(folder: Path) -> None:
    """Make the journal one of an earlier version, which used a Redis on localhost though nobody had named it."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as db:
        db.execute("DELETE FROM addresses WHERE address LIKE 'named %'")


def test_what_a_redis_that_answered_has_stays_its_own(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    with closing(Journal(tmp_path / "data", clock, ["localhost"], "redis://localhost:6379/0")) as earlier:
        earlier.commit(listed("s", document("s", 1, "there")), pending="change")
        earlier.save_sync_state(SyncState("epoch", "run", "0-0"), lost=False)
    with closing(Journal(tmp_path / "data", clock, unnamed=["localhost"])) as machine:
        assert machine.recent(INDEX, None, 9) == []
        assert [(each.changes, each.keys) for each in machine.waiting()] == [(1, 1)]
    (told,) = caplog.messages
    assert told.startswith("Sessions here that are of redis://localhost:6379/0, which is not named: 1.")

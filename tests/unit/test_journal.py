"""The journal: one private file, several processes, nothing pending lost, and errors that say so."""

import json
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.backoff import LONGEST_DELAY
from agentic_flywheel.documents.model import micros
from agentic_flywheel.documents.writes import ListRow, Outcome, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import FILE_NAME, PURGE_AFTER, SCHEMA, Journal, NoJournal
from agentic_flywheel.journal.retention import DOUBTED
from agentic_flywheel.keys import Keys

from ..support import preloaded
from ..support.waiting import wait_until
from .conftest import Clock

INDEX = "p:index"


def write(key: str = "k", text: str = "text", seen: str | None = None, **more: Any) -> Write:
    return Write(key, text, seen, more.pop("kept_until", None), **more)


def listed(member: str, at: int, kept_until: datetime | None = None) -> Write:
    entry = ListRow(INDEX, member, at, json.dumps({"id": member}))
    return Write(f"p:session:{member}", f"text of {member}", None, kept_until, list_row=entry)


def members(journal: Journal) -> list[str]:
    return [entry.member for entry in journal.recent(INDEX, None, 100)]


def changes(journal: Journal, key: str = "k") -> list[str]:
    """The pending changes of a key, oldest first."""
    return [item.change for item in journal.pending(key)]


def due(journal: Journal, beginnings: Sequence[str] = ()) -> list[str]:
    return [each.key for each in journal.due_keys(beginnings)]


# the file


def test_the_journal_is_made_on_first_use_and_is_its_owners_alone(tmp_path: Path, clock: Clock):
    before = os.umask(0)
    try:
        journal = Journal(tmp_path / "new" / "data", clock)
        assert not journal.path.parent.exists()
        journal.commit(write())
    finally:
        os.umask(before)
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    files = sorted(journal.path.parent.iterdir())
    assert FILE_NAME in [file.name for file in files]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    journal.close()


def test_a_folder_that_holds_other_things_is_left_as_its_owner_set_it(tmp_path: Path, clock: Clock):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "notes.txt").write_text("mine")
    journal = Journal(folder, clock)
    journal.commit(write())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.close()


def test_what_was_committed_is_there_for_the_next_process(journal: Journal, clock: Clock):
    journal.commit(write(text="a\x00🌾\u2028"), pending="change")
    journal.close()
    after = Journal(journal.path.parent, clock, addresses=("redis",))
    copy = after.copy("k")
    assert copy
    assert (copy.text, changes(after)) == ("a\x00🌾\u2028", ["change"])
    after.close()


def test_a_closed_journal_opens_again_when_it_is_used(journal: Journal):
    journal.commit(write())
    journal.close()
    journal.close()
    assert journal.copy("k")


def newer_journal(folder: Path, mode: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("CREATE TABLE later (what TEXT)")
    db.execute("INSERT INTO later VALUES ('precious')")
    db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    db.close()
    return path


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_journal_of_a_newer_version_is_refused_untouched(tmp_path: Path, clock: Clock, mode: str):
    path = newer_journal(tmp_path / "data", mode)
    before = path.read_bytes()
    journal = Journal(path.parent, clock)
    for use in (lambda: journal.commit(write()), lambda: journal.copy("k"), journal.waiting, journal.purge_expired):
        with pytest.raises(JournalUnavailable, match=f"version {SCHEMA + 1}"):
            use()
    assert "version" in str(journal.state().error)
    journal.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_journal_is_moved_aside_untouched(tmp_path: Path, clock: Clock, content: bytes):
    path = tmp_path / "data" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(content)
    journal = Journal(path.parent, clock)
    assert journal.commit(write()).accepted
    (aside,) = journal.state().damaged
    journal.close()
    assert path.with_name(aside).read_bytes() == content


def test_a_folder_that_cannot_be_made_says_so_at_every_verb(tmp_path: Path, clock: Clock):
    (tmp_path / "file").write_text("no folder")
    journal = Journal(tmp_path / "file" / "data", clock)
    verbs = [
        lambda: journal.commit(write()),
        lambda: journal.copy("k"),
        lambda: journal.put_replica(write()),
        lambda: journal.pending("k"),
        lambda: journal.due_keys([]),
        lambda: journal.next_pending("k"),
        lambda: journal.ack([1], write()),
        lambda: journal.make_dead_letter(1, "why"),
        lambda: journal.recent(INDEX, None, 10),
        lambda: journal.unsent(INDEX),
        lambda: journal.keys("p:"),
        lambda: journal.purge_expired(),
    ]
    for verb in verbs:
        with pytest.raises(JournalUnavailable, match=FILE_NAME):
            verb()
    assert journal.state().error
    journal.close()


def test_a_journal_that_can_be_used_again_is_used_again(tmp_path: Path, clock: Clock):
    in_the_way = tmp_path / "data"
    in_the_way.write_text("no folder")
    journal = Journal(in_the_way, clock)
    with pytest.raises(JournalUnavailable):
        journal.commit(write())
    in_the_way.unlink()
    assert journal.commit(write()).accepted
    journal.close()


# several writers

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from agentic_flywheel.journal import Journal
from agentic_flywheel.keys import Keys
from agentic_flywheel.documents.writes import Write

folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
journal = Journal(folder, lambda: datetime.now(UTC), ("redis",))
if "open" in sys.argv:
    journal.copy("shared")
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    text = f"{name}.{number}"
    copy = journal.copy("shared")
    seen = copy.text if copy else None
    while True:
        write = Write("shared", f"{seen} {text}" if seen else text, seen, None)
        outcome = journal.commit(write, pending=text, durable=number % 2 == 0, timeout=60)
        if outcome.accepted:
            break
        seen = outcome.current
journal.close()
"""


def start_writers(folder: Path, how_many: int, count: int, *more: str) -> list["subprocess.Popen[str]"]:
    """Writers that all begin at the same moment; `more` "open": having opened the journal before."""
    writers = [
        subprocess.Popen(
            [*preloaded.program(WRITER), str(folder), f"w{i}", str(count), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(how_many)
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return writers


def finish(writers: list["subprocess.Popen[str]"]) -> None:
    """Wait for the end of writers that all do well."""
    try:
        ends = [writer.communicate(timeout=120) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(60)
    assert [err for _, err in ends] == [""] * len(writers)
    assert [writer.returncode for writer in writers] == [0] * len(writers)


def test_several_processes_write_at_once_and_lose_nothing(journal: Journal):
    assert journal.copy("shared") is None
    finish(start_writers(journal.path.parent, 5, 20, "open"))
    copy = journal.copy("shared")
    assert copy
    all_texts = {f"w{i}.{n}" for i in range(5) for n in range(20)}
    assert len(copy.text.split()) == len(all_texts)
    assert set(copy.text.split()) == all_texts
    assert changes(journal, "shared") == copy.text.split()


@pytest.mark.parametrize("attempt", range(3))
def test_several_processes_may_be_the_first_to_open_the_journal(tmp_path: Path, clock: Clock, attempt: int):
    folder = tmp_path / f"data-{attempt}"
    finish(start_writers(folder, 6, 1))
    journal = Journal(folder, clock, addresses=("redis",))
    assert len(journal.pending("shared")) == 6
    journal.close()


def test_threads_of_one_process_share_a_journal(journal: Journal):
    outcomes: list[Outcome] = []

    def rival(name: str) -> None:
        outcomes.append(journal.commit(write(text=name), timeout=60))

    threads = [threading.Thread(target=rival, args=(f"t{i}",)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    copy = journal.copy("k")
    assert copy
    assert [outcome.accepted for outcome in outcomes].count(True) == 1
    assert {outcome.current for outcome in outcomes if not outcome.accepted} == {copy.text}


def test_a_journal_that_another_process_is_just_making_is_waited_for(tmp_path: Path, clock: Clock):
    folder = tmp_path / "data"
    folder.mkdir()
    maker = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    maker.execute("BEGIN IMMEDIATE")
    journal = Journal(folder, clock)
    failures: list[JournalUnavailable] = []

    def use() -> None:
        try:
            journal.commit(write(), timeout=60)
        except JournalUnavailable as exc:
            failures.append(exc)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(0.2)  # an impatient one has given up by now
    maker.execute("COMMIT")
    maker.close()
    thread.join(60)
    assert failures == []
    assert journal.copy("k")
    journal.close()


def test_a_process_that_is_killed_takes_nothing_committed_with_it(journal: Journal):
    assert journal.copy("shared") is None
    (writer,) = start_writers(journal.path.parent, 1, 1_000_000, "open")
    try:
        wait_until(lambda: journal.pending("shared"), what="the first commit")
    finally:
        writer.kill()
        writer.communicate(timeout=60)
    copy = journal.copy("shared")
    assert copy
    assert changes(journal, "shared") == copy.text.split()
    assert journal.commit(write("another")).accepted


# the outbox


def test_a_refused_write_leaves_nothing_pending(journal: Journal):
    journal.commit(write(text="there"))
    assert journal.commit(write(text="mine"), pending="change") == Outcome(accepted=False, current="there")
    assert changes(journal) == []


def test_pending_changes_come_in_the_order_they_were_made_and_by_key(journal: Journal):
    journal.commit(write("a", "1"), pending="a1")
    journal.commit(write("b", "1"), pending="b1")
    journal.commit(write("a", "2", "1"), pending="a2")
    assert (changes(journal, "a"), changes(journal, "b")) == (["a1", "a2"], ["b1"])
    first = journal.next_pending("a")
    assert first
    assert first.change == "a1"
    journal.ack([first.position], None)
    assert changes(journal, "a") == ["a2"]
    assert journal.next_pending("c") is None
    assert journal.state().pending == 2


def test_keys_are_due_in_the_order_of_their_oldest_change(journal: Journal):
    for key in ("b", "a", "b", "c"):
        copy = journal.copy(key)
        journal.commit(write(key, seen=copy.text if copy else None), pending=key)
    assert due(journal) == ["b", "a", "c"]
    journal.ack([item.position for item in journal.pending("b")], None)
    assert due(journal) == ["a", "c"]


def test_a_key_that_failed_waits_for_its_time_and_goes_behind_the_others(journal: Journal, clock: Clock):
    for key in ("bad", "good", "worse"):
        journal.commit(write(key), pending=key)
    journal.postpone("bad", "refused", micros(clock() + timedelta(seconds=1)))
    journal.postpone("worse", "refused", 0)
    journal.postpone("worse", "refused again", 0)
    assert due(journal) == ["good", "worse"]
    clock.move(seconds=1)
    assert due(journal) == ["good", "bad", "worse"]
    (item,) = journal.pending("worse")
    assert (item.attempts, item.cause) == (2, "refused again")
    journal.postpone("good", "away", micros(clock() + timedelta(seconds=LONGEST_DELAY)))
    assert due(journal) == ["bad", "worse"]
    journal.try_all_now()
    assert due(journal) == ["bad", "good", "worse"]


def test_a_wait_that_a_clock_set_which_was_a_year_ahead_ends_when_the_clock_is_right(journal: Journal, clock: Clock):
    clock.move(days=365)
    journal.commit(write("k"), pending="k")
    journal.postpone("k", "full", micros(clock() + timedelta(seconds=LONGEST_DELAY)))
    assert due(journal) == []
    clock.move(days=-365)
    assert due(journal) == ["k"]
    assert journal.state().pending_seconds == 0.0


def test_what_is_pending_names_the_cause_of_the_oldest_that_failed_and_its_age(journal: Journal, clock: Clock):
    for key in ("z first", "y second", "a third"):
        journal.commit(write(key), pending=key)
        clock.move(seconds=10)
    assert journal.state().pending_cause is None
    journal.postpone("a third", "zzz", 0)
    journal.postpone("y second", "aaa", 0)
    state = journal.state()
    assert (state.pending_cause, state.pending_seconds) == ("aaa", 30.0)
    (item,) = journal.pending("y second")
    journal.make_dead_letter(item.position, "too large")
    assert journal.state().pending_cause == "zzz"


def test_pending_changes_of_one_deployment_are_not_those_of_another(journal: Journal):
    for key in ("p:session:a", "p:execution:a", "p:b:session:a", "pp:session:a", "p_:session:a", "P:session:a"):
        journal.commit(write(key), pending=key)
    assert due(journal, Keys("p").documents) == ["p:session:a", "p:execution:a"]
    assert due(journal, Keys("p:b").documents) == ["p:b:session:a"]


def test_a_copy_of_the_stash_does_not_overwrite_what_is_pending(journal: Journal):
    journal.commit(write(text="mine"), pending="change")
    journal.put_replica(write(text="theirs"))
    copy = journal.copy("k")
    assert copy
    assert copy.text == "mine"
    journal.put_replica(write("other", "theirs"))
    other = journal.copy("other")
    assert other
    assert other.text == "theirs"


def test_a_copy_of_the_stash_replaces_an_older_one(journal: Journal):
    journal.put_replica(write(text="old"))
    journal.put_replica(write(text="new"))
    copy = journal.copy("k")
    assert copy
    assert copy.text == "new"
    assert changes(journal) == []


def test_settling_the_last_change_of_a_key_leaves_what_the_stash_holds(journal: Journal):
    journal.commit(write(text="one"), pending="1")
    journal.commit(write(text="two", seen="one"), pending="2")
    first, second = journal.pending("k")
    journal.ack([first.position], write(text="merged one"))
    copy = journal.copy("k")
    assert copy
    assert (copy.text, journal.pending("k")) == ("two", [second])
    journal.ack([second.position], write(text="merged two"))
    copy = journal.copy("k")
    assert copy
    assert (copy.text, journal.pending("k")) == ("merged two", [])


def test_settling_several_changes_at_once_leaves_those_of_others(journal: Journal):
    for key in ("a", "b"):
        journal.commit(write(key, "1"), pending=f"{key}1")
        journal.commit(write(key, "2", "1"), pending=f"{key}2")
    _, positions = journal.unsent_document("a")
    journal.ack(positions, write("a", "merged"))
    assert (changes(journal, "a"), changes(journal, "b")) == ([], ["b1", "b2"])


def test_a_dead_letter_is_kept_named_and_in_nobodys_way(journal: Journal):
    journal.commit(write("bad", "1"), pending="refused")
    journal.commit(write("good", "1"), pending="fine")
    bad = journal.next_pending("bad")
    assert bad
    journal.make_dead_letter(bad.position, "too large")
    assert due(journal) == ["good"]
    assert journal.next_pending("bad") is None
    state = journal.state()
    assert (state.pending, state.dead_letters) == (1, (("bad", "too large"),))
    journal.put_replica(write("bad", "what the stash holds"))
    copy = journal.copy("bad")
    assert copy
    assert copy.text == "what the stash holds"
    assert journal.state().dead_letters == (("bad", "too large"),)


def test_a_dead_letter_is_not_taken_for_what_the_stash_holds(journal: Journal):
    journal.commit(write(text="refused there"), pending="change")
    journal.make_dead_letter(journal.pending("k")[0].position, "why")
    assert journal.copy("k") is None


def test_a_dead_letter_leaves_what_later_changes_of_the_key_made(journal: Journal):
    journal.commit(write(text="one"), pending="1")
    journal.commit(write(text="one two", seen="one"), pending="2")
    journal.make_dead_letter(journal.pending("k")[0].position, "why")
    assert changes(journal) == ["2"]
    assert journal.state().dead_letters == (("k", "why"),)


def test_a_dead_letter_is_read_sent_again_or_thrown_away_by_its_position(journal: Journal, clock: Clock):
    for key in ("a", "b"):
        journal.commit(write(key), pending=f"change of {key}")
        journal.postpone(key, "full", 2**62)
        journal.make_dead_letter(journal.pending(key)[0].position, "too large")
    first, second = journal.dead_letters()
    assert (first.key, first.attempts, first.cause, first.queued_at) == ("a", 1, "too large", clock())
    assert journal.command_of(first.position) == "change of a"
    assert journal.retry(first.position)
    assert journal.command_of(first.position) is None
    assert not journal.retry(first.position), "it is none any more"
    assert not journal.discard(first.position), "what is pending is not thrown away"
    assert due(journal) == ["a"]
    assert journal.discard(second.position)
    assert not journal.discard(second.position)
    assert (journal.dead_letters(), changes(journal, "b")) == ([], [])


def test_the_unsent_are_listed_newest_first(journal: Journal, clock: Clock):
    journal.commit(listed("sent", 1))
    journal.commit(listed("old", 2), pending="1")
    journal.commit(listed("new", 3), pending="2")
    journal.commit(listed("brief", 4, clock() + timedelta(seconds=1)), pending="3")
    assert [entry.member for entry in journal.unsent(INDEX)[0]] == ["brief", "new", "old"]
    clock.move(seconds=1)
    assert [entry.member for entry in journal.unsent(INDEX)[0]] == ["new", "old"]
    assert journal.unsent("another") == ([], [])


# time


def test_the_expired_are_hidden_from_lists_the_moment_their_time_has_come(journal: Journal, clock: Clock):
    journal.commit(listed("brief", 2, clock() + timedelta(microseconds=2)))
    journal.commit(listed("lasting", 1))
    clock.move(microseconds=1)
    assert members(journal) == ["brief", "lasting"]
    clock.move(microseconds=1)
    assert members(journal) == ["lasting"]
    assert journal.keys("p:session:") == ["p:session:lasting"]


def test_a_copy_tells_when_it_expires_exactly(journal: Journal, clock: Clock):
    journal.commit(write(kept_until=clock()))
    copy = journal.copy("k")
    assert copy
    assert copy.kept_until == clock()


def test_what_expired_is_purged_an_hour_after_it_was_noticed(journal: Journal, clock: Clock):
    soon = clock() + timedelta(seconds=1)
    journal.commit(write("gone", kept_until=soon))
    journal.commit(write("pending", kept_until=soon), pending="change")
    journal.commit(write("lasting"))
    clock.move(seconds=2)
    journal.purge_expired()
    assert journal.copy("gone")  # a clock set wrong and right again costs nothing
    assert not journal.is_past_retention("pending")
    clock.now += PURGE_AFTER
    assert journal.is_past_retention("pending")
    journal.purge_expired()
    assert journal.copy("gone") is None
    assert journal.copy("pending") is None
    assert changes(journal, "pending") == []
    assert journal.copy("lasting")
    assert timedelta(days=1) >= PURGE_AFTER


def test_what_expired_by_a_clock_far_ahead_is_there_again_when_that_is_put_right_within_days(
    journal: Journal, clock: Clock
):
    journal.commit(write("s", kept_until=clock() + timedelta(days=365)))
    clock.move(days=400)
    for _ in range(3):
        journal.purge_expired(at_once=True)  # as each start of a server does
        journal.commit(write("other", "saved by that clock"))
        clock.move(hours=20)
    journal.purge_expired()
    assert not journal.is_past_retention("s")
    clock.move(days=-402)
    journal.purge_expired()
    assert journal.copy("s")
    clock.move(days=364)
    journal.commit(write("other", "saved as time goes on"))
    clock.move(days=2)
    journal.purge_expired()
    clock.now += PURGE_AFTER
    journal.purge_expired()
    assert journal.copy("s") is None, "it was ended by a clock that is trusted"


def test_what_expired_by_a_clock_far_ahead_goes_some_days_later_where_that_is_right(journal: Journal, clock: Clock):
    journal.commit(write("s", kept_until=clock() + timedelta(days=1)))
    clock.move(days=40)
    journal.purge_expired()
    clock.now += DOUBTED - timedelta(seconds=1)
    journal.purge_expired()
    assert journal.copy("s")
    clock.move(seconds=1)
    journal.purge_expired()
    assert journal.copy("s") is None


@pytest.mark.parametrize("jump", [timedelta(days=40), timedelta(days=-40)])
def test_a_jump_of_the_clock_erases_nothing_within_the_hour(journal: Journal, clock: Clock, jump: timedelta):
    journal.commit(write("s", kept_until=clock() + timedelta(days=30)), pending="change")
    journal.purge_expired()
    clock.now += jump
    journal.purge_expired()
    clock.now += PURGE_AFTER - timedelta(seconds=1)
    journal.purge_expired()
    clock.now -= jump
    journal.purge_expired()
    clock.now += 2 * PURGE_AFTER
    journal.purge_expired()
    assert journal.copy("s")
    assert journal.pending("s")


# keys and copies


def test_keys_are_those_that_begin_so_whatever_they_look_like(journal: Journal):
    for key in ("p:history:a:1", "p:history:a:2", "p:history:ab:1", "p:history:a%:1", "p:history:A:1", "p:history:_:1"):
        journal.commit(write(key))
    journal.commit(write("p:history:a:dead", tombstone=True))
    assert sorted(journal.keys("p:history:a:")) == ["p:history:a:1", "p:history:a:2"]
    assert journal.keys("p:history:a%:") == ["p:history:a%:1"]
    assert journal.keys("p:history:_:") == ["p:history:_:1"]
    assert journal.keys("") == journal.keys("p:")


def test_a_copy_is_ready_to_be_written_where_there_is_nothing(journal: Journal, clock: Clock):
    first = listed("s", 7, clock())
    journal.commit(first)
    assert journal.copy(first.key) == first
    grave = write(first.key, "grave", first.text, tombstone=True, kept_until=clock(), list_row=ListRow(INDEX, "s", 1))
    journal.commit(grave)
    copy = journal.copy(first.key)
    assert copy
    assert (copy.text, copy.seen, copy.tombstone, copy.list_row) == ("grave", None, True, None)
    assert members(journal) == []


# what it says of itself


def test_the_state_counts_without_ever_failing(journal: Journal):
    journal.commit(write(text="x" * 10_000), pending="change")
    state = journal.state()
    assert (state.path, state.pending, state.dead_letters, state.error) == (str(journal.path), 1, (), None)
    assert state.bytes > 10_000
    assert "open" in repr(journal)
    journal.close()
    assert "closed" in repr(journal)


def test_a_journal_that_is_switched_off_takes_nothing_and_holds_nothing():
    off = NoJournal()
    for verb in (
        lambda: off.commit(write()),
        lambda: off.put_replica(write()),
        lambda: off.ack([1], write()),
        lambda: off.copy("k"),
        lambda: off.pending("k"),
        lambda: off.recent(INDEX, None, 5),
    ):
        with pytest.raises(JournalUnavailable, match="FLYWHEEL_JOURNAL"):
            verb()
    assert off.lookup_nowait("k") == (None, None)
    assert off.state().path is None
    off.close()


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"too long"])
def test_a_glance_at_a_text_that_is_not_as_it_was_put_tells_nothing(journal: Journal, damage: bytes):
    journal.commit(write("k", "é"))
    assert journal._open
    journal._open.writer.execute("UPDATE texts SET piece = ?", (damage,))
    assert journal.lookup_nowait("k") is None, "the longer look meets the damage"
    assert journal.copy_or_ends("k") is None
    assert journal.state().damaged, "it was moved aside, and what can be read of it was kept"


def test_a_glance_sees_what_a_look_sees_and_waits_for_nobody(journal: Journal):
    assert journal.lookup_nowait("k") is None, "the file is not open yet"
    journal.commit(write(), "change")
    assert journal.lookup_nowait("k") == journal.lookup("k")
    with closing(sqlite3.connect(journal.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert journal.lookup_nowait("k") == journal.lookup("k"), "a writer does not hold up readers"
    part, grave = write("part", part_of="set"), write("grave", tombstone=True)
    for each in (write("large", "é" * 60_000), write("row", list_row=ListRow(INDEX, "m", 5, "{}")), part, grave):
        journal.commit(each)
        assert journal.lookup_nowait(each.key) == journal.lookup(each.key) == (None, journal.copy(each.key))
    assert journal.lookup_nowait("nothing") == (None, None)
    assert journal.lookup_nowait("large", 100_000) is None, "it is too large"
    assert journal._open
    with journal._open.reading, ThreadPoolExecutor(1) as thread:
        assert thread.submit(journal.lookup_nowait, "k").result() is None
    journal.path.rename(journal.path.with_name("elsewhere"))
    assert journal.lookup_nowait("k") is None, "it is not the journal any more"

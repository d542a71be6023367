"""Journals of the versions before: all that they hold is there, where it belongs, or the file is left as it was."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import FILE_NAME, SCHEMA, Journal
from agentic_flywheel.journal.records import SyncState
from agentic_flywheel.journal.texts import PIECE

from ..support import preloaded
from ..support.waiting import wait_until
from .conftest import Clock
from .old_journals import DIGEST, INDEX, OTHER_DIGEST, TABLES, UNTIL, command, make_old, text

REDIS = ("redis://new-spelling", DIGEST)
VERSIONS = [*TABLES]


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def journal_of(opened: ExitStack, folder: Path, clock: Clock, *addresses: str) -> Journal:
    return opened.enter_context(closing(Journal(folder, clock, addresses, cap=10**9)))


def version_of(folder: Path) -> int:
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def changes(journal: Journal, member: str) -> list[str]:
    return [item.change for item in journal.pending(f"p:session:{member}")]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_pending_in_an_older_journal_is_sent_to_the_redis_in_use(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    make_old(tmp_path, version)
    journal = journal_of(opened, tmp_path, clock, *REDIS)
    copy = journal.copy("p:session:pending")
    assert copy
    assert (copy.text, copy.kept_until) == (text("pending", 2), UNTIL)
    assert copy.list_row
    assert (copy.list_row.index, copy.list_row.member, json.loads(copy.list_row.note)) == (
        INDEX,
        "pending",
        {"id": "pending"},
    )
    assert changes(journal, "pending") == [command("pending", 1), command("pending", 2)]
    grave = journal.copy("p:session:deleted")
    assert grave
    assert (grave.tombstone, changes(journal, "deleted")) == (True, [command("deleted")])
    assert journal.copy("p:revision:pending:1"), "an older revision goes with its session"
    (letter,) = journal.dead_letters()
    assert (letter.key, letter.cause, journal.command_of(letter.position)) == (
        "p:session:refused",
        "too large",
        command("refused"),
    )
    assert journal.state().pending == 3
    assert version_of(tmp_path) == SCHEMA


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_older_journal_never_sent_stays_with_this_machine(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    make_old(tmp_path, version)
    journal = journal_of(opened, tmp_path, clock, *REDIS)
    assert journal.copy("p:session:here") is None
    large = journal.copy_of_this_machine("p:session:large")
    assert large
    assert large.text == text("large", 1, "ü" * 300_000)
    assert {entry.member for entry in journal.recent_of_this_machine(INDEX, None, 9)} == {"here", "large"}
    machine = journal_of(opened, tmp_path, clock)
    assert machine.copy("p:session:here")


@pytest.mark.parametrize("version", [2, 3])
def test_the_old_name_of_a_redis_leads_to_the_same_one_as_its_new_name(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    make_old(tmp_path, version, DIGEST)
    journal = journal_of(opened, tmp_path, clock, *REDIS)
    assert journal.sync_state() == SyncState(f"epoch of {DIGEST}", "run", "9-0")
    copy = journal.copy(f"p:session:copy in {DIGEST}")
    assert copy
    assert copy.text == text("copy", 4)
    assert [(each.key, each.unverified) for each in journal.list_unverified(9)] == [(f"p:session:lost by {DIGEST}", 1)]
    grave = journal.copy(f"p:session:buried in {DIGEST}")
    assert grave
    assert grave.tombstone
    assert changes(journal, "pending") == [command("pending", 1), command("pending", 2)]
    state = journal.state()
    assert (state.replica_documents, state.waiting) == (3, ())
    assert len(journal.list_replica(9, 0)) == 3


@pytest.mark.parametrize("addresses", [REDIS, ("redis://unknown",), ()])
def test_where_several_redis_were_known_nothing_pending_is_sent_to_any_of_them(
    opened: ExitStack, tmp_path: Path, clock: Clock, addresses: tuple[str, ...]
):
    make_old(tmp_path, 3, DIGEST, OTHER_DIGEST)
    journal = journal_of(opened, tmp_path, clock, *addresses)
    assert changes(journal, "pending") == []
    machine = journal_of(opened, tmp_path, clock)
    assert machine.copy("p:session:pending"), "the document holds its changes"
    assert journal_of(opened, tmp_path, clock, DIGEST).copy(f"p:session:copy in {DIGEST}")
    other = journal_of(opened, tmp_path, clock, OTHER_DIGEST)
    assert other.copy(f"p:session:copy in {OTHER_DIGEST}")
    assert other.copy(f"p:session:copy in {DIGEST}") is None
    assert {entry.member for entry in machine.recent(INDEX, None, 9)} == {"pending", "here", "large"}


def test_a_pending_change_that_nobody_knows_a_redis_for_is_kept_where_no_document_holds_it(
    opened: ExitStack, tmp_path: Path, clock: Clock
):
    path = make_old(tmp_path, 3, DIGEST, OTHER_DIGEST)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM documents WHERE key = 'p:session:pending'")
        db.commit()
    letters = journal_of(opened, tmp_path, clock, *REDIS).dead_letters()
    assert [letter.key.rpartition(":")[2] for letter in letters] == ["pending", "refused", "pending"]


def test_a_file_of_the_first_version_can_give_room_back_from_now_on(opened: ExitStack, tmp_path: Path, clock: Clock):
    path = make_old(tmp_path, 1, many=2_000)
    machine = journal_of(opened, tmp_path, clock)
    before = machine.state().bytes
    for i in range(2_000):
        machine.drop(f"p:session:many-{i}")
    while machine.purge_expired().more:
        pass
    machine.purge()
    assert path.stat().st_size < before / 2


def test_bringing_a_file_up_to_date_takes_no_second_time_its_room(opened: ExitStack, tmp_path: Path, clock: Clock):
    path = make_old(tmp_path, 3, many=5_000)
    before = path.stat().st_size
    assert journal_of(opened, tmp_path, clock).keys("p:session:many-4999")
    opened.close()
    assert path.stat().st_size < 1.3 * before


OPEN = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Journal, migrations

number = 0
def slow(*arguments, put_text=migrations.put_text):
    global number
    number += 1
    if number == 100 and "stop" in sys.argv:
        print("half way", flush=True)
        sys.stdin.readline()
    return put_text(*arguments)
migrations.put_text = slow
journal, give_up = Journal(Path(sys.argv[1]), lambda: datetime.now(UTC)), time.monotonic() + 60
while True:
    try:
        print(len(journal.keys("p:session:many-")), flush=True)
        break
    except JournalUnavailable:  # another process still brings it up to date: it was waited for as long as for others
        if time.monotonic() > give_up:
            raise
"""


def opening(folder: Path, *how: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([*preloaded.program(OPEN), str(folder), *how], stdin=pipe, stdout=pipe, text=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migration_that_is_killed_leaves_the_old_file_whole(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    make_old(tmp_path, version, many=500)
    process = opening(tmp_path, "stop")
    assert process.stdout
    try:
        assert process.stdout.readline() == "half way\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert version_of(tmp_path) == version
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (505,)
    assert len(journal_of(opened, tmp_path, clock).keys("p:session:many-")) == 500


def test_processes_that_open_an_old_journal_at_once_bring_it_up_to_date_once(tmp_path: Path):
    make_old(tmp_path, 3, many=500)
    processes = [opening(tmp_path) for _ in range(4)]
    try:
        assert [process.communicate(timeout=120)[0] for process in processes] == ["500\n"] * 4
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=60)


def test_a_journal_that_another_process_brings_up_to_date_is_waited_for_no_longer_than_for_others(
    opened: ExitStack, tmp_path: Path, clock: Clock
):
    make_old(tmp_path, 3, many=500)
    process = opening(tmp_path, "stop")
    assert process.stdout
    assert process.stdin
    journal = journal_of(opened, tmp_path, clock)
    try:
        assert process.stdout.readline() == "half way\n"
        with pytest.raises(JournalUnavailable):
            journal.keys("p:session:many-")
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "500\n"
    finally:
        process.kill()
        process.communicate(timeout=60)
    wait_until(lambda: len(journal.keys("p:session:many-")) == 500, what="the journal")


def make_version_4(folder: Path, clock: Clock) -> tuple[Path, list[str]]:
    """A file as version 4 made it, which had no room behind a text, and the texts in it."""
    texts = [text("s", 1, "x" * size) for size in (100, 10_000, PIECE, 3 * PIECE)]
    with closing(Journal(folder, clock, (), cap=10**9)) as journal:
        for number, each in enumerate(texts):
            journal.commit(Write(f"p:session:{number}", each, None, None), f"command {number}")
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        db.execute("ALTER TABLE texts DROP COLUMN room")
        db.execute("PRAGMA user_version = 4")
    return folder / FILE_NAME, texts


def test_a_journal_without_room_behind_its_texts_is_brought_up_to_date(opened: ExitStack, tmp_path: Path, clock: Clock):
    _, texts = make_version_4(tmp_path, clock)
    journal = journal_of(opened, tmp_path, clock)
    for number, before in enumerate(texts):
        key, after = f"p:session:{number}", text("s", 2, before)
        assert journal.commit(Write(key, after, before, None)).accepted
        copy = journal.copy(key)
        assert copy
        assert copy.text == after
        assert changes(journal, str(number)) == [f"command {number}"]
    assert version_of(tmp_path) == SCHEMA


@pytest.mark.parametrize("how", ["its header", "its first page"])
def test_a_damaged_journal_without_room_behind_its_texts_is_recovered(
    opened: ExitStack, tmp_path: Path, clock: Clock, how: str
):
    path, texts = make_version_4(tmp_path, clock)
    path.write_bytes(damaged(path.read_bytes(), how))
    journal = journal_of(opened, tmp_path, clock)
    wait_until(lambda: journal.state().error is None, what="the journal")
    for number, each in enumerate(texts):
        copy = journal.copy(f"p:session:{number}")
        assert copy
        assert copy.text == each
    assert len(journal.state().damaged) == 1


@pytest.mark.parametrize("version", [SCHEMA + 1, 2**20 - 1, -1])
def test_a_journal_of_a_version_that_is_not_known_is_refused_with_its_number(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    path = make_old(tmp_path, 3)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(JournalUnavailable, match=str(version)):
        journal_of(opened, tmp_path, clock).keys("")
    assert path.read_bytes() == before


def damaged(data: bytes, how: str) -> bytes:
    first = {"its header": 0, "its first page": 0, "its middle": len(data) // 2 // 4096 * 4096}[how]
    size = {"its header": 100, "its first page": 4096, "its middle": 3 * 4096}[how]
    return data[:first] + b"\xa5" * size + data[first + size :]


@pytest.mark.parametrize("how", ["its header", "its first page", "its middle"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_can_be_read_of_a_damaged_journal_of_an_older_version_is_brought_up_to_date(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int, how: str
):
    path = make_old(tmp_path, version, DIGEST, many=400)
    path.write_bytes(damaged(path.read_bytes(), how))
    journal = journal_of(opened, tmp_path, clock, *REDIS)
    machine = journal_of(opened, tmp_path, clock)
    wait_until(lambda: journal.state().error is None, what="the journal")
    found = machine.keys("p:session:many-")
    for key in found:
        copy = machine.copy(key)
        assert copy
        member = key.removeprefix("p:session:")
        assert copy.text == text(member, 1, "x" * 2_000)
    assert len(machine.state().damaged) == 1
    assert len(found) >= (350 if how == "its middle" else 400)
    assert changes(journal, "pending") == [command("pending", 1), command("pending", 2)]
    assert [letter.cause for letter in journal.dead_letters()] == ["too large"]
    if version > 1:
        assert journal.sync_state() == SyncState(f"epoch of {DIGEST}", "run", "9-0")
        assert journal.copy(f"p:session:copy in {DIGEST}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_that_was_brought_up_to_date_is_rescued_as_one_that_was_made_new(
    opened: ExitStack, tmp_path: Path, clock: Clock, version: int
):
    path = make_old(tmp_path, version, DIGEST, many=400)
    journal_of(opened, tmp_path, clock, *REDIS).keys("")
    opened.close()
    path.write_bytes(damaged(path.read_bytes(), "its first page"))
    assert len(journal_of(opened, tmp_path, clock).keys("p:session:many-")) == 400

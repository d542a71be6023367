"""A journal whose file vanishes, or is replaced by another one, while it is open: what only the open one has stays."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document, Operation
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import FILE_NAME, SCHEMA, Journal
from agentic_flywheel.journal.records import SyncState

from .conftest import Clock
from .test_migrations import version_of

INDEX = "p:index"
REDIS = "redis://one"


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Journal]]:
    """Servers that share the folder."""
    with ExitStack() as stack:
        yield lambda *addresses: stack.enter_context(closing(Journal(tmp_path / "data", clock, addresses)))


def session(clock: Clock, revision: int, turns: list[str], writers: list[str]) -> str:
    """A document with these turns, by these writers, the newest last."""
    history = [{"role": "user", "content": turn} for turn in turns]
    operations = tuple(Operation(f"{writer}.{revision}", revision, 1, 1) for writer in writers)
    now = clock()
    talk = UniversalSession(id="s", backend=BackendType.CUSTOM, history=history, created_at=now, updated_at=now)
    return encode(Document(talk, revision, now, None, operations=operations))


def listed(text: str, seen: str | None = None, member: str = "s") -> Write:
    return Write(
        f"p:session:{member}", text, seen, None, list_row=ListRow(INDEX, member, 1, json.dumps({"id": member}))
    )


def document(member: str) -> str:
    return json.dumps({"schema_version": 1, "id": member, "revision": 1, "operations": [["aa.1", 1, 1, 1]]})


def save(journal: Journal, how_many: int, *, pending: bool = True) -> None:
    for i in range(how_many):
        command = json.dumps({"kind": "save", "number": i}) if pending else None
        journal.commit(listed(document(f"s{i}"), member=f"s{i}"), command)


def said(journal: Journal) -> list[str]:
    copy = journal.copy("p:session:s")
    assert copy
    there = decode(copy.text, "s")
    assert isinstance(there, Document)
    return [turn["content"] for turn in there.session.history]


GOES: dict[str, Callable[[Path], object]] = {
    "its file is deleted": lambda folder: [file.unlink() for file in folder.iterdir()],
    "only the file itself is deleted": lambda folder: (folder / FILE_NAME).unlink(),
    "its folder is deleted": shutil.rmtree,
    "its folder is moved": lambda folder: folder.rename(folder.with_name("elsewhere")),
}
MEETS: dict[str, Callable[[Journal], object]] = {
    "writes": lambda journal: journal.commit(listed(document("new"), member="new"), "{}"),
    "reads": lambda journal: journal.copy("p:session:s1"),
    "lists": lambda journal: journal.recent(INDEX, None, 5),
    "closes": lambda journal: journal.close(),
}


@pytest.mark.parametrize("meets", MEETS)
@pytest.mark.parametrize("goes", GOES)
def test_all_that_was_acknowledged_is_in_the_new_journal_however_the_old_one_goes(
    opened: Callable[..., Journal], tmp_path: Path, caplog: pytest.LogCaptureFixture, goes: str, meets: str
):
    server, machine = opened(REDIS), opened()
    server.save_sync_state(SyncState("epoch", "run", "0-0"), lost=False)
    save(server, 20)
    server.put_replica(listed(document("copy"), member="copy"))
    server.make_dead_letter(server.pending("p:session:s7")[0].position, "too large")
    machine.commit(listed(document("mine"), member="mine"))
    machine.close()
    GOES[goes](tmp_path / "data")
    MEETS[meets](server)
    assert "19 pending" not in caplog.text
    assert "20 pending changes" in caplog.text
    after = opened(REDIS)
    assert [item.change for i in range(20) for item in after.pending(f"p:session:s{i}")] == [
        json.dumps({"kind": "save", "number": i}) for i in range(20) if i != 7
    ]
    assert [letter.cause for letter in after.dead_letters()] == ["too large"]
    assert all(after.copy(f"p:session:s{i}") for i in range(20) if i != 7)
    assert after.copy("p:session:copy")
    assert [copy.key for copy in after.list_unverified(9)] == ["p:session:copy"], "what the Redis held is verified"
    assert after.sync_state() == SyncState("epoch", "run", "0-0")
    assert after.copy_of_this_machine("p:session:mine")
    (told,) = server.state().recovered
    assert "20 pending changes" in told
    assert str(tmp_path) not in told


def test_a_server_that_only_closes_does_not_make_a_journal_anew_that_nothing_is_missing_from(
    opened: Callable[..., Journal], tmp_path: Path
):
    server = opened(REDIS)
    server.put_replica(listed(document("copy"), member="copy"))
    shutil.rmtree(tmp_path / "data")
    server.close()
    assert not (tmp_path / "data").exists()


def test_servers_that_share_a_journal_that_vanished_bring_it_over_once_and_hurt_none_of_the_others_saves(
    opened: Callable[..., Journal], tmp_path: Path
):
    servers = [opened(REDIS) for _ in range(3)]
    save(servers[0], 5)
    for server in servers:
        server.copy("p:session:s1")
    shutil.rmtree(tmp_path / "data")
    for i, server in enumerate(servers):
        server.commit(listed(document(f"new{i}"), member=f"new{i}"), pending=f'{{"new": {i}}}')
    assert [len(server.state().recovered) for server in servers] == [1, 0, 0]
    for server in servers:
        assert server.state().pending == 8
        assert len(server.keys("p:session:")) == 8
        assert server.state().error is None


SERVER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from agentic_flywheel.journal import Journal
from tests.unit.test_vanished_journal import REDIS, document, listed, save
journal = Journal(Path(sys.argv[1]), lambda: datetime.now(UTC), (REDIS,))
journal.copy("p:session:s1")
print("open", flush=True)
for number, line in enumerate(sys.stdin):
    member = f"{line.strip()}-{number}"
    journal.commit(listed(document(member), member=member), pending='{"by": "%s"}' % member)
    print(journal.state().pending, flush=True)
"""


def test_processes_that_share_a_journal_that_vanished_go_on_in_one_new_one(
    opened: Callable[..., Journal], tmp_path: Path
):
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SERVER, str(tmp_path / "data"), root]
    pipe = subprocess.PIPE
    server = opened(REDIS)
    save(server, 5)
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]

    def ask(process: "subprocess.Popen[str]", name: str) -> str:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
        server.close()
        shutil.rmtree(tmp_path / "data")
        counts = [ask(process, f"p{i}") for _ in range(2) for i, process in enumerate(processes)]
        assert counts == [str(5 + n) for n in range(1, 7)]
        processes[0].communicate(timeout=60)  # it closes the old file last of all, with the new one in its place
        assert [ask(process, f"q{i}") for i, process in enumerate(processes[1:])] == ["12", "13"]
    finally:
        for process in processes:
            process.kill()
            with process:
                process.wait(60)
    assert opened(REDIS).state().pending == 13


@pytest.fixture
def older(opened: Callable[..., Journal], tmp_path: Path) -> Callable[[], None]:
    """Make a copy of the journal as it is now; what this gives puts it into the place of the one of then."""
    data = tmp_path / "data"
    opened().close()

    def put() -> None:
        (tmp_path / "backup").rename(data / FILE_NAME)

    return put


def back_up(tmp_path: Path) -> None:
    shutil.copy(tmp_path / "data" / FILE_NAME, tmp_path / "backup")


def test_an_older_journal_that_is_put_in_place_gets_what_was_saved_since(
    opened: Callable[..., Journal], older: Callable[[], None], tmp_path: Path, clock: Clock
):
    first = session(clock, 1, ["one"], ["aa"])
    with closing(Journal(tmp_path / "data", clock, (REDIS,))) as server:
        server.commit(listed(first), pending='{"n": 1}')
    back_up(tmp_path)
    server = opened(REDIS)
    server.commit(listed(session(clock, 2, ["one", "two"], ["aa", "aa"]), first), pending='{"n": 2}')
    server.commit(listed(document("t"), member="t"), pending='{"n": 3}')
    older()
    assert said(server) == ["one", "two"]
    assert [item.change for item in server.pending("p:session:s")] == ['{"n": 1}', '{"n": 2}']
    assert server.copy("p:session:t")
    assert len(server.state().recovered) == 1
    unsent, positions = server.unsent_document("p:session:s")
    assert unsent
    assert len(positions) == 2


def test_a_journal_put_in_place_that_goes_on_from_the_one_that_was_open_stays_as_it_is(
    opened: Callable[..., Journal], older: Callable[[], None], tmp_path: Path, clock: Clock
):
    first, second = session(clock, 1, ["one"], ["aa"]), session(clock, 2, ["one", "two"], ["aa", "bb"])
    server = opened()
    server.commit(listed(first))
    with closing(Journal(tmp_path / "later", clock)) as later:
        later.commit(listed(second))
    (tmp_path / "later" / FILE_NAME).rename(tmp_path / "backup")
    older()
    assert said(server) == ["one", "two"]
    assert server.state().recovered == ()


def test_what_both_journals_were_given_since_they_parted_is_merged(
    opened: Callable[..., Journal], older: Callable[[], None], tmp_path: Path, clock: Clock
):
    first = session(clock, 1, ["one"], ["aa"])
    with closing(Journal(tmp_path / "data", clock)) as server:
        server.commit(listed(first))
    back_up(tmp_path)
    server = opened()
    server.commit(listed(session(clock, 2, ["one", "here"], ["aa", "bb"]), first))
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "backup", tmp_path / "other" / FILE_NAME)
    with closing(Journal(tmp_path / "other", clock)) as other:
        other.commit(listed(session(clock, 2, ["one", "there"], ["aa", "cc"]), first))
    (tmp_path / "other" / FILE_NAME).rename(tmp_path / "backup")
    older()
    assert sorted(said(server)) == ["here", "one", "there"]
    assert said(server)[0] == "one"


def test_what_was_deleted_in_the_one_that_was_open_does_not_come_back_with_an_older_journal(
    opened: Callable[..., Journal], older: Callable[[], None], tmp_path: Path, clock: Clock
):
    first = session(clock, 1, ["one"], ["aa"])
    with closing(Journal(tmp_path / "data", clock)) as server:
        server.commit(listed(first))
    back_up(tmp_path)
    server = opened()
    grave = {"schema_version": 1, "id": "s", "revision": 1, "deleted_at": clock().isoformat(), "kept_until": None}
    server.commit(Write("p:session:s", json.dumps(grave | {"because": "deleted"}), first, None, tombstone=True))
    older()
    assert server.recent(INDEX, None, 5) == []
    copy = server.copy("p:session:s")
    assert copy
    assert copy.tombstone


def test_nothing_is_let_go_of_while_there_can_be_no_new_journal(opened: Callable[..., Journal], tmp_path: Path):
    server = opened(REDIS)
    save(server, 3)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(JournalUnavailable):
        server.copy("p:session:s1")
    (tmp_path / "data").unlink()
    assert server.copy("p:session:s1")
    assert server.state().pending == 3
    assert version_of(tmp_path / "data") == SCHEMA

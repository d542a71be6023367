"""A damaged journal: all that can be read of it goes into a new one, each thing whole and where it belongs."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.records import SyncState

from .conftest import Clock

PAGE = 4096
INDEX = "p:index"
HOW_MANY = 120
ONE, TWO = "redis://one", "redis://two"


def document(member: str, size: int = 300) -> str:
    head = {"schema_version": 1, "id": member, "revision": 1, "words": random.Random(member).randbytes(size).hex()}
    return json.dumps(head | {"operations": [["aa.1", 1, 1, 1]]}, separators=(",", ":"))


def command(member: str) -> str:
    return json.dumps({"kind": "save", "key": f"p:session:{member}", "words": document(member)})


def listed(member: str, size: int = 300) -> Write:
    note = json.dumps({"id": member})
    return Write(f"p:session:{member}", document(member, size), None, None, list_row=ListRow(INDEX, member, 1, note))


def fill(folder: Path, clock: Callable[[], datetime]) -> None:
    """A journal with pending changes and copies for two Redis, documents of this machine, large ones, dead letters."""
    with closing(Journal(folder, clock, (ONE,), "one")) as one, closing(Journal(folder, clock, (TWO,), "two")) as two:
        one.save_sync_state(SyncState("epoch one", "run", "7-0"), lost=False)
        for i in range(HOW_MANY):
            one.commit(listed(f"pending-{i}"), pending=command(f"pending-{i}"))
            two.put_replica(listed(f"copy-{i}"))
        for i in range(3):
            one.commit(listed(f"large-{i}", 200_000), pending=command(f"large-{i}"))
            one.postpone(f"p:session:pending-{i}", "full", 5)
            two.commit(listed(f"refused-{i}"), pending=command(f"refused-{i}"))
            two.make_dead_letter(two.pending(f"p:session:refused-{i}")[0].position, "too large")
    with closing(Journal(folder, clock)) as machine:
        for i in range(HOW_MANY):
            machine.commit(listed(f"here-{i}"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    fill(folder, Clock())
    assert not (folder / f"{FILE_NAME}-wal").exists()
    return (folder / FILE_NAME).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def garbage(data: bytes, first: int, size: int) -> bytes:
    return data[:first] + random.Random(7).randbytes(size) + data[first + size :]


class Rescued:
    """What the servers of both Redis and of this machine find."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.one, self.two, self.machine = (Journal(folder, clock, addresses) for addresses in ((ONE,), (TWO,), ()))

    def meet_the_damage(self) -> None:
        """Look everywhere, as servers do in time."""
        for journal in (self.one, self.two, self.machine):
            for what in ("pending", "copy", "here", "large", "refused"):
                for i in range(HOW_MANY):
                    journal.copy(f"p:session:{what}-{i}")
                    journal.pending(f"p:session:{what}-{i}")
            journal.recent(INDEX, None, 1000)
            journal.dead_letters()

    def close(self) -> None:
        for journal in (self.one, self.two, self.machine):
            journal.close()

    def documents(self, journal: Journal, what: str, size: int = 300) -> int:
        """How many are there, each of them whole."""
        found = 0
        for i in range(HOW_MANY):
            copy = journal.copy(f"p:session:{what}-{i}")
            if copy:
                found += 1
                assert (copy.text, copy.list_row and copy.list_row.member) == (
                    document(f"{what}-{i}", size),
                    f"{what}-{i}",
                )
        return found

    def changes(self, journal: Journal, what: str) -> int:
        found = 0
        for i in range(HOW_MANY):
            key = f"p:session:{what}-{i}"
            changes = [item.change for item in journal.pending(key)]
            assert changes in ([], [command(f"{what}-{i}")])
            unsent, positions = journal.unsent_document(key)
            assert unsent is None or len(positions) == len(changes), "a document holds all of its changes"
            found += len(changes)
        return found


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its header overwritten": lambda data: garbage(data, 0, 100),
    "its first page overwritten": lambda data: garbage(data, 0, PAGE),
    "its first pages overwritten": lambda data: garbage(data, 0, 2 * PAGE),
    "cut in the middle of a page": lambda data: data[: len(data) * 3 // 4 + 123],
    **{
        f"garbage from {tenth} tenths on": lambda data, tenth=tenth: garbage(
            data, max(len(data) * tenth // 10 // PAGE, 20) * PAGE, 4 * PAGE
        )
        for tenth in range(10)
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_can_be_read_of_a_damaged_journal_is_there_again_where_it_belongs(
    damage: str, whole: bytes, folder: Path, clock: Clock
):
    (folder / FILE_NAME).write_bytes(DAMAGES[damage](whole))
    with closing(Rescued(folder, clock)) as rescued:
        rescued.meet_the_damage()
        assert len(rescued.machine.state().damaged) == 1
        mostly = 0.5 if damage.startswith("cut") else 1.0 if damage.startswith("its") else 0.85
        assert rescued.documents(rescued.one, "pending") >= mostly * HOW_MANY
        assert rescued.documents(rescued.two, "copy") >= mostly * HOW_MANY
        assert rescued.changes(rescued.one, "pending") >= mostly * HOW_MANY
        assert rescued.documents(rescued.one, "large", 200_000) >= 3 * mostly - 1.6
        if damage.startswith("its"):
            assert rescued.documents(rescued.machine, "here") == HOW_MANY
            assert rescued.one.sync_state() == SyncState("epoch one", "run", "7-0")
            (late,) = rescued.one.pending("p:session:pending-1")
            assert (late.attempts, late.cause, late.next_attempt) == (1, "full", 5)
            assert [(letter.key, letter.shown, letter.cause) for letter in rescued.two.dead_letters()] == [
                (f"p:session:refused-{i}", "two", "too large") for i in range(3)
            ]
            assert [waiting.shown for waiting in rescued.two.waiting()] == ["one"]
        assert rescued.documents(rescued.two, "pending") == 0, "nothing crosses over"
        assert rescued.changes(rescued.two, "pending") == 0
        assert rescued.documents(rescued.machine, "pending") == rescued.documents(rescued.machine, "copy") == 0
        in_doubt = {copy.key for copy in rescued.two.list_unverified(1000)}
        assert len(in_doubt) == rescued.documents(rescued.two, "copy"), "what the Redis held is verified"


def test_a_document_of_which_a_piece_is_gone_is_left_out_and_its_changes_are_kept(folder: Path, clock: Clock):
    text = document("s", 400_000)
    with closing(Journal(folder, clock, (ONE,))) as journal:
        journal.commit(Write("p:session:s", text, None, None), pending=command("s"))
        journal.commit(listed("t"), pending=command("t"))
    data = (folder / FILE_NAME).read_bytes()
    place = data.index(text[300_000:300_100].encode())
    (folder / FILE_NAME).write_bytes(garbage(garbage(data, place, 64), 0, 100))
    with closing(Journal(folder, clock, (ONE,))) as journal:
        assert journal.copy("p:session:s") is None
        assert [item.change for item in journal.pending("p:session:s")] == [command("s")]
        assert journal.unsent_document("p:session:s")[0] is None
        assert journal.copy("p:session:t")

"""A full disk: what is in the journal can be read and sent; what must be written is refused until there is room."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Journal

from ..support.machine import small_disk
from .conftest import Clock

INDEX = "p:index"
HOW_MANY = 5


def document(member: str) -> str:
    return json.dumps({"schema_version": 1, "id": member, "revision": 1, "operations": [["aa.1", 1, 1, 1]]})


def write(member: str, text: str = "") -> Write:
    entry = ListRow(INDEX, member, 1, json.dumps({"id": member}))
    return Write(f"p:session:{member}", text or document(member), None, None, list_row=entry)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    with small_disk(tmp_path / "disk") as filled:
        yield filled


@pytest.fixture
def opened(disk: object, tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Journal]]:
    """Servers that share a journal on the disk; five saves of theirs are pending."""
    assert disk
    with ExitStack() as stack:

        def server() -> Journal:
            return stack.enter_context(closing(Journal(tmp_path / "disk" / "data", clock, ("redis",))))

        with closing(Journal(tmp_path / "disk" / "data", clock, ("redis",))) as first:
            for i in range(HOW_MANY):
                first.commit(write(f"s{i}"), pending=f'{{"save": {i}}}')
            first.put_replica(write("copy"))
        yield server


def all_can_be_read(journal: Journal) -> None:
    assert [each.key for each in journal.due_keys(["p:"])] == [f"p:session:s{i}" for i in range(HOW_MANY)]
    for i in range(HOW_MANY):
        key = f"p:session:s{i}"
        assert [item.change for item in journal.pending(key)] == [f'{{"save": {i}}}']
        copy, positions = journal.unsent_document(key)
        assert copy
        assert (copy.text, len(positions)) == (document(f"s{i}"), 1)
        assert journal.lookup(key) == (journal.pending(key)[0], copy)
    assert journal.copy("p:session:copy")
    assert len(journal.recent(INDEX, None, 99)) == HOW_MANY + 1
    assert len(journal.unsent(INDEX)[0]) == HOW_MANY
    assert journal.sync_state() is None
    assert journal.state().pending == HOW_MANY


def nothing_can_be_written(journal: Journal) -> None:
    position = journal.pending("p:session:s1")[0].position
    for verb in (
        lambda: journal.commit(write("new"), pending="{}", durable=True),
        lambda: journal.ack([position], write("s1")),
        lambda: journal.postpone("p:session:s1", "away", 0),
        lambda: journal.put_replica(write("another")),
    ):
        with pytest.raises(JournalUnavailable):
            verb()


@pytest.mark.parametrize("when", ["while the journal is open", "before it is opened"])
def test_what_is_in_the_journal_is_read_on_a_full_disk_and_written_when_there_is_room(
    opened: Callable[[], Journal], disk: Callable[[], AbstractContextManager[None]], when: str
):
    journal = opened()
    if when.startswith("while"):
        all_can_be_read(journal)
    with disk():
        all_can_be_read(journal)
        nothing_can_be_written(journal)
        all_can_be_read(journal)
        all_can_be_read(opened())
    for i in range(HOW_MANY):
        journal.ack([item.position for item in journal.pending(f"p:session:s{i}")], write(f"s{i}"))
    assert journal.due_keys(["p:"]) == []
    assert journal.commit(write("new"), pending="{}", durable=True).accepted
    assert journal.state().replica_documents == HOW_MANY + 1


def test_what_could_not_be_settled_after_it_was_sent_is_settled_with_what_came_of_it(
    opened: Callable[[], Journal], disk: Callable[[], AbstractContextManager[None]]
):
    journal = opened()
    position = journal.pending("p:session:s1")[0].position
    with disk(), pytest.raises(JournalUnavailable):
        journal.ack([position], write("s1"))
    journal.ack([position], write("s1"))
    journal.ack([position], write("s1"))
    assert journal.pending("p:session:s1") == []
    assert [copy.key for copy in journal.list_replica(9, 0)] == ["p:session:s1", "p:session:copy"]


def test_a_save_that_does_not_fit_leaves_the_journal_as_it_was_and_says_so(
    opened: Callable[[], Journal], disk: Callable[[], AbstractContextManager[None]]
):
    journal = opened()
    all_can_be_read(journal)
    with disk():
        with pytest.raises(JournalUnavailable, match=r"full|disk"):
            journal.commit(write("new", document("new") + " " * 300_000), durable=True)
        assert "cannot be written" in str(journal.state().error)
        all_can_be_read(journal)
    assert journal.copy("p:session:new") is None

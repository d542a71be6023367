"""Deletions, executions, and every change as the outbox keeps it."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import TzInfo

from agentic_flywheel.documents.append_log import AppendLogCommand
from agentic_flywheel.documents.commands import AnyCommand, as_copy, dump_command, load_command
from agentic_flywheel.documents.delete import MAX_TOMBSTONE, MIN_TOMBSTONE, DeleteCommand, Deleted, TombstoneCommand
from agentic_flywheel.documents.drop_records import DropRecordsCommand
from agentic_flywheel.documents.execution import ExecutionCommand
from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.model import Tombstone
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.errors import Conflict, Damaged, NewerSchema

from .conftest import Clock

KEY = "p:session:s"


def session(revision: int = 3, kept_until: datetime | None = None) -> str:
    ends = kept_until.isoformat() if kept_until else None
    return json.dumps({"schema_version": 1, "id": "s", "revision": revision, "kept_until": ends})


def deletion(**more: Any) -> DeleteCommand:
    return DeleteCommand(key=KEY, operation="d", member="s", index="p:index", **more)


WRITER = Writer()


def execution(name: str = "e1", result: Any = None, ttl: int = 60) -> ExecutionCommand:
    record = {"id": name, "result": result or {}}
    return ExecutionCommand(key=f"p:execution:{name}", operation=WRITER.next(), record=record, ttl_seconds=ttl)


# deletion


def test_a_deletion_leaves_a_tombstone_of_the_same_revision_and_takes_the_entry_out(clock: Clock):
    step = deletion().apply(session(3), clock())
    assert step.answer == Deleted(deleted=True)
    assert step.write
    assert (step.write.tombstone, step.write.seen) == (True, session(3))
    assert step.write.list_row
    assert (step.write.list_row.index, step.write.list_row.member) == ("p:index", "s")
    assert decode(step.write.text, "s") == Tombstone("s", 3, clock(), step.write.kept_until, "deleted")


def test_there_is_nothing_to_delete_where_nothing_is(clock: Clock):
    step = deletion().apply(None, clock())
    assert (step.write, step.answer) == (None, Deleted(deleted=False, reason="not_found"))


@pytest.mark.parametrize("because", ["deleted", "expired"])
def test_what_is_buried_is_not_buried_again_and_why_is_known(clock: Clock, because: str):
    kept_until = clock() if because == "expired" else None
    first = deletion(because=because).apply(session(kept_until=kept_until), clock()).write
    assert first
    step = deletion().apply(first.text, clock())
    assert (step.write, step.answer) == (None, Deleted(deleted=False, reason=because))  # type: ignore[arg-type]


def test_what_is_alive_is_not_buried_as_expired(clock: Clock):
    assert deletion(because="expired").apply(session(), clock()).write is None


def test_a_deletion_that_was_kept_meanwhile_does_not_take_what_others_saved_since(clock: Clock):
    pending = deletion().apply(session(revision=2), clock()).queued
    assert pending.apply(session(revision=2), clock()).write  # type: ignore[attr-defined]
    with pytest.raises(Conflict):
        pending.apply(session(revision=3), clock())  # type: ignore[attr-defined]


def test_a_tombstone_is_put_back_over_what_it_beats_only(clock: Clock):
    tombstone = deletion().apply(session(revision=2), clock()).write
    assert tombstone
    burial = TombstoneCommand(key=KEY, member="s", index="p:index", text=tombstone.text)
    for base, wins in ((None, True), (session(revision=2), True), (session(revision=3), False)):
        write = burial.apply(base, clock()).write
        assert (write is not None) == wins
        assert write is None or (write.text, write.seen, write.tombstone) == (tombstone.text, base, True)
    assert burial.apply(tombstone.text, clock()).write is None
    assert burial.apply(None, clock.move(days=400)).write is None


def test_an_expired_document_is_buried_and_was_not_there_to_delete(clock: Clock):
    step = deletion().apply(session(kept_until=clock()), clock())
    assert step.write
    assert step.answer == Deleted(deleted=False, reason="expired")


@pytest.mark.parametrize("text", ["not ours", "[]", '{"schema_version": 99, "revision": 8}', '{"deleted_at": 1.5e400}'])
def test_what_is_damaged_or_newer_can_be_deleted_by_its_owner(clock: Clock, text: str):
    step = deletion().apply(text, clock())
    assert step.answer.deleted
    assert step.write
    assert step.write.seen == text


@given(st.integers(0, 10_000))
def test_a_tombstone_outlives_twice_the_life_of_what_it_buries_within_bounds(days: int):
    now = Clock()()
    write = deletion().apply(session(kept_until=now + timedelta(days=days)), now - timedelta(seconds=1)).write
    assert write
    assert write.kept_until
    life = write.kept_until - now
    assert MIN_TOMBSTONE - timedelta(seconds=1) <= life <= MAX_TOMBSTONE
    assert life >= min(timedelta(days=2 * days), MAX_TOMBSTONE) - timedelta(seconds=1)


def test_the_tombstone_of_what_never_expires_is_kept_longest(clock: Clock):
    write = deletion().apply(session(), clock()).write
    assert write
    assert write.kept_until == clock() + MAX_TOMBSTONE


# executions


def test_an_execution_is_a_document_with_its_record(clock: Clock):
    step = execution(result={"n": 2**70}).apply(None, clock())
    assert step.answer.kept_until == clock() + timedelta(seconds=60)
    assert step.write
    data = json.loads(step.write.text)
    assert list(data)[:3] == ["schema_version", "id", "revision"]
    assert (data["id"], data["revision"], data["result"]) == ("e1", 1, {"n": 2**70})
    assert (data["saved_at"], data["kept_until"]) == (
        "2026-11-05T12:00:00.123456+00:00",
        "2026-11-05T12:01:00.123456+00:00",
    )


def test_a_later_execution_of_the_same_id_takes_its_place_as_the_next_revision(clock: Clock):
    first = execution(result={"n": 1}).apply(None, clock()).write
    assert first
    second = execution(result={"n": 2}).apply(first.text, clock()).write
    assert second
    assert second.seen == first.text
    assert (json.loads(second.text)["revision"], json.loads(second.text)["result"]) == (2, {"n": 2})


def test_an_execution_kept_for_ever_has_no_end(clock: Clock):
    step = execution(ttl=0).apply(None, clock())
    assert step.answer.kept_until is None
    assert step.write
    assert json.loads(step.write.text)["kept_until"] is None


def test_a_newer_execution_is_never_written_over(clock: Clock):
    with pytest.raises(NewerSchema):
        execution().apply('{"schema_version": 2}', clock())


def test_an_execution_that_arrived_is_not_written_again_not_even_after_later_ones(clock: Clock):
    earlier, later = execution(result={"n": 1}), execution(result={"n": 2})
    first = earlier.apply(None, clock()).write
    assert first
    assert earlier.apply(first.text, clock()).write is None
    second = later.apply(first.text, clock()).write
    assert second
    assert earlier.apply(second.text, clock()).write is None


# what the outbox and the journal keep

OLD_ROWS = (Path(__file__).parent / "samples" / "outbox.jsonl").read_text(encoding="utf-8").splitlines()
"""One of each command, and a save with every field, as the build wrote them that still called them changes."""

READ_AGAIN = datetime(2030, 1, 1, tzinfo=TzInfo(0))
"""A time as it is read from a row."""

ALL_CHANGES: list[AnyCommand] = [
    SaveCommand(
        key=KEY, operation="o", session_id="s", index="p:index", mode="replace",
        history=[{"content": "é🌾\u2028\x00", "big": 2**70, "zero": -0.0, "none": None, "empty": [[], {}]}],
        context={"": {"a": [1, 1.0, True]}}, values={"status": "running", "expires_at": None}, title="T", summary="S",
        tags=[], ttl_seconds=0, default_ttl_seconds=5, default_user="ana", max_bytes=10, expected_revision=None,
        replaces=3, exact=True,
    ),
    SaveCommand(key=KEY, operation="o", session_id="s", index="i", default_ttl_seconds=5, max_bytes=10),
    RenewCommand(key=KEY, operation="o", session_id="s", index="i"),
    DeleteCommand(key=KEY, operation="o", member="s", index="i", because="expired"),
    execution(result={"n": 2**70, "f": 1e308}),
    FlowHistoryCommand(
        key="p:history:s:f", operation="o", session_id="s", flow_id="f", records=[{"id": "e", "result": {"t": [None]}}],
        replaces=True, ttl_seconds=60, max_bytes=9,
    ),
    ExecutionCommand(
        key="p:execution:e", operation="o", record={"id": "e", "result": {}}, ttl_seconds=0, max_bytes=9,
        expected_revision=3, expects="ab.1", written_at=READ_AGAIN,
    ),
    AppendLogCommand(
        key="p:history:s:l", operation="o", session_id="s", flow_id="l", records=[{"id": "r", "value": {"t": [None]}}],
        ttl_seconds=60, max_bytes=9, full_bytes=7, renews=True, begins=False, written_at=READ_AGAIN,
    ),
    DropRecordsCommand(key="p:history:s:l", operation="o", ids=["r", "another"]),
]  # fmt: skip


@pytest.mark.parametrize("change", ALL_CHANGES, ids=lambda change: change.kind)
def test_a_change_comes_back_from_the_outbox_as_it_was(change: AnyCommand):
    back = load_command(dump_command(change))
    assert type(back) is type(change)
    assert back == change
    assert repr(back) == repr(change)


@pytest.mark.parametrize("change", ALL_CHANGES, ids=lambda change: change.kind)
def test_a_row_of_the_outbox_begins_with_its_kind_since_only_the_first_piece_of_a_large_one_is_looked_at(
    change: AnyCommand,
):
    assert dump_command(change).startswith(f'{{"kind":"{change.kind}",')


SINCE = {"saw_older", "said_at", "remove_context", "superseded", "made_at", "behind"}
"""Fields that those builds did not write, and leave aside."""

SINCE_IN = {"execution": {"max_bytes", "expected_revision", "expects", "written_at"}, "flow": {"follows"}}


@pytest.mark.parametrize("row", OLD_ROWS, ids=lambda row: json.loads(row)["kind"])
def test_a_row_of_an_older_build_is_read_and_written_as_it_was(row: str):
    written = json.loads(dump_command(load_command(row)))
    since = SINCE | SINCE_IN.get(written["kind"], set())
    assert {name: value for name, value in written.items() if name not in since} == json.loads(row)


def test_what_a_caller_had_seen_comes_back_from_the_outbox_byte_for_byte():
    views = ((b"\x00\xff" * 8, b"x" * 16), ())
    change = SaveCommand(
        key=KEY, operation="o", session_id="s", index="i", default_ttl_seconds=5, max_bytes=10, views=views
    )
    back = load_command(dump_command(change))
    assert isinstance(back, SaveCommand)
    assert back.views == views


def test_a_copy_of_a_session_is_listed_and_ends_when_it_does(clock: Clock):
    copy = as_copy(KEY, session(4, kept_until=clock()), "s", "p:index")
    assert (copy.seen, copy.kept_until, copy.tombstone) == (None, clock(), False)
    assert copy.list_row
    assert json.loads(copy.list_row.note)["revision"] == 4


def test_a_copy_of_a_tombstone_is_a_tombstone_and_not_listed(clock: Clock):
    grave = deletion().apply(session(), clock()).write
    assert grave
    for copy in (as_copy(KEY, grave.text, "s", "p:index"), as_copy(KEY, grave.text)):
        assert (copy.tombstone, copy.list_row, copy.kept_until) == (True, None, grave.kept_until)


def test_a_copy_of_an_execution_is_not_listed(clock: Clock):
    write = execution().apply(None, clock()).write
    assert write
    copy = as_copy(write.key, write.text)
    assert (copy.text, copy.kept_until, copy.list_row, copy.tombstone) == (write.text, write.kept_until, None, False)


def test_no_copy_is_kept_of_what_is_not_ours():
    with pytest.raises(Damaged):
        as_copy(KEY, "not ours", "s", "p:index")
    with pytest.raises(NewerSchema):
        as_copy("p:execution:e", '{"schema_version": 2}')


# what is beside a session


def test_what_was_pending_when_its_session_was_deleted_elsewhere_stays_deleted_and_what_is_written_since_does_not(
    clock: Clock,
):
    made = execution().model_copy(update={"written_at": clock()})
    log = AppendLogCommand(
        key="p:history:s:l", operation=WRITER.next(), session_id="s", flow_id="l", records=[{"id": "r", "value": {}}],
        ttl_seconds=60, max_bytes=9_999, full_bytes=999, written_at=clock(),
    )  # fmt: skip
    for change in (made, log):
        stored = change.with_write_id(WRITER.next()).apply(None, clock()).write
        assert stored
        tombstone = DeleteCommand(key=change.key, operation="d", member="").apply(stored.text, clock()).write
        assert tombstone
        change = change.with_write_id(Writer().next())  # another process' write
        pending = load_command(dump_command(change))
        assert pending.apply(tombstone.text, clock()).write is None
        direct = change.model_copy(update={"direct": True})
        assert direct.apply(tombstone.text, clock()).write, "whoever has just asked for it knows of the deletion"
        later = change.model_copy(update={"written_at": clock() + timedelta(seconds=1)})
        assert later.apply(tombstone.text, clock()).write

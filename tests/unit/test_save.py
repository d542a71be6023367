"""What one save makes of what is stored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.append import view
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.commands import dump_command, load_command
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.incremental import HEAD_PARSED_FROM
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.recoverable import recoverable
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.save_request import retry_id
from agentic_flywheel.documents.saved import Saved
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, LOST, arrived, find
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Conflict, Damaged, DeletedMeanwhile, DocumentError, NewerSchema, TooLarge

from ..support.conversations import turns, words
from .conftest import Clock

INDEX = "p:index"
DEFAULT_TTL = 3600
MAX_BYTES = 20_000


def save(*said: str, operation: str = "", **more: Any) -> SaveCommand:
    """A save of those turns (`history=False`: of none at all) by an operation named after them."""
    has_history = more.pop("history", True)
    given = {"default_ttl_seconds": DEFAULT_TTL, "max_bytes": MAX_BYTES, **more}
    return SaveCommand(
        key="p:session:s",
        session_id="s",
        index=INDEX,
        operation=operation or f"{said}{sorted(more)}",
        history=turns(*said) if has_history else None,
        **given,
    )


def applied(base: str | None, now: datetime, *changes: Command) -> str:
    """The text after those changes, each of which writes."""
    for change in changes:
        step: Step[Any] = change.apply(base, now)  # type: ignore[attr-defined]
        assert step.write
        base = step.write.text
    assert base is not None
    return base


def document(text: str | None) -> Document:
    assert text is not None
    found = decode(text, "s")
    assert isinstance(found, Document)
    return found


def test_a_first_save_begins_a_session_with_the_defaults(clock: Clock):
    step = save("hi", default_user="ana").apply(None, clock())
    assert step.answer == Saved(1, 1, 1, clock() + timedelta(seconds=DEFAULT_TTL), turns("hi"))
    assert step.write
    assert (step.write.seen, step.write.kept_until) == (None, clock() + timedelta(seconds=DEFAULT_TTL))
    session = document(step.write.text).session
    assert (session.backend.value, session.status.value, session.user_id) == ("custom", "pending", "ana")
    assert (session.created_at, session.updated_at) == (clock(), clock())


def test_a_save_is_accepted_only_on_top_of_the_very_text_it_was_merged_with(clock: Clock):
    base = applied(None, clock(), save("a"))
    step = save("b").apply(base, clock())
    assert step.write
    assert step.write.seen == base


def test_append_adds_and_counts(clock: Clock):
    step = save("a", "b", "c").apply(applied(None, clock(), save("a", "b")), clock())
    assert (step.answer.revision, step.answer.turns, step.answer.added) == (2, 3, 1)
    assert words(step.answer.history) == ["a", "b", "c"]


EVERYTHING = {
    "context": {"k": 1, "n": None},
    "title": "Title",
    "summary": "Summary",
    "tags": ["x", "y"],
    "ttl_seconds": 77,
    "values": {
        "backend": "flowise",
        "backend_session_id": "b1",
        "status": "running",
        "current_flow_id": "f1",
        "user_id": "ana",
        "created_at": "2020-01-02T03:04:05+00:00",
        "updated_at": "2021-01-02T03:04:05+00:00",
        "expires_at": "2022-01-02T03:04:05+00:00",
        "total_queries": 5,
        "successful_queries": 4,
        "total_response_time": 1.5,
    },
}


def test_absent_means_unchanged(clock: Clock):
    base = applied(None, clock(), save("a", **EVERYTHING))
    later = clock.move(seconds=10)
    before, after = json.loads(base), json.loads(applied(base, later, save("b")))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"revision", "history", "updated_at", "saved_at", "kept_until", "operations"}


def test_empty_text_leaves_title_and_summary_as_they_are(clock: Clock):
    text = applied(None, clock(), save("a", **EVERYTHING), save("b", title="", summary=""))
    assert (document(text).title, document(text).summary) == ("Title", "Summary")


def test_given_tags_replace_and_context_merges_shallowly_with_null_as_a_value(clock: Clock):
    base = applied(None, clock(), save("a", tags=["x"], context={"a": {"b": 1}, "c": 2, "d": 3}))
    text = applied(base, clock(), save(history=False, tags=[], context={"a": {"e": 1}, "c": None}))
    assert document(text).tags == ()
    assert document(text).session.context == {"a": {"e": 1}, "c": None, "d": 3}
    assert words(document(text).session.history) == ["a"]


def test_replace_leaves_exactly_what_was_sent(clock: Clock):
    base = applied(None, clock(), save("a", "b", **EVERYTHING))
    session = document(applied(base, clock.move(hours=0.01), save("new", mode="replace", context={"only": 1})))
    assert (words(session.session.history), session.session.context) == (["new"], {"only": 1})
    assert (session.title, session.summary, session.tags) == ("", "", ())
    assert (session.session.backend.value, session.session.status.value) == ("custom", "pending")
    assert (session.session.user_id, session.session.current_flow_id, session.session.expires_at) == ("ana", None, None)
    assert session.session.total_queries == 0
    assert session.revision == 2


def test_replace_without_history_empties_it(clock: Clock):
    text = applied(None, clock(), save("a"), save(history=False, mode="replace", title="T"))
    assert document(text).session.history == []


def test_replace_is_still_the_same_session_with_its_birth_and_unknown_fields(clock: Clock):
    data = json.loads(applied(None, clock(), save("a")))
    base = json.dumps(data | {"x-later": {"v": 2}})
    after = document(applied(base, clock.move(minutes=1), save("b", mode="replace")))
    assert after.session.created_at == clock() - timedelta(minutes=1)
    assert after.extra == {"x-later": {"v": 2}}


MODES = ["append", "replace"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expected", [0, 1, 3, 99])
def test_another_expected_revision_is_a_conflict_that_names_the_current_one(clock: Clock, mode: str, expected: int):
    base = applied(None, clock(), save("a"), save("b"))
    with pytest.raises(Conflict, match=r"current (revision|one) is 2") as conflict:
        save("c", mode=mode, expected_revision=expected).apply(base, clock())
    assert conflict.value.revision == 2


@pytest.mark.parametrize("mode", MODES)
def test_expecting_a_revision_of_a_session_that_is_not_there_is_a_conflict(clock: Clock, mode: str):
    with pytest.raises(Conflict) as conflict:
        save("c", mode=mode, expected_revision=4).apply(None, clock())
    assert conflict.value.revision == 0


def test_expecting_revision_0_begins_a_session(clock: Clock):
    assert save("a", expected_revision=0).apply(None, clock()).answer.revision == 1


def test_with_an_expected_revision_turns_are_added_exactly_as_sent(clock: Clock):
    base = applied(None, clock(), save("a", "b"))
    step = save("a", "b", expected_revision=1).apply(base, clock())
    assert words(step.answer.history) == ["a", "b", "a", "b"]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_save_again_is_a_retry_with_the_same_answer(clock: Clock, mode: str):
    change = save("b", mode=mode, expected_revision=1)
    base = applied(None, clock(), save("a"))
    first = change.apply(base, clock())
    assert first.write
    again = change.apply(first.write.text, clock.move(seconds=1))
    assert again.write is None
    assert again.answer == first.answer


def test_a_retry_has_its_answer_though_others_saved_since(clock: Clock):
    change = save("b", expected_revision=1)
    base = applied(None, clock(), save("a"))
    first = change.apply(base, clock())
    text = applied(base, clock(), change, *(save(f"c{i}") for i in range(KEPT_OPERATIONS - 2)))
    again = change.apply(text, clock())
    assert (again.answer.revision, again.answer.turns, again.answer.added) == (2, 2, 1)
    assert again.write is None
    assert first.answer.revision == again.answer.revision


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_renews_the_life_and_changes_nothing_else(clock: Clock, mode: str):
    change = save("b", mode=mode, expected_revision=1, retry="same", operation="ab.1")
    base = applied(None, clock(), save("a", ttl_seconds=100))
    first = change.apply(base, clock())
    assert first.write
    text = applied(first.write.text, clock(), save("theirs", operation="cd.1"))
    clock.move(seconds=60)
    again = change.with_write_id("ef.1").apply(text, clock())
    assert (again.answer.revision, again.answer.turns, again.answer.added) == (2, first.answer.turns, 1)
    assert again.write
    assert again.answer.kept_until == again.write.kept_until == clock() + timedelta(seconds=100)
    before, after = json.loads(text), json.loads(again.write.text)
    assert {name for name in before if before[name] != after[name]} == {"kept_until"}
    assert isinstance(again.queued, RenewCommand)


def test_a_retry_of_what_never_expires_writes_nothing(clock: Clock):
    change = save("b", expected_revision=1, retry="same", operation="ab.1")
    text = applied(applied(None, clock(), save("a", ttl_seconds=0)), clock(), change)
    again = change.with_write_id("ef.1").apply(text, clock.move(days=9))
    assert (again.write, again.answer.revision) == (None, 2)


@pytest.mark.parametrize("mode", MODES)
def test_a_save_that_changes_nothing_is_no_write_that_may_be_repeated(clock: Clock, mode: str):
    said = ["a"] if mode == "replace" else []
    change = save(*said, mode=mode, expected_revision=1, retry="same", operation="ab.1")
    base = applied(None, clock(), save("a"))
    text = applied(base, clock(), change)
    assert document(text).revision == 1
    renewed = change.with_write_id("ab.2").apply(text, clock.move(seconds=60))
    assert renewed.write
    assert renewed.write.kept_until == clock() + timedelta(seconds=DEFAULT_TTL)
    others = applied(text, clock(), save("b", operation="cd.1"))
    with pytest.raises(Conflict):
        change.with_write_id("ab.3").apply(others, clock())


def test_the_names_of_writes_in_a_document_are_bounded(clock: Clock):
    text = applied(None, clock(), *(save(f"t{i}") for i in range(KEPT_OPERATIONS + 5)))
    assert len(document(text).operations) == KEPT_OPERATIONS
    assert document(text).operations[-1].revision == KEPT_OPERATIONS + 5


@given(st.tuples(st.text(), st.integers()), st.tuples(st.text(), st.integers()))
def test_a_retry_is_known_by_its_content(one: tuple[str, int], other: tuple[str, int]):
    assert (retry_id(*one) == retry_id(*other)) == (one == other)


def test_the_stored_time_to_live_is_used_again_and_its_clock_restarts(clock: Clock):
    base = applied(None, clock(), save("a", ttl_seconds=100))
    clock.move(seconds=60)
    step = save("b").apply(base, clock())
    assert step.write
    assert step.write.kept_until == step.answer.kept_until == clock() + timedelta(seconds=100)


def test_a_save_that_brings_nothing_new_still_restarts_the_clock(clock: Clock):
    base = applied(None, clock(), save("a", ttl_seconds=100))
    clock.move(seconds=60)
    step = save("a", operation="again").apply(base, clock())
    assert step.answer.added == 0
    assert step.write
    assert step.write.kept_until == clock() + timedelta(seconds=100)


def test_a_time_to_live_of_0_means_never(clock: Clock):
    step = save("b", ttl_seconds=0).apply(applied(None, clock(), save("a")), clock())
    assert step.write
    assert step.write.kept_until is None
    again = save("c").apply(step.write.text, clock.move(days=4000))
    assert (again.answer.turns, again.answer.kept_until) == (3, None)


def test_an_expired_session_is_begun_anew_and_its_revisions_go_on(clock: Clock):
    base = applied(None, clock(), save("old", title="Old", ttl_seconds=5), save("older"))
    clock.move(seconds=5)
    step = save("new").apply(base, clock())
    assert (step.answer.revision, words(step.answer.history)) == (3, ["new"])
    assert step.write
    assert document(step.write.text).title == ""
    assert document(step.write.text).session.created_at == clock()


def buried(text: str, now: datetime) -> str:
    return applied(text, now, DeleteCommand(key="p:session:s", operation="d", member="s", index=INDEX))


def test_a_session_begun_on_a_tombstone_has_nothing_of_the_old_and_a_higher_revision(clock: Clock):
    grave = buried(applied(None, clock(), save("old"), save("older", title="Old")), clock())
    step = save("new").apply(grave, clock())
    assert (step.answer.revision, words(step.answer.history)) == (3, ["new"])
    assert step.write
    assert (step.write.seen, step.write.tombstone, document(step.write.text).title) == (grave, False, "")


def test_expecting_revision_0_begins_a_session_on_a_tombstone(clock: Clock):
    grave = buried(applied(None, clock(), save("old")), clock())
    assert save("new", expected_revision=0).apply(grave, clock()).answer.revision == 2


def test_a_session_too_large_is_refused_with_the_limit_and_the_way_out(clock: Clock):
    base = applied(None, clock(), save("a"))
    with pytest.raises(TooLarge, match=f"{MAX_BYTES:,}") as refusal:
        save("ü" * (MAX_BYTES // 2)).apply(base, clock())
    assert "FLYWHEEL_MAX_SESSION_BYTES" in str(refusal.value)
    assert "replace" in str(refusal.value)
    assert "üü" not in str(refusal.value)


def test_size_is_counted_in_bytes_of_the_whole_document(clock: Clock):
    step = save("a").apply(None, clock())
    assert step.write
    size = len(step.write.text.encode())
    same = step.queued.operation
    assert save("a", operation=same, max_bytes=size).apply(None, clock()).write
    with pytest.raises(TooLarge):
        save("a", operation=same, max_bytes=size - 1).apply(None, clock())


@pytest.mark.parametrize("stored", [{"ttl_seconds": 10**13}, {"ttl_seconds": 2**70}, {"ttl_seconds": -5},
                                    {"revision": 2**70}, {"operations": [[1, 1, 1, "o"]] * 99}], ids=repr)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
def test_a_save_on_top_of_numbers_beyond_reason_is_kept_or_a_document_error(clock: Clock, mode: str, stored: Any):
    base = json.dumps({"schema_version": 1, "id": "s", "revision": 1, "history": turns("a"), **stored})
    try:
        step = save("b", mode=mode).apply(base, clock())
    except DocumentError:
        return
    assert step.write
    assert "b" in words(document(step.write.text).session.history)
    assert step.answer.kept_until is None or step.answer.kept_until > clock()


RENEWAL = RenewCommand(key="p:session:s", operation="r", session_id="s", index=INDEX)


@pytest.mark.parametrize(
    "change", [save("a"), save("a", mode="replace"), RENEWAL], ids=["append", "replace", "renewal"]
)
def test_what_is_damaged_or_newer_is_never_written_over(clock: Clock, change: SaveCommand | RenewCommand):
    with pytest.raises(Damaged):
        change.apply("not ours", clock())
    with pytest.raises(NewerSchema):
        change.apply('{"schema_version": 2, "id": "s", "revision": 1}', clock())


def test_times_given_by_the_caller_are_kept_and_delete_nothing(clock: Clock):
    base = applied(None, clock(), save("a", **EVERYTHING))
    session = document(base).session
    assert session.created_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert session.updated_at == datetime(2021, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert session.expires_at == datetime(2022, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert save("b").apply(base, clock()).answer.turns == 2


def test_lists_show_when_it_was_saved_and_how_long_it_is_kept(clock: Clock):
    step = save("a", **EVERYTHING).apply(None, clock())
    assert step.write
    assert step.write.list_row
    note = json.loads(step.write.list_row.note)
    assert note == {
        "id": "s", "title": "Title", "summary": "Summary", "tags": ["x", "y"], "status": "running", "user_id": "ana",
        "turns": 1, "revision": 1, "created_at": "2020-01-02T03:04:05.000000+00:00",
        "updated_at": "2026-11-05T12:00:00.123456+00:00", "expires_at": "2026-11-05T12:01:17.123456+00:00",
    }  # fmt: skip
    assert (step.write.list_row.index, step.write.list_row.member) == (INDEX, "s")
    assert step.write.list_row.saved_at % 1_000_000 == 123_456


def test_a_renewal_moves_the_end_and_nothing_else(clock: Clock):
    base = applied(None, clock(), save("a", ttl_seconds=100))
    clock.move(seconds=60)
    step = RENEWAL.apply(base, clock())
    assert step.write
    before, after = json.loads(base), json.loads(step.write.text)
    assert {name for name in before if before[name] != after[name]} == {"kept_until"}
    assert step.write.kept_until == clock() + timedelta(seconds=100)
    minute_ago = save("a").apply(None, clock() - timedelta(seconds=60)).write
    assert step.write.list_row
    assert minute_ago
    assert minute_ago.list_row
    assert step.write.list_row.saved_at == minute_ago.list_row.saved_at


def test_what_is_gone_is_not_renewed(clock: Clock):
    brief = applied(None, clock(), save("a", ttl_seconds=10))
    assert RENEWAL.apply(None, clock()).write is None
    assert RENEWAL.apply(buried(brief, clock()), clock()).write is None
    assert RENEWAL.apply(applied(None, clock(), save("a", ttl_seconds=0)), clock()).write is None
    assert RENEWAL.apply(brief, clock.move(seconds=10)).write is None


# a store that was set back


def test_a_write_stands_for_those_before_it_only_where_they_are(clock: Clock):
    older = applied(None, clock(), save("a", operation="ab.1"))
    newer = applied(older, clock(), save("b", operation="ab.2"))
    third = save("c").with_write_id("ab.3", "ab.2")
    assert document(applied(newer, clock(), third)).operations[-1].id == "ab.3"
    alone = document(applied(older, clock(), third)).operations
    assert find(alone, "ab.2") is None, "b is not there"
    assert arrived(alone, "ab.3")
    afresh = document(applied(None, clock(), third)).operations
    assert find(afresh, "ab.2") is None


def test_what_its_writer_has_seen_of_a_pending_replace_is_believed_only_of_a_store_that_holds_it(clock: Clock):
    older = applied(None, clock(), save("a", operation="ab.1"))
    base = applied(older, clock(), save("b", operation="ab.2"))
    known: dict[str, Any] = {"views": (view(turns("a", "b")),), "told": ("ab.2",)}
    change = save("a", "b", "c", mode="replace", session_only=True, operation="ab.3", **known)
    pending = change.apply(base, clock()).queued
    set_back = applied(older, clock(), save("x", operation="cd.1"))
    assert words(document(applied(set_back, clock(), pending)).session.history) == ["a", "x", "b", "c"]
    merged = applied(base, clock(), save("x", operation="cd.1"))
    assert words(document(applied(merged, clock(), pending)).session.history) == ["a", "b", "x", "c"]


# a save that can only be accepted here for now


def test_a_pending_append_adds_the_same_turns_on_top_of_what_others_saved_meanwhile(clock: Clock):
    base = applied(None, clock(), save("a"))
    pending = save("a", "b", views=((),)).apply(base, clock()).queued
    assert isinstance(pending, SaveCommand)
    others = applied(base, clock(), save("x"))
    assert words(document(applied(others, clock(), pending)).session.history)[:2] == ["a", "x"]


def test_a_turn_sent_again_by_a_new_process_is_known_though_others_saved_since(clock: Clock):
    base = None
    for said in (("a", "b"), ("x", "y")):
        step = save(*said).apply(base, clock())
        assert step.write
        base = step.write.text
    answer = save("b", "c").apply(base, clock()).answer
    assert (words(answer.history), answer.added) == (["a", "b", "x", "y", "c"], 1)


def test_a_pending_append_counts_what_was_known_when_it_was_made(clock: Clock):
    base = applied(None, clock(), save("a"))
    pending = save("a", "b", views=(view(turns("a")),)).apply(base, clock()).queued
    others = applied(base, clock(), save("b", operation="theirs", expected_revision=1))
    assert words(document(applied(others, clock(), pending)).session.history) == ["a", "b", "b"]


def test_a_pending_replace_does_not_wipe_out_what_others_saved_meanwhile(clock: Clock):
    base = applied(None, clock(), save("a"))
    pending = save("b", mode="replace").apply(base, clock()).queued
    others = applied(base, clock(), save("x"))
    after = applied(others, clock(), pending)
    assert (words(document(after).session.history), document(after).revision) == (["a", "x"], 4)
    assert words(document(applied(base, clock(), pending)).session.history) == ["b"]


def test_a_replace_that_came_too_late_becomes_an_older_revision_each_time_it_is_applied(clock: Clock):
    base = applied(None, clock(), save("a"))
    pending = save("b", mode="replace", revisions="p:revision:s:").apply(base, clock()).queued
    others = applied(base, clock(), save("x"))
    first = pending.apply(others, clock())  # type: ignore[attr-defined]
    assert first.write
    assert document(first.write.text).operations[-1].id.endswith(LOST)
    again = pending.apply(first.write.text, clock())  # type: ignore[attr-defined]
    assert again.write is None
    for step in (first, again):
        assert step.superseded_write
        assert step.superseded_write.key == "p:revision:s:3"
        assert (
            words(document(step.superseded_write.text).session.history),
            document(step.superseded_write.text).revision,
        ) == (["b"], 3)


def test_what_a_replace_takes_away_is_kept_as_the_revision_that_it_was(clock: Clock):
    base = applied(None, clock(), save("a"), save("b"))
    step = save("c", mode="replace", revisions="p:revision:s:").apply(base, clock())
    assert step.archived
    assert step.archived.key == "p:revision:s:2"
    assert words(document(step.archived.text).session.history) == ["a", "b"]
    assert save("c", revisions="p:revision:s:").apply(base, clock()).archived is None


def test_a_library_keeps_what_a_replace_takes_away_only_if_it_takes_turns_away(clock: Clock):
    base = applied(None, clock(), save("a", "b"))
    library: dict[str, Any] = {"mode": "replace", "session_only": True, "revisions": "p:revision:s:"}
    assert save("a", "b", "c", **library).apply(base, clock()).archived is None
    assert save("a", "c", **library).apply(base, clock()).archived


def test_a_deletion_wins_over_a_save_that_is_based_on_what_it_deleted(clock: Clock):
    base = applied(None, clock(), save("a"), save("b"))
    gone = buried(base, clock())
    with pytest.raises(DeletedMeanwhile) as caught:
        save("c", based_on=2).apply(gone, clock())
    assert (caught.value.revision, caught.value.deleted_revision) == (2, 2)
    afresh = save("c").apply(gone, clock())
    assert (afresh.answer.revision, words(afresh.answer.history)) == (3, ["c"])
    assert afresh.write
    with pytest.raises(DeletedMeanwhile) as caught:  # begun anew since
        save("d", based_on=2).apply(afresh.write.text, clock())
    assert (caught.value.revision, caught.value.deleted_revision) == (3, 2)
    assert save("d", based_on=3).apply(afresh.write.text, clock()).answer.turns == 2


def test_a_write_that_was_deleted_with_its_session_is_not_made_again(clock: Clock):
    first = save("a", operation="ab.1")
    gone = buried(applied(None, clock(), first), clock())
    assert first.apply(gone, clock()).write is None
    afresh = applied(gone, clock(), save("b", operation="cd.1"))
    assert first.apply(afresh, clock()).write is None
    assert words(document(afresh).session.history) == ["b"]


def test_an_expiry_wins_over_nobody(clock: Clock):
    base = applied(None, clock(), save("a", ttl_seconds=5))
    clock.move(seconds=6)
    begun = applied(base, clock(), save("b", based_on=1))
    assert words(document(applied(begun, clock(), save("c", based_on=1))).session.history) == ["b", "c"]


def test_a_copy_that_is_alive_is_what_a_save_is_based_on(clock: Clock):
    base = applied(None, clock(), save("a"), save("b", ttl_seconds=5))
    alive = Write("p:session:s", base, None, clock() + timedelta(seconds=5))
    assert save("c").with_base_revision(alive, clock()).based_on == 2
    assert save("c", based_on=7).with_base_revision(alive, clock()).based_on == 7
    assert save("c").with_base_revision(None, clock()).based_on == 0
    assert save("c").with_base_revision(alive, clock() + timedelta(seconds=6)).based_on == 0


def test_what_a_deleted_session_would_have_come_to_can_be_kept(clock: Clock):
    base = applied(None, clock(), save("a"))
    change = save("b", based_on=1, expected_revision=1, revisions="p:revision:s:")
    kept = recoverable(change, base, 5, clock())
    assert kept.key == "p:revision:s:5"
    assert (words(document(kept.text).session.history), document(kept.text).revision) == (["a", "b"], 5)
    assert words(document(recoverable(change, None, 5, clock()).text).session.history) == ["b"]


def test_what_a_place_still_holds_is_alive_whatever_our_clock_says(clock: Clock):
    base = applied(None, clock(), save("a", ttl_seconds=5))
    clock.move(days=40)
    assert words(save("b").apply(base, clock(), alive_remotely=True).answer.history) == ["a", "b"]
    assert RENEWAL.apply(base, clock(), alive_remotely=True).write


CHANGES = st.builds(
    lambda said, mode, more: save(*said, mode=mode, **more),
    st.lists(st.sampled_from("abc"), max_size=3),
    st.sampled_from(MODES),
    st.fixed_dictionaries(
        {},
        optional={
            "title": st.text(max_size=3),
            "tags": st.lists(st.text(max_size=2), max_size=2),
            "context": st.dictionaries(st.text(max_size=2), st.none() | st.integers(), max_size=2),
            "ttl_seconds": st.integers(1, 1000),
        },
    ),
)


def test_a_replace_by_who_knows_the_session_only_keeps_its_labels(clock: Clock):
    base = applied(None, clock(), save("a", **EVERYTHING))
    after = document(applied(base, clock(), save("b", mode="replace", session_only=True)))
    assert (after.title, after.summary, after.tags) == ("Title", "Summary", ("x", "y"))
    assert (words(after.session.history), after.session.context) == (["b"], {})


def test_a_pending_replace_by_who_knows_the_session_only_is_merged_when_it_lost(clock: Clock):
    base = applied(None, clock(), save("a"))
    change = save("a", "b", mode="replace", session_only=True, views=(view(turns("a")),))
    pending = change.apply(base, clock()).queued
    assert words(document(applied(base, clock(), pending)).session.history) == ["a", "b"]
    others = applied(base, clock(), save("x"))
    assert words(document(applied(others, clock(), pending)).session.history) == ["a", "x", "b"]


# Some changes, each with a name of its own.
OPERATIONS = st.lists(CHANGES, min_size=1, max_size=5).map(
    lambda changes: [each.model_copy(update={"operation": f"{i:032x}"}) for i, each in enumerate(changes)]
)


FOLLOWS = st.sampled_from(["", f"{0:032x}", "f00d.7"])
"""What a change follows: nothing that is known, what may be there, what is not there any more."""


@settings(max_examples=200)
@given(OPERATIONS, FOLLOWS)
def test_the_same_change_applied_twice_has_the_effect_of_one(changes: list[SaveCommand], follows: str):
    now = Clock()()
    *before, change = changes
    change = change.with_write_id("beef.8", follows)
    base = applied(None, now, *before) if before else None
    once = applied(base, now, change)
    again = change.apply(once, now)
    twice = again.write.text if again.write else once
    assert twice == once
    assert again.answer.turns == len(document(once).session.history)


@settings(max_examples=200)
@given(OPERATIONS, FOLLOWS)
def test_the_pending_form_of_a_change_applied_twice_has_the_effect_of_one(changes: list[SaveCommand], follows: str):
    now = Clock()()
    *before, change = changes
    change = change.with_write_id("beef.8", follows)
    base = applied(None, now, *before) if before else None
    pending = change.apply(base, now).queued
    assert isinstance(pending, SaveCommand)
    once = applied(base, now, pending)
    assert document(once) == document(applied(base, now, change))
    again = pending.apply(once, now)
    assert (again.write.text if again.write else once) == once


@given(OPERATIONS)
def test_revisions_never_go_back(changes: list[SaveCommand]):
    now = Clock()()
    base, revision = None, 0
    for change in changes:
        base = applied(base, now, change)
        assert revision <= document(base).revision <= revision + 1
        revision = document(base).revision


@pytest.mark.parametrize("size", [10, HEAD_PARSED_FROM], ids=["small", "large"])
def test_a_replace_is_the_same_whether_what_it_replaces_was_parsed_or_not(size: int, clock: Clock):
    """A large one is not, and nothing of it may be missed: its revision, its life, its writes, its other fields."""
    said = ("a" * size, "b")
    more: dict[str, Any] = {"max_bytes": 10**6, "revisions": "p:revision:s:"}
    base = applied(None, clock(), save(*said, context={"n": 1}, title="t", ttl_seconds=77, **more))
    same = save(*said, mode="replace", context={"n": 1}, title="t", operation="again", **more).apply(base, clock())
    assert (same.answer.revision, same.archived) == (1, None), "it changes nothing"
    for changed in (
        save("a" * size, "c", mode="replace", context={"n": 1}, title="t", **more),
        save("c" * size, "b", mode="replace", context={"n": 1}, title="t", **more),
        save(*said, mode="replace", context={"n": 2}, title="t", **more),
        save(*said, mode="replace", context={"n": 1}, title="other", **more),
        save(*said, "c", mode="replace", context={"n": 1}, title="t", **more),
    ):
        step = changed.apply(base, clock())
        assert step.answer.revision == 2
        assert step.write
        assert step.archived == Write("p:revision:s:1", base, None, step.write.kept_until)
        after = document(step.write.text)
        assert (after.ttl_seconds, len(after.operations)) == (77, 2)
        assert after.session.created_at == document(base).session.created_at
    with pytest.raises(Conflict):
        save("c", mode="replace", expected_revision=5, **more).apply(base, clock())


@pytest.mark.parametrize(
    ("history", "title"),
    [
        ([], ""),
        ([{"role": "user", "content": "  What grows\n in shade? "}], "What grows in shade?"),
        ([{"role": "system", "content": "Be kind."}, {"role": "human", "content": "Hello"}], "Hello"),
        ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "See this"}]}], "See this"),
        ([{"role": "user", "content": "word " * 50}], "word " * 11 + "word"),
        ([{"role": "user", "content": "x" * 100}], "x" * 59 + "…"),
        ([{"role": "user"}, {"content": "nobody"}, {"role": "user", "content": 7}], ""),
    ],
)
def test_without_a_title_lists_show_what_the_user_said_first(history: list[dict[str, Any]], title: str, clock: Clock):
    untitled = SaveCommand(
        key="p:session:s", session_id="s", index=INDEX, history=history, default_ttl_seconds=9, max_bytes=MAX_BYTES
    )
    written = untitled.apply(None, clock()).write
    assert written
    assert written.list_row
    assert json.loads(written.list_row.note)["title"] == title
    assert document(written.text).title == "", "a title that is given later is the session's own"


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_queued_save_of_another_user_is_merged_under_the_owner(clock: Clock, mode: str):
    his = applied(None, clock(), save("one", values={"user_id": "bob"}))
    hers = save("one", "two", values={"user_id": "alice"}, mode=mode, direct=True)
    with pytest.raises(Conflict, match="another user_id"):
        hers.apply(his, clock())
    queued = load_command(dump_command(hers))  # an earlier version queued just that, and said that it was saved
    assert isinstance(queued, SaveCommand)
    session = document(applied(his, clock(), queued)).session
    assert (session.user_id, words(session.history)) == ("bob", ["one", "two"])


def test_an_imported_talk_stands_at_its_own_time_and_lives_from_its_import(clock: Clock):
    said_at = clock.now - timedelta(days=700)
    text = applied(None, clock.now, save("a", said_at=said_at))
    assert document(text).saved_at == said_at
    assert document(text).kept_until == clock.now + timedelta(seconds=DEFAULT_TTL)
    later = load_command(dump_command(save("b", said_at=said_at + timedelta(days=1))))  # kept for Redis in between
    text = applied(text, clock.now, later)
    assert document(text).saved_at == document(text).session.updated_at == said_at + timedelta(days=1)


def test_an_import_moves_no_session_back_and_always_tells_that_its_turns_are_others(clock: Clock):
    here = applied(None, clock.now, save("a"))
    for days in (-5, 0, 5):  # a talk can say that it is of tomorrow
        more = applied(here, clock.now, save("b", said_at=clock.now + timedelta(days=days)))
        assert document(more).saved_at == clock.now + timedelta(microseconds=1)
    ancient = applied(None, clock.now, save("a", said_at=datetime(1, 1, 1, tzinfo=UTC)))
    assert document(ancient).saved_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_turns_that_are_appended_as_sent_are_all_added_also_when_they_had_to_wait(clock: Clock):
    as_sent = {"as_sent": True, "exact": True, "views": (view(turns("hi")),)}
    base = applied(None, clock(), save("hi", operation="one"))
    step = save("hi", "yes", operation="two", **as_sent).apply(base, clock())
    assert (step.answer.added, step.answer.turns) == (2, 3)
    assert isinstance(step.queued, SaveCommand)
    pending = load_command(dump_command(step.queued))
    elsewhere = applied(base, clock(), save("hi", "yes", operation="of another machine", **as_sent))
    after = applied(elsewhere, clock(), pending)
    assert words(document(after).session.history) == ["hi", "hi", "yes", "hi", "yes"]
    assert pending.apply(after, clock()).write is None  # known again by its id

"""Lines: which version goes on from which, and that merging forward loses, doubles and brings back nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers, missing, tombstone_beats
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.revisions import earlier
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, Writer
from agentic_flywheel.errors import Conflict

from ..support.conversations import turns, words

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)


def saved(base: str | None, writer: Writer, *said: str, now: datetime = NOW, **more: Any) -> str:
    given_: dict[str, Any] = {"default_ttl_seconds": 3600, "max_bytes": 10**6, "turns": turns(*said), **more}
    change = SaveCommand(
        key="k", session_id="s", index="i", revisions="p:revision:s:", operation=writer.next(), **given_
    )
    step = change.apply(base, now)
    assert step.write
    return step.write.text


def merged(mine: str, there: str | None, writer: Writer, now: datetime = NOW) -> str:
    """What is stored after `mine` was merged forward into what is `there`."""
    change = MergeForwardCommand(key="k", operation=writer.next(), member="s", index="i", revisions="r:", text=mine)
    step = change.apply(there, now)
    text = step.write.text if step.write else there
    assert text
    assert change.apply(text, now).write is None, "once is enough"
    return text


def said(text: str) -> list[str]:
    return words(json.loads(text)["history"])


def test_a_version_covers_itself_and_what_it_was_made_of():
    writer = Writer()
    first = saved(None, writer, "a")
    second = saved(first, Writer(), "b")
    assert covers(first, first)
    assert covers(second, first)
    assert not covers(first, second)


def test_two_versions_made_of_the_same_one_do_not_cover_each_other():
    first = saved(None, Writer(), "a")
    one, other = saved(first, Writer(), "b"), saved(first, Writer(), "c")
    assert not covers(one, other)
    assert not covers(other, one)


def test_a_version_is_known_again_after_more_writers_than_a_document_names():
    first = saved(None, Writer(), "a")
    later = first
    for number in range(KEPT_OPERATIONS + 5):
        later = saved(later, Writer(), str(number))
    assert covers(later, first)
    assert not covers(first, later)


def test_two_writers_who_fill_all_the_names_are_told_from_each_other_when_the_store_goes_back():
    mine, theirs = Writer(), Writer()
    store = saved(None, mine, "a")
    for number in range(KEPT_OPERATIONS):
        store = saved(store, theirs if number % 2 else mine, str(number))
    lost = saved(store, Writer(), "lost")
    assert covers(lost, store)
    went_on = store
    for number in range(2 * KEPT_OPERATIONS):  # every name is of a write after the one that was lost
        went_on = saved(went_on, theirs if number % 2 else mine, f"more {number}")
        assert not covers(went_on, lost)
    assert said(merged(lost, went_on, Writer()))[-1] == "lost"


def test_what_was_lost_is_missed_also_among_more_writers_than_a_document_names():
    store = saved(None, Writer(), "a")
    for number in range(KEPT_OPERATIONS + 5):
        store = saved(store, Writer(), str(number))
    lost = saved(store, Writer(), "lost")
    went_on = saved(saved(store, Writer(), "x"), Writer(), "y")
    assert not covers(went_on, lost)
    assert said(merged(lost, went_on, Writer()))[-3:] == ["x", "y", "lost"]


def test_a_writer_that_went_on_without_what_others_wrote_does_not_cover_it():
    writer, other = Writer(), Writer()
    first = saved(None, writer, "a")
    lost = saved(saved(first, other, "b"), writer, "c")
    assert not covers(saved(first, writer, "d"), lost)


def test_an_older_state_is_replaced_by_the_newer_one_of_its_line():
    writer = Writer()
    older = saved(None, writer, "a")
    newer = saved(saved(older, writer, "b"), writer, "c")
    assert merged(newer, older, Writer()) == newer
    assert merged(older, newer, Writer()) == newer


def test_the_life_of_what_is_there_is_not_shortened():
    writer = Writer()
    older = saved(None, writer, "a")
    newer = saved(older, writer, "b")
    change = MergeForwardCommand(key="k", operation="x", member="s", index="i", revisions="r:", text=newer)
    renewed = decode(older, "s")
    assert isinstance(renewed, Document)
    later = NOW + timedelta(days=9)
    step = change.apply(encode(replace(renewed, kept_until=later)), NOW + timedelta(hours=2), alive_remotely=True)
    assert step.write
    assert step.write.kept_until == later
    assert said(step.write.text) == ["a", "b"]


def test_what_was_merged_is_kept_aside_as_it_was():
    first = saved(None, Writer(), "a")
    mine = saved(first, Writer(), "mine", title="Ferns")
    there = saved(first, Writer(), "theirs", context={"x": 1})
    change = MergeForwardCommand(key="k", operation=Writer().next(), member="s", index="i", revisions="r:", text=mine)
    step = change.apply(there, NOW)
    assert step.write
    assert step.superseded_write
    document, aside = decode(step.write.text, "s"), decode(step.superseded_write.text, "s")
    assert isinstance(document, Document)
    assert isinstance(aside, Document)
    assert words(document.session.history) == ["a", "theirs", "mine"]
    assert (document.title, document.session.context) == ("Ferns", {"x": 1})
    assert words(aside.session.history) == ["a", "mine"]
    assert step.superseded_write.key == f"r:{aside.revision}"
    assert aside.revision in [past.revision for past in document.past]
    assert covers(step.write.text, mine)
    assert covers(step.write.text, there)


def fields(text: str) -> tuple[Any, ...]:
    document = decode(text, "s")
    assert isinstance(document, Document)
    return document.title, document.summary, document.tags, document.session.context, document.session.status.value


def test_a_field_that_one_side_changed_and_the_other_left_alone_is_as_it_was_changed():
    old = {"title": "Old", "summary": "Short", "tags": ["kept", "dropped"], "context": {"a": 1, "b": 2}}
    first = saved(None, Writer(), "a", **old)
    mine = saved(first, Writer(), "m", title="New", tags=["kept", "mine"], context={"a": 9, "c": 3})
    there = saved(first, Writer(), "t", now=NOW + timedelta(seconds=1), summary="Long", values={"status": "completed"})
    text = merged(mine, there, Writer(), NOW + timedelta(seconds=2))
    assert fields(text) == ("New", "Long", ("kept", "mine"), {"a": 9, "b": 2, "c": 3}, "completed")
    assert said(text) == ["a", "t", "m"]
    document = decode(text, "s")
    assert isinstance(document, Document)
    theirs = earlier(document, 2)
    assert theirs
    assert (theirs.title, theirs.tags, words(theirs.session.history)) == ("Old", ("kept", "dropped"), ["a", "t"])


def test_a_field_that_both_sides_changed_is_as_it_is_there():
    first = saved(None, Writer(), "a", title="Old", context={"a": 1, "b": 2})
    mine = saved(first, Writer(), "m", title="Mine", context={"a": 2}, remove_context=["b"])
    there = saved(first, Writer(), "t", now=NOW + timedelta(seconds=1), title="Theirs", context={"a": 3})
    assert fields(merged(mine, there, Writer()))[0::3] == ("Theirs", {"a": 3})


def test_a_session_that_was_renewed_lives_as_long_when_it_is_merged_forward():
    first = saved(None, Writer(), "a", ttl_seconds=600)
    mine = saved(first, Writer(), "m", now=NOW + timedelta(seconds=500))
    there = saved(first, Writer(), "t", now=NOW + timedelta(seconds=100))
    merging = MergeForwardCommand(key="k", operation="x", member="s", index="i", revisions="r:", text=mine)
    step = merging.apply(there, NOW + timedelta(seconds=550))
    assert step.write
    assert step.write.kept_until == NOW + timedelta(seconds=1100)


def test_what_expired_is_not_brought_back():
    mine = saved(None, Writer(), "a", ttl_seconds=60)
    change = MergeForwardCommand(key="k", operation="x", member="s", index="i", text=mine)
    assert change.apply(None, NOW + timedelta(seconds=61)).write is None


def test_a_tombstone_beats_what_it_names_and_nothing_that_was_begun_without_it():
    known = saved(saved(None, Writer(), "a"), Writer(), "b")
    step = DeleteCommand(key="k", member="s", operation="d").apply(known, NOW)
    assert step.write
    grave = step.write.text
    assert tombstone_beats(grave, known)
    assert not tombstone_beats(grave, saved(None, Writer(), "anew"))
    assert (
        MergeForwardCommand(key="k", operation="x", member="s", index="i", text=known).apply(grave, NOW).write is None
    )


def test_a_pending_deletion_takes_what_its_own_writer_wrote_before_it_though_nobody_knew_that_it_arrived():
    mine, theirs = Writer(), Writer()
    known = saved(None, mine, "a")
    unknown, others = saved(known, mine, "b"), saved(known, theirs, "b")
    pending = DeleteCommand(key="k", member="s", operation=mine.next()).apply(known, NOW).queued
    deleted = pending.apply(unknown, NOW).write
    assert deleted
    assert deleted.tombstone
    with pytest.raises(Conflict):
        pending.apply(others, NOW)


@given(
    st.lists(st.tuples(st.sampled_from(["mine", "theirs", "back", "merge"]), st.integers(0, 5)), max_size=25),
    st.integers(0, 40),
)
@example([("mine", 0)] * KEPT_OPERATIONS + [("mine", 0), ("back", 1), ("theirs", 1), ("theirs", 1)], 0)
@settings(max_examples=300)
def test_whatever_goes_back_and_is_saved_meanwhile_every_turn_is_there_once_in_the_end(
    acts: list[tuple[str, int]], writers: int
):
    """One machine keeps a copy of the newest version that it saw; the store goes back to any older state of its own.

    So many `writers` have saved in the session before.
    """
    mine, theirs, healer = Writer(), Writer(), Writer()
    copy = store = saved(None, mine, "first")
    for number in range(writers):
        copy = store = saved(store, Writer(), f"before {number}")
    past = [store]
    by_us = ["first"]
    for number, (act, depth) in enumerate(acts):
        turn = f"{act} {number}"
        if act == "back":
            store = past[max(0, len(past) - 1 - depth)]
        elif act == "theirs":  # another machine, which knows nothing of what was lost
            store = saved(store, theirs if depth else Writer(), turn)
            past.append(store)
        else:  # this machine: on every contact what was lost is merged forward first
            if not covers(store, copy):
                store = merged(copy, store, healer)
            if act == "mine":
                store = saved(store, mine, turn)
                by_us.append(turn)
            past.append(store)
            copy = store
    if not covers(store, copy):
        store = merged(copy, store, healer)
    final = said(store)
    assert len(final) == len(set(final)), "nothing twice"
    assert set(by_us) <= set(final), "nothing lost that this machine was told is kept"


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_what_is_missing_is_what_must_be_added_so_that_both_are_whole(mine: list[str], there: list[str]):
    lacking = words(missing(turns(*mine), turns(*there)))
    whole = [*there, *lacking]
    for turn in "abc":
        assert whole.count(turn) >= max(mine.count(turn), there.count(turn))
        assert whole.count(turn) <= mine.count(turn) + there.count(turn)

"""Flow histories: what an append comes to and that it looks at both ends only, how long they live, what leaves them."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents.command import Step
from agentic_flywheel.documents.commands import as_copy, dump_command, load_command
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.flow_document import flow_history, outline
from agentic_flywheel.documents.flow_history import (
    CLEARED_AFTER,
    LEFT_WHEN_FULL,
    MAX_EXECUTIONS,
    Added,
    FlowHistoryCommand,
)
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers
from agentic_flywheel.documents.model import iso
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import ENDS, ends_of
from agentic_flywheel.errors import Damaged, NewerSchema, TooLarge
from agentic_flywheel.json_text import JSONObject, dumps

from .conftest import Clock
from .test_codec import OBJECTS

KEY = "p:history:s:f"
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4) | st.sampled_from(
    ['a"b', "a\\", 'id":"']
)


def flow(*names: str, result: Any = None, ttl: int = 60, max_bytes: int = 100_000, **more: Any) -> FlowHistoryCommand:
    """Executions as a program keeps them: they do not say when they expire."""
    records = [{"id": name, "result": result or {}} for name in names]
    change = {"session_id": "s", "flow_id": "f", "records": records, "ttl_seconds": ttl, "max_bytes": max_bytes}
    return FlowHistoryCommand(**{"key": KEY, "operation": Writer().next(), **change, **more})


def cached(now: datetime, name: str, ttl: int = 60, **more: Any) -> FlowHistoryCommand:
    """One execution as `cache_result` keeps it."""
    until = iso(now + timedelta(seconds=ttl)) if ttl else None
    record = {"id": name, "session_id": "s", "flow_id": "f", "cached_at": iso(now), "kept_until": until, "result": {}}
    return flow(ttl=ttl, records=[record], **more)


def history(now: datetime, *changes: FlowHistoryCommand, base: str | None = None) -> str:
    for change in changes:
        write = change.apply(base, now).write
        assert write
        base = write.text
    assert base
    return base


def ids(text: str | None, now: datetime) -> list[str]:
    return [each["id"] for each in flow_history(text, now).executions]


def as_an_older_version_wrote(text: str) -> str:
    data = json.loads(text)
    for name in ("count", "dropped", "next_expiry"):
        del data[name]
    return dumps(data)


def only_what_is_new(seen: str, step: Step[Added]) -> bool:
    """Whether the step says how to come to its text from the one that was seen, with few bytes."""
    if not step.write or not step.write.splice:
        return False
    splice, before = step.write.splice, seen.encode()
    kept = before[splice.skip_start_bytes : len(before) - splice.skip_end_bytes]
    assert splice.prefix.encode() + kept + splice.suffix.encode() == step.write.text.encode()
    return len(splice.prefix + splice.suffix) < len(seen) / 2


def written(step: Step[Added]) -> JSONObject:
    assert step.write
    return json.loads(step.write.text)


# what an append comes to


def test_executions_of_a_flow_are_kept_oldest_first(clock: Clock):
    assert ids(history(clock(), flow("e1"), flow("e2"), flow("e3")), clock()) == ["e1", "e2", "e3"]


def test_an_execution_is_in_its_flows_history_once(clock: Clock):
    text = history(clock(), flow("e1"), flow("e2"), flow("e1", result={"n": 2}))
    assert ids(text, clock()) == ["e2", "e1"]
    assert flow_history(text, clock()).executions[-1]["result"] == {"n": 2}


@given(st.lists(st.sampled_from("abcd"), max_size=6), st.sampled_from("abcd"))
def test_the_same_append_twice_has_the_effect_of_one(before: list[str], name: str):
    now = Clock()()
    base = history(now, *(flow(each) for each in before)) if before else None
    change = flow(name)
    once = history(now, change, base=base)
    assert change.apply(once, now).write is None
    assert flow_history(history(now, flow(name), base=once), now) == flow_history(once, now)


def test_several_executions_are_added_in_their_order(clock: Clock):
    assert ids(history(clock(), flow("e1", "e2"), flow("e3", "e1")), clock()) == ["e2", "e3", "e1"]


def test_a_history_can_be_replaced(clock: Clock):
    text = history(clock(), flow("e1", "e2"), flow("e3", "e2", replaces=True))
    assert ids(text, clock()) == ["e3", "e2"]
    assert json.loads(text)["revision"] == 2


def test_a_history_begins_with_its_revision_and_ends_with_the_write_that_made_it(clock: Clock):
    change = cached(clock(), "e2")
    data = json.loads(history(clock(), cached(clock(), "e1"), change))
    assert [*data] == [
        "schema_version", "revision", "session_id", "flow_id", "executions", "saved_at", "kept_until", "ttl_seconds",
        "count", "dropped", "next_expiry", "operations",
    ]  # fmt: skip
    assert (data["revision"], data["session_id"], data["flow_id"]) == (2, "s", "f")
    assert data["operations"][-1][-1] == change.operation


def test_an_expired_or_deleted_history_begins_anew(clock: Clock):
    text = history(clock(), flow("old", ttl=5))
    buried = DeleteCommand(key=KEY, operation="d", member="").apply(text, clock()).write
    assert buried
    assert ids(history(clock(), flow("new"), base=buried.text), clock()) == ["new"]
    assert ids(history(clock.move(seconds=5), flow("new"), base=text), clock()) == ["new"]
    assert ids(text, clock()) == []
    assert ids(None, clock()) == []
    assert ids(buried.text, clock()) == []


def test_an_execution_that_was_deleted_with_its_history_is_not_added_again(clock: Clock):
    change = cached(clock(), "e")
    gone = DeleteCommand(key=KEY, member="").apply(history(clock(), change), clock.move(seconds=1)).write
    assert gone
    assert change.apply(gone.text, clock()).write is None
    assert cached(clock.move(seconds=1), "e").apply(gone.text, clock()).write


@pytest.mark.parametrize("executions", ["text", {"0": 1}, 7, [1], ["x"], [None], [[{}]]])
@pytest.mark.parametrize("spaces", [(", ", ": "), (",", ":")])
def test_a_history_of_another_shape_is_damaged_and_not_written_over(
    clock: Clock, executions: object, spaces: tuple[str, str]
):
    data = json.loads(history(clock(), flow("e1"))) | {"executions": executions, "count": None}
    text = json.dumps(data, separators=spaces)
    for read in (flow("e1").apply, flow_history):
        with pytest.raises(Damaged):
            read(text, clock())


def test_a_newer_history_is_never_written_over(clock: Clock):
    text = history(clock(), flow("e1")).replace('"schema_version":1', '"schema_version":2')
    for read in (flow("e1").apply, flow_history):
        with pytest.raises(NewerSchema):
            read(text, clock())


def test_fields_that_this_version_does_not_know_are_carried_along(clock: Clock):
    data = json.loads(history(clock(), flow("e1"))) | {"later": {"a": [1]}}
    once = history(clock(), flow("e2"), base=json.dumps(data))
    twice = flow("e3").apply(once, clock())
    assert twice.write
    assert twice.write.splice
    assert [json.loads(text)["later"] for text in (once, twice.write.text)] == [{"a": [1]}] * 2


# only both ends are looked at


@given(st.lists(st.tuples(IDS, OBJECTS), max_size=5), IDS, OBJECTS, st.sampled_from([{}, {"fresh": True}]))
def test_an_append_writes_only_what_is_new_and_comes_to_what_a_whole_rewrite_does(
    before: list[tuple[str, JSONObject]], name: str, result: JSONObject, more: dict[str, bool]
):
    now = Clock()()
    base = history(now, *(flow(each, result=what) for each, what in [("first", {}), *before]))
    known = name in ids(base, now)
    change = flow(name, result=result, **({} if known else more))
    step = change.apply(base, now)
    rewritten = flow(name, result=result, operation=change.operation).apply(as_an_older_version_wrote(base), now)
    assert written(step) == written(rewritten)
    assert step.answer == rewritten.answer
    assert step.write
    splice = step.write.splice
    assert splice or known
    if splice and not known:
        stored = base.encode()
        kept = stored[splice.skip_start_bytes : len(stored) - splice.skip_end_bytes]
        assert splice.prefix.encode() + kept + splice.suffix.encode() == step.write.text.encode()
        assert len(splice.prefix + splice.suffix) < 1000 + len(dumps(change.records))


@given(st.lists(IDS, min_size=1, max_size=6, unique=True), IDS)
def test_an_id_that_is_there_is_never_taken_for_new(before: list[str], other: str):
    now = Clock()()
    text = history(now, *(flow(name) for name in before))
    for name in [*before, other]:
        write = flow(name).apply(text, now).write
        assert write
        assert len(ids(write.text, now)) == len(before) + (name not in before)
    fresh = flow(other, fresh=True).onto(ends_of(text), now)
    assert fresh, "nobody else can have an id that was made for this call"


def test_an_append_needs_only_the_ends_of_a_history_whose_ids_this_process_knows(clock: Clock):
    change = flow("first", result={"text": "x" * 3 * ENDS})
    text = history(clock(), change).replace(change.operation, Writer().next())  # as another process wrote it
    assert flow("e1").onto(ends_of(text), clock()) is None, "whether e1 is there cannot be told"
    text = history(clock(), flow("e1"), base=text)
    for name in ("e2", "e3", "e4"):
        grown = flow(name).onto(ends_of(text), clock())
        assert grown
        append, answer = grown
        assert (answer.kept_until, answer.dropped) == (append.kept_until, 0)
        text = append.applied_to(text)
        assert append.size == len(text.encode())
    assert flow("e2").onto(ends_of(text), clock()) is None
    assert ids(text, clock()) == ["first", "e1", "e2", "e3", "e4"]
    somebody_else = history(clock(), flow("e5"), base=history(clock(), flow("e5"), base=text))
    assert flow("e6").onto(ends_of(somebody_else), clock()), "the ids were read with it"


def test_what_names_executions_inside_of_a_result_is_not_taken_for_one(clock: Clock):
    nested = {"list": [{"id": "a", "x": [{"id": "b"}]}, {"id": "c"}], "text": dumps({"id": "d", "l": [{"id": "e"}]})}
    change = flow("first", result=nested)
    text = history(clock(), change, flow("second", result={"flow": json.loads(history(clock(), change))}))
    assert ids(history(clock(), flow("b"), base=text), clock()) == ["first", "second", "b"]
    for limit in (1, 2, 3):
        newest = flow_history(text, clock(), limit=limit).executions
        assert newest == flow_history(text, clock()).executions[-limit:]


@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "x", ',{"id":']), OBJECTS | IDS, max_size=3), max_size=5),
    st.integers(1, 6),
)
def test_the_newest_executions_are_those_at_the_end(records: list[JSONObject], limit: int):
    now = Clock()()
    text = history(now, flow(records=records, replaces=True))
    assert flow_history(text, now).executions == records
    assert flow_history(text, now, limit=limit).executions == records[-limit:]


def test_a_limit_counts_living_executions(clock: Clock):
    changes = [cached(clock(), f"e{n}", ttl=5 if n % 2 else 100) for n in range(6)]
    text = history(clock(), *changes)
    newest = flow_history(text, clock.move(seconds=50), limit=2).executions
    assert [each["id"] for each in newest] == ["e2", "e4"]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_history_that_was_written_in_another_way_is_read_and_goes_on_in_ours(clock: Clock, indent: int | None):
    text = history(clock(), flow("e1"), flow("e2"))
    other = json.dumps(json.loads(text), indent=indent)
    assert flow_history(other, clock()) == flow_history(text, clock())
    assert as_copy(KEY, other).kept_until == as_copy(KEY, text).kept_until == clock() + timedelta(seconds=60)
    change = flow("e3")
    assert written(change.apply(other, clock())) == written(change.apply(text, clock()))


def test_a_history_of_an_older_version_is_read_and_grows_on(clock: Clock):
    text = as_an_older_version_wrote(history(clock(), flow("e1"), flow("e2")))
    assert ids(text, clock()) == ["e1", "e2"]
    text = history(clock(), flow("e2", "e3"), flow("e4"), base=text)
    assert ids(text, clock()) == ["e1", "e2", "e3", "e4"]
    assert json.loads(text)["count"] == 4


def test_a_pending_append_looks_for_its_ids_since_it_may_have_arrived(clock: Clock):
    change = load_command(dump_command(flow("e1", fresh=True)))
    assert isinstance(change, FlowHistoryCommand)
    assert not change.fresh
    again = change.model_copy(update={"operation": Writer().next()})
    assert ids(history(clock(), change, again), clock()) == ["e1"]


# how long it lives


def kept_until(text: str) -> datetime | None:
    return as_copy(KEY, text).kept_until


@pytest.mark.parametrize("ttls", [[0, 60], [60, 0], [0, 60, 5, 0, 5]])
def test_a_history_with_an_execution_for_ever_never_ends(clock: Clock, ttls: list[int]):
    changes = [cached(clock(), f"e{n}", ttl=ttl) for n, ttl in enumerate(ttls)]
    for text in (history(clock(), *changes), history(clock(), *changes[::-1])):
        assert kept_until(text) is None
        clock.move(seconds=61)
        assert set(ids(text, clock())) == {f"e{n}" for n, ttl in enumerate(ttls) if not ttl}
        clock.move(seconds=-61)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sampled_from(["ours", "an older version's"]))
def test_a_history_lives_as_long_as_its_longest_living_execution(ttls: list[int], whose: str):
    now = Clock()()
    text = history(now, *(cached(now, f"e{n}", ttl=ttl) for n, ttl in enumerate(ttls)))
    if whose != "ours":  # it had the end of its last execution
        text = history(now, cached(now, "last", ttl=1), base=as_an_older_version_wrote(text))
        ttls = [*ttls, 1]
    assert kept_until(text) == (None if 0 in ttls else now + timedelta(seconds=max(ttls)))
    ends = [now + timedelta(seconds=ttl) for ttl in ttls if ttl]
    assert json.loads(text)["next_expiry"] == (iso(min(ends)) if ends else None)


def test_the_end_is_that_of_what_is_left_when_the_longest_living_is_replaced(clock: Clock):
    text = history(clock(), cached(clock(), "e1", ttl=0), cached(clock(), "e2", ttl=9), cached(clock(), "e1", ttl=5))
    assert kept_until(text) == clock() + timedelta(seconds=9)


def test_the_executions_of_a_program_live_as_long_as_it_says_of_all_of_them(clock: Clock):
    text = history(clock(), cached(clock(), "long", ttl=0), flow("a", "b", ttl=9, replaces=True))
    assert kept_until(text) == clock() + timedelta(seconds=9)
    assert kept_until(history(clock(), cached(clock(), "short", ttl=5), base=text)) == clock() + timedelta(seconds=9)
    assert kept_until(history(clock(), cached(clock(), "b", ttl=5), base=text)) == clock() + timedelta(seconds=9)


def test_an_expired_execution_is_hidden_at_once_and_leaves_with_an_append_somewhat_later(clock: Clock):
    text = history(clock(), cached(clock(), "short", ttl=5), cached(clock(), "long", ttl=0))
    text = history(clock.move(seconds=5), cached(clock(), "later", ttl=0), base=text)
    assert ids(text, clock()) == ["long", "later"]
    assert '"short"' in text
    step = cached(clock.move(seconds=CLEARED_AFTER.total_seconds()), "last", ttl=0).apply(text, clock())
    assert [each["id"] for each in written(step)["executions"]] == ["long", "later", "last"]
    assert (written(step)["next_expiry"], step.answer.dropped) == (None, 0)
    assert step.write
    assert step.write.splice, "what stays is not sent again"


def test_an_execution_that_expired_on_its_way_is_not_added(clock: Clock):
    change, later = cached(clock(), "e", ttl=5), clock.move(seconds=5)
    assert change.apply(None, later).write is None
    assert change.apply(history(later, cached(later, "other")), later).write is None


# how large it grows


def test_a_history_past_its_limit_loses_its_oldest_first_and_says_how_many(clock: Clock):
    text, dropped = None, 0
    for n in range(40):
        step = flow(f"e{n}", result={"t": "x" * 500}, max_bytes=9000).apply(text, clock())
        assert step.write
        text, dropped = step.write.text, dropped + step.answer.dropped
        assert len(text.encode()) <= 9000
    kept = ids(text, clock())
    assert 1 < len(kept) < 40
    assert kept == [f"e{n}" for n in range(dropped, 40)]
    assert flow_history(text, clock()).dropped == flow_history(text, clock(), limit=2).dropped == dropped


def full(now: datetime, count: int = MAX_EXECUTIONS) -> str:
    names = [f"e{n}" for n in range(count)]
    return history(now, flow(*names, replaces=True, max_bytes=10_000_000))


def test_a_history_has_so_many_executions_and_makes_room_for_many_at_once(clock: Clock):
    text = full(clock(), MAX_EXECUTIONS - 1)
    step = flow("last", max_bytes=10_000_000).apply(text, clock())
    assert (written(step)["count"], step.answer.dropped) == (MAX_EXECUTIONS, 0)
    assert step.write
    seen = step.write.text
    step = flow("one more", max_bytes=10_000_000).apply(seen, clock())
    left = int(LEFT_WHEN_FULL * MAX_EXECUTIONS)
    assert (written(step)["count"], step.answer.dropped) == (left, MAX_EXECUTIONS + 1 - left)
    assert only_what_is_new(seen, step), "what stays is not sent again"
    assert step.write
    assert ids(step.write.text, clock())[-1] == "one more"
    assert flow_history(step.write.text, clock()).dropped == step.answer.dropped


def test_what_has_expired_makes_room_first_and_was_not_dropped(clock: Clock):
    text = history(clock(), *(cached(clock(), f"short{n}", ttl=5, max_bytes=9000) for n in range(20)))
    clock.move(seconds=5)
    step = flow(*(f"e{n}" for n in range(15)), result={"t": "x" * 200}, max_bytes=9000).apply(text, clock())
    assert step.answer.dropped == 0
    assert len(written(step)["executions"]) == 15


def test_a_large_execution_is_kept_though_all_others_have_to_leave(clock: Clock):
    text = history(clock(), flow("e1", max_bytes=2000), flow("e2", max_bytes=2000))
    step = flow("large", result={"t": "x" * 1900}, max_bytes=2000).apply(text, clock())
    assert ([each["id"] for each in written(step)["executions"]], step.answer.dropped) == (["large"], 2)


def test_a_program_is_refused_what_does_not_fit_and_nothing_is_left_out_of_what_it_keeps(clock: Clock):
    with pytest.raises(TooLarge):
        flow(*map(str, range(50)), replaces=True, max_bytes=1000).apply(None, clock())
    many = full(clock(), MAX_EXECUTIONS + 5)
    assert len(ids(many, clock())) == MAX_EXECUTIONS + 5


@given(st.lists(IDS, min_size=3, max_size=9, unique=True), st.integers(1, 400))
def test_making_room_cuts_off_whole_executions_and_keeps_the_text_of_the_others(names: list[str], size: int):
    now = Clock()()
    text = history(now, flow(*names, result={"t": "é漢🌾" * size}, replaces=True, max_bytes=1_000_000))
    step = flow("newest", max_bytes=len(text.encode())).apply(text, now)
    assert step.answer.dropped > 0
    assert step.write
    assert (
        flow_history(step.write.text, now).executions[:-1] == flow_history(text, now).executions[step.answer.dropped :]
    )
    assert only_what_is_new(text, step) or step.answer.dropped == len(names) or len(step.write.text) < 2000


@pytest.mark.parametrize("strange", [',"executions":[', '],"saved_at":"', '"', "\\", '{"id":"a"', "🌾" * 128])
def test_ids_and_words_that_look_like_the_document_itself_do_no_harm(clock: Clock, strange: str):
    more: dict[str, Any] = {"session_id": strange, "flow_id": strange}
    text = history(clock(), flow(strange, result={strange: [strange]}, **more))
    step = flow("next", result={"document": json.loads(text), "text": text}, **more).apply(text, clock())
    assert step.write
    assert step.write.splice
    assert ids(step.write.text, clock()) == [strange, "next"]
    assert flow_history(step.write.text, clock(), limit=1).executions == written(step)["executions"][-1:]


def test_what_left_is_forgotten_when_the_history_begins_anew(clock: Clock):
    text = history(clock(), *(flow(f"e{n}", result={"t": "x" * 500}, max_bytes=3000) for n in range(9)))
    assert flow_history(text, clock()).dropped
    assert flow_history(history(clock(), flow("e", replaces=True), base=text), clock()).dropped == 0
    assert flow_history(history(clock.move(seconds=61), flow("e"), base=text), clock()).dropped == 0


# what a destination that went back to an older state lost


def merge_forward(mine: str, there: str | None, now: datetime) -> str | None:
    write = MergeForwardCommand(key=KEY, operation=Writer().next(), text=mine).apply(there, now).write
    return write.text if write else None


def test_executions_that_a_destination_lost_are_added_to_what_others_added_since(clock: Clock):
    start = history(clock(), cached(clock(), "a"), cached(clock(), "b", ttl=5))
    mine = history(clock(), cached(clock(), "c", ttl=0), cached(clock(), "d", ttl=90), base=start)
    there = history(clock(), cached(clock(), "e", ttl=9), base=start)
    back = merge_forward(mine, there, clock())
    assert back
    assert ids(back, clock()) == ["a", "b", "e", "c", "d"]
    assert (kept_until(back), json.loads(back)["count"]) == (None, 5)
    assert covers(back, mine)
    assert covers(back, there)
    grown = cached(clock(), "f").apply(back, clock())
    assert [each["id"] for each in written(grown)["executions"]] == ["a", "b", "e", "c", "d", "f"]
    assert outline(ends_of(back)), "it goes on growing at its end"


def test_what_a_destination_did_not_lose_is_not_added_to_it(clock: Clock):
    start = history(clock(), cached(clock(), "a"))
    later = history(clock(), cached(clock(), "b"), base=start)
    assert merge_forward(start, later, clock()) is None
    assert merge_forward(later, start, clock()) == later
    assert merge_forward(later, None, clock()) == later
    other = history(clock(), cached(clock(), "c"), cached(clock(), "b"), cached(clock(), "a"))
    assert merge_forward(later, other, clock()) is None
    gone = DeleteCommand(key=KEY, member="").apply(start, clock()).write
    assert gone
    assert merge_forward(later, gone.text, clock()) is None


def test_what_has_expired_is_not_brought_back(clock: Clock):
    mine = history(clock(), cached(clock(), "a", ttl=5), cached(clock(), "b", ttl=0))
    there = history(clock.move(seconds=5), cached(clock(), "c"))
    back = merge_forward(mine, there, clock())
    assert ids(back, clock()) == ["c", "b"]
    assert back
    assert '"a"' not in back

"""The ids of histories are remembered for the newest of them, and no more of them than there is room for."""

from agentic_flywheel.documents.known_ids import IDS_REMEMBERED, REMEMBERED, KnownIds
from agentic_flywheel.documents.writes import Append, Splice, ends_of

TEXT = '{"schema_version":1,"revision":1,"operations":[[0,0,0,"a.1"]]}'


def append(key: str) -> Append:
    return Append(key, ends_of(TEXT), Splice(TEXT[:-30], len(TEXT) - 30, 30, TEXT[-30:]), None)


def knows(ids: KnownIds, key: str) -> bool:
    """Whether an append can be told without the text that its id is new."""
    return ids.add(append(key), [f"new of {key}"], None, fresh=False)


def test_an_id_that_is_there_is_no_new_one():
    ids = KnownIds()
    assert not knows(ids, "k"), "nothing is known of it"
    ids.keep("k", {"a"}, append("k").before)
    assert not ids.add(append("k"), ["a"], None, fresh=False)
    assert ids.add(append("k"), ["b"], None, fresh=False)
    assert not ids.add(append("k"), ["b"], None, fresh=False)


def test_the_history_that_grew_last_is_remembered_longest():
    ids = KnownIds()
    for at in range(REMEMBERED + 1):
        ids.keep(f"k{at}", {"a"}, append("").before)
        ids.keep("grows", {"a"}, append("").before)
    assert [knows(ids, key) for key in ("grows", "k0", "k2", f"k{REMEMBERED}")] == [True, False, True, True]


def test_histories_of_many_ids_leave_room_for_no_more_than_are_remembered():
    ids, half = KnownIds(), {str(at) for at in range(IDS_REMEMBERED // 2)}
    for key in ("a", "b", "b", "b"):
        ids.keep(key, set(half), append("").before)
    assert knows(ids, "a"), "the same history counts once"
    ids.keep("c", set(half), append("").before)
    assert not knows(ids, "b"), "it grew before the other"
    assert knows(ids, "c")

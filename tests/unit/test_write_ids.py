"""Which writes a document already holds, told from a few ids."""

from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents.model import Operation
from agentic_flywheel.documents.write_ids import (
    KEPT_OPERATIONS,
    LOST,
    WRITTEN_KEYS,
    Writer,
    apart,
    arrived,
    find,
    kept,
    told,
)


def operation(identity: str) -> Operation:
    return Operation(identity, 1, 1, 1)


def test_a_writer_numbers_its_writes_and_no_two_writers_meet():
    one, other = Writer(), Writer()
    first, second = one.next(), one.next()
    assert first.partition(".")[0] == second.partition(".")[0] != other.next().partition(".")[0]
    assert (first.partition(".")[2], second.partition(".")[2]) == ("1", "2")


def test_the_newest_write_of_a_writer_stands_for_its_earlier_ones():
    known = [operation("a.7"), operation("b.2")]
    assert find(known, "a.3", "")
    assert find(known, "a.7", "")
    assert find(known, "a.8", "") is None
    assert find(known, "c.1", "") is None


def test_a_retry_is_known_by_what_it_has_in_common_with_the_first_try():
    known = [operation("a.7~same"), operation("a.8" + LOST)]
    found = find(known, "b.1", "same")
    assert found
    assert found.id == "a.7~same"
    assert find(known, "b.1", "other") is None
    assert find(known, "a.8", "") == known[1]


def test_names_of_another_kind_are_compared_as_they_are():
    known = [operation("0a1b"), operation("same:77")]
    assert find(known, "0a1b", "")
    assert find(known, "0a1c", "") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)), max_size=200))
def test_whatever_was_written_the_newest_of_each_writer_is_kept(written: list[tuple[str, int]]):
    operations: tuple[Operation, ...] = ()
    newest: dict[str, int] = {}
    for writer, step in written:
        newest[writer] = newest.get(writer, 0) + step
        operations = kept((*operations, operation(f"{writer}.{newest[writer]}")))
    assert len(operations) <= KEPT_OPERATIONS
    for writer, number in newest.items():
        assert find(operations, f"{writer}.{number}", "")
        assert find(operations, f"{writer}.{number + 1}", "") is None


def test_of_more_writers_than_are_kept_the_longest_silent_goes():
    operations = kept([operation(f"{number:x}.1") for number in range(KEPT_OPERATIONS + 3)])
    assert operations[0].id == "3.1"


def test_a_write_apart_stands_for_itself_alone():
    known = [operation("ab.3"), operation(apart("ab.9") + "~same")]
    assert arrived(known, "ab.9")
    assert arrived(known, "ab.2")
    for other in ("ab.4", "ab.8", "ab.10"):
        assert arrived(known, other) is None


def test_a_writer_takes_another_name_where_its_write_was_apart():
    writer = Writer()
    first = writer.next()
    writer.wrote("k", first, [operation(first)])
    assert writer.newest("k") == first
    second = writer.next()
    assert second.partition(".")[0] == first.partition(".")[0]
    writer.wrote("k", second, [operation(apart(second))])
    assert writer.newest("k") == apart(second)
    assert writer.next().partition(".")[0] != first.partition(".")[0]


def test_of_more_keys_than_a_writer_can_know_none_has_two_writes_of_one_name():
    writer = Writer()
    names: dict[str, set[str]] = {}
    for number in [*range(WRITTEN_KEYS + 1), 0, 1]:
        write = writer.next()
        names.setdefault(f"k{number}", set()).add(write.partition(".")[0])
        writer.wrote(f"k{number}", write, [operation(write)])
    assert (len(names["k0"]), len(names["k1"])) == (2, 2)
    assert writer.newest("k2") == "", "it is not known any more, and its old name is not used again"


def test_what_a_caller_was_told_is_the_newest_write_and_those_that_were_lost():
    before = told((), [operation("a.1"), operation("b.1")])
    assert before == ("b.1",)
    assert told(before, [operation("a.1"), operation("b.2")]) == ("b.2",)
    assert told(before, [operation("a.1"), operation("c.1")]) == ("b.1", "c.1"), "the store was set back"
    assert told(("b.1", "c.1"), [operation("b.1"), operation("c.1"), operation("d.1")]) == ("d.1",), "all is back"
    assert told(before, []) == before

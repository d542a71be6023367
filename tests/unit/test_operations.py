"""Which writes a document already holds, told from a few ids."""

from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.codec import Operation
from agentic_flywheel.operations import KEPT_OPERATIONS, LOST, Writer, find, kept


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

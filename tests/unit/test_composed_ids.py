"""Ids of several parts: any parts have one, no two lists of them the same, and each is an id that the store takes."""

from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.integrations.composed_ids import compose, parts_of
from agentic_flywheel.keys import check_id, refuse_hidden

PART = st.text(max_size=12) | st.text(alphabet="a:%3A25 \n‮é\ud800", max_size=6)
PARTS = st.lists(PART, min_size=2, max_size=4)


@given(PARTS)
def test_parts_come_back_as_they_were(parts: list[str]):
    assert parts_of(compose(*parts)) == parts


@given(PARTS)
def test_the_store_takes_each(parts: list[str]):
    made = compose("adk", *parts)
    refuse_hidden(check_id(made, "id"), "id")


@given(PARTS, PARTS)
def test_no_two_have_one_id(some: list[str], others: list[str]):
    assert (compose(*some) == compose(*others)) is (some == others)


def test_what_a_person_would_write_stays_readable():
    assert compose("adk", "my garden", "ännchen@example.org", "s-1_2") == "adk:my garden:ännchen@example.org:s-1_2"

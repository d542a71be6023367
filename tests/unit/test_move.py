"""Moving to a Redis: nothing is lost, doubled or brought back, whatever that has under the same id."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.move import MoveCommand
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, Writer
from agentic_flywheel.errors import Conflict

from .test_lineage import NOW, said, saved


def grown(*texts: str, writer: Writer | None = None, **more: Any) -> str:
    """A session in which one program said these, a save each."""
    writer, text = writer or Writer(), None
    for each in texts:
        text = saved(text, writer, each, **more)
    assert text
    return text


def moved(mine: str, there: str | None, **more: Any) -> str:
    """What is there after `mine` was moved to it; once more adds nothing."""
    command = MoveCommand(key="k", operation=Writer().next(), member="s", index="i", revisions="r:", text=mine, **more)
    step = command.apply(there, NOW)
    text = step.write.text if step.write else there
    assert text
    assert command.with_write_id(Writer().next()).apply(text, NOW).write is None
    return text


def test_where_there_is_nothing_it_is_put_as_it_is():
    mine = grown("a", "b")
    assert moved(mine, None) == mine


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.lists(st.sampled_from("abc"), min_size=1))
def test_its_turns_follow_those_that_are_there_and_those_stay(mine: list[str], theirs: list[str]):
    there = grown(*theirs)
    both = said(moved(grown(*mine), there))
    assert both[: len(said(there))] == said(there)
    assert all(both.count(text) >= said(grown(*mine)).count(text) for text in "abc")


@pytest.mark.parametrize(("own", "other"), [(KEPT_OPERATIONS + 5, 2), (2, KEPT_OPERATIONS + 5), (60, 60)])
def test_two_talks_of_many_writers_are_never_taken_for_one(own: int, other: int):
    texts = list[str]()
    for name, count in (("mine", own), ("theirs", other)):
        text = None
        for number in range(count):
            text = saved(text, Writer(), f"{name} {number}")
        assert text
        texts.append(text)
    together = said(moved(texts[0], texts[1]))
    assert together == [f"theirs {n}" for n in range(other)] + [f"mine {n}" for n in range(own)]


def test_what_was_added_here_since_it_was_moved_is_added_there():
    writer = Writer()
    mine = grown("a", writer=writer)
    there = saved(moved(mine, grown("theirs")), Writer(), "after")
    assert said(moved(saved(mine, writer, "b"), there)) == ["theirs", "a", "after", "b"]


def test_what_was_taken_away_there_since_it_was_moved_stays_away():
    mine = grown("a", "secret")
    there = saved(moved(mine, None), Writer(), "a", mode="replace")
    assert moved(mine, there) == there


def test_context_and_tags_alone_are_worth_moving():
    mine = grown("a", context={"mine": 1}, tags=["t"])
    document = decode(moved(mine, grown("a", context={"theirs": 2, "mine": 3})), "s")
    assert isinstance(document, Document)
    assert (document.session.context, document.tags) == ({"theirs": 2, "mine": 3}, ("t",))


def test_it_lives_as_long_as_the_longer_life():
    mine, there = grown("a", ttl_seconds=0), grown("b", ttl_seconds=60)
    document = decode(moved(mine, there), "s")
    assert document.kept_until is None


def test_a_deletion_of_another_talk_is_no_deletion_of_this_one_and_its_own_stands():
    mine, theirs = grown("a"), grown("b", "c")
    for first, after in ((theirs, ["a"]), (mine, None)):
        deletion = DeleteCommand(key="k", operation=Writer().next(), member="s", index="i", revisions="r:")
        grave = deletion.apply(first, NOW).write
        assert grave
        command = MoveCommand(key="k", operation=Writer().next(), member="s", index="i", revisions="r:", text=mine)
        write = command.apply(grave.text, NOW).write
        assert (said(write.text) if write else None) == after


def test_a_talk_of_another_user_is_left_alone():
    mine, there = grown("a", values={"user_id": "ana"}), grown("b", values={"user_id": "ben"})
    with pytest.raises(Conflict, match="another user_id"):
        moved(mine, there)


def test_what_has_expired_is_not_moved():
    command = MoveCommand(key="k", operation=Writer().next(), member="s", index="i", revisions="r:", text=grown("a"))
    assert command.apply(None, NOW + timedelta(days=1)).write is None

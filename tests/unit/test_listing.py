"""Which rows a list shows, and the cursor to its next page."""

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents.model import iso
from agentic_flywheel.documents.writes import EVERY_ROW, ListRow
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.sessions.cursors import (
    SearchPosition,
    read_cursor,
    read_search_cursor,
    write_cursor,
    write_search_cursor,
)
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.unexpired import READ_AT_ONCE, unexpired_rows

from .conftest import Clock


def entry(member: str, **row: Any) -> ListRow:
    known = {"id": member, "title": "", "summary": "", "tags": [], "status": "pending", "user_id": None,
             "expires_at": None}  # fmt: skip
    return ListRow("p:index", member, 1, json.dumps(known | row))


ROWS = [
    entry("alpha", title="Harvest plans", tags=["farm", "2026"], user_id="ana"),
    entry("beta", summary="We ask the weather", tags=["farm"], status="running", user_id="bo"),
    entry("Gamma", title="Écologie", status="completed"),
    entry("a*b", tags=["weather"], user_id="ana"),
]


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (SessionFilter(), ["alpha", "beta", "Gamma", "a*b"]),
        (SessionFilter(pattern="a*"), ["alpha", "a*b"]),
        (SessionFilter(pattern="a\\*b"), ["a*b"]),
        (SessionFilter(pattern="[ab]*a"), ["alpha", "beta"]),
        (SessionFilter(pattern="gamma"), []),
        (SessionFilter(pattern="alph"), []),
        (SessionFilter(tags=["farm"]), ["alpha", "beta"]),
        (SessionFilter(tags=["farm", "2026"]), ["alpha"]),
        (SessionFilter(tags=["far"]), []),
        (SessionFilter(status="running"), ["beta"]),
        (SessionFilter(user_id="ana"), ["alpha", "a*b"]),
        (SessionFilter(user_id="an"), []),
        (SessionFilter(pattern="a*", tags=["farm"], status="pending", user_id="ana"), ["alpha"]),
    ],
    ids=repr,
)
def test_a_list_shows_what_was_asked_for_in_the_order_of_the_entries(
    clock: Clock, wanted: SessionFilter, shown: list[str]
):
    rows = wanted.matching(ROWS, clock())
    assert [row.entry.member for row in rows] == shown
    assert [row.shown["id"] for row in rows] == shown


class Holding:
    """Repository of which Redis, if there is one, holds these sessions."""

    def __init__(self, *members: str) -> None:
        self.members = {*members}
        self.asked: list[Sequence[str]] = []

    async def still_stored(self, members: Sequence[str], _bound: float) -> set[str]:
        self.asked.append(members)
        return self.members & {*members}


async def test_the_expired_are_hidden_from_the_moment_on_unless_redis_holds_them(clock: Clock):
    async def living(repository: Any) -> list[str]:
        return [
            row.entry.member for row in await unexpired_rows(repository, SessionFilter(), [brief, *ROWS], clock(), 1.0)
        ]

    brief = entry("brief", expires_at=iso(clock() + timedelta(seconds=1)))
    everybody = ["brief", *(each.member for each in ROWS)]
    assert await living(Holding()) == everybody
    clock.move(seconds=1)
    assert await living(Holding()) == everybody[1:]
    repository = Holding("brief")
    assert await living(repository) == everybody, "its clock is right, and ours is ahead"
    assert repository.asked == [["brief"]], "nobody asks for those that live by our clock as well"


async def test_others_are_served_while_the_rows_of_a_large_page_are_read(clock: Clock):
    served = 0

    async def serve() -> None:
        nonlocal served
        while True:
            served += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(serve())
    entries = [entry(f"s{n}") for n in range(1_000)]
    rows = await unexpired_rows(cast("Any", Holding()), SessionFilter(), entries, clock(), 1.0)
    other.cancel()
    assert len(rows) == 1_000
    assert served >= 1_000 // READ_AT_ONCE


def test_what_expires_within_a_day_says_so(clock: Clock):
    entries = [entry("brief", expires_at=iso(clock() + timedelta(hours=23))), *ROWS,
               entry("long", expires_at=iso(clock() + timedelta(hours=25)))]  # fmt: skip
    rows = [row.shown for row in SessionFilter().matching(entries, clock())]
    assert [row["id"] for row in rows if row.get("expires_soon")] == ["brief"]


@pytest.mark.parametrize("note", ["", "not ours", "[]", "null", '{"a": NaN}'])
def test_a_row_that_cannot_be_read_is_left_out(clock: Clock, note: str):
    rows = SessionFilter().matching([ListRow("p:index", "x", 1, note), ROWS[0]], clock())
    assert [row.entry.member for row in rows] == ["alpha"]


@pytest.mark.parametrize(
    "note", ['{"id": "x"}', '{"tags": null}', '{"tags": [1, []]}', '{"tags": "a", "title": 5}', '{"title": null}']
)
@pytest.mark.parametrize("wanted", [SessionFilter(), SessionFilter(tags=["a"])], ids=repr)
def test_a_row_of_another_shape_does_not_break_the_list(clock: Clock, wanted: SessionFilter, note: str):
    rows = wanted.matching([ListRow("p:index", "x", 1, note), entry("x y", tags=["a"])], clock())
    assert "x y" in [row.entry.member for row in rows]


@given(st.integers(0, 2**53), st.text(min_size=1, max_size=20))
def test_a_cursor_names_the_place_that_it_was_made_for(saved_at: int, member: str):
    assert read_cursor(write_cursor((saved_at, member))) == (saved_at, member)


PLACES = st.builds(
    SearchPosition,
    st.integers(0, 2**31 - 1),
    st.text(max_size=20),
)


@given(PLACES)
def test_a_cursor_of_a_search_names_its_place_to_the_same_search_alone(place: SearchPosition):
    cursor = write_search_cursor(place, SessionFilter(query="a b"))
    assert read_search_cursor(cursor, SessionFilter(query="a b")) == place
    with pytest.raises(InvalidArgument, match="next_cursor"):
        read_search_cursor(cursor, SessionFilter(query="b"))
    with pytest.raises(InvalidArgument, match="next_cursor"):
        read_cursor(cursor)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    ["x", "next", "é", "\ud800", "=", "a" * 5000, *map(encoded, [1, "ab", None, {}, [], [1], [1, 2], ["1", "a"],
     [1, "a", 2], [1.5, "a"], [None, "a"]])],
)  # fmt: skip
def test_a_foreign_cursor_is_refused_with_what_to_pass(cursor: str):
    with pytest.raises(InvalidArgument, match="next_cursor"):
        read_cursor(cursor)
    with pytest.raises(InvalidArgument, match="next_cursor"):
        read_search_cursor(cursor, SessionFilter(query="a"))


@given(st.text(max_size=30))
def test_any_text_is_a_cursor_or_refused(text: str):
    try:
        saved_at, member = read_cursor(text)
    except InvalidArgument:
        return
    assert isinstance(saved_at, int)
    assert isinstance(member, str)


def test_a_list_without_conditions_asks_for_every_row_and_so_for_no_more_than_a_page():
    assert SessionFilter().row_filter == EVERY_ROW

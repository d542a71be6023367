"""How the rows of the shared list come into the index: the newest before a search, all of them now and then."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.records import Matches
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.list_replica import NEWEST, PASS_SECONDS, ListReplica
from agentic_flywheel.replication.session_list import Page, position_of
from agentic_flywheel.sessions.search import NOT_ALL, search
from agentic_flywheel.sessions.session_filter import SessionFilter

from ..support.sealed import ring
from .conftest import Clock

KEYS = Keys("p")


class Shared:
    """A list in Redis, newest first."""

    def __init__(self) -> None:
        self.rows: list[ListRow] = []

    def put(self, member: str, title: str, saved_at: int) -> None:
        self.rows.append(ListRow(KEYS.index, member, saved_at, f'{{"title":"{title}"}}'))
        self.rows.sort(key=position_of, reverse=True)

    async def page(self, _index: str, before: tuple[int, str] | None, limit: int, _deadline: float) -> Page:
        rows = [row for row in self.rows if before is None or position_of(row) < before]
        older = position_of(rows[limit - 1]) if len(rows) > limit else None
        return Page(rows[:limit], older, shared=True)


async def test_a_row_that_a_clock_behind_put_below_known_ones_is_read_within_the_hour(journal: Journal, clock: Clock):
    shared = Shared()
    for number in range(2 * NEWEST):
        shared.put(f"s{number}", "a talk", 1_000 + number)
    replica = ListReplica(journal, cast("Any", shared), KEYS)

    async def found() -> list[str]:
        await replica.refresh(KEYS.index, asyncio.get_running_loop().time() + 5)
        if replica._background:
            await replica._background
        return [match.member for match in journal.search(KEYS.index, Question.of("aubergines")).found]

    assert await found() == []
    shared.put("behind", "aubergines", 500)
    assert await found() == []
    clock.move(seconds=PASS_SECONDS + 1)
    assert await found() == ["behind"]


async def test_a_row_that_an_import_put_below_known_ones_is_read_at_once(journal: Journal):
    shared = Shared()
    for number in range(2 * NEWEST):
        shared.put(f"s{number}", "a talk", 1_000 + number)
    replica = ListReplica(journal, cast("Any", shared), KEYS, lambda: len(shared.rows))

    async def found() -> tuple[bool, list[str]]:
        page = await replica.refresh(KEYS.index, asyncio.get_running_loop().time() + 5)
        if replica._background:
            await replica._background
        return page.older is None, [m.member for m in journal.search(KEYS.index, Question.of("aubergines")).found]

    assert await found() == (True, [])
    shared.put("imported", "aubergines", 500)
    assert await found() == (False, ["imported"])  # and says that it was still to be read
    assert await found() == (True, ["imported"])


async def test_a_row_that_could_not_be_read_is_found_once_its_key_is_given(journal: Journal):
    shared, note = Shared(), '{"title":"aubergines"}'
    shared.rows = [ListRow(KEYS.index, "s", 1_000, Envelopes(ring("a")).close_note("s", note))]
    replica = ListReplica(journal, cast("Any", shared), KEYS)
    for found in ([], ["s"]):
        await replica.refresh(KEYS.index, asyncio.get_running_loop().time() + 5)
        assert [match.member for match in journal.search(KEYS.index, Question.of("aubergines")).found] == found
        shared.rows = [ListRow(KEYS.index, "s", 1_000, note)]


@pytest.mark.parametrize("older", [None, (1, "a")])
async def test_the_best_of_what_was_read_so_far_say_so(older: tuple[int, str] | None, journal: Journal):
    row = ListRow(KEYS.index, "b", 2, '{"title":"aubergines"}')
    journal.put_list_rows([row], KEYS.sessions)

    class Repository:
        stash = None

        def __init__(self) -> None:
            self.journal = journal

        def deadline(self, *, reading: bool) -> float:
            return asyncio.get_running_loop().time() + 5 * reading

        async def deadline_once_ready(self, deadline: float) -> float:
            return deadline

        async def refresh_list(self, _index: str, _deadline: float) -> Page:
            return Page([], older, shared=True)

        async def search(self, index: str, question: Question) -> Matches:
            return journal.search(index, question)

        async def entries(self, *_: object) -> list[ListRow]:
            return [row]

        async def still_stored(self, *_: object) -> set[str]:
            return set()

    asked = SessionFilter(query="aubergines")
    answer = await search(cast("Any", Repository()), KEYS, asked, datetime.now(UTC), 20, "", None)
    assert [found["id"] for found in answer.sessions] == ["b"]
    assert (NOT_ALL in answer.message) == bool(older)

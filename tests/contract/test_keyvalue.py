"""The contract of a place that keeps documents. It never asks which place it runs on.

A place takes a document only from a writer who saw what is there now; what it promises beyond that (no two writers
at the same moment, lists, forgetting by itself) stands in suites of its own, for the places that can.
"""

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import Unavailable

from ..support.waiting import eventually
from .places import (
    LOST_CLUSTER,
    LOST_STOCK_CHILD,
    LOST_TODAYS,
    OUR_STASHES,
    SEALED_STASHES,
    SEALED_STOCK_CHILD,
    STOCK_CHILD,
    Place,
    utc_now,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEALED = ["a sealed journal", *SEALED_STASHES]
EVERY_PLACE = ["a dict", "the journal", *OUR_STASHES, STOCK_CHILD, *SEALED, SEALED_STOCK_CHILD]
PLACES_THAT_COMPARE_AND_LIST = ["a dict", "the journal", *OUR_STASHES, *SEALED]
PLACES_THAT_FORGET = ["a dict", *OUR_STASHES, *SEALED_STASHES]
PLACES_OUT_OF_REACH = [
    "a dict that is away",
    "a journal below a file",
    "our child without Redis",
    LOST_CLUSTER,
    LOST_TODAYS,
    LOST_STOCK_CHILD,
]

WORDS = [
    pytest.param("🌾 été 漢字 👩\u200d🌾", id="emoji"),
    pytest.param("a\x00b\x00", id="NUL"),
    pytest.param("one\u2028two\u2029three\x85four", id="line separators"),
    pytest.param("\r\n\t \x0b\x0c\x1f\x7f\ufeff", id="white space and control characters"),
    pytest.param(2**70, id="a number beyond 64 bits"),
    pytest.param([[], {}, "", 0, -0.0, 1e-300, None, True], id="empty things"),
    pytest.param('"quoted" \\back\\slashed\\ {"success": false} ]]}} \'', id="quotes and backslashes"),
    pytest.param("Key 'k' not found in Redis", id="what a child says of an absent key"),
    pytest.param("deleted_at", id="the name of a tombstone's field"),
    pytest.param("ü" * 500_000, id="a megabyte"),
]


def document(member: str, revision: int, words: Any = "hello") -> str:
    """A document as the store writes it: revision at the head, the name of its write at the end."""
    head = {"schema_version": 1, "id": member, "revision": revision, "words": words}
    operation = [1, 1, revision, f"{revision:032x}"]
    return json.dumps(head | {"operations": [operation]}, ensure_ascii=False, separators=(",", ":"))


def buried(member: str, revision: int) -> str:
    """A tombstone as the store writes it."""
    told = {"deleted_at": utc_now().isoformat(), "kept_until": None, "because": "deleted"}
    return json.dumps({"schema_version": 1, "id": member, "revision": revision} | told)


def write(place: Place, member: str, text: str, seen: str | None = None, **more: Any) -> Write:
    return Write(place.keys.session(member), text, seen, more.pop("kept_until", None), **more)


def listed(place: Place, member: str, saved_at: int, revision: int = 1, **more: Any) -> Write:
    """A first write of a document that is to be listed."""
    entry = ListRow(place.keys.index, member, saved_at, json.dumps({"id": member, "revision": revision}))
    return write(place, member, document(member, revision), list_row=entry, **more)


def tombstone(place: Place, member: str, seen: str, revision: int = 1, **more: Any) -> Write:
    entry = ListRow(place.keys.index, member, 1) if more.pop("listed", False) else None
    return write(place, member, buried(member, revision), seen, tombstone=True, list_row=entry, **more)


async def accepted(place: Place, *writes: Write) -> None:
    for each in writes:
        assert (await place.kv.commit(each)).accepted


async def refused(place: Place, each: Write, *, there: str | None) -> None:
    """The write is refused, told what is there, and that is still there."""
    outcome = await place.kv.commit(each)
    assert (outcome.accepted, outcome.current) == (False, there)
    assert await place.kv.read(each.key) == there


@pytest.mark.parametrize("place", EVERY_PLACE, indirect=True)
class TestEveryPlace:
    async def test_nothing_is_under_a_key_never_written(self, place: Place):
        assert await place.kv.read(place.keys.session("nobody")) is None

    @pytest.mark.parametrize("words", WORDS)
    async def test_a_document_comes_back_as_it_was_written(self, place: Place, words: Any):
        text = document("s", 1, words)
        await accepted(place, write(place, "s", text))
        assert await place.kv.read(place.keys.session("s")) == text

    async def test_text_that_only_looks_like_json_comes_back_as_it_was_written(self, place: Place):
        text = '{"schema_version" : 1 ,  "id":"s", "revision":1,\n "big": 1e999, "a": 1, "a": 2}  '
        await accepted(place, write(place, "s", text))
        assert await place.kv.read(place.keys.session("s")) == text

    async def test_a_writer_who_saw_what_is_there_replaces_it(self, place: Place):
        first, second, third = (document("s", revision) for revision in (1, 2, 3))
        await accepted(place, write(place, "s", first), write(place, "s", second, first))
        await accepted(place, write(place, "s", third, second))
        assert await place.kv.read(place.keys.session("s")) == third

    async def test_a_writer_who_saw_an_older_document_is_refused_and_told_what_is_there(self, place: Place):
        first, second = document("s", 1), document("s", 2)
        await accepted(place, write(place, "s", first), write(place, "s", second, first))
        await refused(place, write(place, "s", document("s", 2, "mine"), first), there=second)

    async def test_a_writer_who_saw_another_document_of_the_same_revision_is_refused(self, place: Place):
        there = document("s", 1, "theirs")
        mine = there.replace("theirs", "mine").replace("1,1,1,", "2,2,1,")
        await accepted(place, write(place, "s", there))
        await refused(place, write(place, "s", document("s", 2), mine), there=there)

    async def test_a_writer_who_saw_nothing_is_refused_where_something_is(self, place: Place):
        there = document("s", 1)
        await accepted(place, write(place, "s", there))
        await refused(place, write(place, "s", document("s", 1, "mine")), there=there)

    async def test_who_is_refused_can_write_on_top_of_what_was_told(self, place: Place):
        await accepted(place, write(place, "s", document("s", 1)))
        outcome = await place.kv.commit(write(place, "s", document("s", 1, "mine")))
        await accepted(place, write(place, "s", document("s", 2, "mine"), outcome.current))
        assert await place.kv.read(place.keys.session("s")) == document("s", 2, "mine")

    async def test_a_document_of_another_shape_can_be_replaced_by_who_saw_it(self, place: Place):
        foreign = '{"title": "written by another program", "revision": 4}'
        await accepted(place, write(place, "s", foreign), write(place, "s", document("s", 5), foreign))
        assert await place.kv.read(place.keys.session("s")) == document("s", 5)

    async def test_a_tombstone_takes_the_document_away_and_is_read_in_its_place(self, place: Place):
        await accepted(place, write(place, "s", document("s", 1)))
        grave = tombstone(place, "s", document("s", 1))
        await accepted(place, grave)
        assert await place.kv.read(place.keys.session("s")) == grave.text

    async def test_a_tombstone_for_an_older_document_is_refused(self, place: Place):
        first, second = document("s", 1), document("s", 2)
        await accepted(place, write(place, "s", first), write(place, "s", second, first))
        await refused(place, tombstone(place, "s", first), there=second)

    async def test_on_top_of_a_tombstone_only_who_saw_it_writes(self, place: Place):
        first = document("s", 1)
        grave = tombstone(place, "s", first)
        await accepted(place, write(place, "s", first), grave)
        await refused(place, write(place, "s", document("s", 1, "mine")), there=grave.text)
        await accepted(place, write(place, "s", document("s", 2), grave.text))
        assert await place.kv.read(place.keys.session("s")) == document("s", 2)

    async def test_a_document_can_be_buried_again_after_it_came_back(self, place: Place):
        first, third = document("s", 1), document("s", 3)
        grave, second_grave = tombstone(place, "s", first), tombstone(place, "s", third, revision=3)
        await accepted(place, write(place, "s", first), grave, write(place, "s", third, grave.text), second_grave)
        assert await place.kv.read(place.keys.session("s")) == second_grave.text
        await refused(place, write(place, "s", document("s", 2, "late"), grave.text), there=second_grave.text)

    async def test_who_saw_the_tombstone_is_refused_once_somebody_wrote_on_top_of_it(self, place: Place):
        first = document("s", 1)
        grave = tombstone(place, "s", first)
        await accepted(place, write(place, "s", first), grave, write(place, "s", document("s", 2), grave.text))
        await refused(place, write(place, "s", document("s", 2, "mine"), grave.text), there=document("s", 2))

    async def test_who_saw_the_document_is_refused_once_it_is_buried(self, place: Place):
        first = document("s", 1)
        grave = tombstone(place, "s", first)
        await accepted(place, write(place, "s", first), grave)
        await refused(place, write(place, "s", document("s", 2, "late"), first), there=grave.text)

    async def test_keys_that_look_like_patterns_are_kept_apart(self, place: Place):
        members = ["a*", "a?", "a[b]", "a b", " a", "ab", "a\\*", "a^", "a-c", "a:b", "a%3Ab", "a/../b", "é", "e\u0301"]
        await accepted(place, *(write(place, member, document(member, 1, member)) for member in members))
        for member in members:
            assert await place.kv.read(place.keys.session(member)) == document(member, 1, member)
        for absent in ("*", "a", "a*b", "?b", "A*", "ab "):
            assert await place.kv.read(place.keys.session(absent)) is None

    async def test_burying_one_document_leaves_the_others(self, place: Place):
        await accepted(place, write(place, "a*", document("a*", 1)), write(place, "ab", document("ab", 1)))
        await accepted(place, tombstone(place, "a*", document("a*", 1)))
        assert await place.kv.read(place.keys.session("ab")) == document("ab", 1)

    async def test_reads_and_writes_of_many_at_once_do_not_mix_up(self, place: Place):
        members = [f"s{i}" for i in range(25)]
        await asyncio.gather(*(accepted(place, write(place, m, document(m, 1, m))) for m in members))
        texts = await asyncio.gather(*(place.kv.read(place.keys.session(m)) for m in members))
        assert texts == [document(m, 1, m) for m in members]


@pytest.mark.parametrize("place", PLACES_OUT_OF_REACH, indirect=True)
class TestAPlaceOutOfReach:
    async def test_a_read_says_that_it_is_not_known(self, place: Place):
        with pytest.raises(Unavailable):
            await place.kv.read(place.keys.session("s"))

    async def test_a_write_says_that_it_is_not_known(self, place: Place):
        with pytest.raises(Unavailable):
            await place.kv.commit(write(place, "s", document("s", 1)))


@pytest.mark.parametrize("place", PLACES_THAT_COMPARE_AND_LIST, indirect=True)
class TestPlacesThatCompareAndList:
    async def test_of_writers_at_the_same_moment_one_is_accepted(self, place: Place):
        first = document("s", 1)
        await accepted(place, write(place, "s", first))
        rivals = [document("s", 2, f"rival {i}").replace("1,1,2,", f"{i},1,2,") for i in range(20)]
        outcomes = await asyncio.gather(*(place.kv.commit(write(place, "s", rival, first)) for rival in rivals))
        (winner,) = [rival for rival, outcome in zip(rivals, outcomes, strict=True) if outcome.accepted]
        assert {outcome.current for outcome in outcomes if not outcome.accepted} == {winner}
        assert await place.kv.read(place.keys.session("s")) == winner

    async def test_no_update_is_lost_between_writers_who_try_again(self, place: Place):
        async def add(name: str) -> None:
            seen = await place.kv.read(place.keys.session("s"))
            while True:
                names = json.loads(seen)["words"] if seen else []
                text = document("s", len(names) + 1, [*names, name])
                outcome = await place.kv.commit(write(place, "s", text, seen))
                if outcome.accepted:
                    return
                seen = outcome.current

        names = [f"writer {i}" for i in range(12)]
        await asyncio.gather(*(add(name) for name in names))
        stored = json.loads(await place.kv.read(place.keys.session("s")))
        assert sorted(stored["words"]) == sorted(names)
        assert stored["revision"] == len(names)

    async def test_a_writer_who_saw_a_document_that_is_gone_is_refused(self, place: Place):
        await refused(place, write(place, "s", document("s", 2), document("s", 1)), there=None)

    async def test_a_writer_who_saw_a_tombstone_that_is_gone_is_refused(self, place: Place):
        await refused(place, write(place, "s", document("s", 2), buried("s", 1)), there=None)

    async def test_lists_show_the_newest_first(self, place: Place):
        await accepted(place, *(listed(place, member, at) for member, at in (("old", 10), ("new", 30), ("mid", 20))))
        entries = await place.kv.recent(place.keys.index, None, 10)
        assert [(e.member, e.saved_at) for e in entries] == [("new", 30), ("mid", 20), ("old", 10)]
        assert [json.loads(e.note)["id"] for e in entries] == ["new", "mid", "old"]

    async def test_an_empty_list_is_empty(self, place: Place):
        assert await place.kv.recent(place.keys.index, None, 10) == []

    async def test_microseconds_tell_entries_apart(self, place: Place):
        now = 1_793_000_000_123_456
        await accepted(place, *(listed(place, f"s{i}", now + i) for i in (1, 3, 0, 2)))
        entries = await place.kv.recent(place.keys.index, None, 10)
        assert [e.saved_at - now for e in entries] == [3, 2, 1, 0]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_pages_show_everything_once_ties_by_member(self, place: Place, limit: int):
        members = ["a", "b", "B", "é", "zz", "\uffee", "😀", "a b", "a*"]
        rows = [(member, 1 + i % 2) for i, member in enumerate(members)]
        await accepted(place, *(listed(place, member, at) for member, at in rows))
        seen: list[tuple[int, str]] = []
        before = None
        while page := await place.kv.recent(place.keys.index, before, limit):
            assert len(page) <= limit
            seen += [(e.saved_at, e.member) for e in page]
            before = seen[-1]
        assert seen == sorted(((at, member) for member, at in rows), reverse=True)

    async def test_a_save_moves_a_document_to_the_front_of_the_list(self, place: Place):
        first = listed(place, "s", 10)
        await accepted(place, first, listed(place, "other", 20))
        await accepted(place, replace(listed(place, "s", 30, revision=2), seen=first.text))
        entries = await place.kv.recent(place.keys.index, None, 10)
        assert [(e.member, e.saved_at) for e in entries] == [("s", 30), ("other", 20)]
        assert json.loads(entries[0].note)["revision"] == 2

    async def test_a_refused_write_does_not_change_the_list(self, place: Place):
        await accepted(place, listed(place, "s", 10))
        assert not (await place.kv.commit(listed(place, "s", 99))).accepted
        assert [e.saved_at for e in await place.kv.recent(place.keys.index, None, 10)] == [10]

    async def test_the_buried_leave_the_list_and_come_back_with_a_new_document(self, place: Place):
        first = listed(place, "s", 10)
        grave = tombstone(place, "s", first.text, listed=True)
        await accepted(place, first, listed(place, "other", 20), grave)
        assert [e.member for e in await place.kv.recent(place.keys.index, None, 10)] == ["other"]
        await accepted(place, replace(listed(place, "s", 30, revision=2), seen=grave.text))
        assert [e.member for e in await place.kv.recent(place.keys.index, None, 10)] == ["s", "other"]

    async def test_what_is_kept_without_an_entry_is_not_listed(self, place: Place):
        key = place.keys.execution("e")
        await accepted(place, Write(key, document("e", 1), None, None), listed(place, "s", 10))
        assert [e.member for e in await place.kv.recent(place.keys.index, None, 10)] == ["s"]

    async def test_lists_of_different_names_do_not_mix(self, place: Place):
        await accepted(place, listed(place, "s", 10))
        assert await place.kv.recent(place.keys.index + "2", None, 10) == []

    async def test_a_document_leaves_the_list_when_its_time_has_come(self, place: Place):
        await accepted(place, listed(place, "brief", 20, kept_until=soon()), listed(place, "lasting", 10))

        async def members() -> list[str]:
            return [e.member for e in await place.kv.recent(place.keys.index, None, 10)]

        async def only_the_lasting() -> bool:
            return await members() == ["lasting"]

        await eventually(only_the_lasting, what="the brief document to leave the list")


@pytest.mark.parametrize("place", PLACES_THAT_FORGET, indirect=True)
class TestPlacesThatForget:
    async def test_a_document_is_gone_when_its_time_has_come(self, place: Place):
        await accepted(place, write(place, "s", document("s", 1), kept_until=soon()))
        await self._gone(place, "s")
        await accepted(place, write(place, "s", document("s", 1, "again")))
        assert await place.kv.read(place.keys.session("s")) == document("s", 1, "again")

    async def test_a_tombstone_is_gone_when_its_time_has_come(self, place: Place):
        await accepted(place, write(place, "s", document("s", 1)))
        await accepted(place, tombstone(place, "s", document("s", 1), kept_until=soon()))
        await self._gone(place, "s")

    async def test_a_later_write_takes_the_end_away(self, place: Place):
        first, second = document("s", 1), document("s", 2)
        brief = write(place, "brief", document("brief", 1), kept_until=soon(1.0))
        await accepted(place, write(place, "s", first, kept_until=soon(1.0)), write(place, "s", second, first), brief)
        await self._gone(place, "brief")
        assert await place.kv.read(place.keys.session("s")) == second

    async def test_a_time_far_away_is_no_end(self, place: Place):
        await accepted(place, write(place, "s", document("s", 1), kept_until=soon(100 * 365 * 86_400)))
        assert await place.kv.read(place.keys.session("s")) == document("s", 1)

    @staticmethod
    async def _gone(place: Place, member: str) -> None:
        async def absent() -> bool:
            return await place.kv.read(place.keys.session(member)) is None

        await eventually(absent, what="the document's end")


def soon(seconds: float = 0.2) -> datetime:
    return utc_now() + timedelta(seconds=seconds)

"""What a stash tells of many documents at once, and how it takes many back: alike on our child and on a cluster."""

import asyncio
from dataclasses import replace

import pytest

from agentic_flywheel.coaia.replies import UNREADABLE, StoredVersion
from agentic_flywheel.coaia.stash import VERSIONS_AT_ONCE, Stash
from agentic_flywheel.documents.writes import MARKED, Write, sealed_ending

from ..support.waiting import eventually
from .places import OUR_STASHES, SEALED_STASHES, SEALED_STOCK_CHILD, STOCK_CHILD, Place
from .test_keyvalue import accepted, document, listed, soon, tombstone, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_STASH = [*OUR_STASHES, STOCK_CHILD, *SEALED_STASHES, SEALED_STOCK_CHILD]
STASHES_THAT_LIST = [*OUR_STASHES, *SEALED_STASHES]

LONGEST_ID = 'é漢🌾\\"' * 102 + "ab"
"""As long as an id may be, in characters that take many bytes or are escaped."""


def stash_of(place: Place) -> Stash:
    return place.kv


async def marks(place: Place, *members: str) -> list[StoredVersion | None]:
    """The marks of these sessions, in order."""
    keys = [place.keys.session(member) for member in members]
    found = await stash_of(place).versions(keys, stash_of(place).deadline(at_least=20.0))
    assert [*found] == keys
    return [*found.values()]


def version(place: Place, revision: int, text: str, tombstone: int | None = None) -> StoredVersion:
    """What is told of a stored text; of a sealed one it is how its envelope ends."""
    ending = sealed_ending(text) if stash_of(place).envelopes and stash_of(place).has("coaia_marks") else text
    return StoredVersion(revision, ending[-MARKED:], tombstone)


async def restored(place: Place, *writes: Write) -> list[str]:
    return await stash_of(place).restore(writes, stash_of(place).deadline(at_least=20.0))


@pytest.mark.parametrize("place", EVERY_STASH, indirect=True)
class TestEveryStash:
    async def test_the_marks_of_documents_tell_which_version_is_there(self, place: Place):
        texts = {member: document(member, revision) for member, revision in (("a", 1), ("b", 7), (LONGEST_ID, 12))}
        await accepted(place, *(write(place, member, text) for member, text in texts.items()))
        a, nobody, b, long = await marks(place, "a", "nobody", "b", LONGEST_ID)
        assert nobody is None
        assert (a, b) == (version(place, 1, texts["a"]), version(place, 7, texts["b"]))
        assert long
        assert long.is_of(texts[LONGEST_ID])
        assert not long.is_of(document(LONGEST_ID, 13))
        assert not long.is_of(texts[LONGEST_ID].replace("[1,1,12", "[2,1,12"))

    @pytest.mark.parametrize("end", ["ü" * 200, "🌾" * 200, "🌾é" * 100, "漢" * 81 + "x"])
    async def test_an_end_is_told_in_whole_characters(self, place: Place, end: str):
        text = '{"schema_version":1,"id":"s","revision":3,"words":"' + end + '"}'
        await accepted(place, write(place, "s", text))
        assert await marks(place, "s") == [version(place, 3, text)]

    async def test_a_document_of_another_shape_is_never_taken_for_a_known_one(self, place: Place):
        foreign = '{"title": "written by another program", "revision": 4}'
        await accepted(place, write(place, "s", foreign))
        (mark,) = await marks(place, "s")
        assert mark
        assert not mark.is_of(foreign)

    async def test_the_mark_of_what_was_deleted_names_the_revision(self, place: Place):
        await accepted(place, write(place, "s", document("s", 4)), tombstone(place, "s", document("s", 4), revision=4))
        assert await marks(place, "s") == [StoredVersion(None, "", 4)]

    async def test_no_keys_have_no_marks(self, place: Place):
        assert await marks(place) == []

    async def test_documents_are_put_back_where_nothing_is(self, place: Place):
        await accepted(place, write(place, "there", document("there", 2)))
        back = [write(place, member, document(member, 1, "mine")) for member in ("there", "gone", "lost")]
        assert await restored(place, *back) == ["there", "put", "put"]
        assert await place.kv.read(place.keys.session("there")) == document("there", 2)
        assert await place.kv.read(place.keys.session("lost")) == document("lost", 1, "mine")
        assert await restored(place, *back) == ["there"] * 3

    async def test_nothing_is_put_back_where_nothing_is_given(self, place: Place):
        assert await restored(place) == []

    async def test_what_was_deleted_stays_so(self, place: Place):
        await accepted(place, write(place, "s", document("s", 4)), tombstone(place, "s", document("s", 4), revision=4))
        older, same = (write(place, "s", document("s", revision)) for revision in (3, 4))
        assert await restored(place, older) == ["there"]
        assert await restored(place, same) == ["there"]
        assert await place.kv.read(place.keys.session("s")) != document("s", 4)


@pytest.mark.parametrize("place", STASHES_THAT_LIST, indirect=True)
class TestStashesThatList:
    async def test_an_older_revision_of_what_was_deleted_is_not_put_back(self, place: Place):
        await accepted(place, write(place, "s:%", document("s:%", 4)))
        older = [
            Write(f"{place.keys.revisions('s:%')}{number}", document("s:%", number), None, None) for number in (1, 3)
        ]
        assert await restored(place, older[0]) == ["put"]
        await accepted(place, tombstone(place, "s:%", document("s:%", 4), revision=4))
        assert await restored(place, *older) == ["there", "there"]
        assert await place.kv.read(older[1].key) != older[1].text
        with place.redis_of(older[1].key).client() as client:
            assert client.get(older[1].key) is None
        begun_anew = Write(f"{place.keys.revisions('s:%')}5", document("s:%", 5), None, None)
        assert await restored(place, begun_anew) == ["put"]

    async def test_what_is_newer_than_its_deletion_comes_back(self, place: Place):
        grave = tombstone(place, "s", document("s", 4), revision=4)
        await accepted(place, write(place, "s", document("s", 4)), grave)
        assert await restored(place, write(place, "s", document("s", 5))) == ["put"]
        assert await place.kv.read(place.keys.session("s")) == document("s", 5)
        (mark,) = await marks(place, "s")
        assert mark == version(place, 5, document("s", 5), 4)

    async def test_what_is_put_back_is_listed_and_lives_as_long_as_it_should(self, place: Place):
        brief, lasting = listed(place, "brief", 30, kept_until=soon(60)), listed(place, "lasting", 20)
        unlisted = Write(place.keys.execution("e"), document("e", 1), None, None)
        assert await restored(place, brief, lasting, unlisted) == ["put"] * 3
        entries = await place.kv.recent(place.keys.index, None, 10)
        assert [(entry.member, entry.saved_at, entry.note) for entry in entries] == [
            (entry.member, entry.saved_at, entry.note) for entry in (brief.list_row, lasting.list_row) if entry
        ]
        assert await place.kv.read(place.keys.execution("e")) == document("e", 1)
        over = replace(brief, key=place.keys.session("over"), kept_until=soon(0.01), list_row=None)
        assert await restored(place, over) == ["put"]

        async def gone() -> bool:
            return await place.kv.read(over.key) is None

        await eventually(gone, what="the document's end")

    async def test_more_than_one_call_tells_of_are_told_and_put_back(self, place: Place):
        words = "x" * 3_000
        members = [f"s{number}" for number in range(VERSIONS_AT_ONCE + 1)]
        back = [write(place, member, document(member, 1, words if member < "s4" else "")) for member in members]
        back.append(write(place, "large", document("large", 1, "y" * 2_000_000)))
        assert await restored(place, *back) == ["put"] * len(back)
        assert [mark and mark.revision for mark in await marks(place, *members, "large")] == [1] * len(back)

    async def test_of_many_who_put_back_at_once_one_is_told_that_it_did(self, place: Place):
        answers = await asyncio.gather(*(restored(place, write(place, "s", document("s", n))) for n in range(1, 9)))
        assert sorted(answer for (answer,) in answers) == ["put"] + ["there"] * 7

    async def test_one_that_is_refused_does_not_hold_up_the_others(self, place: Place):
        grave = place.keys.tombstone(place.keys.session("odd"))
        with place.redis_of(grave).client() as client:
            client.rpush(grave, "no text")
        done = await restored(place, *(write(place, member, document(member, 1)) for member in ("a", "odd", "b")))
        assert (done[0], done[2]) == ("put", "put")
        assert "WRONGTYPE" in done[1]

    async def test_what_is_no_text_of_ours_is_told_apart_and_left_alone(self, place: Place):
        key = place.keys.session("list")
        with place.redis_of(key).client() as client:
            client.rpush(key, "x")
        key = place.keys.session("bytes")
        with place.redis_of(key).client() as client:
            client.set(key, b'{"schema_version":1,"id":"bytes","revision":1}\xff\xfe')
        await accepted(place, write(place, "well", document("well", 1)))
        a_list, raw, well = await marks(place, "list", "bytes", "well")
        assert a_list
        assert a_list.revision == UNREADABLE
        assert raw
        assert well == version(place, 1, document("well", 1))
        done = await restored(place, *(write(place, member, document(member, 1)) for member in ("list", "bytes")))
        assert done == ["there", "there"]

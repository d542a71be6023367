"""What a stash holds is sealed anew, one text at a time, at any point of which it may be broken off."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.coaia.resealing import Resealing, Tally, as_it_is, to_clear, to_newest, to_sealed
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import StashUnavailable
from agentic_flywheel.keys import Keys

from ..support.sealed import ring
from .conftest import SECONDS
from .places import OUR_STASHES, STOCK_CHILD, Place, utc_now
from .test_keyvalue import accepted, document, listed, soon, tombstone

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 12


QUIET: Any = lambda *_: None  # noqa: E731  a bar that nobody sees


def stash_of(place: Place, *names: str) -> Stash:
    """The same place, read and written with these keys."""
    envelopes = Envelopes(ring(*names)) if names else None
    return Stash(place.kv.supervisor, place.keys, SECONDS, utc_now, envelopes)


async def resealed(place: Place, changes: Any, *names: str) -> Tally:
    documents, notes = changes(Envelopes(ring(*names)))
    return await Resealing(stash_of(place, *names), place.keys).run(documents, notes, QUIET)


async def counted(place: Place) -> Tally:
    return await Resealing(stash_of(place), place.keys).run(as_it_is, as_it_is, QUIET)


async def filled(place: Place, *names: str) -> dict[str, str]:
    """Sessions, an execution, a history, an older revision, a deleted one; the texts by their keys."""
    stash, keys = stash_of(place, *names), place.keys
    writes = [listed(place, f"s{number}", number, kept_until=soon(1000 + number)) for number in range(COUNT)]
    parts = keys.execution("e"), keys.history("s1", "f"), f"{keys.revisions('s1')}1"
    writes += [Write(key, document("other", 1, key), None, None) for key in parts]
    for write in writes:
        assert (await stash.commit(write)).accepted
    gone = listed(place, "gone", 1)
    assert (await stash.commit(gone)).accepted
    assert (await stash.commit(tombstone(place, "gone", gone.text, listed=True))).accepted
    return {write.key: write.text for write in writes}


async def readable(place: Place, texts: dict[str, str], *names: str) -> bool:
    stash = stash_of(place, *names)
    rows = await stash.recent(place.keys.index, None, 100)
    return (
        len(rows) == COUNT and all(row.note for row in rows) and {key: await stash.read(key) for key in texts} == texts
    )


@pytest.mark.parametrize("place", OUR_STASHES, indirect=True)
class TestResealing:
    async def test_all_that_is_there_is_sealed_rotated_and_opened_again_and_lives_as_long(self, place: Place):
        texts = await filled(place)
        lives = {key: place.redis_of(key).ttl(key) for key in texts}
        steps = [(to_sealed, ("a",), {"a"}), (to_newest, ("b", "a"), {"b"}), (to_clear, ("b",), {""})]
        for changes, names, after in steps:
            tally = await resealed(place, changes, *names)
            assert (tally.changed, tally.refused) == (len(texts) + COUNT, {})
            assert {*tally.texts} == {*tally.rows} == after
            assert await readable(place, texts, *names)
            now = {key: place.redis_of(key).ttl(key) for key in texts}
            assert all(abs(now[key] - lives[key]) <= 30 for key in texts), (lives, now)
            assert (await resealed(place, changes, *names)).changed == 0

    async def test_namespaces_of_a_team_are_sealed_with_the_rest(self, place: Place):
        team = Place(place.kv, Keys(f"{place.keys.prefix}.ns.team"), place.redis_of)
        clear = Stash(place.kv.supervisor, team.keys, SECONDS, utc_now)
        write = listed(team, "s", 1)
        assert (await clear.commit(write)).accepted
        other = Place(place.kv, Keys(f"{place.keys.prefix}-other"), place.redis_of)
        beside = listed(other, "s", 1)
        assert (await Stash(place.kv.supervisor, other.keys, SECONDS, utc_now).commit(beside)).accepted
        assert (await resealed(place, to_sealed, "a")).changed == 2
        sealed = Stash(place.kv.supervisor, team.keys, SECONDS, utc_now, Envelopes(ring("a")))
        assert await sealed.read(write.key) == write.text
        assert [row.note for row in await sealed.recent(team.keys.index, None, 9)] == [
            write.list_row and write.list_row.note
        ]
        assert place.redis_of(write.key).get(write.key) != write.text
        assert place.redis_of(beside.key).get(beside.key) == beside.text

    async def test_broken_off_at_any_point_all_of_it_is_readable(self, place: Place):
        texts, names = await filled(place, "k0"), ["k0"]
        for number in range(1, 51):
            names.insert(0, f"k{number}")
            left = random.Random(number).randrange(1, len(texts) + COUNT)
            to_text, to_note = to_newest(Envelopes(ring(*names)))

            def broken(change):
                def do(key: str, text: str) -> str | None:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise RuntimeError("broken off")
                    return change(key, text)

                return do

            going = Resealing(stash_of(place, *names), place.keys)
            with contextlib.suppress(RuntimeError):
                await going.run(broken(to_text), broken(to_note), QUIET)
            if not number % 5:
                assert await readable(place, texts, *names)
        await resealed(place, to_newest, *names)
        assert await readable(place, texts, names[0])

    async def test_what_is_written_meanwhile_is_as_it_was_written(self, place: Place):
        texts = await filled(place, "a")
        writer = stash_of(place, "b", "a")

        async def write() -> None:
            for revision in range(2, 12):
                for number in range(COUNT):
                    key = place.keys.session(f"s{number}")
                    text = document(f"s{number}", revision)
                    assert (await writer.commit(Write(key, text, texts[key], None))).accepted
                    texts[key] = text

        tally, _ = await asyncio.gather(resealed(place, to_newest, "b", "a"), write())
        assert tally.refused == {}
        assert await readable(place, texts, "b", "a")
        await resealed(place, to_newest, "b", "a")
        assert await readable(place, texts, "b")

    async def test_a_text_is_replaced_only_while_it_is_the_one_that_was_read(self, place: Place):
        stash, key = stash_of(place), place.keys.session("s")
        with place.redis_of(key).client() as client:
            client.set(key, "theirs", px=60_000)
        notes = f"{place.keys.index}:notes"
        with place.redis_of(notes).client() as client:
            client.hset(notes, "s", "theirs")

        async def swapped(key: str, seen: str, **more: str) -> bool:
            arguments = {"key": key, "seen": seen, "value": "mine", **more}
            return (await stash.call("coaia_swap", arguments, stash.deadline(at_least=20.0)))["swapped"]

        assert not await swapped(key, "read before")
        assert not await swapped(place.keys.session("nobody"), "")
        assert place.redis_of(key).get(key) == "theirs"
        assert not await swapped(notes, "read before", field="s")
        assert await swapped(notes, "theirs", field="s")
        with place.redis_of(notes).client() as client:
            assert client.hget(notes, "s") == "mine"
        assert await swapped(key, "theirs")
        assert place.redis_of(key).get(key) == "mine"
        assert 0 < place.redis_of(key).ttl(key) <= 60

    async def test_what_a_key_is_lacking_for_is_told_and_left(self, place: Place):
        texts = await filled(place, "a")
        tally = await resealed(place, to_newest, "b")
        assert (tally.changed, {*tally.refused}) == (0, {*texts})
        assert all("'a', which is not among yours (b)" in why for why in tally.refused.values())
        assert await readable(place, texts, "a")
        assert {*(await counted(place)).texts} == {"a"}

    async def test_a_document_in_clear_is_sealed_when_it_is_written_and_the_revision_before_it_too(self, place: Place):
        first, second = document("s", 1, "hepatica"), document("s", 2)
        await accepted(place, Write(place.keys.session("s"), first, None, None))
        sealed = stash_of(place, "a")
        assert await sealed.read(place.keys.session("s")) == first
        write = Write(place.keys.session("s"), second, first, None)
        older = Write(f"{place.keys.revisions('s')}1", first, None, None)
        assert (await sealed.commit(write, None, older)).accepted
        for key, text in ((write.key, second), (older.key, first)):
            assert await sealed.read(key) == text
            assert "hepatica" not in (place.redis_of(key).get(key) or "")
        await accepted(place, listed(place, "t", 1))
        deleted = tombstone(place, "t", document("t", 1))
        assert (await sealed.commit(deleted)).accepted
        assert await sealed.read(deleted.key) == deleted.text


@pytest.mark.parametrize("place", [STOCK_CHILD], indirect=True)
async def test_a_mirror_says_that_it_cannot(place: Place):
    with pytest.raises(StashUnavailable, match="when it is next saved"):
        await counted(place)

"""What a reader of a stash knows already is not sent to it again, and documents of one moment are read together."""

import asyncio
from typing import Any

import pytest

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Damaged

from .places import OUR_STASHES, SEALED_STASHES, Place
from .test_keyvalue import accepted, document, tombstone, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

on_every_stash = pytest.mark.parametrize("place", [*OUR_STASHES, *SEALED_STASHES], indirect=True)
on_our_child = pytest.mark.parametrize("place", ["a stash on our child"], indirect=True)
on_one_node = pytest.mark.parametrize("place", ["a stash on our child", "a sealed stash on our child"], indirect=True)

LONG, LARGE = "é" * 5_000, "漢" * 100_000


async def read(place: Place, member: str, known: str | None = None) -> str | None:
    stash: Stash = place.kv
    key = place.keys.session(member)
    return await stash.read(key, stash.deadline(at_least=20.0), Write(key, known, None, None) if known else None)


@on_every_stash
@pytest.mark.parametrize("words", ["short", LONG, LARGE])
async def test_a_document_that_is_known_is_read_as_it_is(place: Place, words: str):
    text = document("s", 1, words)
    await accepted(place, write(place, "s", text))
    assert await read(place, "s", text) == await read(place, "s") == text


@on_every_stash
@pytest.mark.parametrize("words", ["short", LONG, LARGE])
async def test_what_another_wrote_since_is_read(place: Place, words: str):
    before, after = document("s", 1, words), document("s", 2, words + "!")
    await accepted(place, write(place, "s", before), write(place, "s", after, before))
    assert await read(place, "s", before) == after
    assert await read(place, "s", document("s", 2, words + "?").replace("[1,1,2", "[2,1,2")) == after


@on_one_node
async def test_what_is_known_is_not_sent_again(place: Place):
    long, short = document("long", 1, LONG), document("short", 1, "words")
    await accepted(place, write(place, "long", long), write(place, "short", short))
    for member in ("long", "short"):
        key = place.keys.session(member)
        stored = place.redis_of(key).get(key)
        assert stored
        middle = len(stored) // 2
        other = "ê" if stored[middle] == "é" else "A" if stored[middle] != "A" else "B"
        with place.redis_of(key).client() as client:
            client.set(key, stored[:middle] + other + stored[middle + 1 :])
    assert await read(place, "long", long) == long
    if place.kv.envelopes:
        with pytest.raises(Damaged):
            await read(place, "short", short)
    else:
        assert await read(place, "short", short) not in (short, None)


@on_our_child
async def test_a_document_of_another_length_is_another_one_whatever_its_ends_say(place: Place):
    text = document("s", 1, LONG)
    await accepted(place, write(place, "s", text))
    assert await read(place, "s", text.replace("éé", "é", 1)) == text


@on_every_stash
async def test_what_was_deleted_is_read_as_that_by_who_knows_what_it_was(place: Place):
    text = document("s", 3, LONG)
    await accepted(place, write(place, "s", text))
    burial = tombstone(place, "s", text, 3)
    await accepted(place, burial)
    assert await read(place, "s", text) == burial.text
    again = document("s", 4, LONG)
    await accepted(place, write(place, "s", again, burial.text))
    assert await read(place, "s", again) == await read(place, "s", text) == again


@on_every_stash
async def test_a_deletion_that_was_cut_off_is_finished_by_who_knows_the_document(place: Place):
    text = document("s", 3, LONG)
    await accepted(place, write(place, "s", text))
    key, burial = place.keys.session("s"), tombstone(place, "s", text, 3)
    tombstone_key = place.keys.tombstone(key)
    with place.redis_of(tombstone_key).client() as client:
        client.set(tombstone_key, burial.text)
    assert await read(place, "s", text) == burial.text
    assert place.redis_of(key).get(key) is None


@on_every_stash
async def test_documents_of_one_moment_are_each_read_as_if_alone(place: Place):
    texts: dict[str, str | None] = {f"s{at}": document(f"s{at}", at + 1, LONG * (at % 3)) for at in range(40)}
    texts |= {"large": document("large", 1, LARGE), "nobody": None}
    await accepted(place, *(write(place, member, text) for member, text in texts.items() if text))
    burial = tombstone(place, "s7", str(texts["s7"]), 8)
    await accepted(place, burial)
    known = {member: text for at, (member, text) in enumerate(texts.items()) if at % 2}
    texts["s7"] = burial.text
    found = await asyncio.gather(*(read(place, member, known.get(member)) for member in texts))
    assert dict(zip(texts, found, strict=True)) == texts


@on_every_stash
async def test_one_that_is_no_text_of_ours_does_not_hold_up_the_others(place: Place):
    text = document("s", 1)
    await accepted(place, write(place, "s", text))
    key = place.keys.session("list")
    with place.redis_of(key).client() as client:
        client.rpush(key, "a")
    odd, found = await asyncio.gather(read(place, "list"), read(place, "s"), return_exceptions=True)
    assert isinstance(odd, Damaged)
    assert found == text


@on_our_child
async def test_documents_of_one_moment_are_asked_for_in_one_call(place: Place, monkeypatch: pytest.MonkeyPatch):
    stash, asked = place.kv, list[str]()
    call = stash.supervisor.call

    async def counted(verb: str, *args: Any) -> Any:
        asked.append(verb)
        return await call(verb, *args)

    monkeypatch.setattr(stash.supervisor, "call", counted)
    await asyncio.gather(*(read(place, f"s{at}") for at in range(5)))
    assert asked == ["coaia_read_some"]


@on_every_stash
async def test_a_reader_that_gives_up_takes_nobody_along(place: Place):
    text = document("s", 1)
    await accepted(place, write(place, "s", text))
    gone, stays = (asyncio.ensure_future(read(place, "s")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == text
    assert gone.cancelled()

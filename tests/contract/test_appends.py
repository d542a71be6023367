"""A stash changes a large document at its ends, alike on our child and on a cluster."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Append, Splice, Write, ends_of

from .places import OUR_STASHES, Place, utc_now

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("place", OUR_STASHES, indirect=True),
]

SIZES = [10_000, 600_000]
"""Bytes of a document that Redis makes anew, and of one that it changes in place."""


def history(revision: int, filling: str, write: str) -> str:
    return f'{{"schema_version":1,"revision":{revision},"filling":"{filling}","operations":[[0,0,0,"{write}"]]}}'


def grown(key: str, seen: str, filling: str, seconds: float | None = None) -> Append:
    """Revision 2, with more of the filling."""
    (old_head, old_tail), (head, tail) = history(1, "|", "a.1").split("|"), history(2, "|", "a.2").split("|")
    until = utc_now() + timedelta(seconds=seconds) if seconds else None
    return Append(key, ends_of(seen), Splice(head, len(old_head), len(old_tail), filling + tail), until)


async def stored(place: Place, size: int) -> tuple[Stash, str, str]:
    stash, key = place.kv, place.keys.history("s", "f")
    text = history(1, "é" * (size // 2), "a.1")
    assert (await stash.commit(Write(key, text, None, None))).accepted
    return stash, key, text


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_added_stands_behind_what_was_there(place: Place, size: int):
    stash, key, text = await stored(place, size)
    outcome = await stash.append(grown(key, text, "漢" * 50), stash.deadline(at_least=20.0))
    assert outcome.accepted
    whole = history(2, "é" * (size // 2) + "漢" * 50, "a.2")
    assert await stash.read(key) == place.redis_of(key).get(key) == whole
    assert place.redis_of(key).ttl(key) == -1


@pytest.mark.parametrize("size", SIZES)
async def test_what_leaves_at_the_beginning_is_cut_off(place: Place, size: int):
    stash, key, text = await stored(place, size)
    write = grown(key, text, "x")
    write = replace(write, splice=replace(write.splice, skip_start_bytes=write.splice.skip_start_bytes + 1000))
    assert (await stash.append(write, stash.deadline(at_least=20.0))).accepted
    assert await stash.read(key) == write.applied_to(text) == history(2, "é" * (size // 2 - 500) + "x", "a.2")


@pytest.mark.parametrize("size", SIZES)
async def test_it_lives_as_long_as_the_append_says(place: Place, size: int):
    stash, key, text = await stored(place, size)
    assert (await stash.append(grown(key, text, "x" * 100, 1000), stash.deadline(at_least=20.0))).accepted
    assert 900 < place.redis_of(key).ttl(key) <= 1000


async def test_where_somebody_else_wrote_meanwhile_nothing_is_added_and_what_is_there_is_told(place: Place):
    stash, key, text = await stored(place, SIZES[1])
    deadline = stash.deadline(at_least=20.0)
    assert (await stash.append(grown(key, text, "x" * 100), deadline)).accepted
    outcome = await stash.append(grown(key, text, "y" * 100), deadline)
    assert (outcome.accepted, outcome.current) == (False, await stash.read(key))
    nobody = place.keys.history("nobody", "f")
    outcome = await stash.append(grown(nobody, text, "y"), deadline)
    assert (outcome.accepted, outcome.current) == (False, None)


async def test_whether_a_document_is_still_there_is_told_without_reading_it(place: Place):
    stash, key, text = await stored(place, SIZES[0])
    deadline = stash.deadline(at_least=20.0)
    copy = Write(key, text, None, None)
    assert await stash.still_has(copy, deadline)
    assert (await stash.append(grown(key, text, "x"), deadline)).accepted
    assert not await stash.still_has(copy, deadline)
    assert not await stash.still_has(Write(place.keys.history("nobody", "f"), text, None, None), deadline)
    buried = history(2, "", "d.1").replace('"filling"', '"deleted_at":"2026-11-05T12:00:00+00:00","filling"')
    current = await stash.read(key)
    assert (await stash.commit(Write(key, buried, current, None, tombstone=True))).accepted
    assert not await stash.still_has(Write(key, current or "", None, None), deadline)

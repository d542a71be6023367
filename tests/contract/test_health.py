"""What a look at Redis tells: whether it is the same, and whether it lost something."""

from datetime import UTC, datetime

import pytest
import redis as redis_py

from agentic_flywheel.coaia.child.health_tools import server_named
from agentic_flywheel.coaia.replies import RemoteState

from .places import OUR_STASHES, STOCK_CHILD, Place
from .test_keyvalue import accepted, document, listed, tombstone, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

FROM_THE_FIRST = "0-0"


async def watched(place: Place, after: str = FROM_THE_FIRST) -> RemoteState:
    return await place.kv.poll(place.keys.epoch, place.keys.deletions, after)


@pytest.mark.parametrize("place", OUR_STASHES, indirect=True)
class TestWatch:
    async def test_the_epoch_and_the_run_stay_while_redis_does(self, place: Place):
        first, second = await watched(place), await watched(place)
        assert (first.epoch, first.run) == (second.epoch, second.run)
        assert first.epoch
        assert first.run

    async def test_redis_tells_its_time(self, place: Place):
        seen = await watched(place)
        assert seen.time
        assert abs(seen.time / 1_000_000 - datetime.now(UTC).timestamp()) < 60
        later = (await watched(place)).time
        assert later
        assert later > seen.time

    async def test_what_may_be_evicted_is_told(self, place: Place):
        seen = await watched(place)
        assert (seen.evicted, seen.policy) == (0, "noeviction")

    async def test_a_list_that_shrank_shows_though_nothing_else_changed(self, place: Place):
        assert (await watched(place)).listed == (0, 0)
        await accepted(place, listed(place, "old", 10), listed(place, "new", 30))
        before = await watched(place)
        assert before.listed == (2, 30)
        with place.redis_of(place.keys.index).client() as client:
            client.zrem(place.keys.index, "new")
        after = await watched(place)
        assert after.listed == (1, 10)
        assert (after.epoch, after.run) == (before.epoch, before.run)

    async def test_what_was_deleted_is_told_once(self, place: Place):
        with place.redis_of(place.keys.deletions).client() as client:
            try:
                client.xlen(place.keys.deletions)
            except redis_py.ResponseError:
                pytest.skip("this server has no streams")
        grave = tombstone(place, "s", document("s", 4), revision=4)
        await accepted(place, write(place, "s", document("s", 4)), grave)
        seen = await watched(place)
        assert seen.deleted == [(grave.key, grave.text)]
        assert (await watched(place, seen.after)).deleted == []


@pytest.mark.parametrize("place", [STOCK_CHILD], indirect=True)
async def test_a_child_that_cannot_look_closer_knows_no_more_than_the_epoch(place: Place):
    seen = await watched(place)
    assert seen == RemoteState(seen.epoch, "", [], FROM_THE_FIRST)
    assert (await watched(place)).epoch == seen.epoch


@pytest.mark.parametrize("place", OUR_STASHES, indirect=True)
async def test_the_server_is_named_as_it_names_itself(place: Place):
    with place.redis_of(place.keys.epoch).client() as client:
        info = client.info("server")
    told = await place.kv.status()
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    assert (told["server"], told["redis_version"]) == (name, info["redis_version"])
    assert (told["maxmemory"], told["maxmemory_policy"], told["evicted_keys"]) == (0, "noeviction", 0)


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"redis_version": "8.2.3"}, "Redis 8.2.3"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.8"}, "Valkey 8.1.8"),
        ({"redis_version": "7.2.4", "redict_version": "7.3.5"}, "Redict 7.3.5"),
        ({}, None),
    ],
)
async def test_servers_that_call_themselves_an_old_redis_are_named_as_what_they_are(
    info: dict[str, str], name: str | None
):
    assert server_named(info) == name

"""How a listing is looked through inside of Redis: a little at a time, so that nobody waits for it."""

from collections.abc import Iterator

import pytest
import redis as redis_py

from agentic_flywheel.coaia.child.index_repair import IndexRepair
from agentic_flywheel.coaia.child.index_tools import Index
from agentic_flywheel.coaia.child.script_runner import Script, Scripts

from ..support.redis_server import RedisServer

ROWS = 1_000
KEYS = ["looking:index", "looking:index:notes"]


@pytest.fixture
def client(worker_redis: RedisServer) -> Iterator[redis_py.Redis]:
    """A Redis with a listing of many rows."""
    with worker_redis.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(ROWS):
            pipe.zadd(KEYS[0], {f"s{number}": number})
            pipe.hset(KEYS[1], f"s{number}", f'{{"title":"Talk {number}"}}')
        pipe.execute()
        yield client
        client.delete(*KEYS)


@pytest.fixture
def look(client: redis_py.Redis) -> Script:
    return Index(client, Scripts(client, by_name=True), IndexRepair(client))._look


def looked_at(look: Script, microseconds: int, texts: list[str]) -> int:
    """How many rows one script looks at in so many microseconds, though nothing is found."""
    ended, last, score, rows = look(KEYS, ["", "", 10, microseconds, 0, *texts])
    assert rows == []
    assert (ended, last) == ((1, "s0") if score == "0" else (0, f"s{score}"))
    return ROWS - int(score)


def test_a_script_ends_when_its_time_is_over_and_says_where(look: Script):
    assert looked_at(look, 0, ["absent"]) == 100
    assert looked_at(look, 10**9, ["absent"]) == ROWS


def test_a_listing_that_is_empty_is_looked_through_at_once(look: Script):
    assert look(["looking:none", "looking:none:notes"], ["", "", 10, 1_000, 0]) == [1, None, None, []]

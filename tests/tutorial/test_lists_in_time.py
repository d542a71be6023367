"""Lists of very many: an answer in time, what could not be looked through is said, and the cursor goes on there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentic_flywheel.keys import Keys

from ..support.moods import SLACK_SECONDS, TimedServer, timed
from ..support.own_time import OwnTime
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

MANY = 20_000
RARE = ["s3", "s9999"]  # the sessions that are sought, one of them among the oldest
ROUND_TRIP = 0.15  # seconds to Redis and back
SECONDS = 2.0  # the bound of an answer


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with many sessions."""
    server = RedisServer(tmp_path_factory.mktemp("full")).start()
    keys = Keys(server.prefix)
    with server.client() as client:
        for first in range(0, MANY, 1_000):
            with client.pipeline(transaction=False) as pipe:
                for number in range(first, first + 1_000):
                    name = f"s{number}"
                    note: dict[str, Any] = {"id": name, "title": f"Talk {number}", "summary": "of this and that " * 15}
                    note |= {"tags": ["rare" if name in RARE else "usual"], "user_id": "ana" if name in RARE else "bo"}
                    note |= {"status": "running" if name in RARE else "pending", "expires_at": None}
                    if name in RARE:
                        note["summary"] = "a xylophone"
                    pipe.set(keys.session(name), f'{{"schema_version":1,"id":"{name}","revision":1}}')
                    pipe.zadd(keys.index, {name: 1_000_000 + number})
                    pipe.hset(f"{keys.index}:notes", name, json.dumps(note))
                pipe.execute()
    yield server
    server.kill()


SOUGHT = {
    "pattern": {"pattern": "s*999[8-9]"},
    "status": {"status": "running"},
    "tags": {"tags": ["rare"]},
    "user_id": {"user_id": "ana"},
    "query": {"query": "xylophone"},
}


def found(server: TimedServer, **wanted: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """What is found on all pages together, and those pages."""
    pages: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while not pages or cursor:
        pages.append(server.call("list_sessions", **wanted, **cursor))
        assert pages[-1]["scope"] == "shared", pages[-1]
        cursor = {"cursor": pages[-1]["next_cursor"]} if "next_cursor" in pages[-1] else {}
    return [row["id"] for page in pages for row in page["sessions"]], pages


@pytest.mark.parametrize("name", SOUGHT)
def test_what_is_rare_among_very_many_is_found_in_one_answer(name: str, full: RedisServer, lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, full.url, FLYWHEEL_TIMEOUT_SECONDS="20")) as server:
        WireServer.warm(server)
        sessions, pages = found(server, **SOUGHT[name])
        if name == "query":  # the rows of so many are read into the index in the background
            wait_until(lambda: found(server, **SOUGHT[name])[0] == ["s9999", "s3"], what="all of the list")
            return
        assert sessions == (["s19999", "s19998", "s9999", "s9998"] if name == "pattern" else ["s9999", "s3"])
        assert len(pages) == 1


@pytest.mark.parametrize("name", [name for name in SOUGHT if name != "query"])
def test_behind_a_slow_network_a_list_is_cut_in_time_and_goes_on(
    name: str, full: RedisServer, lonely_env: dict[str, str]
):
    with Proxy(full.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with TimedServer(timed(lonely_env, url, FLYWHEEL_TIMEOUT_SECONDS=f"{SECONDS:g}")) as server:
            WireServer.warm(server)
            proxy.delay = ROUND_TRIP
            own = OwnTime(server.pid)
            sessions, pages = found(server, **SOUGHT[name])
            took = own.seconds()
        assert len(pages) > 1 or name == "pattern"  # ids alone are looked through faster
        assert took < len(pages) * (SECONDS + SLACK_SECONDS)
        assert sessions == (["s19999", "s19998", "s9999", "s9998"] if name == "pattern" else ["s9999", "s3"])
        for page in pages[:-1]:
            assert len(page["sessions"]) < 20
            assert "Not all of the list could be looked through in time" in page["message"]
        assert "Not all" not in pages[-1]["message"]

"""What the tests of bad moods share: a server whose every answer is timed, and looking at what a person is told."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from redis import BusyLoadingError
from redis import ConnectionError as NoConnection

from .conversations import words
from .own_time import OwnTime
from .redis_cluster import RedisCluster
from .redis_server import RedisServer
from .waiting import wait_until
from .wire import REPLY_WITHIN, WireServer

TIMEOUT_SECONDS = 1.0
SLACK_SECONDS = 1.0  # the contract adds 0.5; a slow machine takes more; a second wait of the bound shows
BOUND = TIMEOUT_SECONDS + SLACK_SECONDS  # what one storage operation on a small document may take
BACK_WITHIN = 20.0  # seconds until all is there again: 5 where nothing else runs; what waits for a sweep takes an hour


def timed(env: Mapping[str, str], redis_url: str, **more: str) -> dict[str, str]:
    """The environment of a server with this Redis and a short bound."""
    return {**env, "REDIS_URL": redis_url, "FLYWHEEL_TIMEOUT_SECONDS": f"{TIMEOUT_SECONDS:g}", **more}


class TimedServer(WireServer):
    """A server that answers every call within the bound, from when its child is there."""

    bounded = False

    def call(self, name: str, *, within: float = REPLY_WITHIN, **arguments: Any) -> dict[str, Any]:
        own = OwnTime(self.pid)
        answer = super().call(name, within=within, **arguments)
        took = own.seconds() if self.bounded else 0.0
        assert took < BOUND, f"{name} {arguments.get('session_id', '')} took {took:.2f} s: {answer}"
        return answer

    def warm(self) -> Self:
        """Come back when Redis answers; every later answer is timed."""
        super().warm()
        self.bounded = True
        return self

    def settled(self) -> Self:
        """Come back when there is a child, whatever Redis does; every later answer is timed."""
        wait_until(
            lambda: self.call("persistence_status")["child"]["state"] == "ready",
            what=f"a child; stderr: {self.stderr[-2000:]}",
        )
        self.bounded = True
        return self

    # what a person would ask

    def save(self, session_id: str, history: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return self.call("save_session", session_id=session_id, history=history, **more)

    def resume(self, session_id: str) -> dict[str, Any]:
        return self.call("resume_session", session_id=session_id, max_tokens=1_000_000)

    def said(self, session_id: str) -> list[str]:
        """The words of a session that is there."""
        resumed = self.resume(session_id)
        assert resumed["found"] is True, resumed
        return words(resumed["session"]["history"])

    def status(self) -> dict[str, Any]:
        return self.call("persistence_status")

    def pending(self) -> int:
        return self.status()["journal"]["pending"]

    def blames(self, cause: str) -> dict[str, Any]:
        """The status, which says in words that saves go to the journal because of `cause` (a pattern).

        A first try may have run out of time, beside a child that was still being imported; the next one names it.
        """

        def named() -> bool:
            return bool(re.search(cause, self.status()["redis"]["last_error"] or "", re.IGNORECASE))

        with suppress(AssertionError):
            wait_until(named, within=BACK_WITHIN)
        status = self.status()
        assert status["mode"] == "journal", status
        assert re.search(cause, status["redis"]["last_error"] or "", re.IGNORECASE), status
        assert re.search(cause, status["reason"], re.IGNORECASE), status
        return status

    def is_well(self) -> None:
        """The status says so: shared, nothing pending, nothing set aside, nothing to complain of."""
        status = self.status()
        assert (status["mode"], status["redis"]["state"], status["redis"]["last_error"]) == ("redis", "answering", None)
        assert (status["journal"]["pending"], status["journal"]["set_aside"]) == (0, []), status


def kept_here(saved: Mapping[str, Any]) -> None:
    """This answer of a save says that it is in the journal, for now."""
    assert (saved["saved"], saved["stored_in"], saved["provisional"]) == (True, "journal", True), saved
    assert "journal" in saved["message"]


def kept_in_redis(saved: Mapping[str, Any]) -> None:
    """This answer of a save says that it is in Redis."""
    assert (saved["saved"], saved["stored_in"], saved["provisional"]) == (True, "redis", False), saved


def ids(listed: Mapping[str, Any]) -> set[str]:
    """The sessions of a list, each once."""
    rows = [row["id"] for row in listed["sessions"]]
    assert len(rows) == len(set(rows)), rows
    return set(rows)


def words_in_redis(redis: RedisServer | RedisCluster, session_id: str) -> list[str] | None:
    """The words of a session's document, straight from Redis; `None` where there is none."""
    text = redis.get(redis.session_key(session_id))
    return None if text is None else words(json.loads(text)["history"])


def arrives(
    redis: RedisServer | RedisCluster, expected: Mapping[str, list[str] | None], *, within: float = BACK_WITHIN
) -> None:
    """Wait until Redis holds these words under these ids; each once and in this order."""

    def there() -> dict[str, list[str] | None]:
        try:
            return {session_id: words_in_redis(redis, session_id) for session_id in expected}
        except NoConnection:  # such as that it is still loading
            return {}

    with suppress(AssertionError):
        wait_until(lambda: there() == expected, within=within)
    assert there() == expected, f"not in Redis {within:g} s after it was well again"


def data_folder(env: Mapping[str, str]) -> Path:
    return Path(env["FLYWHEEL_DATA_DIR"])


class MoodyRedis(RedisServer):
    """A Redis that can also be caught while it loads its data."""

    PADDING = 2000
    MICROSECONDS_A_KEY = 10_000  # so loading takes 20 s, or until `loaded` ends it

    def save_and_kill(self) -> None:
        """What it holds comes back when it is started again."""
        with self.client() as client:
            client.save()
        self.kill()

    def start_loading(self) -> None:
        """Start again, with so much to load that it answers LOADING until `loaded`."""
        self.require(7, 0, "way to make loading slow")
        with self.client() as client, client.pipeline(transaction=False) as pipe:
            for i in range(self.PADDING):
                pipe.set(f"padding:{i}", os.urandom(1200))  # one more than that interval
            pipe.execute()
        self.save_and_kill()
        self.arguments += ["--key-load-delay", str(self.MICROSECONDS_A_KEY)]
        self.arguments += ["--loading-process-events-interval-bytes", "1024"]
        self.start()

    def loaded(self) -> None:
        with self.client() as client:
            client.config_set("key-load-delay", 0)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except BusyLoadingError:
            return True
        except NoConnection:
            return super()._answers()

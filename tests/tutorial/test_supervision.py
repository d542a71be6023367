"""A child in whatever mood: saves are answered in time and kept, the status says why, and nothing is left behind."""

import json
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns, words
from ..support.moody import Moody, success
from ..support.own_time import OwnTime
from ..support.processes import alive, kill, wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

BOUND = 1.0  # FLYWHEEL_TIMEOUT_SECONDS here
SLACK = 1.0  # the contract adds 0.5; a slow machine takes more, and a second wait of the bound shows all the same


class Watched:
    """A server with a moody child, and the one conversation that it keeps; its saves are timed."""

    def __init__(self, server: WireServer, child: Moody, redis: RedisServer) -> None:
        self.server = server
        self.child = child
        self._redis = redis
        self._session_id = f"s-{uuid.uuid4().hex}"
        self._said: list[str] = []

    def save(self) -> str:
        """Add a turn; where it is kept."""
        turn = f"turn {len(self._said)}"
        own = OwnTime(self.server.pid)
        answer = self.server.call("save_session", session_id=self._session_id, history=turns(turn))
        assert own.seconds() < BOUND + SLACK
        self._said.append(turn)
        assert (answer["saved"], answer["turns"]) == (True, len(self._said))
        return answer["stored_in"]

    @property
    def status(self) -> dict[str, Any]:
        return self.server.call("persistence_status")["child"]

    def wait_for_state(self, state: str) -> dict[str, Any]:
        return wait_until(lambda: (now := self.status)["state"] == state and now, what=f"a child {state}")

    def check_all_is_in_redis(self) -> None:
        """Every turn is, once, without another save, and the outbox is empty."""
        wait_until(lambda: self._stored() == self._said, what=f"all to be in Redis: {self._said}")
        wait_until(lambda: self._pending() == 0, what="nothing to be pending")

    def _pending(self) -> int:
        return self.server.call("persistence_status")["journal"]["pending"]

    def _stored(self) -> list[str]:
        prefix = self.server.env["FLYWHEEL_KEY_PREFIX"]
        text = self._redis.get(f"{prefix}:session:{self._session_id}")
        return words(json.loads(text)["history"]) if text else []

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.server.pid}/fd").iterdir()))

    def check_the_end(self) -> None:
        """End the server: no process is left, and its log holds no fault and nothing that its child said."""
        self.server.close()
        wait_gone(self.child.pids)
        assert self.server.junk == []
        assert "Traceback" not in self.server.stderr
        assert "conversation" not in self.server.stderr, "what a child writes to stderr may be one"


Watch = Callable[[str], Watched]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> Iterator[Watched]:
    """One server, for tests that leave its child well."""
    with watching(tmp_path_factory.mktemp("shared"), worker_redis) as watch:
        yield watch("well")


@pytest.fixture
def watch(tmp_path: Path, worker_redis: RedisServer) -> Iterator[Watch]:
    """Starts servers with a child in a mood."""
    with watching(tmp_path, worker_redis) as watch:
        yield watch


@contextmanager
def watching(folder: Path, redis: RedisServer) -> Iterator[Watch]:
    all_watched: list[Watched] = []

    def watch(mood: str) -> Watched:
        place = folder / str(len(all_watched))
        place.mkdir()
        child = Moody(place / "child")
        child.mood(mood)
        env = clean_env(place, redis.url, f"moody-{uuid.uuid4().hex[:12]}")
        env |= {"FLYWHEEL_COAIA_COMMAND": child.command, "FLYWHEEL_TIMEOUT_SECONDS": str(BOUND)}
        all_watched.append(Watched(WireServer(env).spawn(), child, redis))
        all_watched[-1].server.initialize()
        return all_watched[-1]

    try:
        yield watch
        for watched in all_watched:
            watched.check_the_end()
    finally:
        for watched in all_watched:
            watched.server.close()


def check_clear(line: str | None) -> None:
    """One line that a person understands."""
    assert line
    assert "\n" not in line
    assert len(line) < 400
    assert len(line.split()) >= 5
    assert not re.search(r"\b[A-Z]\w*(Error|Exception|Group)\b|errno", line), f"an exception's name: {line}"


# well at first


def test_a_child_killed_again_and_again_costs_no_turn_and_no_descriptor(watch: Watch):
    watched = watch("well")
    watched.server.warm()
    assert watched.save() == "redis"
    before = watched.descriptors()
    for deaths in range(1, 6):
        kill(watched.child.pids[-1])
        watched.save()
        wait_until(lambda n=deaths: len(watched.child.pids) > n, what="the next child")
        watched.wait_for_state("ready")
        watched.save()
    assert watched.status["generation"] == len(watched.child.pids) == 6
    wait_until(lambda: watched.server.children == watched.child.pids[-1:], what="one child and no orphan")
    watched.check_all_is_in_redis()
    wait_until(lambda: watched.descriptors() <= before, what=f"no more than the {before} descriptors of before")


def test_a_child_that_hangs_is_replaced_and_one_line_of_the_log_says_so(watch: Watch):
    watched = watch("well")
    watched.server.warm()
    hung = watched.child.pids[-1]
    kill(hung, signal.SIGSTOP)
    assert watched.save() == "journal"
    wait_until(lambda: not alive(hung), what="the end of the child that hangs")
    watched.wait_for_state("ready")
    wait_until(lambda: watched.save() == "redis", what="the circuit to be closed")
    watched.check_all_is_in_redis()
    assert len(watched.child.pids) == 2
    (line,) = watched.server.stderr.splitlines()
    check_clear(line)


def test_a_child_that_talks_beside_the_protocol_serves_all_the_same(shared: Watched):
    before, log = shared.wait_for_state("ready"), shared.server.stderr
    for mood in ("junk", "flood"):
        shared.child.mood(mood)
        assert [shared.save() for _ in range(3)] == ["redis"] * 3
    shared.child.mood("well")
    assert shared.status == before
    shared.check_all_is_in_redis()
    assert shared.server.stderr == log


NONSENSE = {
    "no JSON": "call text three blind mice",
    "JSON of another shape": "call text [1, 2]",
    "no content": 'call {"content": []}',
    "a result of another shape": 'call {"content": "text"}',
    "a line that is no frame": "call raw null",
    "success without more": success(),
    "a document that is a number": success(committed=False, current=5),
    "a document that is a list": success(committed=False, current=["a"]),
    "a document that is no document": success(committed=False, current='{"a": 1}'),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_child_that_answers_nonsense_is_not_believed_and_all_arrives_once_it_is_well(what: str, shared: Watched):
    shared.wait_for_state("ready")
    shared.child.mood(NONSENSE[what])
    try:
        assert [shared.save(), shared.save()] == ["journal", "journal"]
        status = shared.server.call("persistence_status")
        if "success" not in NONSENSE[what]:  # which coaia_status says as well
            assert status["mode"] == "journal"
            check_clear(status["redis"]["last_error"])
    finally:
        shared.child.mood("well")
    shared.check_all_is_in_redis()


# never well so far


@pytest.mark.parametrize("mood", ["initialize {}", 'initialize "welcome"', 'tools/list {"tools": "coaia_tash"}'])
def test_a_child_that_begins_with_nonsense_is_replaced_by_one_that_does_not(mood: str, watch: Watch):
    watched = watch(mood)
    assert watched.save() == "journal"
    check_clear(wait_until(lambda: watched.status["last_error"], what="a word on it"))
    watched.child.mood("well")
    watched.check_all_is_in_redis()
    assert watched.wait_for_state("ready")["last_error"] is None


def test_a_child_that_exits_at_once_is_started_a_handful_of_times_and_taken_when_it_is_well(watch: Watch):
    began = time.monotonic()
    watched = watch("exit")
    assert watched.save() == "journal"
    state = watched.wait_for_state("waiting to restart")
    assert '"No Redis library here"' in state["last_error"]
    check_clear(state["last_error"])
    assert watched.save() == "journal"
    wait_until(lambda: time.monotonic() - began > 5, what="5 seconds to pass")
    tried = len(watched.child.pids)
    assert 2 <= tried <= 7 + (time.monotonic() - began - 5)
    assert watched.server.stderr.count("\n") <= 2 * (len(watched.child.pids) + 1), "a line or two each"
    watched.child.mood("well")
    watched.check_all_is_in_redis()


def test_a_child_that_starts_at_the_third_try_gets_what_was_saved_before(watch: Watch):
    watched = watch("exit 3")
    watched.save()
    watched.check_all_is_in_redis()
    state = watched.wait_for_state("ready")
    assert (len(watched.child.pids), state["generation"], state["last_error"]) == (3, 3, None)
    assert watched.save() == "redis"


def test_a_child_that_never_answers_the_handshake_delays_saves_by_their_bound_only_and_is_replaced(watch: Watch):
    """It is given 15 seconds."""
    watched = watch("deaf")
    wait_until(lambda: watched.child.was_bad, what="the child to be deaf")
    watched.child.mood("well")
    assert watched.save() == "journal"
    state = watched.status
    assert (state["state"], state["generation"]) == ("starting", 1)
    wait_until(lambda: watched.server.stderr, what="a word on it")  # the status forgets it soon
    watched.check_all_is_in_redis()
    (line,) = watched.server.stderr.splitlines()
    check_clear(line)
    assert watched.save() == "redis"

"""What the journal costs when it is large, and how large it gets."""

import json
import random
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ...support.async_wire import clean_environment
from ...support.redis_server import RedisServer
from ...support.wire import WireServer
from ..corpus import history_of, turn
from .builds import Build, alone, folder_bytes, wait_quiet
from .row import Figures, Place, Row, Sampler

JOURNAL_BYTES = 490_000_000
"""Of copies of sessions that a Redis holds: as many as fit under the cap of either build."""

SESSION_BYTES = 1_000_000
SMALL_BYTES = 10_000
NEXT_SAVES = 7
GROWTHS = 30
"""Saves of a session after its first one."""

WATCHED_SECONDS = 6.0
"""For how long saves are watched while another server starts."""

PAUSE_SECONDS = 0.02
"""Between two saves that are watched."""

SAVE_WITHIN, MIGRATED_WITHIN = 60.0, 300.0


def large_journal(build: Build, place: Place) -> Path:
    """A folder with a journal of half a gigabyte: copies of sessions that the build before kept of a Redis.

    It is made once; the build has opened it before it is measured, so that what it has to change in it is changed.
    """
    made = place.shared / "large"
    if not made.exists():
        _make_large_journal(place.before, made)
    shutil.copytree(made / "data", place.folder / "data")
    with build.server(alone(place.folder)) as server:
        server.call("list_sessions", within=MIGRATED_WITHIN)
        wait_quiet(server)
    assert folder_bytes(place.folder / "data") > JOURNAL_BYTES * 0.9, "the journal has not kept the copies"
    return place.folder


def _make_large_journal(build: Build, folder: Path) -> None:
    redis = RedisServer(folder / "redis").start()
    history = history_of(SESSION_BYTES, random.Random("large journal"))
    env = clean_environment(folder, "home", redis.url, FLYWHEEL_TIMEOUT_SECONDS="30")
    try:
        with build.server(env) as server:
            server.warm()
            for number in range(JOURNAL_BYTES // SESSION_BYTES):
                saved = server.call("save_session", session_id=f"large-{number}", history=history)
                assert saved["stored_in"] == "redis", saved["message"]
            wait_quiet(server)
    finally:
        redis.kill()


@contextmanager
def first_save(build: Build, place: Place) -> Iterator[Sampler]:
    """The first save of a process against those that follow, of small sessions, without Redis."""
    yield partial(_first_save, build, large_journal(build, place))


def _first_save(build: Build, folder: Path) -> Figures:
    history = history_of(SMALL_BYTES, random.Random("small"))
    name = random.randbytes(4).hex()
    with build.server(alone(folder)) as server:
        wait_quiet(server)
        times = [_saved(server, f"{name}-{number}", history)[0] for number in range(1 + NEXT_SAVES)]
    following = statistics.median(times[1:])
    return {"first ÷ next": times[0] / following, "first, ms": times[0], "next, ms": following}


@contextmanager
def second_start(build: Build, place: Place) -> Iterator[Sampler]:
    """Saves through one server while another one starts over the same journal."""
    folder = large_journal(build, place)
    with build.server(alone(folder)) as first:
        _watched(first)  # a process's first save is another row's affair
        yield partial(_second_start, build, folder, first)


def _second_start(build: Build, folder: Path, first: WireServer) -> Figures:
    wait_quiet(first)
    usual, _ = _watched(first)
    second = build.server(alone(folder))
    starting = threading.Thread(target=second.__enter__)
    starting.start()
    try:
        meanwhile, refused = _watched(first)
    finally:
        starting.join()
        second.close()
    return {
        "slowest meanwhile ÷ slowest as usual": max(meanwhile) / max(usual),
        "slowest meanwhile, ms": max(meanwhile),
        "slowest as usual, ms": max(usual),
        "median meanwhile, ms": statistics.median(meanwhile),
        "median as usual, ms": statistics.median(usual),
        "refused": refused,
    }


def _watched(server: WireServer) -> tuple[list[float], int]:
    """How many ms the saves of some seconds took, and how many were refused."""
    history = history_of(SMALL_BYTES, random.Random("small"))
    times: list[float] = []
    refused = 0
    ends = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < ends:
        milliseconds, saved = _saved(server, f"watched-{len(times) % 50}", history)
        times.append(milliseconds)
        refused += not saved["saved"]
        time.sleep(PAUSE_SECONDS)
    return times, refused


def _saved(server: WireServer, session_id: str, history: list[dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    saved = server.call("save_session", within=SAVE_WITHIN, session_id=session_id, history=history, mode="replace")
    return (time.perf_counter() - began) * 1000, saved


@contextmanager
def growth(build: Build, place: Place) -> Iterator[Sampler]:
    """A session that grows by a turn a save: what the data folder takes, through the Python API and the tool."""
    rng = random.Random("growth")
    first = history_of(SESSION_BYTES, rng)
    then = [turn(rng, len(first) + number) for number in range(GROWTHS)]
    place.folder.mkdir(parents=True)
    histories = place.folder / "histories.json"
    histories.write_text(json.dumps({"first": first, "then": then}))

    def sample() -> Figures:
        api = _grown_by_api(build, place.folder / "api", histories)
        tool = _grown_by_tool(build, place.folder / "tool", first, then)
        figures = {f"{how}, {when}, MB": size / 1e6 for how, of in (("API", api), ("tool", tool)) for when, size in of}
        return {"the most, MB": max(figures.values()), **figures}

    yield sample


def _grown_by_api(build: Build, folder: Path, histories: Path) -> list[tuple[str, int]]:
    env = alone(folder)
    command = [build.python, "-P", str(Path(__file__).with_name("grow.py")), str(histories), str(folder / "data")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder)
    return [*json.loads(done.stdout).items()]


def _grown_by_tool(build: Build, folder: Path, first: list[Any], then: list[Any]) -> list[tuple[str, int]]:
    with build.server(alone(folder)) as server:
        server.call("save_session", session_id="grows", history=first)
        for added in then:
            assert server.call("save_session", session_id="grows", history=[added])["added_turns"] == 1
        running = folder_bytes(folder / "data")
    ended = folder_bytes(folder / "data")
    shutil.rmtree(folder)
    return [("running", running), ("ended", ended)]


JOURNAL_ROWS = (
    Row("a", "first journalled save of a process over a journal of 500 MB, over the next save", "x", 2, first_save),
    Row("b", "a save while a second server starts over that journal, over its usual time", "x", 1.5, second_start),
    Row("c", "31 saves of a growing 1 MB session without Redis: what the folder takes", "MB", 3, growth, rounds=1),
)

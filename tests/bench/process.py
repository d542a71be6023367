"""What a process costs: the start of a fresh one, and the memory that large sessions leave behind."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ..support.async_wire import clean_environment
from ..support.client import Session, open_server
from ..support.processes import PROC
from ..support.waiting import eventually
from .by_size import SIZES
from .corpus import Turn, changed, history_of
from .measure import Call, Progress, Run, interleave
from .peers import Server

TO_TOOLS, TO_SAVE = "start to tools/list", "start to first acknowledged save"
MEMORY = "memory of server and child"
BEFORE, AFTER, SETTLED = "before", "after 5 MB", "settled"

SETTLES_WITHIN_BYTES, SETTLES_WITHIN_SECONDS = 30e6, 10.0
"""How near to what was there before counts as settled, and how long that may take."""

WARM_CALLS = 20


async def measure_cold(
    run: Run, servers: Mapping[str, Callable[[], Server]], rounds: int, rng: random.Random, progress: Progress
) -> None:
    """Fresh processes from spawning to the first `tools/list` after `initialize`, and on to an acknowledged save."""
    history = history_of(SIZES["1 KB"], rng)
    measured = Run()
    saves: dict[str, list[float]] = {name: [] for name in servers}

    def start_of(name: str, make: Callable[[], Server]) -> Call:
        async def call() -> float:
            server = make()
            talk = changed(history, f"start {rng.random()}:", rng)
            began = time.perf_counter()
            async with server.connected():
                assert server.client
                tools = await server.client.list_tools()
                listed = (time.perf_counter() - began) * 1000
                assert tools.tools
                while not server.kept(await server.save("cold", talk)):
                    assert time.perf_counter() - began < 30, f"{name} acknowledges no save"
                saves[name].append((time.perf_counter() - began) * 1000)
            return listed

        return call

    calls = {name: start_of(name, make) for name, make in servers.items()}
    await interleave(measured, TO_TOOLS, "", calls, rounds=rounds, rng=rng, progress=progress, warm=False)
    for spot, times in measured.times.items():
        run.add(spot, *times)
        run.add(spot._replace(operation=TO_SAVE), *saves[spot.peer][-len(times) :])


async def measure_memory(run: Run, folder: Path, redis_url: str, rng: random.Random, progress: Progress) -> None:
    """Resident memory of a server and its child around the save and resume of a 5 MB session."""
    if not PROC:
        run.absent[MEMORY] = "there is no /proc here"
        return
    small, large = history_of(SIZES["10 KB"], rng), history_of(SIZES["5 MB"], rng)
    async with open_server(clean_environment(folder, "home", redis_url)) as session:
        await session.warm()
        for number in range(WARM_CALLS):
            await _there_and_back(session, "small", small, f"version {number}:", rng)
        progress.tell(MEMORY)
        before = _resident(session)
        await _there_and_back(session, "large", large, "large:", rng)
        after = _resident(session)
        with suppress(AssertionError):
            await eventually(
                lambda: sum(_resident(session)) - sum(before) < SETTLES_WITHIN_BYTES, within=SETTLES_WITHIN_SECONDS
            )
        for what, (server, child) in ((BEFORE, before), (AFTER, after), (SETTLED, _resident(session))):
            run.memory[what] = (server, child)


async def _there_and_back(session: Session, name: str, history: list[Turn], mark: str, rng: random.Random) -> None:
    talk = changed(history, mark, rng)
    saved = await session.call("save_session", session_id=name, history=talk.history, mode="replace")
    assert saved["stored_in"] == "redis", saved["message"]
    resumed = await session.call("resume_session", session_id=name, max_tokens=len(talk.text))
    assert resumed["session"]["history"] == talk.history, "resumed something else"


def _resident(session: Session) -> tuple[int, int]:
    """Bytes of the server, and of all below it."""
    return _rss(session.pid), sum(_rss(pid) for pid in session.children)


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

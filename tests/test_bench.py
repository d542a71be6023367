"""The benchmark measures what it says: its report has the rows, and every write that it timed arrived."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from .bench.cpu_share import held, used
from .bench.measure import Progress
from .bench.peers import EMPTY, ENGINE, JOURNAL, OURS, STOCK, TWO_HOPS
from .bench.report import report
from .bench.run import Plan, whole_run
from .support.processes import PROC, children, kill, state_of
from .support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run of a clone builds the stock environment

PEERS = (OURS, JOURNAL, STOCK, EMPTY, TWO_HOPS, ENGINE)
ROUNDS = 2
TIMED = ROUNDS + 1  # one round more to warm up


@pytest.mark.usefixtures("stock")
async def test_the_smallest_run_reports_a_row_for_each_operation_and_finds_every_write_where_it_was_acknowledged(
    tmp_path: Path,
):
    wanted = frozenset({"save", "append", "resume", "list"})
    plan = Plan(rounds=ROUNDS, wanted=wanted, sizes=("1 KB",), stores=(100,), peers=PEERS)
    run = await whole_run(plan, tmp_path, 0, Progress(shown=False))

    in_redis = sum(name in (OURS, STOCK, TWO_HOPS, ENGINE) for name in PEERS)
    assert run.checked["acknowledged and in Redis"] >= 2 * TIMED * in_redis
    assert run.checked["acknowledged"] >= 2 * TIMED * (len(PEERS) - in_redis)
    assert run.checked["resumed what was saved"] == TIMED * (len(PEERS) + 2)  # ours within the default budget as well
    assert run.checked["listed what is stored"] >= ROUNDS
    assert not run.absent
    assert not run.errors.total()

    text = report([run], ROUNDS)
    for heading in ("# Performance", "## Must show", "## Save", "## Append", "## Resume", "## List of 20"):
        assert f"{heading}\n" in text
    for operation in ("save", "append", "resume"):
        measured = {spot.peer: times for spot, times in run.times.items() if spot[:2] == (operation, "1 KB")}
        assert set(measured) == set(PEERS)
        assert all(len(times) == ROUNDS for times in measured.values())
        table = text.split(f"## {operation.capitalize()}\n")[1].split("\n## ")[0]
        assert all(f"| {name} |" in table for name in PEERS)
        assert "\n| 1 KB |" in table


def test_a_write_that_is_not_in_redis_stops_the_benchmark(redis):
    from .bench.by_size import make_sure
    from .bench.corpus import Talk
    from .bench.measure import Run
    from .bench.peers import Engine

    with redis.client() as client, pytest.raises(AssertionError, match="which is not in Redis"):
        make_sure(Run(), Engine(redis.url), "nowhere", Talk([], "version 1:", ""), client)


def test_a_row_that_the_build_does_not_hold_or_that_was_given_up_is_told_as_such():
    from .bench.journal_and_redis.row import Found, Row, table

    def found(*values: float) -> Found:
        made = Found()
        for value in values:
            made.add({"seconds": value, "bytes": 7})
        return made

    row = Row("x", "what it is", "s", 8, prepare=None, cap=120)  # type: ignore[arg-type]
    lines = table([(row, {"before": found(120, 120, 120), "now": found(8.5, 7, 9)})]).splitlines()
    assert lines[2] == "| x | what it is | > 120 s (120 to 120) | 8.5 s (7 to 9) | 0.07 | ≤ 8 s | **no** |"
    assert lines[-1] == "| x | bytes | 7 | 7 |"
    assert "| yes |" in table([(row, {"before": found(64), "now": found(8, 7.9, 8.1)})])
    assert "| - | - | ≤ 8 s | - |" in table([(row, {"before": found(64), "now": Found()})])


def test_what_is_far_arrives_later_and_as_much_at_once_as_is_sent(redis):
    import time

    import redis as redis_py

    from .bench.journal_and_redis.far import Far

    with Far(redis.port, 0.3) as far:
        far.open = True
        with redis_py.Redis(port=far.port) as client, client.pipeline(transaction=False) as pipe:
            client.ping()
            began = time.monotonic()
            for _ in range(2000):
                pipe.ping()
            assert pipe.execute() == [True] * 2000
            assert 0.3 <= time.monotonic() - began < 10, "one way there and back, for all of them"
            far.close()
            with pytest.raises(redis_py.ConnectionError):
                client.ping()


@pytest.mark.skipif(not PROC, reason="asks Linux what another process used")
def test_a_process_and_its_child_are_held_to_a_share_of_a_core_and_go_on_when_that_ends():
    spin = "while True: pass"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {spin!r}]); print(flush=True)\n{spin}"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline()
        pids = [process.pid, *children(process.pid)]
        with held([process.pid], 0.05):  # less than a busy machine gives them
            wait_until(lambda: all(state_of(pid) == "T" for pid in pids), what="both to be stopped")
            begun, before = time.monotonic(), used(pids)
            wait_until(lambda: used(pids) - before > 0.1, what="two seconds' share")
            assert time.monotonic() - begun > 0.5
        assert all(state_of(pid) != "T" for pid in pids)
    finally:
        for pid in (process.pid, *children(process.pid)):
            kill(pid)
        process.communicate()

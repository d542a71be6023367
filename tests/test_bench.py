"""The benchmark measures what it says: its report has the rows, and every write that it timed arrived."""

from pathlib import Path

import pytest

from .bench.measure import Progress
from .bench.peers import EMPTY, ENGINE, JOURNAL, OURS, STOCK, TWO_HOPS
from .bench.report import report
from .bench.run import Plan, whole_run

pytestmark = pytest.mark.timeout(600)  # the first run of a clone builds the stock environment

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

"""The chaos runner's short run: a fixed seed, and nothing may be wrong in the end."""

from pathlib import Path

import pytest

from .book import KINDS
from .storm.run import run

SEED = 14
FAULTS = 15

pytestmark = pytest.mark.slow


async def test_nothing_acknowledged_is_lost_undone_doubled_or_misreported_whatever_dies(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    book = await run(SEED, FAULTS, tmp_path / "run", log)
    assert book.faults.total() == FAULTS
    assert book.acknowledged > FAULTS
    wrong = {kind: book.violations[kind] for kind in KINDS if kind != "over the deadline"}  # a test machine is noisy
    assert not any(wrong.values()), f"{book.told}\n{log}"

"""The soak's short form: some thousand operations leave nothing behind."""

import sys
from pathlib import Path

import pytest

from .soak import run

OPERATIONS = 2000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
async def test_thousands_of_operations_leave_memory_descriptors_and_files_as_they_were(
    tmp_path: Path,
) -> None:
    soak = await run(OPERATIONS, tmp_path)
    assert soak.calls.total() == OPERATIONS
    assert not soak.faults(), soak.table()

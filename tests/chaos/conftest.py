"""Chaos is of true processes, from their first line on."""

from collections.abc import Iterator

import pytest

from ..support import preloaded


@pytest.fixture(scope="module", autouse=True)
def cold_starts() -> Iterator[None]:
    """Every program starts with an interpreter of its own."""
    with preloaded.cold():
        yield

"""What the unit tests share: a clock that only they move, and journals that are closed behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.journal import Journal


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 11, 5, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_journal_stays_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every journal that a test makes is closed behind it."""
    made: list[Journal] = []
    init = Journal.__init__

    def noted(self: Journal, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(Journal, "__init__", noted)
    yield
    for journal in made:
        journal._close_connections()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    kept = Journal(tmp_path / "data", clock, addresses=("redis",))
    yield kept
    kept.close()

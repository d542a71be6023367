"""What the journal promises in one process it promises sealed, too: the same tests once more."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.journal import sqlite as files

from . import test_journal
from .test_journal import *  # noqa: F403

KEY = bytes(range(32))

for _name in (
    "test_several_processes_may_be_the_first_to_open_the_journal",
    "test_several_processes_write_at_once_and_lose_nothing",
    "test_a_process_that_is_killed_takes_nothing_committed_with_it",
):  # the other processes know of no key
    del globals()[_name]


@pytest.fixture(autouse=True)
def every_file_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's own look into the file is through the key as well."""
    from agentic_flywheel.journal.cipher import connect_sealed

    def connect(target: Any, **options: Any) -> sqlite3.Connection:
        return connect_sealed(str(target), KEY, **options)

    class Shim:
        def __getattr__(self, name: str) -> Any:
            return connect if name == "connect" else getattr(sqlite3, name)

    monkeypatch.setattr(test_journal, "sqlite3", Shim())
    monkeypatch.setattr(files, "_has_key_file", lambda _: True)
    files.open_sealed(tmp_path, KEY)
    yield
    files.forget_sealed(tmp_path)

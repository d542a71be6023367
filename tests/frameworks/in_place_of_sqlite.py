"""A pytest plugin that has the OpenAI Agents SDK's own tests run over our session in the place of its SQLite one.

It stands alone, since it runs where `tests` is the SDK's. A test that reaches into what is private to SQLite is
left out, and named with the reason in the summary.
"""

import inspect
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import agents
import agents.memory
import pytest

from agentic_flywheel.integrations.openai_agents import FlywheelSession
from agentic_flywheel.settings import Settings

PRIVATE = re.compile(
    r"sqlite3\.|_locked_connection|_connections?\b|_file_locks?\b|_lock\b is|_insert_items|_init_db|\.db_path"
    r"|_drop_sqlite_table"
)
"""What a test's text holds that looks into tables, connections or locks."""

OTHERWISE = {
    "test_sqlite_session_closed_rejects_empty_add_items": "ours opens again when it is used after its end",
    "test_encrypted_session_scan_budget_rejects_negative_limit_before_read": "SQLite reads all at a negative limit",
    "test_encrypted_pop_wrong_key_preserves_recoverable_history": "the wrapper asks SQLite alone",
    "test_encrypted_pop_rechecks_authentication_after_expired_tail": "the wrapper asks SQLite alone",
    "test_encrypted_pop_cancellation_waits_for_authentication_rollback": "the wrapper asks SQLite alone",
}

_root = tempfile.TemporaryDirectory(prefix="owners-")
_folders: dict[str, str] = {}
_left_out: Counter[str] = Counter()


class InPlaceOfSQLite(FlywheelSession):
    """Takes what the SQLite session takes: a folder for each database, one of its own for each in memory."""

    def __init__(self, session_id: str, db_path: str | Path = ":memory:", **given: Any) -> None:
        new = tempfile.mkdtemp(dir=_root.name)
        folder = new if str(db_path) == ":memory:" else _folders.setdefault(str(db_path), new)
        settings = Settings.from_env({"FLYWHEEL_DATA_DIR": folder, "HOME": _root.name})
        super().__init__(session_id, session_settings=given.get("session_settings"), settings=settings)

    def close(self) -> None:
        """The event loop ends with the test."""


agents.SQLiteSession = agents.memory.SQLiteSession = InPlaceOfSQLite  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    for item in items:
        function: Any = getattr(item, "function", None)
        source = inspect.getsource(function)
        if "SQLiteSession" not in source and "memory" not in item.path.parts:
            continue  # a test of something else, in a file of many
        name = item.name.partition("[")[0]
        reason = OTHERWISE.get(name) or ("it looks into SQLite" if PRIVATE.search(source) else "")
        if reason:
            _left_out[f"{name}: {reason}"] += 1
        else:
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for told, count in sorted(_left_out.items()):
        terminalreporter.write_line(f"left out ({count}): {told}")

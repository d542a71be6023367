"""While another program holds the journal, answers say so in whole sentences, with the next step."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ..support.conversations import TALK
from ..support.wire import WireServer


@pytest.mark.slow
def test_what_cannot_be_kept_says_why_and_what_to_do(disabled_env: dict[str, str]):
    path = Path(disabled_env["FLYWHEEL_DATA_DIR"]) / "journal.sqlite3"
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="a", history=TALK)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            saved = server.call("save_session", session_id="b", history=TALK)
            cached = server.call("cache_result", result={"a": 1})
            deleted = server.call("delete_session", session_id="a")
            found = server.call("resume_session", session_id="a")
            other.execute("ROLLBACK")
        held = "cannot be used: another program holds it (database is locked)."
        assert saved["message"].endswith(f"{held} Next: the same save again.")
        assert cached["message"].endswith(held)
        assert deleted["message"].endswith(f"{held} Try again.")
        assert (saved["saved"], cached["cached"], deleted["deleted"], found["found"]) == (False, False, False, True)
        assert server.call("save_session", session_id="b", history=TALK)["saved"] is True
        assert server.call("persistence_status")["journal"]["error"] is None  # it has let go of it

"""The commands for people: a table, a transcript, a deletion that asks, and going back."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentic_flywheel.cli.session_table import since
from agentic_flywheel.cli.terminal import shown

from ..support.conversations import TALK, turns, words
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_moving_house import run

pytestmark = pytest.mark.slow


@pytest.fixture
def filled(disabled_env: dict[str, str]) -> dict[str, str]:
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="harvest", history=TALK, title="The harvest of May", tags=["farm"])
        server.call("save_session", session_id="winter", history=turns("one"), title="Winter", ttl_seconds=0)
        server.call("save_session", session_id="winter", history=turns("two"), mode="replace")
    return disabled_env


def test_the_list_is_a_table_newest_first(filled: dict[str, str]):
    head, first, second = run(filled, "sessions", "list").stdout.splitlines()
    assert head.split() == ["ID", "TITLE", "TURNS", "SAVED", "EXPIRES"]
    assert first.split()[0] == "winter"
    assert first.endswith("never")
    assert second.startswith("harvest  The harvest of May")
    assert re.search(r"\d+ seconds? ago", second)
    assert "in 1 year" in second


def test_a_program_gets_json(filled: dict[str, str]):
    rows = json.loads(run(filled, "sessions", "list", "--json").stdout)
    assert [row["id"] for row in rows] == ["winter", "harvest"]
    assert json.loads(run(filled, "sessions", "show", "harvest", "--json").stdout)["history"] == TALK


@pytest.mark.parametrize("arguments", [("--query", "MAY"), ("--tag", "farm"), ("--query", "harvest", "--limit", "1")])
def test_it_is_filtered(filled: dict[str, str], arguments: tuple[str, ...]):
    rows = json.loads(run(filled, "sessions", "list", "--json", *arguments).stdout)
    assert [row["id"] for row in rows] == ["harvest"]


def test_a_search_shows_what_was_said(filled: dict[str, str]):
    _, row, excerpt = run(filled, "sessions", "list", "--query", "two").stdout.splitlines()
    assert (row.split()[0], excerpt) == ("winter", "    two")


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("tags", [[], ["farm"]], ids=str)
def test_the_journal_alone_is_listed_as_the_server_lists_it(filled: dict[str, str], tags: list[str], limit: int):
    with WireServer(filled) as server:
        page = server.call("list_sessions", limit=limit, tags=tags)
    arguments = ["--limit", str(limit), *(word for tag in tags for word in ("--tag", tag))]
    listed = run(filled, "sessions", "list", "--json", *arguments)
    assert json.loads(listed.stdout) == page["sessions"]
    table = run(filled, "sessions", "list", *arguments)
    assert ("There are more" in table.stderr) == ("next_cursor" in page)


def test_a_list_asked_for_wrongly_is_refused(filled: dict[str, str]):
    assert "from 1 to 1000" in run(filled, "sessions", "list", "--limit", "0", code=2).stderr
    env = {**filled, "FLYWHEEL_USER": "ann", "FLYWHEEL_USER_ONLY": "true"}
    assert "own user's sessions" in run(env, "sessions", "list", "--user", "ben", code=2).stderr
    assert run(env, "sessions", "list", "--user", "ann").returncode == 0


def test_a_session_is_shown_as_markdown(filled: dict[str, str]):
    text = run(filled, "sessions", "show", "harvest").stdout
    assert text.startswith("# The harvest of May\n")
    assert TALK[0]["content"] in text


@pytest.mark.parametrize("verb", [("show",), ("revisions",), ("delete", "--yes")], ids=lambda verb: verb[0])
def test_of_a_session_that_only_redis_may_have_it_is_said_that_it_may(
    verb: tuple[str, ...], lonely_env: dict[str, str]
):
    said = run(lonely_env, "sessions", verb[0], "elsewhere", *verb[1:], code=2).stderr
    assert "session 'elsewhere' is not on this machine, and may well be in Redis: Redis cannot be reached" in said


def test_deleting_asks_and_where_nobody_can_be_asked_it_wants_to_be_told(filled: dict[str, str]):
    assert "--yes" in run(filled, "sessions", "delete", "harvest", code=2, stdin="y\n").stderr
    assert "Deleted" in run(filled, "sessions", "delete", "harvest", "--yes").stdout
    assert "not found" in run(filled, "sessions", "delete", "nobody", "--yes", code=1).stderr
    assert "deleted" in run(filled, "sessions", "show", "harvest", code=1).stderr


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_deleting_does_as_it_is_answered(filled: dict[str, str], answer: str, code: int):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "agentic_flywheel", "sessions", "delete", "harvest"]
    with subprocess.Popen(command, env=filled, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        os.write(ours, f"{answer}\n".encode())
        _, told = asking.communicate(timeout=30)
    os.close(theirs)
    os.close(ours)
    assert b"Delete session 'harvest'" in told
    assert asking.returncode == code
    run(filled, "sessions", "show", "harvest", code=1 - code)


def test_an_empty_list_of_a_redis_that_is_away_is_not_said_to_be_all(disabled_env: dict[str, str]):
    away = {name: value for name, value in disabled_env.items() if name != "REDIS_ENABLED"}
    done = run(away | {"REDIS_URL": "redis://127.0.0.1:1/0"}, "sessions")
    assert done.stdout == "No session is on this machine.\n"
    assert "Redis cannot be reached" in done.stderr


def test_a_mistake_is_taken_back(filled: dict[str, str]):
    assert "it is revision 3 now" in run(filled, "sessions", "restore", "winter", "1").stdout
    assert "one" in run(filled, "sessions", "show", "winter").stdout
    assert "not kept" in run(filled, "sessions", "restore", "winter", "77", code=1).stderr


def test_a_restore_brings_turns_back_and_leaves_a_title_that_was_given_since(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        for said in ("one", "two"):
            server.call("save_session", session_id="s", title="First", history=turns(said))
        run(disabled_env, "sessions", "rename", "s", "Given since")
        assert "Its title stays 'Given since'." in run(disabled_env, "sessions", "restore", "s", "1").stdout
        session = server.call("resume_session", session_id="s")["session"]
        assert (session["title"], words(session["history"])) == ("Given since", ["one"])
        server.call("save_session", session_id="s", title="Other", history=turns("other"), mode="replace")
        answer = server.call("restore_session", session_id="s", revision=2)  # this took the old one away
        assert "title" not in answer["message"]
        session = server.call("resume_session", session_id="s")["session"]
        assert (session["title"], words(session["history"])) == ("First", ["one", "two"])


def test_nothing_that_was_said_is_obeyed_by_the_terminal(disabled_env: dict[str, str]):
    evil = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\r"
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=turns(evil), title=evil, summary=evil)
        server.call("save_session", session_id="t", history=turns("x"), title="a\n\n\tb")
    for arguments in (("list",), ("show", "s")):
        text = run(disabled_env, "sessions", *arguments).stdout
        assert not set(text) & set("\x1b\x07\u202e\r")
    assert "t   a b " in run(disabled_env, "sessions", "list").stdout
    assert shown("a\nb\tc") == "a\nb\tc"


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=5), "5 seconds ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=-2), "in 2 hours"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=70), "2 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_times_are_said_as_people_do(ago: timedelta, said: str):
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert since((now - ago).isoformat(), now) == said
    assert since(None, now) == ""


def test_all_are_deleted_by_one_command_that_asks(filled: dict[str, str]):
    asked = run(filled, "sessions", "delete", "--all", code=2)
    assert (asked.returncode, "needs --yes" in asked.stderr) == (2, True)
    done = run(filled, "sessions", "delete", "--all", "--yes")
    assert (done.returncode, done.stdout) == (0, "Deleted 2 sessions; 0 could not be deleted.\n")
    assert json.loads(run(filled, "sessions", "list", "--json").stdout) == []
    assert run(filled, "sessions", "delete", "--all", "--yes").stdout == "Deleted 0 sessions; 0 could not be deleted.\n"


@pytest.mark.parametrize("arguments", [(), ("harvest", "--all")])
def test_a_deletion_names_one_session_or_all(filled: dict[str, str], arguments: tuple[str, ...]):
    refused = run(filled, "sessions", "delete", *arguments, "--yes", code=2)
    assert (refused.returncode, "name one session, or --all" in refused.stderr) == (2, True)
    assert len(json.loads(run(filled, "sessions", "list", "--json").stdout)) == 2


def test_expired_sessions_are_erased_by_a_command(disabled_env: dict[str, str]):
    journal = Path(disabled_env["FLYWHEEL_DATA_DIR"]) / "journal.sqlite3"
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="brief", title="a-title-of-old", ttl_seconds=1)
        server.call("save_session", session_id="lasting", title="another")
        wait_until(lambda: not server.call("resume_session", session_id="brief")["found"], what="its end")
    assert b"a-title-of-old" in journal.read_bytes()
    done = run(disabled_env, "forget-copies", "--expired")
    assert (done.returncode, done.stdout.startswith("Removed 1 expired document.")) == (0, True)
    assert b"a-title-of-old" not in journal.read_bytes()
    assert b"another" in journal.read_bytes()
    assert run(disabled_env, "purge").stdout == run(disabled_env, "forget-copies").stdout

"""`dead-letters`: what a destination refuses for good is seen, sent again, taken out and dropped, as a person would."""

import json
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.conversations import turns, words
from ..support.moods import MoodyRedis, TimedServer, arrives, kept_here, timed
from ..support.waiting import wait_until
from ..test_demo_and_doctor import run

pytestmark = pytest.mark.slow


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[MoodyRedis]:
    """A Redis for this test alone, not started yet."""
    redis = MoodyRedis(tmp_path / "redis")
    yield redis
    redis.kill()


@pytest.fixture
def server(moody: MoodyRedis, lonely_env: dict[str, str]) -> Iterator[TimedServer]:
    """A server with a dead letter of the sessions `s` and `t`: a list is in their place in Redis."""
    moody.start()
    with moody.client() as client:
        for session_id in ("s", "t"):
            client.rpush(moody.session_key(session_id), "foreign")
    moody.save_and_kill()
    with TimedServer(timed(lonely_env, moody.url)) as running:
        running.settled()
        for session_id in ("s", "t"):
            kept_here(running.save(session_id, turns("one", "two")))
        moody.start()
        wait_until(lambda: len(running.status()["journal"]["set_aside"]) == 2, what="two dead letters")
        yield running


def listed(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The dead letters, by session."""
    return {letter["session_id"]: letter for letter in json.loads(run(env, "dead-letters", "list", "--json").stdout)}


def test_dead_letters_are_listed_with_what_they_are_and_why(server: TimedServer, moody: MoodyRedis):
    done = run(server.env, "dead-letters")
    assert done.returncode == 0
    assert re.search(rf"^\d+ +session s +\S+:{moody.port}/0 +\d+ +.*not text of ours", done.stdout, re.MULTILINE), done
    letter = listed(server.env)["s"]
    assert letter["key"] == moody.session_key("s")
    assert letter["destination"].endswith(f":{moody.port}/0")
    assert "dead-letters" in server.status()["reason"]


def test_one_that_is_retried_is_sent_within_seconds_by_the_server_that_runs(server: TimedServer, moody: MoodyRedis):
    with moody.client() as client:
        client.delete(moody.session_key("s"), moody.session_key("t"))
    done = run(server.env, "dead-letters", "retry", str(listed(server.env)["s"]["number"]))
    assert (done.returncode, "pending again" in done.stdout) == (0, True), done
    arrives(moody, {"s": ["one", "two"], "t": None})
    assert set(listed(server.env)) == {"t"}
    assert run(server.env, "dead-letters", "retry", "--all").returncode == 0
    arrives(moody, {"s": ["one", "two"], "t": ["one", "two"]})
    assert "There are no dead letters." in run(server.env, "dead-letters").stdout
    wait_until(lambda: server.pending() == 0, what="nothing to be pending")
    server.is_well()


def test_one_that_is_refused_again_is_a_dead_letter_again(server: TimedServer):
    number = str(listed(server.env)["s"]["number"])
    run(server.env, "dead-letters", "retry", number)
    wait_until(lambda: "s" in listed(server.env), what="it to be one again")


def test_one_is_exported_with_its_turns_and_stays_until_it_is_dropped(server: TimedServer, tmp_path: Path):
    number, file = str(listed(server.env)["s"]["number"]), tmp_path / "letter.json"
    told = json.loads(run(server.env, "dead-letters", "export", number).stdout)
    assert words(told["turns"]) == ["one", "two"]
    assert (told["session_id"], told["command"]["kind"]) == ("s", "session")
    assert run(server.env, "dead-letters", "export", number, str(file)).returncode == 0
    assert json.loads(file.read_text()) == told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = run(server.env, "dead-letters", "export", number, str(file))
    assert (again.returncode, "there already" in again.stderr) == (1, True), again
    asked = run(server.env, "dead-letters", "drop", number)
    assert (asked.returncode, "--yes" in asked.stderr, "s" in listed(server.env)) == (2, True, True)
    assert run(server.env, "dead-letters", "drop", number, "--yes").returncode == 0
    assert set(listed(server.env)) == {"t"}


@pytest.mark.parametrize("verb", [("retry", "77"), ("export", "77"), ("drop", "77", "--yes")])
def test_a_number_that_is_none_is_named_with_those_that_are(verb: tuple[str, ...], server: TimedServer):
    there = ", ".join(str(letter["number"]) for letter in listed(server.env).values())
    done = run(server.env, "dead-letters", *verb)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no dead letter 77; there is {there}" in done.stderr


def test_it_needs_neither_a_redis_nor_mcp(disabled_env: dict[str, str]):
    done = run(disabled_env, "dead-letters")
    assert (done.returncode, done.stdout) == (0, "There are no dead letters.\n")
    code = (
        "import sys; from agentic_flywheel.cli.main import main; main(['dead-letters']);"
        "sys.exit('mcp' in sys.modules)"
    )  # fmt: skip
    assert run(disabled_env, command=(sys.executable, "-c", code)).returncode == 0
    assert run(disabled_env, "dead-letters", "retry").returncode == 2, "neither a number nor --all"
    off = run(disabled_env | {"FLYWHEEL_JOURNAL": "false"}, "dead-letters")
    assert (off.returncode, "switched off" in off.stderr) == (1, True)

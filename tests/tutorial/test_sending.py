"""`sessions send` brings what was saved while no Redis was named to the one that is named, and loses nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import clean_env
from ..support.conversations import turns, words
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_moving_house import run

pytestmark = pytest.mark.slow


@pytest.fixture
def env(tmp_path: Path, own_redis: RedisServer) -> dict[str, str]:
    return clean_env(tmp_path, own_redis.url, own_redis.prefix)


@pytest.fixture
def alone(env: dict[str, str]) -> dict[str, str]:
    """The same machine, while no Redis is named."""
    return {name: value for name, value in env.items() if name != "REDIS_URL"}


def save_here(alone: dict[str, str], **sessions: list[str]) -> None:
    with WireServer(alone) as server:
        for session_id, said in sessions.items():
            for text in said:
                server.call("save_session", session_id=session_id, history=turns(text), context={text: 1})


def stored(redis: RedisServer, session_id: str) -> list[str]:
    text = redis.get(redis.session_key(session_id))
    return words(json.loads(text)["history"]) if text else []


def of_this_machine(env: dict[str, str]) -> set[str]:
    rows = json.loads(run(env, "sessions", "list", "--json").stdout)
    return {row["id"] for row in rows if row.get("scope") == "this machine"}


def test_all_is_sent_with_what_goes_with_it_and_once_more_changes_nothing(
    env: dict[str, str], alone: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    save_here(alone, garden=["one", "two"], kitchen=["three"])
    with WireServer(alone) as server:
        server.call("save_session", session_id="garden", history=turns("other"), mode="replace")
        server.call("cache_result", result={"a": 1}, execution_id="e", session_id="garden", flow_id="f")
    own_redis.start()
    assert of_this_machine(env) == {"garden", "kitchen"}
    done = run(env, "sessions", "send", "garden")
    assert (done.returncode, done.stderr) == (0, "")
    assert re_target(done.stdout) == "Sent 1 session to <Redis>; 0 were there already, 0 could not be sent."
    assert of_this_machine(env) == {"kitchen"}
    assert run(env, "sessions", "send", "--all").returncode == 0
    before = {key: own_redis.get(own_redis.session_key(key)) for key in ("garden", "kitchen")}
    again = run(env, "sessions", "send", "garden", "kitchen")
    assert (again.returncode, "0 sessions" in again.stdout, "2 were there already" in again.stdout) == (0, True, True)
    assert before == {key: own_redis.get(own_redis.session_key(key)) for key in ("garden", "kitchen")}
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        assert words(elsewhere.call("resume_session", session_id="garden")["session"]["history"]) == ["other"]
        older = elsewhere.call("resume_session", session_id="garden", revision=2)
        assert words(older["session"]["history"]) == ["one", "two"]
        assert elsewhere.call("get_result", execution_id="e")["found"]
        assert len(elsewhere.call("get_flow_history", session_id="garden", flow_id="f")["executions"]) == 1


def re_target(text: str) -> str:
    return " ".join("<Redis>;" if word.startswith("redis://") else word for word in text.split())


def test_it_is_merged_with_what_is_there_under_the_same_id(
    env: dict[str, str], alone: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    save_here(alone, garden=[f"mine {number}" for number in range(20)])
    own_redis.start()
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        for number in range(30):  # more revisions than this machine's has, and more than a document names
            elsewhere.call("save_session", session_id="garden", history=turns(f"theirs {number}"))
    done = run(env, "sessions", "send", "--all")
    assert done.returncode == 0, done.stderr
    assert stored(own_redis, "garden") == [f"theirs {n}" for n in range(30)] + [f"mine {n}" for n in range(20)]
    assert json.loads(own_redis.get(own_redis.session_key("garden")) or "")["context"]["mine 3"] == 1
    assert of_this_machine(env) == set()


def test_what_was_deleted_there_begins_anew(
    env: dict[str, str], alone: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    save_here(alone, garden=["mine"])
    own_redis.start()
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        for text in ("one", "two"):
            elsewhere.call("save_session", session_id="garden", history=turns(text))
        elsewhere.call("delete_session", session_id="garden")
        assert run(env, "sessions", "send", "garden").returncode == 0
        assert words(elsewhere.call("resume_session", session_id="garden")["session"]["history"]) == ["mine"]


def test_another_users_session_stays_apart(
    env: dict[str, str], alone: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    with WireServer(alone) as server:
        server.call("save_session", session_id="garden", history=turns("mine"), user_id="ana")
    own_redis.start()
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        elsewhere.call("save_session", session_id="garden", history=turns("theirs"), user_id="ben")
    save_here(alone, kitchen=["more"])
    done = run(env, "sessions", "send", "--all", code=1)
    assert "'garden' was not sent: " in done.stderr
    assert "Sent 1 session " in done.stdout
    assert (stored(own_redis, "garden"), stored(own_redis, "kitchen")) == (["theirs"], ["more"])
    with WireServer(alone) as server:
        assert words(server.call("resume_session", session_id="garden")["session"]["history"]) == ["mine"]


def test_a_redis_that_dies_in_between_costs_nothing(env: dict[str, str], alone: dict[str, str], own_redis: RedisServer):
    said = {f"s{number:02}": [f"text {number}"] for number in range(150)}
    save_here(alone, **said)
    own_redis.start()
    command = [sys.executable, "-m", "agentic_flywheel", "sessions", "send", "--all"]
    with Proxy(own_redis.port) as proxy:
        env["REDIS_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
        proxy.delay = 0.02  # so that all takes seconds, and we come in between
        with subprocess.Popen(command, env=env, cwd=env["HOME"], stderr=subprocess.PIPE, text=True) as sending:
            wait_until(lambda: len(own_redis.all_keys("*:session:*")) >= 5, what="some to be there")
            own_redis.kill()
            told = sending.communicate()[1]
        assert (sending.returncode, "Traceback" in told) == (1, False), told
        assert "Run the same again" in told
        assert of_this_machine(env), "it was in between"
        proxy.delay = 0.0
        own_redis.start()
        assert run(env, "sessions", "send", "--all").returncode == 0
        with WireServer(env) as server:
            server.warm()
            for session_id, texts in said.items():  # what it forgot when it died comes back
                assert words(server.call("resume_session", session_id=session_id)["session"]["history"]) == texts
            assert server.call("persistence_status")["journal"]["this_machine"] == 0


def test_a_redis_that_refuses_or_is_away_costs_nothing_and_the_same_command_goes_on(
    env: dict[str, str], alone: dict[str, str], own_redis: RedisServer
):
    said = {f"s{number:02}": [f"text {number}"] for number in range(12)}
    save_here(alone, **said)
    own_redis.start()
    with own_redis.client() as client:
        client.execute_command("CONFIG", "SET", "maxmemory", "1")  # it takes nothing
    refused = run(env, "sessions", "send", "--all", code=1)
    assert "'s00' was not sent: " in refused.stderr
    assert of_this_machine(env) == {*said}
    own_redis.kill()
    assert "does not answer" in run(env, "sessions", "send", "--all", code=1).stderr
    own_redis.start()
    assert run(env, "sessions", "send", "--all").returncode == 0
    assert {session_id: stored(own_redis, session_id) for session_id in said} == said
    assert of_this_machine(env) == set()


@pytest.mark.parametrize(
    ("more", "arguments", "code", "says"),
    [
        ({}, (), 2, "--all"),
        ({}, ("--all", "garden"), 2, "--all"),
        ({"REDIS_URL": ""}, ("--all",), 1, "no Redis is named. Set REDIS_URL"),
        ({"REDIS_ENABLED": "false"}, ("--all",), 1, "switched off"),
        ({}, ("--all",), 1, "does not answer"),
    ],
)
def test_a_wrong_command_ends_with_a_sentence(
    env: dict[str, str], more: dict[str, str], arguments: tuple[str, ...], code: int, says: str
):
    done = run(env | more, "sessions", "send", *arguments, code=code)
    assert (done.stdout, says in done.stderr) == ("", True), done.stderr


def test_an_id_that_is_nowhere_is_named(env: dict[str, str], own_redis: RedisServer):
    own_redis.start()
    assert "'nobody' was not sent: there is none" in run(env, "sessions", "send", "nobody", code=1).stderr

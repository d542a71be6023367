"""What people said stays where it was put: no log, no foreign Redis, no open file."""

import os
import sys
from pathlib import Path

import pytest

from ..conftest import Place
from ..support.conversations import turns
from ..support.files import contents
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

MARKER = "kumquat-7f3a"
CONSOLE_SCRIPT = Path(sys.executable).with_name("agentic-flywheel-state")


def say_everything(server: WireServer) -> None:
    """Put the marker into every field of every tool, right and wrong."""
    server.call(
        "save_session",
        session_id=f"id-{MARKER}",
        history=turns(MARKER),
        context={MARKER: MARKER},
        title=MARKER,
        summary=MARKER,
        tags=[MARKER],
        user_id=MARKER,
        current_flow_id=MARKER,
        backend_session_id=MARKER,
    )
    server.call("save_session", session_id=f"id-{MARKER}", history=turns(MARKER * 10), expected_revision=99)
    server.call("resume_session", session_id=f"id-{MARKER}")
    server.call("list_sessions", query=MARKER)
    server.call(
        "cache_result",
        result={MARKER: MARKER},
        execution_id=MARKER,
        session_id=MARKER,
        flow_id=MARKER,
        input={"text": MARKER},
        parameters={MARKER: 1},
        metrics={MARKER: 1},
    )
    server.call("get_result", execution_id=MARKER)
    server.call("get_flow_history", session_id=MARKER, flow_id=MARKER)
    server.refused("save_session", history=MARKER)
    server.refused("save_session", **{MARKER: MARKER})
    server.refused("save_session", history=[MARKER])
    server.send_line(f'{{"half a line": "{MARKER}')
    server.call("delete_session", session_id=f"id-{MARKER}")


def test_no_word_of_a_session_is_logged(place: Place):
    with place.server() as server:
        if place.shared:
            server.warm()
        say_everything(server)
    assert MARKER not in server.stderr


def test_no_word_of_a_session_is_logged_when_storage_fails(own_redis: RedisServer, lonely_env: dict[str, str]):
    own_redis.start()
    with WireServer(lonely_env | {"REDIS_URL": own_redis.url}) as server:
        server.warm()
        with own_redis.client() as client:
            client.config_set("maxmemory", "1")  # every write is refused
        say_everything(server)
        own_redis.kill()
        say_everything(server)
    assert MARKER not in server.stderr


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("command", ["module", "console script"])
def test_files_in_the_current_folder_and_home_redirect_nothing(
    command: str, server_env: dict[str, str], redis: RedisServer, own_redis: RedisServer, tmp_path: Path
):
    own_redis.start()
    here = tmp_path / "project" / "here"
    here.mkdir(parents=True)
    evil = f"redis://127.0.0.1:{own_redis.port}/0"
    dot_env = "\n".join(
        [f"{name}={evil}" for name in ("REDIS_URL", "KV_URL", "UPSTASH_REDIS_REST_URL")]
        + [
            "REDIS_HOST=127.0.0.1",
            f"REDIS_PORT={own_redis.port}",
            "REDIS_ENABLED=false",
            "FLYWHEEL_KEY_PREFIX=evil",
            "",
        ]
    )
    coaia = f'{{"jtaleconf": {{"host": "127.0.0.1", "port": {own_redis.port}, "db": 0}}}}'
    for folder in (here, here.parent, Path(server_env["HOME"])):
        (folder / ".env").write_text(dot_env)
        (folder / "coaia.json").write_text(coaia)
    trace = tmp_path / "imported"
    for module in ("langfuse", "redis", "coaiapy", "coaiapy_mcp", "dotenv"):
        if command == "console script":  # `python -m` itself puts the current folder first
            (here / f"{module}.py").write_text(f"open({str(trace)!r}, 'w')\n")
    argv = [str(CONSOLE_SCRIPT)] if command == "console script" else [sys.executable, "-m", "agentic_flywheel"]
    with WireServer(server_env, command=argv, cwd=here) as server:
        server.warm()
        assert server.call("save_session", session_id="s", history=turns("a"))["stored_in"] == "redis"
        server.call("cache_result", result={"a": 1}, execution_id="e")
        assert redis.session_key("s") in redis.all_keys()
        assert own_redis.all_keys() == set()
        assert own_redis.connections() == [], "nobody even connected"
    assert not trace.exists(), "no module of the folder was imported"


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("name", ["KV_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_HOST"])
def test_variables_that_are_not_the_contracts_redirect_nothing(
    name: str, lonely_env: dict[str, str], own_redis: RedisServer
):
    own_redis.start()
    with WireServer(lonely_env | {name: own_redis.url}) as server:
        assert server.call("save_session", session_id="s", history=turns("a"))["stored_in"] == "journal"
        assert server.call("resume_session", session_id="nobody")["reason"] == "unavailable"
    assert own_redis.all_keys() == set()


def test_the_data_folder_is_the_users_alone(place: Place):
    old = os.umask(0)
    try:
        with place.server() as server:
            server.call("save_session", history=turns("a"))
            data = Path(place.env["FLYWHEEL_DATA_DIR"])
            assert data.stat().st_mode & 0o777 == 0o700
            journal = Path(server.call("persistence_status")["journal"]["path"])
            found = list(journal.parent.glob(f"{journal.name}*"))  # SQLite keeps files of its own beside it
            assert data in journal.parents
            assert {path.name: path.stat().st_mode & 0o777 for path in found} == dict.fromkeys(
                (p.name for p in found), 0o600
            )
    finally:
        os.umask(old)


def test_with_no_journal_nothing_is_kept_locally(server_env: dict[str, str]):
    with WireServer(server_env | {"FLYWHEEL_JOURNAL": "false"}) as server:
        server.warm()
        assert server.call("save_session", session_id="s", history=turns(MARKER))["stored_in"] == "redis"
        assert server.call("resume_session", session_id="s")["session"]["history"] == turns(MARKER)
        assert [row["id"] for row in server.call("list_sessions")["sessions"]] == ["s"]
    data = Path(server_env["FLYWHEEL_DATA_DIR"])
    assert not any(MARKER.encode() in read for _, read in contents(data))


def test_with_no_journal_and_no_redis_nothing_is_said_to_be_kept(lonely_env: dict[str, str]):
    with WireServer(lonely_env | {"FLYWHEEL_JOURNAL": "false"}) as server:
        answer = server.call("save_session", session_id="s", history=turns("a"))
    assert (answer["saved"], answer["stored_in"], answer["reason"]) == (False, "none", "unavailable")

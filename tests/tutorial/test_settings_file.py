"""One store in every client: a settings file below HOME, read by the server, the commands and the Python API."""

import os
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.cli.clients.table import named
from agentic_flywheel.cli.doctor_as import passed_on
from agentic_flywheel.integrations.redis_state import RedisConfig, RedisSessionManager
from agentic_flywheel.settings_file import PLACE

from ..support.conversations import turns
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.wire import WireServer
from ..test_demo_and_doctor import run

CLIENTS = ("claude-code", "codex", "gemini-cli", "opencode", "cursor")


def write_settings(home: Path, **settings: str) -> Path:
    """A person's settings file."""
    path = home / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    path.chmod(0o600)
    return path


@pytest.fixture
def home(tmp_path: Path, redis: RedisServer) -> Path:
    """A home whose settings file names a Redis, a prefix and a data folder."""
    home = tmp_path / "home"
    data = str(tmp_path / "kept")
    write_settings(home, redis_url=redis.url, flywheel_prefix=redis.prefix, flywheel_data_dir=data)
    return home


def as_passed_on(client: str, home: Path, **more: str) -> dict[str, str]:
    """What a client passes on of a person's environment, in which stand variables that no two clients treat alike."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "XDG_CONFIG_HOME": "/nowhere", **more}
    return passed_on(named([client])[0], environ)


def test_with_a_settings_file_every_client_has_the_same_store(home: Path, sid: str):
    states: list[dict[str, Any]] = []
    for number, client in enumerate(CLIENTS, 1):  # each goes on with what all before it said
        with WireServer(as_passed_on(client, home)) as server:
            saved = server.warm().call("save_session", session_id=sid, history=turns(client))
            assert saved["stored_in"] == "redis"
            said = server.call("resume_session", session_id=sid)["session"]["history"]
            assert said == turns(*CLIENTS[:number])
            states.append(server.call("persistence_status"))
    for state in states:
        assert state["settings"] == dict.fromkeys(
            ("REDIS_URL", "FLYWHEEL_KEY_PREFIX", "FLYWHEEL_DATA_DIR"), f"file {home / PLACE}".replace(str(home), "~")
        )
        for field in ("settings", "key_prefix", "user", "redaction"):
            assert state[field] == states[0][field]
        assert state["redis"]["target"] == states[0]["redis"]["target"]
        assert state["journal"]["path"] == states[0]["journal"]["path"]


def test_the_status_says_that_the_environment_won(home: Path):
    more = {"FLYWHEEL_PREFIX": "mine", "FLYWHEEL_REDACTION": "warn", "FLYWHEEL_USER": "ana"}
    with WireServer(as_passed_on("gemini", home, REDIS_ENABLED="false", **more)) as server:
        status = server.call("persistence_status")
    for name, written in {"FLYWHEEL_KEY_PREFIX": "FLYWHEEL_PREFIX", "FLYWHEEL_SECRETS": "FLYWHEEL_REDACTION"}.items():
        assert status["settings"][name] == f"environment variable {written}"
    assert (status["key_prefix"], status["user"], status["redaction"]) == ("mine", "ana", "warn")
    assert status["settings"]["REDIS_URL"].startswith("file ")


@pytest.mark.parametrize("arguments", [(), ("sessions", "list"), ("doctor",), ("config", "show")], ids=" ".join)
def test_a_wrong_settings_file_stops_every_start_with_one_line(arguments: tuple[str, ...], tmp_path: Path):
    home = tmp_path / "home"
    path = write_settings(home, redis_ur="redis://:hush-hush@h")
    done = run(as_passed_on("codex", home), *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"agentic-flywheel-state: {path}: there is no setting 'redis_ur'; the nearest is redis_url.\n"
    )


def test_commands_read_it_too(home: Path, sid: str):
    with WireServer(as_passed_on("claude", home)) as server:
        saved = server.warm().call("save_session", session_id=sid, history=turns("one"))
    assert saved["stored_in"] == "redis", "without the file both would be in the journal of this home"
    assert sid in run(as_passed_on("codex", home), "sessions", "list").stdout


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has that home, and nothing of ours in its environment."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))


@pytest.mark.usefixtures("here")
async def test_the_python_api_reads_it_and_what_a_program_passes_wins(home: Path, redis: RedisServer, sid: str):
    async with RedisSessionManager(key_prefix=redis.prefix, strict=True) as manager:
        assert await manager.save_session(
            UniversalSession(id=sid, backend=BackendType.CUSTOM, history=turns("one", "two"))
        )
    with WireServer(as_passed_on("codex", home)) as server:
        assert server.warm().call("resume_session", session_id=sid)["source"] == "redis"
    elsewhere = RedisSessionManager(redis_url=NOBODY_LISTENS, key_prefix="other")
    assert repr(elsewhere) == f"RedisSessionManager(Redis {NOBODY_LISTENS}, other:, 86400 s)"
    assert "Redis redis://h:6379/0" in repr(RedisSessionManager(host="h"))


@pytest.mark.usefixtures("here")
def test_the_settings_of_the_python_module_read_it_where_no_environment_is_passed(home: Path):
    write_settings(home, redis_host="h.example", redis_port="6390", redis_ttl_seconds="7")
    read = RedisConfig.from_env()
    assert (read["host"], read["port"], read["ttl_seconds"]) == ("h.example", 6390, 7)
    assert RedisConfig.from_env({"REDIS_PREFIX": "p"})["key_prefix"] == "p"
    assert RedisConfig.from_env({})["host"] == "localhost"

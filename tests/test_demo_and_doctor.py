"""The commands a person types: demo, doctor, --help, --version, and a start that a wrong setting stops."""

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

import pytest

from .support.conversations import turns
from .support.redis_server import RedisServer
from .support.waiting import wait_until
from .support.wire import SERVER, WireServer

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("agentic-flywheel-state")
PASSWORD = "hush-hush-9"  # noqa: S105


def run(env: dict[str, str], *arguments: str, command: tuple[str, ...] = SERVER) -> subprocess.CompletedProcess[str]:
    """Run the program to its end in its own HOME, with nothing on stdin."""
    done = subprocess.run(
        [*command, *arguments],
        env=env,
        cwd=env["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path):
    """No process that a command started, a child of a child included, outlives it."""
    yield
    wait_until(lambda: not started_with(tmp_path), what="the end of what the command started")


def started_with(folder: Path) -> list[int]:
    """The processes whose environment, command or folder names the test's folder (Linux), but for its own Redis."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            about = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            about += bytes((entry / "cwd").readlink())
            if os.fsencode(folder) in about and b"redis-server" not in about:
                found.append(int(entry.name))
    return found


# demo


@pytest.mark.usefixtures("cold")
def test_the_demo_with_redis_shows_the_key_and_its_life(server_env: dict[str, str], redis: RedisServer):
    done = run(server_env, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    key = re.search(re.escape(redis.prefix) + r":demo_\w+:session:[^\s'\"]+", done.stdout)
    assert key, done.stdout
    assert "ttl" in done.stdout.lower()
    assert "equal" in done.stdout.lower()
    assert "\x1b[" not in done.stdout, "no colours where there is no terminal"


def test_the_demo_without_redis_shows_the_journals_path(lonely_env: dict[str, str]):
    done = run(lonely_env, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lonely_env["FLYWHEEL_DATA_DIR"] in done.stdout
    assert "equal" in done.stdout.lower()


def test_the_demo_works_with_redis_disabled(disabled_env: dict[str, str]):
    done = run(disabled_env, "demo", command=(str(SCRIPT),))
    assert done.returncode == 0, done.stdout + done.stderr
    assert disabled_env["FLYWHEEL_DATA_DIR"] in done.stdout


def test_the_demo_keeps_the_conversation_it_is_given(server_env: dict[str, str], redis: RedisServer, tmp_path: Path):
    file = tmp_path / "talk.json"
    talk = [
        {"role": "user", "content": "Where did we bury the kumquat? 🌾"},
        {"role": "assistant", "content": "Under the oak."},
    ]
    file.write_text(json.dumps(talk), encoding="utf-8")
    done = run(server_env, "demo", "--transcript", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kumquat" in done.stdout
    key = re.search(re.escape(redis.prefix) + r":demo_\w+:session:[^\s'\"]+", done.stdout)
    assert key
    kept = redis.get(key.group().rstrip(".,;)"))
    assert kept is None or json.loads(kept)["history"] == talk, "kept as given, or tidied away"


def test_the_demo_leaves_nothing_in_redis_or_on_the_disk(server_env: dict[str, str], redis: RedisServer):
    done = run(server_env, "demo")
    assert redis.all_keys(f"{redis.prefix}:*") == set(), done.stdout
    assert not Path(server_env["FLYWHEEL_DATA_DIR"]).exists()
    assert [*Path(server_env["FLYWHEEL_DATA_DIR"]).parent.glob(".agentic-flywheel-*")] == []


def test_the_demo_ends_with_a_configuration_without_a_password(disabled_env: dict[str, str]):
    done = run(disabled_env | {"REDIS_URL": f"redis://ana:{PASSWORD}@127.0.0.1:1/0"}, "demo")
    configuration = json.loads(done.stdout[done.stdout.index("\n{") : done.stdout.rindex("}") + 1])
    env = configuration["mcpServers"]["flywheel-state"]["env"]
    assert env["FLYWHEEL_DATA_DIR"] == disabled_env["FLYWHEEL_DATA_DIR"]
    assert PASSWORD not in done.stdout + done.stderr


def test_the_demo_shows_no_key_that_seals(disabled_env: dict[str, str]):
    key = base64.b64encode(bytes(range(32))).decode()
    for name in ("FLYWHEEL_KEY", "FLYWHEEL_SEAL"):
        done = run(disabled_env | {name: f"mine:{key}"}, "demo")
        assert (done.returncode, key in done.stdout + done.stderr) == (0, False), done.stdout
        assert f'"{name}": "***"' in done.stdout


def test_a_credential_in_the_demos_transcript_is_replaced_and_that_is_no_difference(
    disabled_env: dict[str, str], tmp_path: Path
):
    secret = "sk-ant-api03-" + "Zq8xW2" * 16 + "AA"
    file = tmp_path / "talk.json"
    file.write_text(json.dumps([{"role": "user", "content": f"my key is {secret}"}]))
    done = run(disabled_env, "demo", "--transcript", str(file))
    assert (done.returncode, "equal" in done.stdout, secret in done.stdout) == (0, True, False), done.stdout


@pytest.mark.parametrize("content", ['{"role": "user"}', "no json", '["text"]', None])
def test_the_demo_says_what_is_wrong_with_a_transcript(
    content: str | None, disabled_env: dict[str, str], tmp_path: Path
):
    file = tmp_path / "talk.json"
    if content is not None:
        file.write_text(content)
    done = run(disabled_env, "demo", "--transcript", str(file))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "talk.json" in done.stderr


# doctor


@pytest.mark.usefixtures("cold")
def test_the_doctor_finds_a_good_machine_good(own_redis: RedisServer, lonely_env: dict[str, str]):
    own_redis.password = PASSWORD
    own_redis.start()
    done = run(lonely_env | {"REDIS_URL": own_redis.url}, "doctor", "--verbose")
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert f"127.0.0.1:{own_redis.port}" in done.stdout
    for thing in ("child", "redis", "journal", " ms"):
        assert thing in done.stdout.lower()
    assert lonely_env["FLYWHEEL_DATA_DIR"] in done.stdout


def test_the_doctor_leaves_nothing_in_redis(server_env: dict[str, str], redis: RedisServer):
    run(server_env, "doctor")
    assert {key for key in redis.all_keys(f"{redis.prefix}:*") if ":session:" in key} == set()


def test_the_doctor_says_what_to_do_without_redis(lonely_env: dict[str, str]):
    done = run(lonely_env | {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0"}, "doctor")
    assert "127.0.0.1:1" in done.stdout
    assert "REDIS_URL" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_the_doctor_sees_a_wrong_password(own_redis: RedisServer, lonely_env: dict[str, str]):
    own_redis.password = PASSWORD
    own_redis.start()
    done = run(lonely_env | {"REDIS_URL": f"redis://:wrong-{PASSWORD}@127.0.0.1:{own_redis.port}/0"}, "doctor")
    assert "password" in (done.stdout + done.stderr).lower()
    assert PASSWORD not in done.stdout + done.stderr


def test_the_doctor_names_what_a_url_overrides(server_env: dict[str, str]):
    done = run(server_env | {"REDIS_PORT": "6399"}, "doctor")
    assert "REDIS_PORT" in done.stdout


def test_the_doctor_names_the_url_of_a_persons_own_coaia_json(disabled_env: dict[str, str]):
    env = {name: value for name, value in disabled_env.items() if name != "REDIS_URL"}
    settings = {"jtaleconf": {"host": "redis.example.org", "port": 6390, "db": 0, "password": PASSWORD}}
    (Path(env["HOME"]) / "coaia.json").write_text(json.dumps(settings))
    done = run(env, "doctor")
    assert "REDIS_URL" in done.stdout
    assert "redis.example.org:6390" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_the_doctor_finds_a_child_that_does_not_start(server_env: dict[str, str]):
    done = run(server_env | {"FLYWHEEL_COAIA_COMMAND": "no-such-program-anywhere"}, "doctor")
    assert "no-such-program-anywhere: No such file or directory" in done.stdout
    assert "check FLYWHEEL_COAIA_PYTHON and FLYWHEEL_COAIA_COMMAND" in done.stdout
    assert "Errno" not in done.stdout + done.stderr


def test_the_doctor_does_not_blame_the_folder_for_what_lies_in_it(disabled_env: dict[str, str]):
    folder = Path(disabled_env["FLYWHEEL_DATA_DIR"])
    folder.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as theirs:
        theirs.execute("CREATE TABLE notes (text)")
    done = run(disabled_env, "doctor")
    assert (done.returncode, "another program's. Set FLYWHEEL_DATA_DIR" in done.stdout) == (1, True), done.stdout
    assert "make the folder writable" not in done.stdout


def test_the_doctor_finds_a_data_folder_it_cannot_use(disabled_env: dict[str, str]):
    in_the_way = Path(disabled_env["HOME"]) / "a-file"
    in_the_way.write_text("")
    done = run(disabled_env | {"FLYWHEEL_DATA_DIR": str(in_the_way)}, "doctor")
    assert done.returncode != 0
    assert str(in_the_way) in done.stdout
    assert "FLYWHEEL_DATA_DIR" in done.stdout


# help, version, start


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("command", [SERVER, (str(SCRIPT),)], ids=["module", "console script"])
def test_help_names_the_commands_and_version_is_the_packages(command: tuple[str, ...], disabled_env: dict[str, str]):
    helped = run(disabled_env, "--help", command=command)
    assert helped.returncode == 0
    for word in ("demo", "doctor", "--version"):
        assert word in helped.stdout
    told = run(disabled_env, "--version", command=command)
    assert told.returncode == 0
    assert version("agentic-flywheel-state") in told.stdout


def test_an_unknown_command_is_refused(disabled_env: dict[str, str]):
    done = run(disabled_env, "demmo")
    assert done.returncode == 2
    assert "demo" in done.stderr


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("command", [SERVER, (str(SCRIPT),)], ids=["module", "console script"])
def test_with_no_argument_it_serves(command: tuple[str, ...], disabled_env: dict[str, str]):
    with WireServer(disabled_env, command=command) as server:
        assert server.call("save_session", history=turns("a"))["saved"] is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_ENABLED", "maybe"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("REDIS_URL", "redis+sentinel://127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:6379/0?bogus=1"),
        ("REDIS_URL", "garbage"),
        ("REDIS_PORT", "abc"),
        ("REDIS_PORT", "70000"),
        ("REDIS_DB", "-1"),
        ("REDIS_CLUSTER", "perhaps"),
        ("REDIS_TTL_SECONDS", "soon"),
        ("REDIS_TTL_SECONDS", "-5"),
        ("FLYWHEEL_EXECUTION_TTL_SECONDS", "later"),
        ("FLYWHEEL_TIMEOUT_SECONDS", "0"),
        ("FLYWHEEL_TIMEOUT_SECONDS", "nan"),
        ("FLYWHEEL_MAX_SESSION_BYTES", "big"),
        ("FLYWHEEL_JOURNAL", "sometimes"),
        ("FLYWHEEL_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(name: str, value: str, disabled_env: dict[str, str]):
    env = {k: v for k, v in disabled_env.items() if k not in ("REDIS_URL", "REDIS_ENABLED")} | {name: value}
    done = run(env)
    assert done.returncode != 0
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert name in lines[0]
    assert value in lines[0]
    assert len(lines[0].replace(name, "").replace(value, "").split()) >= 3, "and says what is allowed"
    assert not Path(env["FLYWHEEL_DATA_DIR"]).exists(), "nothing was begun"


@pytest.mark.parametrize(
    "setting",
    [
        {"REDIS_URL": f"redis+sentinel://:{PASSWORD}@127.0.0.1:1/0"},
        {"REDIS_URL": f"redis://ana:{PASSWORD}@127.0.0.1:notaport/0"},
        {"REDIS_URL": f"redis://127.0.0.1:1/0?password={PASSWORD}&bogus=1"},
        {"REDIS_URL": f"//:{PASSWORD}@127.0.0.1"},
        {"REDIS_URL": f":{PASSWORD}@127.0.0.1:6379"},
        {"REDIS_URL": f"redis://:{PASSWORD}#{PASSWORD}@127.0.0.1:x"},
        {"REDIS_PASSWORD": PASSWORD, "REDIS_PORT": "abc"},
    ],
)
@pytest.mark.parametrize("command", [(), ("doctor",), ("demo",)], ids=["serve", "doctor", "demo"])
def test_a_wrong_setting_never_shows_a_password(
    command: tuple[str, ...], setting: dict[str, str], disabled_env: dict[str, str]
):
    env = {k: v for k, v in disabled_env.items() if k not in ("REDIS_URL", "REDIS_ENABLED")} | setting
    done = run(env, *command)
    assert done.returncode != 0
    assert PASSWORD not in done.stdout + done.stderr
    assert ("REDIS_PORT" if "REDIS_PORT" in setting else "REDIS_URL") in done.stdout + done.stderr


# purge


def test_purge_empties_the_copies_of_what_redis_holds_and_says_so(server_env: dict[str, str]):
    with WireServer(server_env) as server:
        server.warm().call("save_session", session_id="s", history=turns("one"))
        assert server.call("persistence_status")["journal"]["replica"]["documents"] == 1
    told = run(server_env, "purge")
    assert told.returncode == 0
    assert "Removed 1 copy" in told.stdout
    with WireServer(server_env) as server:
        assert server.call("persistence_status")["journal"]["replica"]["documents"] == 0
        assert server.call("resume_session", session_id="s")["source"] == "redis"

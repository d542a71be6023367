"""`config` shows settings without passwords and changes the file by a line; `doctor --as` says what a client loses."""

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from agentic_flywheel.settings_file import PLACE, tilde

from .support.redis_server import RedisServer
from .support.waiting import wait_until
from .test_demo_and_doctor import SCRIPT, run, started_with

pytestmark = pytest.mark.slow

PASSWORD = "hush-hush-9"  # noqa: S105  nobody's
WRITTEN = '# mine\nflywheel_user = "ana"  # a name\n\n  redis_db = 1\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with a home, and nothing of ours."""
    (tmp_path / "home").mkdir()
    return {"PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path / "home")}


@pytest.fixture
def file(env: dict[str, str]) -> Path:
    """Where the settings file will lie."""
    return Path(env["HOME"]) / PLACE


def write(file: Path, content: str = WRITTEN) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)


def refused(env: dict[str, str], *arguments: str) -> str:
    """The one line with which a command is refused."""
    done = run(env, "config", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


def test_a_setting_that_is_set_makes_folder_and_file_of_ones_own(env: dict[str, str], file: Path):
    assert run(env, "config", "path").stdout == f"{file}\n"
    done = run(env, "config", "set", "REDIS_DB", "3")
    assert (done.returncode, done.stdout) == (0, "redis_db is set in ~/.config/agentic-flywheel-state/config.toml.\n")
    assert file.read_text() == "redis_db = 3\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [*file.parent.iterdir()] == [file]


def test_other_lines_stay_as_they_are(env: dict[str, str], file: Path):
    write(file)
    assert run(env, "config", "set", "redis_db", "2").returncode == 0
    assert file.read_text() == WRITTEN.replace("  redis_db = 1", "redis_db = 2")
    assert run(env, "config", "set", "FLYWHEEL_KEY_PREFIX", "one").returncode == 0
    assert run(env, "config", "set", "flywheel_prefix", "two").returncode == 0
    assert file.read_text() == WRITTEN.replace("  redis_db = 1", "redis_db = 2") + 'flywheel_prefix = "two"\n'
    assert run(env, "config", "unset", "FLYWHEEL_KEY_PREFIX").returncode == 0
    assert run(env, "config", "set", "redis_db").returncode == 0
    assert file.read_text() == WRITTEN.replace("  redis_db = 1\n", "")
    assert "has no redis_db" in run(env, "config", "unset", "redis_db").stderr


@pytest.mark.parametrize("value", ['a "b" \\ c', "é🌿", "007", "true ", "#"])
def test_any_text_comes_back_as_it_was_set(value: str, env: dict[str, str]):
    assert run(env, "config", "set", "flywheel_user", value).returncode == 0
    shown = json.loads(run(env, "config", "show", "--json").stdout)
    place = f"file ~/{PLACE}"
    assert shown["FLYWHEEL_USER"] == {"value": value.strip(), "from": place}


def test_what_a_start_would_refuse_is_not_written(env: dict[str, str], file: Path):
    write(file)
    assert "there is no setting 'FLYWHEEL_PREFX'; the nearest is flywheel_prefix." in refused(
        env, "set", "FLYWHEEL_PREFX", "x"
    )
    assert "REDIS_PORT='x' is not allowed; allowed: a whole number" in refused(env, "set", "redis_port", "x")
    assert PASSWORD not in refused(env, "set", "redis_url", f"http://:{PASSWORD}@h")
    assert file.read_text() == WRITTEN
    file.chmod(0o666)
    assert "can be written by others" in refused(env, "set", "redis_port", "1")


def test_a_file_that_nothing_starts_with_is_mended(env: dict[str, str], file: Path):
    write(file, f"redis_url = redis://:{PASSWORD}@h\nbogus = 1\n")
    assert "is not TOML at line 1, column" in refused(env, "show")
    assert "there is no setting 'bogus'" in refused(env, "set", "redis_url", "redis://h")
    assert run(env, "config", "unset", "bogus").returncode == 0
    assert run(env, "config", "set", "redis_url", "redis://h").returncode == 0
    assert file.read_text() == 'redis_url = "redis://h"\n'


def test_a_line_that_only_looks_like_a_setting_is_left_to_the_person(env: dict[str, str], file: Path):
    content = 'flywheel_user = """\nredis_db = 1\n"""\n'
    write(file, content)
    assert "edit it yourself" in refused(env, "set", "redis_db", "2")
    assert file.read_text() == content


def test_a_password_comes_from_standard_input_and_is_shown_nowhere(env: dict[str, str], file: Path):
    url = f"redis://:{PASSWORD}@h.example:6390/0"
    done = subprocess.run(
        [SCRIPT, "config", "set", "redis_url", "-"],
        env=env,
        input=f"{url}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    shown = run(env, "config").stdout
    assert PASSWORD not in done.stdout + done.stderr + shown
    assert "redis://:***@h.example:6390/0" in shown
    assert url in file.read_text()
    parts = run(env | {"REDIS_PASSWORD": PASSWORD}, "config", "show")
    assert PASSWORD not in parts.stdout
    assert "***" in parts.stdout


def test_what_does_not_count_is_said(env: dict[str, str], file: Path):
    write(file, 'redis_url = "redis://h"\n')
    assert "wins whole" in run(env, "config", "set", "redis_port", "1").stderr
    done = run(env | {"FLYWHEEL_PREFIX": "mine"}, "config", "set", "flywheel_key_prefix", "other")
    assert "The environment variable FLYWHEEL_PREFIX is set here, and wins." in done.stderr


def test_a_file_that_others_can_read_is_told_of(env: dict[str, str], file: Path):
    write(file)
    file.chmod(0o644)
    assert "Others can read ~/.config/agentic-flywheel-state/config.toml: chmod 600 it." in run(env, "config").stdout


# doctor


def test_the_doctor_says_where_settings_stand(env: dict[str, str], file: Path):
    write(file)
    out = run(env | {"REDIS_ENABLED": "false", "FLYWHEEL_PREFIX": "p"}, "doctor", "--verbose").stdout
    assert "FLYWHEEL_USER, REDIS_DB from file ~/.config/agentic-flywheel-state/config.toml" in out
    assert "REDIS_ENABLED from the environment" in out
    assert "FLYWHEEL_KEY_PREFIX from environment variable FLYWHEEL_PREFIX" in out


@pytest.fixture
def settled(env: dict[str, str], tmp_path: Path, redis: RedisServer) -> dict[str, str]:
    """An environment with a store of its own, all of it in variables."""
    return env | {
        "REDIS_URL": redis.url,
        "FLYWHEEL_KEY_PREFIX": redis.prefix,
        "FLYWHEEL_SECRETS": "warn",
        "FLYWHEEL_USER": "ana",
        "REDIS_TTL_SECONDS": "77",
        "XDG_DATA_HOME": str(tmp_path / "xdg"),
    }


LOST = {
    "claude": [],
    "codex": ["Destination", "Data folder", "Prefix", "User", "Redaction", "REDIS_TTL_SECONDS"],
    "gemini": ["Prefix", "Redaction"],
    "opencode": [],
}


@pytest.mark.parametrize("client", LOST)
def test_the_doctor_says_what_a_client_loses_and_what_it_says_to_do_cures_it(
    client: str, settled: dict[str, str], tmp_path: Path
):
    done = run(settled, "doctor", "--as", client)
    lines = done.stdout.splitlines()
    lost = [line[2:] for line in lines if line.startswith("✗ ")]
    assert [next((name for name in LOST[client] if each.startswith(name)), each) for each in lost] == LOST[client]
    assert done.returncode == int(bool(lost)), done.stderr
    for line in lines:
        if line.startswith("  Try: "):
            program, *arguments = shlex.split(line.removeprefix("  Try: ").partition(" (")[0])
            assert (program, run(settled, *arguments).returncode) == (SCRIPT.name, 0), line
    cured = run(settled, "doctor", "--as", client)
    assert (cured.returncode, cured.stdout.splitlines()[-1].startswith("All well")) == (0, True), cured.stdout
    wait_until(lambda: not started_with(tmp_path), what="the end of what it started")


def test_a_password_that_a_client_does_not_pass_on_is_no_word_of_the_doctor(env: dict[str, str], redis: RedisServer):
    env |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": PASSWORD}
    done = run(env, "doctor", "--as", "gemini")
    assert done.returncode == 1
    assert PASSWORD not in done.stdout + done.stderr
    assert "Try: printenv REDIS_PASSWORD | agentic-flywheel-state config set REDIS_PASSWORD -" in done.stdout


def test_a_redis_that_is_switched_off_here_alone_is_to_be_switched_off_there(env: dict[str, str], file: Path):
    write(file, 'redis_url = "redis://127.0.0.1:1"\n')
    done = run(env | {"REDIS_ENABLED": "false"}, "doctor", "--as", "codex")
    assert "Destination   this machine here, redis://127.0.0.1:1 there" in done.stdout
    assert "Try: agentic-flywheel-state config set REDIS_ENABLED false\n" in done.stdout


def test_a_server_that_a_clients_environment_stops_says_why(env: dict[str, str]):
    done = run(env | {"FLYWHEEL_DATA_DIR": "${A_TOKEN}/kept", "A_TOKEN": env["HOME"]}, "doctor", "--as", "gemini")
    assert done.returncode == 2
    assert "as Gemini CLI starts it, the server does not answer: " in done.stderr
    assert "FLYWHEEL_DATA_DIR='${A_TOKEN}/kept' is not allowed" in done.stderr


def test_a_path_is_told_with_a_tilde_where_it_is_at_home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ana")
    assert (tilde(Path("/home/ana/x")), tilde(Path("/srv/x"))) == ("~/x", "/srv/x")


def test_who_takes_the_redis_out_is_told_where_the_talks_are(env: dict[str, str]):
    run(env, "config", "set", "REDIS_URL", f"redis://ana:{PASSWORD}@db.example:6380/2")
    told = run(env, "config", "unset", "redis_url").stderr
    assert "What redis://ana:***@db.example:6380/2 has stays there, and is not shown while no Redis is named." in told
    assert "config set REDIS_URL" in told
    run(env, "config", "set", "REDIS_HOST", "db.example")
    run(env, "config", "set", "REDIS_PORT", "6380")
    assert "stays there" not in run(env, "config", "unset", "redis_port").stderr  # one is named still
    run(env, "config", "set", "FLYWHEEL_USER", "ana")
    assert "stays there" not in run(env, "config", "unset", "flywheel_user").stderr


def test_keys_that_cannot_be_read_are_not_named_to_every_client(env: dict[str, str], file: Path):
    assert "No such file" in refused(env, "set", "seal", f"{env['HOME']}/kesy")
    assert not file.exists()
    assert run(env, "keys", "new").returncode == 0
    assert run(env, "config", "set", "seal", f"{env['HOME']}/.config/agentic-flywheel-state/keys").returncode == 0

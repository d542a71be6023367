"""`doctor --as CLIENT` starts what the client's own settings name, as the client would."""

import json
import os
from pathlib import Path

import pytest

from agentic_flywheel.cli.clients.table import NAMES, Machine, named

from .support.waiting import wait_until
from .test_demo_and_doctor import SCRIPT, run, started_with

pytestmark = pytest.mark.slow


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with a home, the command on PATH, and a setting that clients lose."""
    (tmp_path / "home").mkdir()
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path / "home"), "FLYWHEEL_DATA_DIR": str(tmp_path / "kept")}


def file_of(client: str, env: dict[str, str]) -> Path:
    return named([client])[0].files(Machine(Path(env["HOME"]), env, "linux"), "flywheel-state")[0]


@pytest.mark.parametrize("client", NAMES)
def test_what_install_puts_in_is_started_and_keeps_its_talks_here(client: str, env: dict[str, str], tmp_path: Path):
    assert run(env, "install", client, "--yes").returncode == 0
    done = run(env, "doctor", "--as", client)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" as {file_of(client, env)} says; it answers." in done.stdout
    assert f"✓ Data folder   {tmp_path / 'kept'}\n" in done.stdout
    wait_until(lambda: not started_with(tmp_path), what="the end of what it started")


@pytest.mark.parametrize(
    ("client", "command", "code", "said"),
    [
        ("cursor", "agentic-flywheel-state", 2, "agentic-flywheel-state is not on its PATH (/usr/bin"),
        ("claude-code", "agentic-flywheel-state", 1, "✗ Command       agentic-flywheel-state is found on your PATH"),
        ("cursor", "/gone/agentic-flywheel-state", 2, "/gone/agentic-flywheel-state cannot be run (No such file"),
    ],
)
def test_a_command_that_the_client_would_not_find_is_named_and_install_mends_it(
    client: str, command: str, code: int, said: str, env: dict[str, str]
):
    path = file_of(client, env)
    path.parent.mkdir(exist_ok=True)
    server = {"command": command, "env": {"FLYWHEEL_DATA_DIR": env["FLYWHEEL_DATA_DIR"]}}
    path.write_text(json.dumps({"mcpServers": {"mine": server}}))
    done = run(env, "doctor", "--as", client)
    assert done.returncode == code, done.stdout
    assert said in done.stdout + done.stderr
    assert "agentic-flywheel-state install" in done.stdout + done.stderr
    assert run(env, "install", client, "--yes", "--name", "mine").returncode == 0
    assert run(env, "doctor", "--as", client).returncode == 0


def test_settings_of_the_clients_own_count(env: dict[str, str], tmp_path: Path):
    run(env, "install", "codex", "--yes", "--env", f"FLYWHEEL_DATA_DIR={tmp_path / 'elsewhere'}")
    done = run(env, "doctor", "--as", "codex")
    assert done.returncode == 1
    assert f"✗ Data folder   {tmp_path / 'kept'} here, {tmp_path / 'elsewhere'} there" in done.stdout


def test_settings_that_cannot_be_read_are_named(env: dict[str, str]):
    path = file_of("codex", env)
    path.parent.mkdir()
    path.write_text("[")
    done = run(env, "doctor", "--as", "codex")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path} is no TOML" in done.stderr

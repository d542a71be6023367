"""The examples for whoever runs a server: their syntax, and that the commands in them are ours."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentic_flywheel.cli.arguments import parser

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_services_of_the_compose_file_have_what_they_name():
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text(encoding="utf-8"))
    assert set(content) == {"services", "volumes"}
    for name, service in content["services"].items():
        assert service["image"], name
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(content["volumes"])
        assert set(service.get("depends_on", ())) <= set(content["services"])
    assert parser().parse_args(content["services"]["memory"]["command"]).http


def test_the_unit_starts_what_the_command_line_knows():
    lines = (EXAMPLES / "agentic-flywheel-state.service").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert all("=" in line or line.startswith(("#", "[")) or not line for line in lines)
    start = next(line.partition("=")[2].split() for line in lines if line.startswith("ExecStart="))
    assert parser().parse_args(start[1:]).http
    assert "SuccessExitStatus=143" in lines, "a server that SIGTERM ends, ends with that, which is no failure"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path):
    text = (EXAMPLES / "agentic-flywheel-state.service").read_text(encoding="utf-8")
    unit = tmp_path / "agentic-flywheel-state.service"
    unit.write_text(
        text.replace("/usr/local/bin/agentic-flywheel-state", "/bin/true").replace("User=memory", "User=root")
    )
    program = shutil.which("systemd-analyze") or ""
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if "agentic-flywheel-state.service:" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not here")
def test_docker_takes_the_compose_file():
    program = shutil.which("docker") or ""
    here = [program, "compose", "version"]
    if subprocess.run(here, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("docker has no compose here")
    command = [program, "compose", "-f", str(EXAMPLES / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

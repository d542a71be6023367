"""The unpacked bundle passes the official validator and starts as a host starts it, filled in or not."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .support.npm import WITHIN, commands_of
from .support.wire import WireServer
from .test_demo_and_doctor import run

MCPB = "@anthropic-ai/mcpb@2.1.2"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOST = """
import { pathToFileURL } from "node:url";
const [library, manifest, folder, given] = process.argv.slice(2);
const { getMcpConfigForManifest } = await import(pathToFileURL(library));
const config = await getMcpConfigForManifest({
  manifest: JSON.parse(manifest), extensionPath: folder, systemDirs: {}, userConfig: JSON.parse(given),
  pathSeparator: "/",
});
console.log(JSON.stringify(config));
"""
"""What a host makes of the manifest and of what a person filled in, by the official library."""


@pytest.fixture
def unpacked(disabled_env: dict[str, str], tmp_path: Path) -> Path:
    """The folder of the unpacked bundle."""
    out = tmp_path / "x.mcpb"
    assert run(disabled_env, "bundle", "--out", str(out)).returncode == 0
    with zipfile.ZipFile(out) as bundle:
        bundle.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.fixture(scope="session")
def official(request: pytest.FixtureRequest) -> Path:
    """The folder of the official tool's commands."""
    if shutil.which("npx") is None:
        pytest.skip("npx is not on PATH")
    return commands_of(MCPB, "mcpb", request.config)


def test_the_entry_point_starts_what_lies_in_the_bundle(unpacked: Path, tmp_path: Path):
    about = unpacked / "src" / "agentic_flywheel" / "__init__.py"
    about.write_text(about.read_text().replace('__version__ = "', '__version__ = "9.'))
    entry = json.loads((unpacked / "manifest.json").read_text())["server"]["entry_point"]
    (tmp_path / "bare").mkdir()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "bare")}
    with WireServer(env, command=[sys.executable, str(unpacked / entry)]) as server:
        assert server.call("save_session", session_id="s", history=[{"role": "user", "content": "hi"}])["saved"]
        assert server.call("persistence_status")["versions"]["agentic-flywheel-state"].startswith("9.")


def test_the_official_tool_finds_it_valid(official: Path, unpacked: Path):
    done = subprocess.run(
        [str(official / "mcpb"), "validate", str(unpacked / "manifest.json")],
        capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("given", [{}, {"flywheel_user": "ana", "redis_enabled": "false"}], ids=["blank", "filled in"])
def test_a_host_starts_it_with_what_was_filled_in(
    official: Path, unpacked: Path, tmp_path: Path, given: dict[str, Any]
):
    script = tmp_path / "host.mjs"
    script.write_text(HOST)
    library = (official / "mcpb").resolve().parents[1] / "index.js"
    manifest = (unpacked / "manifest.json").read_text()
    call = ["node", str(script), str(library), manifest, str(unpacked), json.dumps(given)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=WITHIN, check=True)
    config = json.loads(done.stdout)
    assert config["args"] == ["run", "--directory", str(unpacked), "src/start.py"]
    (tmp_path / "bare").mkdir()
    env = {"PATH": os.defpath, "HOME": str(tmp_path / "bare"), **config["env"]}
    with WireServer(env, command=[sys.executable, "src/start.py"], cwd=unpacked) as server:
        assert server.call("persistence_status")["user"] == given.get("flywheel_user", "")

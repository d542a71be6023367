"""Real programs list the server that `install` put into their settings as connected, and `uninstall` takes it out."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from .support.npm import WITHIN, commands_of
from .test_demo_and_doctor import SCRIPT, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,  # a gigabyte of packages
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("npx") is None, reason="npx is not on PATH"),
]

PROGRAMS = {
    "claude-code": ("@anthropic-ai/claude-code@2.1.332", "claude"),
    "gemini-cli": ("@google/gemini-cli@0.61.0", "gemini"),
    "qwen-code": ("@qwen-code/qwen-code@0.24.4", "qwen"),
    "opencode": ("opencode-ai@1.18.33", "opencode"),
}
CALM = {
    "GEMINI_API_KEY": "none",
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
}
"""What keeps the programs from asking for anything that is not on this machine."""


CODEX = "@openai/codex@0.171.0"


def environment(folder: Path, home: Path) -> dict[str, str]:
    home.mkdir()
    node = str(Path(shutil.which("node") or "").parent)
    return {"PATH": f"{folder}:{node}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb"}


@pytest.mark.parametrize("client", PROGRAMS)
def test_it_is_connected(client: str, request: pytest.FixtureRequest, tmp_path: Path):
    package, program = PROGRAMS[client]
    folder = commands_of(package, program, request.config)
    env = environment(folder, tmp_path / "home")

    def listed() -> str:
        call = [str(folder / program), "mcp", "list"]
        done = subprocess.run(
            call, env=env | CALM, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=WITHIN, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)

    assert run(env, "install", client, "--yes", command=(str(SCRIPT),)).returncode == 0
    (line,) = [each for each in listed().splitlines() if "flywheel-state" in each and "onnected" in each.lower()] or [
        ""
    ]
    assert re.search(r"[✓✔]", line), line
    assert run(env, "uninstall", "--all", "--yes", command=(str(SCRIPT),)).returncode == 0
    assert "flywheel-state" not in listed()


def test_codex_has_its_tools(request: pytest.FixtureRequest, tmp_path: Path):
    """`codex mcp list` starts no server; what its editor extension asks says what each one answered."""
    folder = commands_of(CODEX, "codex", request.config)
    env = environment(folder, tmp_path / "home")

    def listed() -> dict[str, Any]:
        with subprocess.Popen(
            [str(folder / "codex"), "app-server"], env=env, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin
            assert process.stdout
            stop = Timer(WITHIN, process.kill)
            stop.start()
            try:
                about = {"clientInfo": {"name": "tests", "title": "tests", "version": "1"}}
                for number, method, params in ((1, "initialize", about), (2, "mcpServerStatus/list", {})):
                    line = json.dumps({"id": number, "method": method, "params": params})
                    process.stdin.write(line.encode() + b"\n")
                    process.stdin.flush()
                    answer = next(each for each in map(json.loads, process.stdout) if each.get("id") == number)
                return {each["name"]: each for each in answer["result"]["data"]}
            finally:
                stop.cancel()
                process.stdin.close()

    assert run(env, "install", "codex", "--yes", command=(str(SCRIPT),)).returncode == 0
    server = listed()["flywheel-state"]
    assert server["serverInfo"]["name"] == "agentic-flywheel-state"
    assert "save_session" in server["tools"]
    assert run(env, "uninstall", "--all", "--yes", command=(str(SCRIPT),)).returncode == 0
    assert "flywheel-state" not in listed()

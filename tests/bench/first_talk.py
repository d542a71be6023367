"""`python -m tests.bench.first_talk`: seconds from nothing to a first saved talk in Claude Code, step by step.

There is what the README begins with: a Python, this project's repository, and the client, which speaks to a model on
loopback. Clone, virtual environment and home are made while the clock runs, with nothing in pip's cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..support.fake_messages import ASKS, model
from ..support.npm import fetched

ROOT = Path(__file__).parents[2]
CLIENT = "@anthropic-ai/claude-code@2.1.332"
AT_MOST = 60  # seconds
TALK = [{"role": "user", "content": "What grows in shade?"}, {"role": "assistant", "content": "Ferns."}]


class Steps:
    """Commands that are run one after the other in one folder, and how long each took."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self.total = 0.0

    def run(self, *command: str, **more: str) -> str:
        """What it prints; `more` is added to its environment."""
        begun = time.monotonic()
        done = subprocess.run(
            command, env=self._env | more, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        took = time.monotonic() - begun
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        self.total += took
        said = " ".join((Path(command[0]).name, *command[1:])).replace(str(ROOT), "REPOSITORY")
        sys.stdout.write(f"| `{said}` | {took:.1f} |\n")
        sys.stdout.flush()
        return done.stdout


def first_talk(folder: Path, claude: Path, address: str) -> float:
    """The seconds of all steps together."""
    home = folder / "home"
    home.mkdir()
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    steps = Steps(folder, {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb"})
    ours = str(folder / "venv" / "bin" / "agentic-flywheel-state")
    steps.run("git", "clone", "--quiet", str(ROOT), "clone")
    steps.run(sys.executable, "-m", "venv", "venv")
    steps.run(str(folder / "venv/bin/pip"), "install", "--quiet", "./clone[coaiapy]", **pip)
    steps.run(ours, "install", "claude-code", "--yes")
    steps.run(
        str(claude), "-p", f"Please {ASKS} that saves this talk.", "--allowedTools", "mcp__flywheel-state",
        ANTHROPIC_BASE_URL=address, ANTHROPIC_API_KEY="not-a-key", DISABLE_AUTOUPDATER="1",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", ENABLE_TOOL_SEARCH="false",
    )  # fmt: skip
    assert "garden" in steps.run(ours, "sessions")
    return steps.total


def claude_code() -> Path:
    """The program: from PATH, else fetched into the tests' cache."""
    cache = ROOT / ".pytest_cache" / "d" / "npm"
    cache.mkdir(parents=True, exist_ok=True)
    return Path(shutil.which("claude") or fetched(CLIENT, "claude", cache) / "claude")


def main() -> int:
    """1 if it took longer than promised."""
    claude = claude_code()
    version = subprocess.run([str(claude), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    sys.stdout.write(
        f"{version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n\n| step | seconds |\n|---|---|\n"
    )
    saves = "mcp__flywheel-state__save_session"
    with tempfile.TemporaryDirectory() as at, model(saves, {"session_id": "garden", "history": TALK}) as address:
        took = first_talk(Path(at), claude, address)
    sys.stdout.write(f"\nfrom nothing to a first saved talk: {took:.1f} s (at most {AT_MOST})\n")
    return took > AT_MOST


if __name__ == "__main__":
    sys.exit(main())

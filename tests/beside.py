"""`python -m tests.beside [NAME ...]`: this package beside what people install it next to, in fresh environments.

For each: the newest version of what it stands beside must stay, everything is imported, and a conversation is saved and
resumed with a real Redis. Prints a Markdown table with the number and size of packages with and without us; the exit
code is 1 if one fails. uv is used if it is installed; else pip, which takes longer. Not collected by pytest.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from .support.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
NAME = "agentic-flywheel-state"

BESIDE = {
    "requests>=2.32": "requests",
    "redis>=5": "redis",
    "boto3": "boto3",
    "openai-agents": "agents",
    "google-adk": "google.adk",
    "langgraph-checkpoint-redis langgraph": "langgraph.checkpoint.redis",  # which it imports and does not bring
    "llama-index-core": "llama_index.core",
    "crewai": "crewai",
    "strands-agents": "strands",
    "semantic-kernel": "semantic_kernel",
}
"""What it stands beside, with what else it needs, and the module of each."""

TALK = """
import asyncio, importlib, sys
importlib.import_module(sys.argv[1])
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager

async def main():
    turns = [{"role": "user", "content": "Where were we?"}]
    async with RedisSessionManager(redis_url=sys.argv[2]) as first:
        assert await first.save_session(UniversalSession("beside", BackendType.CUSTOM, history=turns))
    async with RedisSessionManager(redis_url=sys.argv[2]) as second:
        assert (await second.load_session("beside")).history == turns

asyncio.run(main())
"""


class FailedError(Exception):
    """A command failed; the text is the end of what it said."""


@dataclass(frozen=True)
class Installed:
    """An environment: the versions by name, and its size in megabytes without pip."""

    python: Path
    versions: dict[str, str]
    megabytes: float


def run(command: list[str], **options: str) -> str:
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | options)
    if done.returncode:
        raise FailedError((done.stderr or done.stdout).strip()[-300:])
    return done.stdout


def installed(folder: Path, requirements: list[str]) -> Installed:
    """A fresh environment with these, by uv or by pip."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin" / "python"
    if uv := shutil.which("uv"):
        run([uv, "pip", "install", "--quiet", "--python", str(python), *requirements])
    else:
        run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *requirements])
    listed = run([sys.executable, "-m", "pip", "--python", str(python), "list", "--format", "json"])
    versions = {str(canonicalize_name(each["name"])): each["version"] for each in json.loads(listed)}
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return Installed(python, versions, size / 1e6)


def row(beside: str, module: str, wheel: Path, redis: RedisServer) -> str:
    """The row of the table for one; raises `FailedError` where it does not get on with us."""
    name = canonicalize_name(re.split("[>= ]", beside)[0])
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        alone = installed(Path(folder) / "alone", beside.split())
        both = installed(Path(folder) / "both", [*beside.split(), str(wheel)])
        before, after = alone.versions[name], both.versions[name]
        if before != after:
            raise FailedError(f"{name} {before} alone, {after} beside us")
        home = Path(folder) / "home"
        home.mkdir()
        redis.flush()
        run(
            [str(both.python), "-P", "-c", TALK, module, redis.url],
            HOME=str(home),
            FLYWHEEL_DATA_DIR=str(home / "data"),
        )
        if not redis.get(redis.session_key("beside")):
            raise FailedError("the conversation is not in Redis")
    numbers = f"{len(alone.versions)} | {len(both.versions)} | {alone.megabytes:.0f} | {both.megabytes:.0f}"
    return f"| {beside} | {after} | {both.versions['redis']} | {numbers} |"


def main(chosen: list[str]) -> int:
    """Try each, or those that are named; 1 if one fails."""
    failed = False
    names = ("beside", "its version", "redis-py", "packages alone", "with us", "MB alone", "with us")
    sys.stdout.write(f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n")
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)])
        [wheel] = Path(folder).glob("*.whl")
        redis = RedisServer(Path(folder) / "redis").start()
        try:
            for beside, module in BESIDE.items():
                if chosen and not any(name in beside for name in chosen):
                    continue
                try:
                    told = row(beside, module, wheel, redis)
                except FailedError as exc:
                    failed = True
                    told = f"| {beside} | FAILED: {' '.join(str(exc).split())} | | | | | |"
                sys.stdout.write(f"{told}\n")
                sys.stdout.flush()
        finally:
            redis.kill()
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

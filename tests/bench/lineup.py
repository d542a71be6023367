"""Who takes part: how each peer is installed, and started with a home and folders of its own."""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from agentic_flywheel.coaia.launch import ChildFolder, child_environment

from ..support.async_wire import clean_environment
from ..support.stock import build
from .floor import STORED
from .ours import Library, Ours, OursWithoutRedis, Ready
from .peers import EMPTY, ENGINE, JOURNAL, LIBRARY, OURS, READY, REDIS_MCP, STOCK, TWO_HOPS, Engine, Peer, TextServer

REDIS_MCP_REQUIREMENT = "redis-mcp-server==0.5.1"
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "d"
"""Where pytest's cache keeps the stock environment; the other one goes beside it."""

FLOOR, ANSWERS = Path(__file__).with_name("floor.py"), Path(__file__).with_name("ready.py")


class AbsentError(Exception):
    """A peer cannot take part, and why."""


def ours(folder: Path, redis_url: str, *, redis: bool = True) -> Ours:
    """Our server with a home and a data folder of its own below `folder`."""
    more = {} if redis else {"REDIS_ENABLED": "false"}
    kind, name = (Ours, OURS) if redis else (OursWithoutRedis, JOURNAL)
    env = clean_environment(folder, "home", redis_url, **more)
    return kind(name, [sys.executable, "-m", "agentic_flywheel"], env)


def stock(folder: Path, redis_url: str) -> TextServer:
    """The released coaiapy-mcp, in the environment that our own server would give it."""
    CACHE.joinpath("stock-coaia").mkdir(parents=True, exist_ok=True)
    python = build(CACHE / "stock-coaia").python
    home = ChildFolder(folder).path
    env = child_environment(
        {**os.environ, "HOME": str(home)}, home, redis_url=redis_url, cluster=False, socket_timeout=1.5
    )
    return TextServer(
        STOCK, [str(python.with_name("coaiapy-mcp"))], env,
        put="coaia_tash", get="coaia_fetch", acknowledges='{\n  "success": true', wrapped=True,
    )  # fmt: skip


def redis_mcp(folder: Path, redis_url: str) -> TextServer:
    """Redis's own MCP server with its string tools (its JSON tools want a Redis module).

    Raises:
        AbsentError: it cannot be installed here.

    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    command = [str(_redis_mcp_environment().with_name("redis-mcp-server")), "--url", redis_url]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return TextServer(REDIS_MCP, command, env, put="set", get="get", acknowledges="Successfully set")


def _redis_mcp_environment() -> Path:
    folder = CACHE / "redis-mcp-server"
    python, ready = folder / "venv" / "bin" / "python", folder / "venv" / REDIS_MCP_REQUIREMENT
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        venv.EnvBuilder(clear=True, with_pip=True).create(folder / "venv")
        pip = [str(python), "-m", "pip", "install", "--quiet", REDIS_MCP_REQUIREMENT]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AbsentError(f"{REDIS_MCP_REQUIREMENT} cannot be installed here")
        ready.touch()
    return python


def floor(kind: Literal["empty", "outer"], folder: Path, redis_url: str) -> TextServer:
    """An SDK 2 server with next to nothing in it, or two in a row."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "REDIS_URL": redis_url}
    command = [sys.executable, "-P", str(FLOOR), kind]
    if kind == "empty":
        server = TextServer(EMPTY, command, env, put="echo", get="echo", acknowledges=STORED, ask={"value": ""})
        server.redis_key = None
        return server
    return TextServer(TWO_HOPS, command, env, put="put", get="get", acknowledges=STORED)


def ready(folder: Path) -> Ready:
    """A program that has the answers ready."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return Ready(READY, [sys.executable, "-P", str(ANSWERS)], env)


PEERS: dict[str, Callable[[Path, str], Peer]] = {
    OURS: ours,
    JOURNAL: lambda folder, url: ours(folder, url, redis=False),
    LIBRARY: lambda _, url: Library(url),
    STOCK: stock,
    REDIS_MCP: redis_mcp,
    READY: lambda folder, _: ready(folder),
    EMPTY: lambda folder, url: floor("empty", folder, url),
    TWO_HOPS: lambda folder, url: floor("outer", folder, url),
    ENGINE: lambda _, url: Engine(url),
}
"""How each is made, from a folder of its own and the URL of Redis."""

STARTED = (OURS, STOCK, EMPTY, TWO_HOPS)
"""Whose cold start is measured."""

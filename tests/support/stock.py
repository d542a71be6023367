"""The released coaiapy-mcp in an environment of its own with MCP SDK 1: the stock child, and an older client."""

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environments import environment

REQUIREMENTS = ("mcp==1.30.0", "coaiapy-mcp==0.4.3")

# Runs in the stock environment: an SDK 1 client calls the tools that stdin names, and prints the answers.
SDK1_CLIENT = """
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    job = json.load(sys.stdin)
    server = StdioServerParameters(command=job["command"][0], args=job["command"][1:], env=job["env"], cwd=job["cwd"])
    answers = []
    with open(job["stderr"], "w") as errlog:
        async with stdio_client(server, errlog=errlog) as (read, write), ClientSession(read, write) as session:
            hello = await session.initialize()
            tools = (await session.list_tools()).tools
            for name, arguments in job["calls"]:
                result = await session.call_tool(name, arguments)
                answers.append({"is_error": bool(result.isError), "structured": result.structuredContent})
    print(json.dumps({"protocol": hello.protocolVersion, "instructions": hello.instructions,
                      "tools": [t.name for t in tools], "answers": answers}))

asyncio.run(main())
"""


@dataclass(frozen=True)
class StockEnvironment:
    """A virtual environment with `REQUIREMENTS`."""

    python: Path

    @property
    def child_command(self) -> str:
        """For FLYWHEEL_COAIA_COMMAND: the stock coaiapy-mcp over stdio."""
        return shlex.quote(str(self.python.with_name("coaiapy-mcp")))

    def sdk1(self, command: Sequence[str], env: Mapping[str, str], calls: list[tuple[str, dict[str, Any]]]) -> Any:
        """Let an SDK 1 client start `command` and make the calls; what it saw."""
        job = {
            "command": list(command),
            "env": dict(env),
            "cwd": env["HOME"],
            "calls": calls,
            "stderr": str(Path(env["HOME"]) / "sdk1-stderr.log"),
        }
        done = subprocess.run(
            [str(self.python), "-c", SDK1_CLIENT],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def build(folder: Path) -> StockEnvironment:
    """The environment in `folder`, built once; later runs and the other worker find it."""
    return StockEnvironment(environment(folder, REQUIREMENTS))

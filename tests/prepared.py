"""`python -m tests.prepared`: asks the SDK's server what `server/front.py` answers in its place, and writes the file.

To be run when tools, prompts, templates, the version or the SDK have changed; a test says when.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from agentic_flywheel.jsonrpc_lines import Incoming, Outgoing
from agentic_flywheel.server.app import build_server
from agentic_flywheel.server.prepared_answers import CAPABILITIES, PREPARED, RESOURCES, VERSION
from agentic_flywheel.server.sdk_internals import run_over
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

LISTS = ("ping", "tools/list", "prompts/list", "resources/templates/list")
CLIENT = {"name": "prepared", "version": "1"}

Line = dict[str, Any]


async def answers(settings: Settings, *lines: Line | bytes) -> list[Line]:
    """What the SDK's server says to these lines, without the front, in its order."""
    said: list[Line] = []
    server = build_server(settings, *open_store(settings))
    waiting = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    expected = sum(b'"id"' in line for line in waiting)
    done = asyncio.Event()

    async def next_line() -> bytes:
        if not waiting:
            async with asyncio.timeout(20):
                await done.wait()
        return waiting.pop(0) if waiting else b""

    async def write(data: bytes) -> None:
        said.append(json.loads(data))
        if len(said) == expected:
            done.set()

    async def unreadable(_line: bytes) -> None:
        raise AssertionError("no message")

    await run_over(server, Incoming(next_line, unreadable), Outgoing(write))
    return said


def opening(version: str) -> list[Line]:
    """What a client of this version asks."""
    if version in MODERN_PROTOCOL_VERSIONS:
        meta = {"_meta": {VERSION: version, CAPABILITIES: {}}}
        return [_request(method, meta) for method in ("server/discover", *LISTS, RESOURCES)]
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}
    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return [_request("initialize", params), begun, *(_request(method, {}) for method in LISTS)]


def _request(method: str, params: Line) -> Line:
    return {"jsonrpc": "2.0", "id": method, "method": method, "params": params}


async def prepared(settings: Settings) -> dict[str, Line]:
    """The results by version and method; a method that the version lacks is not there."""
    found: dict[str, Line] = {}
    for version in (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS):
        said = {answer["id"]: answer for answer in await answers(settings, *opening(version))}
        asked = [line["id"] for line in opening(version) if "id" in line]
        found[version] = {method: said[method]["result"] for method in asked if "result" in said[method]}
    return found


def alone(folder: Path, **environ: str) -> Settings:
    """The settings of a server that keeps everything in `folder`."""
    return Settings.from_env({"REDIS_ENABLED": "false", "FLYWHEEL_DATA_DIR": str(folder), **environ})


def main() -> int:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(prepared(alone(Path(folder))))
    results: list[Line] = []
    for known in found.values():
        results += [result for result in known.values() if result not in results]
    versions = {v: {method: results.index(result) for method, result in known.items()} for v, known in found.items()}
    written = json.dumps({"versions": versions, "results": results}, ensure_ascii=False, indent=1)
    PREPARED.write_text(f"{written}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`demo`: saves a conversation, kills its server, and resumes it to the last turn in a new server.

It has a store of its own, of which nothing is left, and ends with what to paste into a client's configuration.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from mcp import MCPError
from mcp.client.client import Client

from agentic_flywheel.cli.interrupts import Interrupted, run_until_signal
from agentic_flywheel.cli.parser import PROGRAM, SHORT
from agentic_flywheel.cli.terminal import complain, plainly, say, say_text, tell
from agentic_flywheel.cli.trial import own_client, own_folder, own_settings
from agentic_flywheel.coaia.sdk_transport import ChildTransport
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.redis_url import without_password
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import SECRETS

KEEP_SECONDS = 3600
"""How long the demo's session is kept where the demo is killed, or cannot delete it."""

INTERRUPTED_SECONDS = 0.7
"""How long cleaning up may take once a signal came: who sent it may wait two seconds in all."""

CALL_SECONDS = 30.0
START_LOOKS = 100
"""Far above any timeout of the server; only a broken installation meets it."""

OUR_FOLDER = Path(__file__).parent
"""Where the demo's servers run, whatever the current folder is."""

TRANSCRIPT: list[JSONObject] = [
    {"role": "user", "content": "I'm moving our café's orders from paper to a small database. Where do I start?"},
    {"role": "assistant", "content": "With one week of real slips. What is on a slip today?"},
    {"role": "user", "content": "Table, time, items with remarks (« sans oignon »), who took it. 🧾"},
    {"role": "assistant", "content": "Then two tables: orders (table, time, waiter) and lines (item, count, remark)."},
    {"role": "user", "content": "Prices change in summer. Put the price on the item?"},
    {"role": "assistant", "content": "On the line: it keeps what was charged that day. The item keeps today's price."},
    {"role": "user", "content": "I have to close now. Tomorrow: the end-of-day sum, please."},
    {"role": "assistant", "content": "Tomorrow, then: sum(line.count * line.price) per day, and the VAT split."},
]


SETTINGS = ("REDIS_", "FLYWHEEL_")
"""What the variables begin with that a client's configuration must name: clients hand on few by themselves."""

HIDDEN = "***"
"""In the place of what may not be shown."""


class Difference(Exception):  # noqa: N818  it is not a fault of the program but what the demo looks for
    """What came back is not what was saved."""


def demo(settings: Settings, transcript: str | None) -> int:
    """Run the demo; 0 if what came back equals what was saved, else 1; 2 if the transcript cannot be read."""
    try:
        turns = _read(transcript) if transcript else TRANSCRIPT
    except (OSError, ValueError) as exc:
        complain(plainly(exc))
        return 2
    code = 1
    try:
        run_until_signal(_demo_and_clean_up(settings, turns))
    except* Difference as group:
        _step("✗", str(_first(group)), colour=31)
    except* (OSError, ValueError, MCPError, TimeoutError) as group:
        _step("✗", f"The demo could not be run: {_why(_first(group))}", colour=31)
    except* Interrupted as group:
        code = cast("Interrupted", _first(group)).code
        tell("Interrupted.")
    else:
        _say_what_to_paste()
        return 0
    return code


async def _demo_and_clean_up(settings: Settings, turns: list[JSONObject]) -> None:
    session_id = f"demo_{uuid4().hex[:8]}"
    with own_folder(settings.data_dir) as (folder, _):
        own = own_settings(settings, folder, "demo")
        allowed = None
        try:
            await _demo(own, turns, session_id)
        except asyncio.CancelledError:
            allowed = INTERRUPTED_SECONDS
            raise
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(allowed), own_client(own, [Keys(own.key_prefix).session(session_id)]):
                    pass


def _say_what_to_paste() -> None:
    """Print what a client needs to start the server as it was started here, but for passwords and keys."""
    program = Path(sys.argv[0]).absolute()
    command, arguments = str(program), list[str]()
    if program.name not in (PROGRAM, SHORT):
        command, arguments = sys.executable, ["-P", "-m", "agentic_flywheel"]
    variables = {name: _shown(name, value) for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}
    server: JSONObject = {"command": command, "args": arguments, "env": variables}
    _step(" ", "To use it, paste this into the configuration of your client:")
    say_text(json.dumps({"mcpServers": {"flywheel-state": server}}, indent=2))
    if any(HIDDEN in value for value in variables.values()):
        _step(" ", f"Put what is secret in the place of {HIDDEN}.")


def _shown(name: str, value: str) -> str:
    return HIDDEN if name in SECRETS else without_password(value) if name == "REDIS_URL" else value


def _why(cause: BaseException) -> str:
    return (plainly(cause) if isinstance(cause, Exception) else "") or type(cause).__name__


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    cause = group.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", cause)) if isinstance(cause, BaseExceptionGroup) else cause


async def _demo(settings: Settings, turns: list[JSONObject], session_id: str) -> None:
    """Save, kill, resume and compare, with the servers of this store."""
    async with _server(settings) as (server, client):
        _step("1", f"A server is running (process {server.pid}).")
        await _child_started(client)
        saved = await _call(
            client, "save_session", session_id=session_id, history=turns, title="Demo", ttl_seconds=KEEP_SECONDS
        )
        if not saved["saved"]:
            raise Difference(f"It could not be saved: {saved['message']}")
        _step("2", f"Saved {saved['turns']} turns as {session_id}. The server says: {saved['message']}")
        server.kill()
        _step("3", f"Process {server.pid} was killed (SIGKILL): nothing of it is left.")
    async with _server(settings) as (server, client):
        _step("4", f"A new server is running (process {server.pid}).")
        await _child_started(client)
        resumed = await _call(client, "resume_session", session_id=session_id, max_tokens=10**9)
        if not resumed["found"]:
            raise Difference(f"It did not come back: {resumed['message']}")
        status = await _call(client, "persistence_status")
    history = cast("list[JSONObject]", resumed["session"]["history"])
    _step("5", f"Resumed {len(history)} turns, revision {resumed['revision']}, from {resumed['source']}:")
    for turn in history[-4:]:
        _step(" ", f"{turn.get('role', '?'):>9}: {str(turn.get('content', turn))[:100]}", colour=2)
    if resumed["source"] == "redis":
        key = Keys(settings.key_prefix).session(session_id)
        _step("6", f"It was kept in Redis ({status['redis']['target']}) under the key {key}")
        _step(" ", f"with a TTL of {_seconds_until(saved['expires_at'])} s, and is deleted now.")
    else:
        _step("6", f"It was kept in the journal {status['journal']['path']}, and is deleted now.")
        _step(" ", f"({status['reason']})", colour=2)
    if history != Credentials(settings.secrets).redact({"history": turns})[0]["history"]:
        raise Difference("What came back differs from what was saved.")
    but = ", but for what looks like a credential and was replaced" if history != turns else ""
    _step("✓", f"What came back is equal to what was saved, turn by turn{but}.", colour=32)


def _read(path: str) -> list[JSONObject]:
    try:
        data: Any = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ValueError(f"{path} is not JSON text in UTF-8 ({exc}).") from None
    if not isinstance(data, list) or not data or not all(isinstance(turn, dict) for turn in cast("list[Any]", data)):
        raise ValueError(f'{path} must be a JSON list of one or more {{"role", "content"}} objects.')
    return cast("list[JSONObject]", data)


@contextlib.asynccontextmanager
async def _server(settings: Settings) -> AsyncGenerator[tuple[ChildTransport, Client]]:
    """A server process of its own, and a real MCP client to it."""
    # -P, and a folder of our own: no file of the current folder is imported.
    command = [sys.executable, "-P", "-m", "agentic_flywheel"]
    own = {"FLYWHEEL_DATA_DIR": str(settings.data_dir), "FLYWHEEL_PREFIX": settings.key_prefix}
    own["FLYWHEEL_KEY_PREFIX"] = own["FLYWHEEL_PREFIX"]  # its other name, which may be set
    transport = ChildTransport(command, dict(os.environ) | own, OUR_FOLDER)
    async with Client(transport) as client:
        try:
            yield transport, client
        except asyncio.CancelledError:
            transport.kill()  # its store is thrown away: there is nothing to wait for
            raise


async def _call(client: Client, tool: str, **arguments: Any) -> JSONObject:
    async with asyncio.timeout(CALL_SECONDS):
        result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise Difference(f"{tool} answered with an error: {result.content}")
    return cast("JSONObject", result.structured_content)


async def _child_started(client: Client) -> None:
    """Wait until the server's child has started: until then a busy machine's server keeps all in the journal."""
    for _ in range(START_LOOKS):
        if (await _call(client, "persistence_status"))["child"]["state"] not in ("not started", "starting"):
            return
        await asyncio.sleep(0.1)


def _seconds_until(expires_at: str) -> int:
    return round((datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds())


def _step(mark: str, text: str, colour: int = 0) -> None:
    say(f"{mark} {text}", colour)
    sys.stdout.flush()

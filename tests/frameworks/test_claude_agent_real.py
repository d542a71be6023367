"""Claude Code itself under the SDK, with a model on loopback: a talk with a tool goes on in an empty HOME."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from agentic_flywheel.integrations.claude_agent import FlywheelStore

from ..support.fake_messages import ASKS, FOUND, model
from . import support

PROGRAM = """
import asyncio, os, sys
from claude_agent_sdk import ClaudeAgentOptions, query
from agentic_flywheel.integrations.claude_agent import FlywheelStore

async def main(prompt, resume=None):
    async with FlywheelStore(project_key="farm") as store:
        options = ClaudeAgentOptions(
            session_store=store, resume=resume, cwd=os.getcwd(), permission_mode="bypassPermissions",
            session_store_flush="eager",
        )
        async for message in query(prompt=prompt, options=options):
            assert type(message).__name__ != "MirrorErrorMessage", message
            if type(message).__name__ == "ResultMessage":
                print(message.session_id, message.result, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def asked(home: Path, env: dict[str, str], address: str, *arguments: str) -> tuple[str, str]:
    """What a program of its own, in this HOME and a folder there, is answered: the session, and the words."""
    folder = home / "work"
    folder.mkdir(parents=True)
    own = env | {
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": "not-a-key",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "IS_SANDBOX": "1",
    }
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=own, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    session, _, words = done.stdout.strip().partition(" ")
    return session, words


def test_a_talk_with_a_tool_goes_on_in_an_empty_home(env: dict[str, str], tmp_path: Path):
    with model() as address:
        session, words = asked(tmp_path / "first", env, address, f"Please {ASKS}.")
        assert words.startswith("I know of")
        again, later = asked(tmp_path / "second", env, address, "And now?", session)
    assert again == session
    assert later.startswith("I know of"), "it was told what had been found"
    assert later != "I know of 0 findings."

    async def kept() -> tuple[list[Any], list[dict[str, Any]]]:
        async with FlywheelStore(project_key="farm") as store:
            entries = await store.load({"project_key": "any", "session_id": session})
            document = await store.read_session(f"claude-agent:farm:{session}")
            assert entries
            assert document
            return entries, document.session.history

    entries, history = asyncio.run(kept())
    assert [turn["role"] for turn in history] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert FOUND in json.dumps(history[2])
    uuids = [entry["uuid"] for entry in entries if "uuid" in entry]
    assert len(uuids) == len(set(uuids))
    with support.server(env) as mcp:
        rows = mcp.call("list_sessions", query=FOUND)["sessions"]
        assert [row["id"] for row in rows] == [f"claude-agent:farm:{session}"]

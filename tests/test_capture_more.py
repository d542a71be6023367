"""Capture by watching, the files that have it started, and a session handed to another program."""

import json
import plistlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .support.hooked_talks import Transcript
from .support.waiting import wait_until
from .test_capture import data, turns
from .tutorial.test_moving_house import run
from .unit.test_gemini_cli import OWN as OF_GEMINI
from .unit.test_gemini_cli import header, user
from .unit.test_importers import jsonl

pytestmark = pytest.mark.slow


def test_what_is_written_while_it_watches_is_kept(disabled_env: dict[str, str]):
    env, home = disabled_env, Path(disabled_env["HOME"])
    talk = Transcript(home)
    talk.ask("Where do ferns grow?", "In the shade.")
    log = (data(env).parent / "log").open("w")
    watch = subprocess.Popen([sys.executable, "-m", "agentic_flywheel", "capture", "watch"], env=env, stderr=log)
    try:
        wait_until(lambda: turns(env), what="what was there")
        talk.ask("And moss?", "There, too.")
        wait_until(lambda: "And moss?" in turns(env), what="what was written")
    finally:
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(60) == 0
        log.close()


def test_a_sub_agent_of_gemini_cli_is_kept_with_the_talk_that_asked_for_it(disabled_env: dict[str, str]):
    chats, helper = Path(disabled_env["HOME"]) / ".gemini/tmp/garden/chats", "feedf00d-0000-4000-8000-000000000002"
    (chats / OF_GEMINI).mkdir(parents=True)
    (chats / f"session-2026-03-01T08-00-{OF_GEMINI[:8]}.jsonl").write_text(jsonl(header(), user("u1", "Ferns?")))
    lines = jsonl(header(helper, "subagent"), user("s1", "Name one fern"))
    (chats / OF_GEMINI / f"{helper}.jsonl").write_text(lines)
    assert run(disabled_env, "capture", "backfill", "gemini-cli").returncode == 0
    assert turns(disabled_env, f"gemini-cli-{helper}") == ["Name one fern"]


def test_unit_files_are_printed_and_nothing_is_written(disabled_env: dict[str, str]):
    unit = run(disabled_env, "capture", "watch", "--unit", "systemd", "cline").stdout
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith('"capture" "watch" "cline"')
    agent = plistlib.loads(run(disabled_env, "capture", "watch", "--unit", "launchd").stdout.encode())
    assert agent["ProgramArguments"][-2:] == ["capture", "watch"]
    assert not list(Path(disabled_env["HOME"]).rglob("*.service"))


@pytest.mark.parametrize("program", ["claude-code", "codex"])
def test_a_session_is_handed_over_in_the_other_programs_lines(disabled_env: dict[str, str], program: str):
    said = [
        {"role": "user", "content": "Where do ferns grow?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "ls", "input": {}}]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ferns.txt"}]},
        {"role": "assistant", "content": "In the shade."},
    ]  # fmt: skip
    run(disabled_env, "sessions", "save", "-", "--id", "garden", "--title", "Ferns", stdin=json.dumps(said))
    shown = run(disabled_env, "sessions", "show", "garden", "--as", program).stdout
    assert shown == run(disabled_env, "sessions", "show", "garden", "--as", program).stdout, "the same each time"
    lines = [json.loads(line) for line in shown.splitlines()]
    if program == "codex":
        messages = [line["payload"] for line in lines if line["type"] == "response_item"]
        assert lines[0]["type"] == "session_meta"
        assert [each["role"] for each in messages] == ["user", "assistant", "user", "assistant"]
        assert messages[3]["content"] == [{"type": "output_text", "text": "In the shade."}]
        return
    file = data(disabled_env) / f"{lines[0]['sessionId']}.jsonl"
    file.write_text(shown)
    run(disabled_env, "import", str(file))
    back = turns(disabled_env, f"claude-code-{lines[0]['sessionId']}")
    assert back[0] == "Where do ferns grow?"
    assert "ferns.txt" in back[2]
    assert "In the shade." in back[3]
    assert [line.get("parentUuid") for line in lines[:2]] == [None, lines[0]["uuid"]]

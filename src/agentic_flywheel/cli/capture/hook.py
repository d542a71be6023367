"""Runs as a program's hook: says which transcript has grown, and ends, silent and with 0, whatever happens.

    capture hook CLIENT --into FOLDER [--recall] [--at EVENT] [JSON]     the JSON on standard input, or last

Read from the programs' sources and documents: Claude Code 2.1.332, Codex 0.171.0, Gemini CLI 0.61.0, Qwen Code 0.24.4
send `session_id`, `transcript_path`, `cwd`, `hook_event_name` (a sub-agent's end also `agent_transcript_path`); Codex'
`notify` sends `thread-id` and `cwd` as an argument; our plugin for opencode 1.18.33 the database's path.
"""

import json
import os
import sys
import time
from typing import Any, cast

from agentic_flywheel.cli.capture import notes, off_record, small_files
from agentic_flywheel.cli.capture.start_drainer import start

MAX_BYTES = 64 * 2**20
"""Of a hook's JSON, which may hold a whole answer, with what tools gave."""

STARTS = ("SessionStart", "session-start")


def main(arguments: list[str]) -> int:
    """Leave a note; always 0. At the start of a session there may be a line to say."""
    try:
        _run(arguments)
    except BaseException as exc:  # noqa: BLE001  a hook that fails would stop the person's work
        _note_failure(arguments, exc)
    return 0


def _run(arguments: list[str]) -> None:
    client = arguments[0]
    place = _place(arguments)
    last = arguments[-1]
    text = last if last.startswith("{") else sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise OverflowError(f"its JSON has more than {MAX_BYTES >> 20} MB")
    try:
        given: Any = json.loads(text)
    except ValueError:  # its program was killed while it wrote
        return
    if not isinstance(given, dict):
        return
    said = cast("dict[str, Any]", given)
    cwd = _text(said, "cwd")
    session = _text(said, "session_id") or _text(said, "thread-id")
    paths = [path for path in (_transcript(client, said, session), _text(said, "agent_transcript_path")) if path]
    ids = (f"{client}-{session}", session)
    if off_record.is_off(place, cwd, ids):
        for path in paths:
            notes.let_go(place, client, path)
        return
    event = _text(said, "hook_event_name") or (arguments[-1] if "--at" in arguments else "notify")
    for path in paths:
        if os.path.isabs(path) and os.path.isfile(path):
            note = {"program": client, "path": path, "session": session, "cwd": cwd, "event": event, "at": time.time()}
            notes.leave(place, note, holds=not off_record.was_off(place, cwd, ids, path))
    if paths:
        start(place)
    if event in STARTS:
        from agentic_flywheel.cli.capture.greeting import greet

        greet(place, cwd, event, recalls="--recall" in arguments)


def _place(arguments: list[str]) -> str:
    return os.path.join(arguments[arguments.index("--into") + 1], "capture")


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""


def _transcript(client: str, said: dict[str, Any], session: str) -> str:
    """The transcript that the hook names, or Codex' one of this thread, which `notify` does not name."""
    if path := _text(said, "transcript_path"):
        return path
    if client != "codex" or not session or os.sep in session:
        return ""
    home = os.environ.get("CODEX_HOME") or os.path.join(os.path.expanduser("~"), ".codex")
    for folder, folders, files in os.walk(os.path.join(home, "sessions")):
        folders.sort(reverse=True)  # the newest day first
        for name in files:
            if name.endswith(f"{session}.jsonl"):
                return os.path.join(folder, name)
    return ""


def _note_failure(arguments: list[str], exc: BaseException) -> None:
    """Leave a line for `capture status`, if there is room for it."""
    try:
        place = _place(arguments)
        os.makedirs(place, 0o700, exist_ok=True)
        failure = {"client": arguments[0], "at": time.time(), "cause": f"{type(exc).__name__}: {exc}"[:200]}
        small_files.write(os.path.join(place, "hook-failure.json"), failure)
    except BaseException:  # noqa: BLE001
        return

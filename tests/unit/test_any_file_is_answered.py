"""Every kind of file that is read, changed, cut at any byte, nested deeply, or with a line of 100 MB, is answered."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import exported, read, recognise
from agentic_flywheel.cli.importers.found_files import Stream
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.kinds import Kind
from agentic_flywheel.documents.save_request import Save

from .test_cline_task import TASK
from .test_codex_older import HEAD, ITEMS
from .test_gemini_checkpoint import SAVED
from .test_importers import chatgpt, claude, event, jsonl, message, places
from .test_importers_claude_code import SOUND as CLAUDE_CODE
from .test_importers_codex import SOUND as CODEX
from .test_importers_flows import row, said_there
from .test_importers_qwen_code import SOUND as QWEN
from .test_smaller_terminals import AIDER, cline
from .test_terminals_under_fuzz import LINES, OBJECTS, cut, mutated

pytestmark = pytest.mark.slow

BY_LINES: dict[str, list[Any]] = LINES | {
    "claude-code": CLAUDE_CODE,
    "codex": CODEX,
    "qwen-code": QWEN,
    "flywheel": [{"schema_version": 1, "id": "s", "revision": 1, "history": [{"role": "user", "content": "Hello"}]}],
}
WHOLE: dict[str, Any] = OBJECTS | {
    "claude": [claude(chat_messages=[message("a"), message("b", content=[{"type": "text", "text": "x"}])])],
    "chatgpt": {"conversations": [chatgpt("a", "b", "c")]},
    "langflow": [said_there(1, "User", "Hello"), said_there(2, "Machine", "Hi", content_blocks=[{"type": "text"}])],
    "flowise": [row(1, "userMessage", "Hello"), row(2, "apiMessage", "Hi", usedTools='[{"tool": "x"}]')],
    "opencode-session": {"id": "ses_a", "projectID": "global", "time": {"created": 1}, "revert": {"messageID": "m"}},
    "codex-object": {"session": HEAD, "items": ITEMS},
    "gemini-checkpoint": SAVED,
    "cline-task": TASK,
    "turns": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
    "run": {"session_id": "s", "outputs": [{"inputs": {"input_value": "x"}, "outputs": []}]},
}
ELSEWHERE = {"aider": "has a text", "llm": "is a database"}
"""Their own tests are in `test_terminals_under_fuzz.py`."""

TOO_LONG = 100_000_000


def answered(raw: bytes, kind: str) -> Iterator[str]:
    """What is said of what cannot be read, by the reader that is found and by that of the kind."""
    file = Stream(io.BytesIO(raw), "a talk")
    recognise(file)
    for each in [*read(file), *read(file, kind)] if kind != "flywheel" else exported(file):
        if isinstance(each, Imported):
            said = {"history": each.history, "context": each.context, "tags": list(each.tags)}
            Save(session_id=each.session_id, title=each.title, summary=each.summary, **said).check()
        elif isinstance(each, BadEntry):
            assert each.reason
            yield each.reason


def test_every_kind_is_tried():
    assert {*BY_LINES, *WHOLE, *ELSEWHERE} == {*get_args(Kind)}
    for kind, value in WHOLE.items():
        assert recognise(Stream(io.BytesIO(json.dumps(value).encode()), "x")) == kind
    for kind, lines in BY_LINES.items():
        assert recognise(Stream(io.BytesIO(jsonl(*lines).encode()), "x")) == kind


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", [*BY_LINES, *WHOLE])
def test_what_is_changed_and_cut_anywhere_is_answered(kind: str, data: st.DataObject):
    if kind in WHOLE:
        once = mutated(data, WHOLE[kind])
        raw = json.dumps(mutated(data, once) if once else once).encode()
    else:
        raw = jsonl(*(mutated(data, each) if data.draw(st.booleans()) else each for each in BY_LINES[kind])).encode()
    for each in (raw, cut(data, raw)):
        list(answered(each, kind))


@settings(max_examples=8, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", [*BY_LINES, *WHOLE])
@pytest.mark.parametrize("depth", [100, 900])
def test_what_is_nested_deeply_anywhere_is_answered(kind: str, depth: int, data: st.DataObject):
    told_of_nested(data, kind, depth)


@settings(max_examples=4, deadline=None)  # each takes long
@given(st.data())
@pytest.mark.parametrize("kind", [*BY_LINES, *WHOLE])
def test_what_is_nested_as_deeply_as_nobody_can_read_is_named(kind: str, data: st.DataObject):
    assert told_of_nested(data, kind, 30_000)


def told_of_nested(data: st.DataObject, kind: str, depth: int) -> list[str]:
    """What is said of a talk with so many lists in each other anywhere."""
    value = json.loads(json.dumps(WHOLE.get(kind) or BY_LINES[kind]))
    holder, key = data.draw(st.sampled_from([*places(value)]))
    holder[key] = "DEEP"
    text = json.dumps(value) if kind in WHOLE else jsonl(*value)
    return [*answered(text.replace('"DEEP"', "[" * depth + "]" * depth).encode(), kind)]


def _line(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(jsonl(event("1", "Ferns?")))
        file.write('{"type": "user", "uuid": "2", "sessionId": "s", "message": {"content": "')
        _much(file)
        file.write('"}}\n' + jsonl(event("3", "Reeds?")))


def _entry(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(f"[{json.dumps(chatgpt('Ferns?'))}, " + '{"mapping": {"a": "')
        _much(file)
        file.write('"}}, ' + json.dumps(chatgpt("Reeds?", conversation_id="h")) + "]")


def _object(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(cline())[:-1] + ', "more": "')
        _much(file)
        file.write('"}')


def _text(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(AIDER)
        _much(file)


def _nothing_known(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        _much(file)


def _much(file: io.TextIOBase) -> None:
    for _ in range(TOO_LONG // 1_000_000):
        file.write("ferns and " * 100_000)


@pytest.mark.parametrize(
    "name", ["s.jsonl", "conversations.json", "a.messages.json", ".aider.chat.history.md", "x.json"]
)
def test_100_megabytes_in_a_line_are_answered_with_a_sentence_and_little_memory(
    tmp_path: Path, disabled_env: dict[str, str], name: str
):
    write: dict[str, Callable[[Path], None]] = {
        "s.jsonl": _line, "conversations.json": _entry, "a.messages.json": _object,
        ".aider.chat.history.md": _text, "x.json": _nothing_known,
    }  # fmt: skip
    path = tmp_path / name
    write[name](path)
    with subprocess.Popen(
        [sys.executable, "-m", "agentic_flywheel", "import", str(path)],
        env=disabled_env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert ("67,108,864" in said, len(said) < 3_000) == (True, True), said
    assert used.ru_maxrss < 600_000  # kilobytes

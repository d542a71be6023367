"""Whatever is in a file of another program, its reader answers: with talks that can be saved, and plain sentences."""

import contextlib
import copy
import io
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.conversation import Imported, instant
from agentic_flywheel.cli.importers.files import read
from agentic_flywheel.cli.importers.found_files import Stream
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.documents.save_request import Save

from .test_copilot_cli import LINES as COPILOT
from .test_gemini_cli import answer, context, header, tool, user
from .test_importers import JSON
from .test_kimi_code import LINES as KIMI
from .test_opencode import TALK, add, database
from .test_pi import LINES as PI
from .test_smaller_terminals import AIDER, CONTINUE, NEW, OLD, cline, gptme

pytestmark = pytest.mark.slow

GEMINI = [
    header(),
    {"$set": {"messages": [context(), user("u0", "Hello")], "summary": "About reeds"}},
    user("u1", "What is here?"),
    answer("a1", [{"text": "Look.", "thought": True}, {"text": "I look."}], toolCalls=[tool("t1", "reeds.txt")]),
    answer("a2", "Reeds.", thoughts=[{"subject": "Plan", "description": "Look."}]),
    {"$rewindTo": "a2"},
]
GPTME = [
    gptme("user", "What is here?"),
    gptme("assistant", '<think>Look.</think>I look.\n@shell(c1): {"command": "ls"}', metadata={"model": "m"}),
    gptme("system", "reeds.txt", call_id="c1"),
]
LINES = {"gemini-cli": GEMINI, "copilot-cli": COPILOT, "gptme": GPTME, "pi": PI, "kimi-code": KIMI}
OBJECTS: dict[str, Any] = {
    "cline": cline(
        {"id": "u1", "role": "user", "content": [{"type": "text", "text": "<user_input>Hi</user_input>"}], "ts": 1},
        {"id": "a1", "role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "ls", "input": {}}]},
        {"id": "r1", "role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"a": 1}]}]},
    ),
    "continue": {
        "sessionId": CONTINUE,
        "title": "Reeds",
        "workspaceDirectory": "/home/ann/heron",
        "history": [
            {"message": {"role": "user", "content": "Hello"}},
            {
                "message": {"role": "assistant", "content": "", "toolCalls": [{"id": "c", "function": {"name": "ls"}}]},
                "toolCallStates": [{"toolCallId": "c", "output": [{"content": "reeds.txt"}]}],
            },
        ],
    },
    "opencode": {
        "info": {"id": "ses_1", "directory": "/x", "revert": {"messageID": "m9"}, "time": {"created": 1}},
        "messages": [{"info": {"id": own, "role": role} | data, "parts": parts} for own, _, role, data, parts in TALK],
    },
}


def mutated(data: st.DataObject, value: Any) -> Any:
    """The value with one thing in it gone, or of another type, or nested deeply."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        each = left.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        for key in keys:
            places.append((each, key))
            left.append(each[key])
    holder, key = data.draw(st.sampled_from(places))
    match data.draw(st.sampled_from(["gone", "other", "other", "twice", "deep"])):
        case "gone":
            del holder[key]
        case "twice" if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))  # pyright: ignore[reportUnknownMemberType]
        case "deep":
            for _ in range(data.draw(st.sampled_from([5, 300]))):
                holder[key] = [holder[key]]
        case _:
            holder[key] = data.draw(JSON)
    return value


def answered(data: bytes, kind: str) -> list[Imported | BadEntry]:
    """What the reader of that kind gives: every talk of it can be saved."""
    found = list(read(Stream(io.BytesIO(data), "a talk"), kind))
    for each in found:
        if isinstance(each, BadEntry):
            assert each.reason
        else:
            saveable(each)
    return found


def saveable(talk: Imported) -> None:
    Save(session_id=talk.session_id, title=talk.title, summary=talk.summary, tags=list(talk.tags),
         history=talk.history, context=talk.context)  # fmt: skip
    assert any(turn["role"] != "system" for turn in talk.history)
    assert all(instant(turn["created_at"]) for turn in talk.history if "created_at" in turn)


def cut(data: st.DataObject, raw: bytes) -> bytes:
    at = data.draw(st.integers(0, len(raw)))
    if data.draw(st.booleans()):
        return raw[:at]
    return raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + data.draw(st.integers(0, 2)) :]


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", LINES)
def test_mutated_lines_are_answered(kind: str, data: st.DataObject):
    lines = [mutated(data, each) if data.draw(st.booleans()) else each for each in LINES[kind]]
    raw = "".join(json.dumps(each) + "\n" for each in lines).encode(errors="surrogatepass")
    answered(raw, kind)
    answered(cut(data, raw), kind)


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", OBJECTS)
def test_mutated_objects_are_answered(kind: str, data: st.DataObject):
    value = mutated(data, mutated(data, OBJECTS[kind]))
    answered(json.dumps(value, indent=data.draw(st.sampled_from([None, 1]))).encode(), kind)
    answered(cut(data, json.dumps(OBJECTS[kind]).encode()), kind)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_cut_files_of_aider_are_answered(data: st.DataObject):
    answered(cut(data, AIDER.encode()), "aider")
    lines = AIDER.splitlines(keepends=True)
    answered("".join(data.draw(st.permutations(lines))).encode(), "aider")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gptme", "<think>"), ("gptme", '\n@a(b): {"x": "'), ("gptme", "</think>"),
        ("gemini-cli", "<session_context>\n"),
        ("gemini-cli", "Workspace Directories:\n"), ("cline", "<user_input "), ("cline", "</user_input>"),
        ("aider", "<thinking-content-7>"),
    ],
)  # fmt: skip
def test_marks_that_never_end_take_no_time(kind: str, said: str):
    text = "<session_context>" + said + said * (300_000 // len(said)) + "\n" * 300_000
    values = {
        "gptme": [gptme("assistant", text)],
        "gemini-cli": [header(), user("u1", text)],
        "cline": [cline({"id": "u1", "role": "user", "content": text})],
    }
    raw = "".join(json.dumps(each) + "\n" for each in values.get(kind, []))
    began = time.process_time()
    answered((raw or f"{AIDER}{text}").encode(), kind)
    assert time.process_time() - began < 10


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_databases_of_which_anything_may_be_anything_are_answered(data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        for name, tables in (("opencode.db", ""), ("logs.db", NEW + OLD)):
            path = Path(folder) / name
            # Hypothesis may leave it in between.
            with contextlib.closing(sqlite3.connect(path) if tables else database(path)) as made:
                if tables:
                    made.executescript(tables)
                    for statement in (
                        "messages VALUES ('h', 'h', 'user')",
                        "threads VALUES ('t', 'x', 'h', 't', 1)",
                        "parts VALUES (1, 'h', 0, 'text', 'Hello', '{}')",
                        "conversations VALUES (1, 2, 3)",
                        "responses VALUES ('r', 'm', 'p', 's', 'a', 1, 2)",
                    ):
                        made.execute(f"INSERT INTO {statement}")
                else:
                    add(made, "ses_1", 0, TALK)
                for _ in range(data.draw(st.integers(1, 4))):
                    _disturb(data, made)
                made.commit()
            for each in read(path):
                if isinstance(each, Imported):
                    saveable(each)
            path.write_bytes(cut(data, path.read_bytes()))
            list(read(path))


def _disturb(data: st.DataObject, made: sqlite3.Connection) -> None:
    tables = [name for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = data.draw(st.sampled_from(tables))
    columns = [row[1] for row in made.execute(f"PRAGMA table_info({table})")]
    column, value = data.draw(st.sampled_from(columns)), data.draw(JSON)
    if data.draw(st.integers(0, 9)) == 0 and len(columns) > 1:
        made.execute(f'ALTER TABLE {table} RENAME COLUMN "{column}" TO "other_{column}"')
        return
    held = value if isinstance(value, str | float | None) else json.dumps(value)
    held = held.encode(errors="surrogatepass") if isinstance(held, str) and data.draw(st.booleans()) else held
    with contextlib.suppress(sqlite3.Error, UnicodeError):  # not a value that a database takes
        made.execute(f'UPDATE {table} SET "{column}" = ?', (held,))  # noqa: S608  names of the table's own

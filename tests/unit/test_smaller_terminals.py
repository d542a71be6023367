"""Talks of Cline, Continue, gptme, aider and llm: what the person saw, whatever the program puts around it."""

import json
import os
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.cli.importers.found_files import sources

from .test_importers import bad, conversations, jsonl, said, written


def result(call: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": text}


def called(call: str, name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": name, "input": given}


# --- Cline


def cline(*messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "agent": "lead",
        "sessionId": "17_ab",
        "origin": {"version": "3.0.65"},
        "messages": [*messages],
    }


def test_what_cline_wraps_is_unwrapped_and_what_it_puts_beside_is_its_own(tmp_path: Path):
    environment = {"type": "text", "text": "<environment_details>\nopen: reeds.txt\n</environment_details>"}
    asked = {"type": "text", "text": '<user_input mode="act">What is here?</user_input>'}
    thinking = {"type": "thinking", "thinking": "Look.", "signature": "x" * 40}
    output = [{"query": "ls", "result": "reeds.txt", "success": True}]
    path = written(tmp_path, cline(
        {"id": "u1", "role": "user", "content": [asked, environment], "ts": 1_772_000_000_000},
        {"id": "a1", "role": "assistant", "content": [thinking, called("c1", "run", {"commands": ["ls"]})],
         "modelInfo": {"id": "m-0"}},
        {"id": "r1", "role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": output}]},
        {"id": "x1", "role": "user", "content": [environment]},
        {"id": "a2", "role": "assistant", "content": [{"type": "text", "text": "Reeds."}]},
        {"id": "o1", "role": "owl", "content": []},
    ), "17_ab.messages.json")  # fmt: skip
    about = {"session_id": "17_ab", "cwd": "/home/ann/heron", "metadata": {"title": "Reeds"}}
    written(tmp_path, about, "17_ab.json")
    [talk] = conversations(path)
    assert said(talk) == [
        ("user", "What is here?"),
        ("assistant", [{"type": "thinking", "thinking": "Look."}, called("c1", "run", {"commands": ["ls"]})]),
        ("tool", [result("c1", "reeds.txt")]),
        ("assistant", "Reeds."),
    ]
    assert (talk.session_id, talk.title, talk.tags) == ("cline-17_ab", "Reeds", ("project:heron",))
    assert (talk.context["model"], talk.context["program_version"]) == ("m-0", "3.0.65")
    assert [each.reason for each in bad(path)] == [
        "has a message (6) left out: its role is neither user nor assistant",
    ]
    with sources(tmp_path) as found:
        assert found.files == [path]


# --- Continue

CONTINUE = "c0ffee00-0000-4000-8000-000000000001"


def test_the_turns_of_continue_are_told_by_their_place_and_its_times_by_its_list(tmp_path: Path):
    call = {"id": "c1", "type": "function", "function": {"name": "Bash", "arguments": '{"command": "ls"}'}}
    state = {"toolCallId": "c1", "output": [{"name": "Tool Result", "content": "reeds.txt"}]}
    history = [
        {"message": {"role": "system", "content": "You are a helper."}},
        {"message": {"role": "user", "content": [{"type": "text", "text": "What is here?"}]}},
        {"message": {"role": "thinking", "content": "Look."}},
        {"message": {"role": "assistant", "content": "", "toolCalls": [call]}, "toolCallStates": [state]},
        {"message": {"role": "tool", "content": "reeds.txt", "toolCallId": "c1"}},
        {"message": {"role": "assistant", "content": "Reeds.", "usage": {"model": "m-0"}}},
    ]
    talk = {"sessionId": CONTINUE, "title": "Untitled Session", "workspaceDirectory": "/home/ann/heron"}
    path = written(tmp_path, talk | {"history": history}, f"{CONTINUE}.json")
    written(tmp_path, [{"sessionId": CONTINUE, "dateCreated": "1772000000000"}], "sessions.json")
    os.utime(path, (1_772_000_600, 1_772_000_600))
    [talk] = conversations(path)
    assert said(talk) == [
        ("user", "What is here?"),
        ("assistant", [{"type": "thinking", "thinking": "Look."}, called("c1", "Bash", {"command": "ls"})]),
        ("tool", [result("c1", "reeds.txt")]),
        ("assistant", "Reeds."),
    ]
    assert [turn["id"] for turn in talk.history] == [f"{CONTINUE}:{n}" for n in ("2", "4", "4/c1", "6")]
    assert talk.created_at == datetime.fromtimestamp(1_772_000_000, UTC)
    assert talk.updated_at == datetime.fromtimestamp(1_772_000_600, UTC)
    assert (talk.title, talk.context["model"], talk.tags) == ("What is here?", "m-0", ("project:heron",))
    with sources(tmp_path) as found:
        assert found.files == [path]


# --- gptme


def gptme(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "timestamp": "2026-03-01T08:00:01+00:00"} | more


def test_hidden_lines_and_nags_of_gptme_are_nobodys_words(tmp_path: Path):
    (tmp_path / "reeds").mkdir()
    path = written(tmp_path / "reeds", jsonl(
        gptme("system", "**Working Directory:** /home/ann/heron", hide=True, pinned=True),
        gptme("user", "What is here?"),
        gptme("assistant", '<think>\nLook.\n</think>\n\nI look.\n@shell(c1): {"command": "ls @x(y): {"}\n',
              metadata={"model": "m-0"}),
        gptme("system", "reeds.txt", call_id="c1"),
        gptme("system", "<system_info>8 o'clock</system_info>", hide=True),
        gptme("user", "<system>No tool call detected in last message.</system>"),
        gptme("assistant", "Reeds. Write to @ann(home): tomorrow"),
    ), "conversation.jsonl")  # fmt: skip
    assert (recognise(path), bad(path)) == ("gptme", [])
    [talk] = conversations(path)
    assert said(talk) == [
        ("user", "What is here?"),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "Look."},
                {"type": "text", "text": "I look."},
                called("c1", "shell", {"command": "ls @x(y): {"}),
            ],
        ),
        ("tool", [result("c1", "reeds.txt")]),
        ("assistant", "Reeds. Write to @ann(home): tomorrow"),
    ]
    assert (talk.session_id, talk.tags, talk.context["model"]) == ("gptme-reeds", ("project:heron",), "m-0")


def test_calls_of_any_tool_of_gptme_are_calls_but_where_they_are_shown_as_code(tmp_path: Path):
    shown = 'Write it so:\n```\n@shell(c9): {"command": "rm"}\n```'
    path = written(tmp_path, jsonl(
        gptme("user", "What is here?"),
        gptme("assistant", '@garden-server.list_beds(c1): {"bed": "a\nb"}'),
        gptme("system", "reeds", call_id="c1"),
        gptme("assistant", shown),
    ), "conversation.jsonl")  # fmt: skip
    [talk] = conversations(path)
    assert said(talk)[1:] == [
        ("assistant", [called("c1", "garden-server.list_beds", {"bed": "a\nb"})]),
        ("tool", [result("c1", "reeds")]),
        ("assistant", shown),
    ]


def test_what_gptme_copied_before_an_edit_or_in_short_is_no_talk(tmp_path: Path):
    lines = jsonl(gptme("user", "What is here?"), gptme("assistant", "Reeds."))
    copies = ("reeds/branches/main-edit-0.jsonl", "reeds/views/compacted-001.jsonl", "reeds/lossless.jsonl")
    for name in ("reeds/conversation.jsonl", *copies, "kept/branches/alone.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(lines)
    archive = tmp_path / "logs.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for each in sorted(tmp_path.rglob("*.jsonl")):
            packed.write(each, str(each.relative_to(tmp_path)))
            each.rename(each.with_suffix(".moved"))
    with sources(archive) as found:
        assert [talk.session_id for each in found.files for talk in conversations(each)] == [
            "gptme-alone", "gptme-reeds",
        ]  # fmt: skip
    archive.unlink()
    for each in tmp_path.rglob("*.moved"):
        each.rename(each.with_suffix(".jsonl"))
    with sources(tmp_path) as found:
        assert [talk.session_id for each in found.files for talk in conversations(each)] == [
            "gptme-alone", "gptme-reeds",
        ]  # fmt: skip


def test_a_plain_list_of_turns_is_still_one(tmp_path: Path):
    turns = [{"role": "user", "content": "Hello", "timestamp": "2026-03-01"}, {"role": "assistant", "content": "Yes"}]
    assert recognise(written(tmp_path, turns, "a.json")) == "turns"
    assert recognise(written(tmp_path, {"messages": turns, "sessionId": "x"}, "b.json")) == "turns"
    assert recognise(written(tmp_path, {"messages": turns}, "c.json")) == "turns"


# --- aider

AIDER = """
# aider chat started at 2026-03-01 08:00:00

> Aider v0.86.2  
> Model: openai/m-0 with whole edit format  

#### What is here?  
#### Look closely.  

<thinking-content-77aa>

Look.

</thinking-content-77aa>

Reeds.

> A quotation of the answer

#### A heading of the answer

> Tokens: 5 sent, 8 received.  

#### /add reeds.txt  

> Added reeds.txt to the chat.  

# aider chat started at 2026-03-02 08:00:00

> Aider v0.86.2  
#### /exit  

# aider chat started at 2026-03-03 08:00:00

#### /ask Any ducks?  

None.
"""  # noqa: W291


def test_each_chat_of_an_aider_file_is_a_session(tmp_path: Path):
    (tmp_path / "heron").mkdir()
    path = written(tmp_path / "heron", AIDER, ".aider.chat.history.md")
    first, last = conversations(tmp_path / "heron" / ".aider.chat.history.md")
    assert said(first) == [
        ("user", "What is here?\nLook closely."),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "Look."},
                {"type": "text", "text": "Reeds.\n\n> A quotation of the answer\n\n#### A heading of the answer"},
            ],
        ),
        ("system", "/add reeds.txt"),
    ]
    assert said(last) == [("user", "/ask Any ducks?"), ("assistant", "None.")]
    assert first.session_id == "aider-2026-03-01-08-00-00-heron"
    assert first.context["model"] == "openai/m-0"
    assert first.created_at == datetime.fromisoformat("2026-03-01 08:00:00").astimezone(UTC)
    assert (first.line, last.line, first.tags) == (2, 33, ("project:heron",))
    stripped = "\n".join(line.rstrip() for line in AIDER.splitlines())
    assert said(conversations(written(tmp_path, stripped, "aider.chat.history.md"))[1]) == said(last)
    with sources(tmp_path / "heron") as found:
        assert found.files == [path]


PRINTED = """
# aider chat started at 2026-03-01 08:00:00

#### What is here?  

> Reeds, says the sign.  
> And herons.  

So it does.
> Not the program, (Y)es/(N)o, whatever it says  

> Tokens: 5 sent, 8 received.  
> npm install  
npm test     
> Run shell commands? (Y)es/(N)o/(D)on't ask again [Yes]: n  

#### Create new file? (Y)es/(N)o/(A)ll/(S)kip all [Yes]: a  
> Create new file? (Y)es/(N)o/(A)ll/(S)kip all [Yes]: a  

#### /git log  
> commit 77aa
Author: Ann

    Plant reeds  

#### And ducks?  

None.

> npm run count-the-ducks
npm test  
> Run shell commands? (Y)es/(N)o/(D)on't ask again [Yes]: n  
"""  # noqa: W291


def test_what_aider_prints_in_several_lines_or_asks_is_said_by_nobody(tmp_path: Path):
    [talk] = conversations(written(tmp_path, PRINTED, ".aider.chat.history.md"))
    assert said(talk) == [
        ("user", "What is here?"),
        (
            "assistant",
            "> Reeds, says the sign.  \n> And herons.  \n\nSo it does.\n"
            "> Not the program, (Y)es/(N)o, whatever it says",
        ),
        ("system", "/git log"),
        ("user", "And ducks?"),
        ("assistant", "None."),
    ]


LINTED = """
# aider chat started at 2026-03-01 08:00:00

#### /lint  
> # Fix any errors below, if possible.

## Running: count ferns.py

ferns.py:1: no fern

ferns.py:
  1: moss  
> Fix lint errors in ferns.py? (Y)es/(N)o [Yes]: n  
> # Fix any errors below, if possible.

moss.py:2: no moss  
> Fix lint errors in moss.py? (Y)es/(N)o [Yes]: y  

I planted moss.

> Applied edit to moss.py  
"""  # noqa: W291


def test_what_aider_found_in_files_is_said_by_nobody_and_what_the_model_mends_by_the_model(tmp_path: Path):
    [talk] = conversations(written(tmp_path, LINTED, ".aider.chat.history.md"))
    assert said(talk) == [("system", "/lint"), ("assistant", "I planted moss.")]


# --- llm

NEW = """
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT,
    resolved_model TEXT, datetime_utc TEXT);
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, text TEXT, payload TEXT);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, content TEXT);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
"""
OLD = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, response TEXT, conversation_id TEXT,
    datetime_utc TEXT);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, response_id TEXT, name TEXT, arguments TEXT, tool_call_id TEXT);
CREATE TABLE tool_results (id INTEGER PRIMARY KEY, response_id TEXT, name TEXT, output TEXT, tool_call_id TEXT);
"""


def part(database: sqlite3.Connection, message: str, kind: str, text: str | None = None, payload: Any = None) -> None:
    held = json.dumps(payload) if payload else None
    query = "INSERT INTO parts (message_hash, position, type, text, payload) VALUES (?, 0, ?, ?, ?)"
    database.execute(query, (message, kind, text, held))


def test_a_thread_of_llm_is_walked_from_its_tip(tmp_path: Path):
    call = {"name": "version", "tool_call_id": "c1"}
    with closing(sqlite3.connect(tmp_path / "logs.db")) as made, made:
        made.executescript(NEW + OLD)
        for own, parent, role in [("h0", None, "system"), ("h1", "h0", "user"), ("h2", "h1", "assistant"),
                                  ("h3", "h2", "tool"), ("h4", "h3", "assistant"), ("h9", "h2", "user")]:  # fmt: skip
            made.execute("INSERT INTO messages VALUES (?, ?, ?)", (own, parent, role))
        part(made, "h0", "text", "Be short.")
        part(made, "h1", "text", payload={"text_ref": [{"fragment": 1}, {"literal": " What is here?"}]})
        part(made, "h1", "attachment", payload={"attachment": {"id": "p1"}})
        part(made, "h2", "reasoning", "Look.")
        part(made, "h2", "tool_call", payload=call | {"arguments": {}})
        part(made, "h3", "tool_result", payload=call | {"output": "0.36"})
        part(made, "h4", "text", "Reeds.")
        part(made, "h9", "text", "Another way?")
        made.execute("INSERT INTO fragments VALUES (1, ?)", ("Reeds grow." * 20_000,))
        made.execute("INSERT INTO attachments VALUES ('p1', 'image/png', '/home/ann/heron.png', NULL, x'00')")
        made.execute("INSERT INTO threads VALUES ('t1', 'Reeds', 'h4', NULL, '2026-03-01 08:00:00+00:00')")
        made.execute("INSERT INTO threads VALUES ('t2', 'Reeds', 'h9', 't1', '2026-03-01 09:00:00+00:00')")
        made.execute("INSERT INTO turns VALUES ('x', 't1', 'h1', 'h2', 'm', 'm-0', '2026-03-01T08:00:01+00:00')")
    assert recognise(tmp_path / "logs.db") == "llm"
    assert bad(tmp_path / "logs.db") == []
    talk, fork = conversations(tmp_path / "logs.db")
    user = talk.history[1]
    assert user["content"][0]["text"] == "Reeds grow." * 20_000 + " What is here?"
    assert user["content"][1] == {"type": "attachment", "mime_type": "image/png", "path": "/home/ann/heron.png"}
    assert [(turn["id"], turn["role"]) for turn in talk.history] == [
        ("h0", "system"), ("h1", "user"), ("h2", "assistant"), ("h2/c1", "tool"), ("h4", "assistant"),
    ]  # fmt: skip
    assert talk.history[3]["content"] == [result("c1", "0.36")]
    assert (talk.session_id, talk.context["model"]) == ("llm-t1", "m-0")
    assert (fork.parent, fork.relation, fork.history[-1]["content"]) == ("llm-t1", "fork", "Another way?")


def test_the_old_tables_of_llm_are_read_too(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "logs.db")) as made, made:
        made.executescript(OLD)
        made.execute("INSERT INTO conversations VALUES ('k1', 'Reeds', 'm-0')")
        for own, prompt, response in [("r1", "What is here?", ""), ("r2", "", "Reeds.")]:
            row = (own, "m-0", prompt, "Be short.", response, "k1", f"2025-03-01T08:00:0{own[1]}")
            made.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        made.execute("INSERT INTO tool_calls VALUES (1, 'r1', 'ls', '{}', 'c1')")
        made.execute("INSERT INTO tool_results VALUES (1, 'r2', 'ls', 'reeds.txt', 'c1')")
    [talk] = conversations(tmp_path / "logs.db")
    assert said(talk) == [
        ("system", "Be short."),
        ("user", "What is here?"),
        ("assistant", [called("c1", "ls", {})]),
        ("tool", [result("c1", "reeds.txt")]),
        ("assistant", "Reeds."),
    ]
    assert talk.created_at == datetime(2025, 3, 1, 8, 0, 1, tzinfo=UTC)


def test_an_old_talk_of_llm_that_goes_on_as_a_thread_comes_in_once(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "logs.db")) as made, made:
        made.executescript(NEW + OLD)
        made.execute("INSERT INTO conversations VALUES ('k1', 'Reeds', 'm-0')")
        made.execute("INSERT INTO responses VALUES ('r1', 'm-0', 'Reeds?', NULL, 'Yes.', 'k1', '2025-03-01T08:00:01')")
        made.commit()
        before = conversations(tmp_path / "logs.db")[0].history
        for own, parent, role, words in [("h1", None, "user", "Reeds?"), ("h2", "h1", "assistant", "Yes."),
                                         ("h3", "h2", "user", "Herons?")]:  # fmt: skip
            made.execute("INSERT INTO messages VALUES (?, ?, ?)", (own, parent, role))
            part(made, own, "text", words)
        made.execute("INSERT INTO threads VALUES ('k1', 'Herons?', 'h3', NULL, '2026-03-01 08:00:00+00:00')")
    [talk] = conversations(tmp_path / "logs.db")
    assert (talk.title, talk.history[:2], talk.history[2]["content"]) == ("Reeds", before, "Herons?")


def test_results_of_llm_stand_behind_their_calls_where_a_model_gives_these_no_ids(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "logs.db")) as made, made:
        made.executescript(NEW + OLD)
        for own, parent, role in [("h1", None, "user"), ("h2", "h1", "assistant"), ("h3", "h2", "tool")]:
            made.execute("INSERT INTO messages VALUES (?, ?, ?)", (own, parent, role))
        part(made, "h1", "text", "What is here?")
        for name, output in [("ls", "reeds.txt"), ("pwd", "/home/ann"), ("ls", "heron.png")]:
            part(made, "h2", "tool_call", payload={"name": name, "arguments": {}})
            part(made, "h3", "tool_result", payload={"name": name, "output": output})
        made.execute("INSERT INTO threads VALUES ('t1', 'Reeds', 'h3', NULL, '2026-03-01 08:00:00+00:00')")
        made.execute("INSERT INTO conversations VALUES ('k1', 'Reeds', 'm-0')")
        for own, prompt, response in [("r1", "What is here?", ""), ("r2", "", "Reeds.")]:
            row = (own, "m-0", prompt, None, response, "k1", f"2025-03-01T08:00:0{own[1]}")
            made.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        for number, output in enumerate(["reeds.txt", "heron.png"]):
            made.execute("INSERT INTO tool_calls VALUES (?, 'r1', 'ls', '{}', NULL)", (number,))
            made.execute("INSERT INTO tool_results VALUES (?, 'r2', 'ls', ?, NULL)", (number, output))
    new, old = conversations(tmp_path / "logs.db")
    for talk, outputs in ((new, ["reeds.txt", "/home/ann", "heron.png"]), (old, ["reeds.txt", "heron.png"])):
        calls = [block["id"] for block in talk.history[1]["content"]]
        assert len(set(calls)) == len(outputs)
        expected = [("tool", [result(*each)]) for each in zip(calls, outputs, strict=True)]
        assert said(talk)[2 : 2 + len(outputs)] == expected


def test_talks_of_cline_continue_and_llm_are_found_in_an_archive(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "logs.db")) as made, made:
        made.executescript(NEW + OLD)
        made.execute("INSERT INTO messages VALUES ('h1', NULL, 'user')")
        part(made, "h1", "text", "Reeds?")
        made.execute("INSERT INTO threads VALUES ('t1', 'Reeds', 'h1', NULL, '2026-03-01 08:00:00+00:00')")
    told = {"session_id": "17_ab", "metadata": {"title": "Herons"}}
    talk = {"sessionId": CONTINUE, "title": "Bogs", "history": [{"message": {"role": "user", "content": "Bogs?"}}]}
    archive = tmp_path / "home.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(tmp_path / "logs.db", "llm/logs.db")
        packed.writestr("cline/17_ab/17_ab.messages.json", json.dumps(cline({"role": "user", "content": "Herons?"})))
        packed.writestr("cline/17_ab/17_ab.json", json.dumps(told))
        packed.writestr(f"continue/{CONTINUE}.json", json.dumps(talk))
    (tmp_path / "logs.db").unlink()
    for given in (archive, tmp_path):
        with sources(given) as found:
            made = [each for source in found.files for each in conversations(source)]
        assert {(each.session_id, each.title) for each in made} == {
            ("llm-t1", "Reeds"), ("cline-17_ab", "Herons"), (f"continue-{CONTINUE}", "Bogs"),
        }  # fmt: skip

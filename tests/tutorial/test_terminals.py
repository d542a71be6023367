"""Talks of terminal programs through the real command: a folder of all of them, again, and grown."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..support.wire import WireServer
from ..unit.test_copilot_cli import LINES as COPILOT
from ..unit.test_copilot_cli import OWN as COPILOT_OWN
from ..unit.test_gemini_cli import OWN as GEMINI_OWN
from ..unit.test_gemini_cli import answer, context, header, user
from ..unit.test_opencode import TALK, add, database
from ..unit.test_opencode import text as part
from ..unit.test_opencode import user as asked
from ..unit.test_pi import FORK as PI_FORK
from ..unit.test_pi import HEAD as PI_HEAD
from ..unit.test_pi import OWN as PI_OWN
from ..unit.test_pi import message as of_pi
from ..unit.test_smaller_terminals import AIDER, CONTINUE, NEW, cline, gptme
from .test_imports import every_turn, history, link, rows, told

pytestmark = pytest.mark.slow


def write(path: Path, *values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return path


def a_home(folder: Path) -> Path:
    """What nine programs leave, beside files of theirs that hold no talk."""
    write(folder / ".gemini/tmp/heron/chats/session-2026-03-01T08-00-0badcafe.jsonl",
          header(), {"$set": {"messages": [context()]}}, user("u1", "Reeds?"), answer("a1", "Yes."))  # fmt: skip
    write(folder / ".gemini/tmp/heron/chats/session-2026-03-01T08-01-0badcafe.jsonl", header())
    write(folder / ".gemini/tmp/heron/logs.json", [{"sessionId": GEMINI_OWN, "messageId": 0, "message": "Reeds?"}])
    write(folder / f".copilot/session-state/{COPILOT_OWN}/events.jsonl", *COPILOT)
    said = {"id": "u1", "role": "user", "content": [{"type": "text", "text": "<user_input>Herons?</user_input>"}]}
    write(folder / ".cline/data/sessions/17_ab/17_ab.messages.json", cline(said))
    write(folder / ".cline/data/sessions/17_ab/17_ab.json", {"session_id": "17_ab", "cwd": "/home/ann/heron"})
    talk = {"sessionId": CONTINUE, "title": "Ducks", "workspaceDirectory": "/home/ann/heron"}
    turns = [{"message": {"role": "user", "content": "Ducks?"}}, {"message": {"role": "assistant", "content": "Two."}}]
    write(folder / f".continue/sessions/{CONTINUE}.json", talk | {"history": turns})
    write(folder / ".continue/sessions/sessions.json", [{"sessionId": CONTINUE, "title": "Ducks"}])
    write(
        folder / ".local/share/gptme/logs/moss/conversation.jsonl", gptme("user", "Moss?"), gptme("assistant", "Yes.")
    )
    write(folder / ".local/share/gptme/logs/moss/events.jsonl", {"seq": 1, "type": "message_append", "payload": {}})
    pi, otters = folder / ".pi/agent/sessions/--heron--", of_pi("01", None, "user", "Otters?")
    write(pi / f"1_{PI_OWN}.jsonl", PI_HEAD, otters, of_pi("02", "01", "assistant", [{"type": "text", "text": "No."}]))
    forked = PI_HEAD | {"id": PI_FORK, "parentSession": f"/s/1_{PI_OWN}.jsonl"}
    write(pi / f"2_{PI_FORK}.jsonl", forked, otters, of_pi("03", "01", "user", "Voles?"))
    (folder / "heron").mkdir()
    (folder / "heron" / ".aider.chat.history.md").write_text(AIDER, "utf-8")
    with closing(sqlite3.connect(folder / "logs.db")) as made, made:
        made.executescript(NEW)
        made.execute("INSERT INTO threads VALUES ('t1', 'Ferns', 'h1', NULL, '2026-03-01T08:00:00+00:00')")
        made.execute("INSERT INTO messages VALUES ('h1', NULL, 'user')")
        made.execute("INSERT INTO parts VALUES (1, 'h1', 0, 'text', 'Ferns?', NULL)")
    made.close()
    return folder


def test_every_talk_of_nine_programs_comes_in_once_and_what_is_new_when_it_grew(
    disabled_env: dict[str, str], tmp_path: Path
):
    home = a_home(tmp_path / "home")
    copied = [(f"f-{message[0]}", *message[1:]) for message in TALK]
    opencode = database(home / "opencode.db")
    add(opencode, "ses_1", 0, TALK)
    add(opencode, "ses_2", 4, [asked("n1", 4, part("Name one bird"))], parent="ses_1")
    add(opencode, "ses_3", 5, [*copied, asked("f9", 9, part("Another way?"))])
    with WireServer(disabled_env) as server:
        assert "Took in 14 sessions; 0 were there already, 0 could not" in told(disabled_env, home)
        turns = every_turn(server)
        assert "Took in 0 sessions; 14 were there already, 0 could not" in told(disabled_env, home)
        assert every_turn(server) == turns
        assert turns["continue-" + CONTINUE] == ["Ducks?", "Two."]
        assert turns["gptme-moss"] == ["Moss?", "Yes."]
        assert (turns["llm-t1"], turns["cline-17_ab"]) == (["Ferns?"], ["Herons?"])
        assert turns["opencode-ses_3"] == ["Another way?"]
        assert turns[f"pi-{PI_FORK}"] == ["Voles?"]
        assert link(server, f"pi-{PI_FORK}") == (f"pi-{PI_OWN}", "fork")
        assert link(server, "opencode-ses_3") == ("opencode-ses_1", "fork")
        assert link(server, "opencode-ses_2") == ("opencode-ses_1", "sub-agent")
        heron = {own for own, row in rows(server).items() if "project:heron" in row["tags"]}
        assert {f"gemini-cli-{GEMINI_OWN}", "opencode-ses_1", "aider-2026-03-01-08-00-00-heron"} <= heron

        chats = home / ".gemini/tmp/heron/chats/session-2026-03-01T08-00-0badcafe.jsonl"
        again = [context(), user("u1", "Reeds?", "09:00:00"), answer("a1", [{"text": "Yes."}], "09:00:00")]
        with chats.open("a") as file:
            for line in (header(), {"$set": {"messages": again}}, user("u2", "Herons?"), answer("a2", "Two.")):
                file.write(json.dumps(line) + "\n")
        opencode.execute("INSERT INTO message SELECT 'm4', session_id, 9e12, 0, data FROM message WHERE id = 'm1'")
        opencode.execute(
            "INSERT INTO part SELECT 'p4', 'm4', session_id, 9e12, 9e12, data FROM part WHERE id = 'prt-m1-0'"
        )
        opencode.commit()
        with (home / f".pi/agent/sessions/--heron--/1_{PI_OWN}.jsonl").open("a") as file:
            file.write(json.dumps(of_pi("04", None, "user", "Beavers?")) + "\n")
        assert "Took in 0 sessions, added to 3 sessions; 11 were there" in told(disabled_env, home)
        assert history(server, f"pi-{PI_OWN}") == ["Beavers?"]
        assert history(server, f"gemini-cli-{GEMINI_OWN}") == ["Reeds?", "Yes.", "Herons?", "Two."]
        assert history(server, "opencode-ses_1")[-1] == "What is here?"
    opencode.close()

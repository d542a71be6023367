"""Talks of other programs, through the real command: at their own times, each turn once, and every loss by its name."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..conftest import NOBODY_LISTENS, Place
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_moving_house import elsewhere, run

pytestmark = pytest.mark.slow

BEGAN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def told(env: dict[str, str], path: Path, *options: str, code: int = 0) -> str:
    return run(env, "import", str(path), *options, code=code).stderr


def rows(server: WireServer) -> dict[str, dict[str, Any]]:
    """The rows of the list, in its order."""
    return {row["id"]: row for row in server.call("list_sessions", limit=100)["sessions"]}


def history(server: WireServer, session_id: str) -> list[str]:
    return words(server.call("resume_session", session_id=session_id, max_tokens=50_000)["session"]["history"])


# --- At their own times


def gpt(own: str, *said: str, began: datetime) -> dict[str, Any]:
    """A conversation of ChatGPT's export, a turn a minute."""
    mapping = {
        str(number): {
            "parent": str(number - 1) if number else None,
            "message": {
                "id": f"{own}-{number}",
                "author": {"role": "assistant" if number % 2 else "user"},
                "create_time": (began + timedelta(minutes=number)).timestamp(),
                "content": {"content_type": "text", "parts": [text]},
            },
        }
        for number, text in enumerate(said)
    }
    touched = datetime.now(UTC).timestamp()  # the vendor touches talks long after
    return {"conversation_id": own, "title": own, "mapping": mapping, "create_time": 1.0, "update_time": touched}


def export(folder: Path, *talks: dict[str, Any]) -> Path:
    path = folder / "conversations.json"
    path.write_text(json.dumps(talks), "utf-8")
    return path


def test_imported_talks_stand_in_lists_at_their_own_times_and_live_from_their_import(place: Place, tmp_path: Path):
    whole = int(place.env.get("REDIS_URL") == NOBODY_LISTENS and not place.env.get("REDIS_ENABLED"))
    with place.server() as server:
        server.call("save_session", session_id="mine", history=turns("mine"))
    talks = [gpt(name, "a", "b", began=BEGAN - timedelta(days=days)) for days, name in enumerate(["new", "mid", "old"])]
    file = export(tmp_path, *talks)
    assert "Took in 3 sessions" in told(place.env, file)
    with place.server() as server:
        if place.shared:
            server.warm()
        before = rows(server)
        assert [*before] == ["mine", "chatgpt-new", "chatgpt-mid", "chatgpt-old"]
        assert before["chatgpt-new"]["updated_at"] == "2024-05-06T07:09:09.000000+00:00"
        for row in before.values():
            left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
            assert timedelta(days=360) < left < timedelta(days=366)
        assert server.call("resume_session")["session"]["id"] == "mine"
        assert json.loads(run(place.env, "sessions", "list", "--json").stdout)[-1]["id"] == "chatgpt-old"
        assert "3 were there already" in told(place.env, file)
        assert rows(server) | {"mine": before["mine"]} == before, "that one was renewed by its resume"

        talks[2] = gpt("old", "a", "b", "c", began=BEGAN)  # went on there: up it goes
        server.call("save_session", session_id="chatgpt-mid", history=turns("here"))  # and this one went on here
        here = rows(server)["chatgpt-mid"]["updated_at"]
        talks[1] = gpt("mid", "a", "b", "c", began=BEGAN)
        assert "Took in 0 sessions, added to 2 sessions" in told(place.env, export(tmp_path, *talks))
        after = rows(server)
        assert [*after] == ["chatgpt-mid", "mine", "chatgpt-old", "chatgpt-new"]
        assert after["chatgpt-old"]["updated_at"] == "2024-05-06T07:10:09.000000+00:00"
        moved = datetime.fromisoformat(after["chatgpt-mid"]["updated_at"]) - datetime.fromisoformat(here)
        assert timedelta(0) < moved < timedelta(milliseconds=1) or whole
        assert history(server, "chatgpt-mid") == ["a", "b", "here", "c"]
        found = server.call("list_sessions", query="c")["sessions"]
        assert {row["id"] for row in found} >= {"chatgpt-old", "chatgpt-mid"}


def test_what_one_machine_imported_another_one_lists_and_finds_at_once(
    server_env: dict[str, str], tmp_path: Path, redis: RedisServer
):
    other = elsewhere(server_env, tmp_path / "other", redis.prefix)
    with WireServer(other) as there:
        there.warm()
        for number in range(60):  # more than a search looks at to see what is new
            there.call("save_session", session_id=f"s{number}", history=turns("wheat"))
        assert there.call("list_sessions", query="aubergines")["sessions"] == []
        talk = gpt("garden", "Do they like shade?", "No.", began=BEGAN) | {"title": "On aubergines"}
        told(server_env, export(tmp_path, talk))
        assert [*rows(there)][-1] == "chatgpt-garden"

        def found() -> bool:
            listed = there.call("list_sessions", query="aubergines")["sessions"]
            return [row["id"] for row in listed] == ["chatgpt-garden"]

        wait_until(found, what="the talk to be found")


# --- Each turn once


class Code:
    """Transcripts of Claude Code below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = iter(range(1000))

    def lines(self, session: str, *said: str, **more: Any) -> list[dict[str, Any]]:
        return [
            {
                "type": "assistant" if number % 2 else "user",
                "uuid": f"u{next(self.ids):04}",
                "sessionId": session,
                "timestamp": BEGAN.isoformat(),
                "message": {"role": "user", "content": text},
            }
            | more
            for number, text in enumerate(said)
        ]

    def write(self, name: str, *lines: dict[str, Any]) -> Path:
        path = self.folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        noted = {"type": "queue-operation", "operation": "enqueue", "sessionId": path.stem}
        path.write_text("".join(json.dumps(line) + "\n" for line in (noted, *lines)), "utf-8")
        return path


def copied(lines: list[dict[str, Any]], session: str, **more: Any) -> list[dict[str, Any]]:
    return [line | {"sessionId": session} | more for line in lines]


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path / "projects" / "-home-ada-ferns")


def every_turn(server: WireServer) -> dict[str, list[str]]:
    """Those of sub-agents too, which are listed where a pattern asks for them."""
    listed = server.call("list_sessions", pattern="?*", limit=100)["sessions"]
    return {session_id: history(server, session_id) for session_id in sorted(row["id"] for row in listed)}


def link(server: WireServer, session_id: str) -> tuple[str, str]:
    context = server.call("resume_session", session_id=session_id)["session"]["context"]
    return context["parent_session"], context["relation"]


def test_a_talk_that_was_sent_to_the_background_comes_in_once_and_linked(disabled_env: dict[str, str], code: Code):
    first = code.lines("zz", "q1", "a1", "q2")
    code.write("zz", *first)
    copy = copied(first, "aa", sessionKind="bg")
    code.write("aa", *copy)  # nothing was said in it yet
    assert "Took in 1 session; 1 were there already, 0 could not be taken in. Of those there already, 1 only" in told(
        disabled_env, code.folder
    )
    more = code.lines("aa", "a2", "q3", sessionKind="bg")
    code.write("aa", *copy, *more)
    again = [*copied(copy, "bb"), *copied(more, "bb"), *code.lines("bb", "a3", sessionKind="bg")]
    code.write("bb", *again)
    with WireServer(disabled_env) as server:
        for took in ("Took in 2 sessions; 1 were", "Took in 0 sessions; 3 were"):
            assert took in told(disabled_env, code.folder)
            assert every_turn(server) == {
                "claude-code-aa": ["a2", "q3"], "claude-code-bb": ["a3"], "claude-code-zz": ["q1", "a1", "q2"],
            }  # fmt: skip
        assert link(server, "claude-code-aa") == ("claude-code-zz", "background")
        assert link(server, "claude-code-bb") == ("claude-code-aa", "background")
        code.write("aa", *copy, *more, *code.lines("aa", "a4", sessionKind="bg"))
        assert "Took in 0 sessions, added to 1 session; 2 were" in told(disabled_env, code.folder)
        assert history(server, "claude-code-aa") == ["a2", "q3", "a4"]
        # The one without the others, as a person may name it: nothing of theirs comes in behind what it has.
        assert "Took in 0 sessions; 1 were" in told(disabled_env, code.folder / "bb.jsonl")


@pytest.mark.parametrize(
    ("named", "relation"),
    [
        ({"forkedFrom": {"sessionId": "zz", "messageUuid": "u0001"}}, "fork"),
        ({"requestSessionId": "zz"}, "fork"),
        ({}, "fork"),  # as other programs fork them
        ({"sessionId": "zz"}, "continuation"),  # as the desktop does
    ],
)
@pytest.mark.parametrize("kept", [slice(None), slice(2, None)], ids=["whole", "from a compaction on"])
def test_a_fork_comes_in_as_what_is_new_in_it_and_names_its_origin(
    disabled_env: dict[str, str], code: Code, named: dict[str, Any], relation: str, kept: slice
):
    first = code.lines("zz", "q1", "a1", "q2", "a2")
    code.write("zz", *first, *code.lines("zz", "on", "and on"))
    code.write("aa", *copied(first[kept], "aa", **named), *code.lines("aa", "another way", "on"))
    told(disabled_env, code.folder)
    with WireServer(disabled_env) as server:
        if kept.start and not named:  # nothing tells that they belong together
            assert sum(map(len, every_turn(server).values())) == 10
            return
        assert every_turn(server) == {
            "claude-code-aa": ["another way", "on"],
            "claude-code-zz": ["q1", "a1", "q2", "a2", "on", "and on"],
        }
        assert link(server, "claude-code-aa") == ("claude-code-zz", relation)


def test_a_fork_without_its_origin_comes_in_whole(disabled_env: dict[str, str], code: Code):
    first = code.lines("zz", "q1", "a1")
    fork = [*copied(first, "aa", requestSessionId="zz"), *code.lines("aa", "q2")]
    told(disabled_env, code.write("aa", *fork))
    with WireServer(disabled_env) as server:
        assert history(server, "claude-code-aa") == ["q1", "a1", "q2"]
        assert link(server, "claude-code-aa") == ("claude-code-zz", "fork")
        told(disabled_env, code.write("aa", *fork, *code.lines("aa", "a2")))
        assert history(server, "claude-code-aa") == ["q1", "a1", "q2", "a2"]


def test_the_origin_may_have_come_in_before(disabled_env: dict[str, str], code: Code):
    first = code.lines("zz", "q1", "a1")
    told(disabled_env, code.write("zz", *first))
    told(disabled_env, code.write("aa", *copied(first, "aa", requestSessionId="zz"), *code.lines("aa", "q2")))
    with WireServer(disabled_env) as server:
        assert every_turn(server) == {"claude-code-aa": ["q2"], "claude-code-zz": ["q1", "a1"]}


def test_talks_with_sub_agents_are_kept_and_linked(place: Place, code: Code):
    code.write("zz", *code.lines("zz", "ask one"), *code.lines("zz", "among the others", isSidechain=True, agentId="1"))
    code.write("zz/subagents/agent-2", *code.lines("zz", "name a fern", "Sword fern.", isSidechain=True, agentId="2"))
    assert "Took in 3 sessions" in told(place.env, code.folder)
    with place.server() as server:
        if place.shared:
            server.warm()
        assert every_turn(server) == {
            "claude-code-agent-1": ["among the others"],
            "claude-code-agent-2": ["name a fern", "Sword fern."],
            "claude-code-zz": ["ask one"],
        }
        assert [(row["id"], row["children"]) for row in rows(server).values()] == [("claude-code-zz", 2)]
        for agent in "12":
            assert link(server, f"claude-code-agent-{agent}") == ("claude-code-zz", "sub-agent")
        assert len(server.call("list_sessions", tags=["sub-agent"])["sessions"]) == 2
    assert "Took in 0 sessions; 3 were there already" in told(place.env, code.folder)


# --- What was deleted here


def test_what_was_deleted_here_is_named_and_comes_back_only_if_asked_for(place: Place, tmp_path: Path):
    theirs = export(tmp_path, gpt("ferns", "a", "b", began=BEGAN), gpt("other", "a", began=BEGAN))
    ours = tmp_path / "ours.jsonl"
    with place.server() as server:
        if place.shared:
            server.warm()
        server.call("save_session", session_id="mine", title="Mine", history=turns("1", "2"), context={"n": 1})
        run(
            place.env,
            "export",
            str(ours),
            code=int(place.env.get("REDIS_URL") == NOBODY_LISTENS and not place.env.get("REDIS_ENABLED")),
        )
        told(place.env, theirs)
        for session_id in ("mine", "chatgpt-ferns"):
            assert server.call("delete_session", session_id=session_id)["deleted"]
        for file, name in ((theirs, "'ferns' (chatgpt-ferns)"), (ours, "'Mine' (mine)")):
            said = told(place.env, file, code=1)
            assert f"line 1, {name}: was deleted here, and stays so." in said
            assert "0 could not be taken in. 1 session deleted here stayed so; --bring-back-deleted takes" in said
        assert [*rows(server)] == ["chatgpt-other"]
        for file in (theirs, ours):
            assert "Took in 1 session; " in told(place.env, file, "--bring-back-deleted")
            assert "Took in 0 sessions; " in told(place.env, file, *["--bring-back-deleted"] * (file == theirs))
        assert [*rows(server)] == ["mine", "chatgpt-ferns", "chatgpt-other"]
        assert history(server, "chatgpt-ferns") == ["a", "b"]
        mine = server.call("resume_session", session_id="mine")["session"]
        assert (mine["title"], mine["context"], words(mine["history"])) == ("Mine", {"n": 1}, ["1", "2"])


def test_a_deleted_talk_comes_back_in_no_copy_and_no_sub_agent_of_it(disabled_env: dict[str, str], code: Code):
    first = code.lines("zz", "q1", "a1")
    code.write("zz", *first)
    told(disabled_env, code.folder)
    with WireServer(disabled_env) as server:
        server.call("delete_session", session_id="claude-code-zz")
        code.write("aa", *copied(first, "aa", sessionKind="bg"), *code.lines("aa", "q2", sessionKind="bg"))
        code.write("zz/subagents/agent-2", *code.lines("zz", "name a fern", isSidechain=True, agentId="2"))
        said = told(disabled_env, code.folder, code=1)
        assert "'name a fern' (claude-code-agent-2): belongs to 'claude-code-zz', which was deleted here" in said
        assert every_turn(server) == {"claude-code-aa": ["q2"]}
        told(disabled_env, code.folder, "--bring-back-deleted")
        assert sum(map(len, every_turn(server).values())) == 4


# --- What is said


def test_a_report_names_the_talk_and_counts_talks_messages_and_halves_apart(
    disabled_env: dict[str, str], tmp_path: Path
):
    broken = gpt("broken", "a", "b", began=BEGAN)
    broken["mapping"]["0"]["message"]["author"] = 7
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    nothing = gpt("nothing", began=BEGAN) | {"mapping": 7, "title": f"Key {secret}"}
    halves = gpt("halves", "half \ud83c", "b", began=BEGAN) | {"title": "Half \ud83c"}
    file = export(tmp_path, broken, nothing, halves)
    assert file.read_text().count("\n") == 0
    said = told(disabled_env, file, code=1)
    assert f"{file}, line 1, 'broken' (chatgpt-broken): has a message (1) left out: its author is not" in said
    assert "line 1, 'Key [redacted: " in said
    assert secret not in said
    assert f"{file}, line 1, 'Half \ufffd' (chatgpt-halves): had 2 half characters, now U+FFFD." in said
    assert said.endswith(
        "Took in 2 sessions; 0 were there already, 1 could not be taken in. 1 message was left out of talks that came"
        " in. 2 half characters became U+FFFD.\n"
    )
    with WireServer(disabled_env) as server:
        assert history(server, "chatgpt-halves") == ["half \ufffd", "b"]


def test_a_half_character_in_an_export_of_ours_costs_nothing(disabled_env: dict[str, str], tmp_path: Path):
    file = tmp_path / "ours.jsonl"
    file.write_text(
        '{"schema_version": 1, "id": "s", "title": "Cut \\ud83c", "history": [{"a": "\\ud83c"}]}\n', "utf-8"
    )
    assert "'Cut \ufffd' (s): had 2 half characters, now U+FFFD." in told(disabled_env, file)
    assert "Took in 0 sessions; 1 were there already" in told(disabled_env, file)


def test_a_file_that_is_no_export_is_told_what_is_understood_once(disabled_env: dict[str, str], tmp_path: Path):
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("conversations.json", "conversations-001.json"):
        (folder / name).write_text('[{"nothing": "of the kind"}]\n', "utf-8")
    said = told(disabled_env, folder, code=1)
    assert said.count("is the beginning of no export that can be read.") == 2
    assert said.count('lists of turns, [{"role", "content"}] or {"messages": […]}.') == 1

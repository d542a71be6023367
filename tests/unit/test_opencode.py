"""Talks of opencode, from its database and from its export: sub-agents, forks, what was taken back, summaries."""

import asyncio
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.capture.outcomes import Outcome
from agentic_flywheel.cli.capture.programs import ALL, named
from agentic_flywheel.cli.capture.shelf import change_of, is_kept
from agentic_flywheel.cli.capture.taking import Taker
from agentic_flywheel.cli.growing import Growing
from agentic_flywheel.cli.import_command import import_from
from agentic_flywheel.cli.importers import opencode
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.found_files import sources
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.opencode import newest
from agentic_flywheel.documents.model import Document
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from .test_importers import conversations, said, written

TABLES = """
CREATE TABLE IF NOT EXISTS session (id text PRIMARY KEY, parent_id text, directory text, title text, version text,
    revert text, time_created integer, time_updated integer);
CREATE TABLE IF NOT EXISTS message (id text PRIMARY KEY, session_id text, time_created integer,
    time_updated integer, data text);
CREATE TABLE IF NOT EXISTS part (id text PRIMARY KEY, message_id text, session_id text, time_created integer,
    time_updated integer, data text);
"""
BEGAN = 1_772_000_000_000


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said} | more


def tool(call: str, output: str, **metadata: Any) -> dict[str, Any]:
    state = {"status": "completed", "input": {"command": "ls"}, "output": output, "metadata": metadata}
    return {"type": "tool", "tool": "bash", "callID": call, "state": state | {"time": {"end": BEGAN + 9}}}


Message = tuple[str, int, str, dict[str, Any], list[dict[str, Any]]]


def user(own: str, at: int, *parts: dict[str, Any]) -> Message:
    return own, at, "user", {}, list(parts)


def model(own: str, at: int, *parts: dict[str, Any], **more: Any) -> Message:
    return own, at, "assistant", {"modelID": "m-0"} | more, list(parts)


_OPEN: list[sqlite3.Connection] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    yield
    while _OPEN:
        _OPEN.pop().close()


def database(path: Path) -> sqlite3.Connection:
    made = sqlite3.connect(path)
    _OPEN.append(made)
    made.execute("PRAGMA journal_mode = WAL")
    made.executescript(TABLES)
    return made


def add(into: sqlite3.Connection, own: str, at: int, messages: Iterable[Message], **more: Any) -> None:
    revert = json.dumps({"messageID": more["revert"]}) if "revert" in more else None
    title = more.get("title", own)
    into.execute(
        "INSERT INTO session VALUES (?, ?, '/home/ann/heron', ?, '1.18.33', ?, ?, ?)",
        (own, more.get("parent"), title, revert, BEGAN + at, BEGAN + at),
    )
    for number, (message, time, role, data, parts) in enumerate(messages):
        held = json.dumps({"role": role, "time": {"created": BEGAN + time}} | data)
        into.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?)", (message, own, BEGAN + time, number, held))
        for place, part in enumerate(parts):
            row = (f"prt-{message}-{place}", message, own, BEGAN + time, BEGAN + time, json.dumps(part))
            into.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)", row)
    into.commit()


TALK = [
    user("m1", 1, text("What is here?"), text("Read the reminder", synthetic=True)),
    model(
        "m2", 2, {"type": "reasoning", "text": "Look."}, text("I look."), tool("c1", "reeds"), {"type": "step-finish"}
    ),
    model("m3", 3, text("Reeds.")),
]


def test_a_message_is_a_turn_and_the_results_of_its_tools_stand_behind_it(tmp_path: Path):
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, TALK)
    assert recognise(tmp_path / "opencode.db") == "opencode"
    [talk] = conversations(tmp_path / "opencode.db")
    assert said(talk) == [
        ("user", "What is here?"),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "Look."},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}},
            ],
        ),
        ("tool", [{"type": "tool_result", "tool_use_id": "c1", "content": "reeds"}]),
        ("assistant", "Reeds."),
    ]
    assert [turn["id"] for turn in talk.history] == ["m1", "m2", "m2/c1", "m3"]
    assert (talk.session_id, talk.tags) == ("opencode-ses_1", ("project:heron",))
    assert talk.context == {
        "imported_from": "opencode", "cwd": "/home/ann/heron", "program_version": "1.18.33", "model": "m-0",
    }  # fmt: skip


def test_what_was_taken_back_is_not_in_the_talk_and_a_compaction_is_its_summary(tmp_path: Path):
    compaction = [
        user("m4", 4, {"type": "compaction", "auto": True}),
        model("m5", 5, text("<summary>\nThey asked about reeds.\n</summary>"), summary=True),
    ]
    taken_back = [user("m6", 6, text("Ducks?")), model("m7", 7, text("None."))]
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, [*TALK, *compaction, *taken_back], revert="m6")
    [talk] = conversations(tmp_path / "opencode.db")
    assert [turn["id"] for turn in talk.history] == ["m1", "m2", "m2/c1", "m3"]
    assert talk.summary == "They asked about reeds."


def test_a_sub_agent_names_its_parent_and_the_call_and_a_fork_has_only_what_is_its_own(tmp_path: Path):
    asks = model("m4", 4, tool("c2", "A heron", sessionId="ses_2"))
    copied = [(f"f-{own}", at, role, data, parts) for own, at, role, data, parts in TALK]
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, [*TALK, asks])
        add(made, "ses_2", 4, [user("n1", 4, text("Name one bird"))], parent="ses_1")
        add(made, "ses_3", 5, [*copied, user("f9", 9, text("Another way?"))], title="ses_1 (fork #1)")
        add(made, "ses_4", 6, [(f"g-{message[0]}", *message[1:]) for message in TALK])
    main, agent, fork = conversations(tmp_path / "opencode.db")
    assert (agent.parent, agent.relation, agent.context["spawned_by"]) == (main.session_id, "sub-agent", "c2")
    assert (fork.parent, fork.relation, said(fork)) == (main.session_id, "fork", [("user", "Another way?")])


def test_an_export_is_the_talk_of_the_database(tmp_path: Path):
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, TALK)
    messages = [
        {"info": {"id": own, "role": role, "time": {"created": BEGAN + at}} | data, "parts": parts}
        for own, at, role, data, parts in TALK
    ]
    info = {"id": "ses_1", "directory": "/home/ann/heron", "title": "ses_1", "version": "1.18.33"}
    exported = written(tmp_path, {"info": info, "messages": messages}, "anything.json")
    assert recognise(exported) == "opencode"
    [talk], [again] = conversations(tmp_path / "opencode.db"), conversations(exported)
    assert (again.history, again.context, again.session_id) == (talk.history, talk.context, talk.session_id)


def test_a_session_that_is_too_long_and_a_message_that_cannot_be_read_cost_only_themselves(tmp_path: Path):
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, [*TALK, ("m9", 9, "owl", {}, [text("Hoo")])])
        add(made, "ses_2", 1, [user("n1", 1, text("reeds " * 2000))])
        made.execute("UPDATE message SET data = '{' WHERE id = 'm3'")
    made.close()
    *told, last = read(tmp_path / "opencode.db", limit=10_000)
    [talk] = [each for each in told if isinstance(each, Imported)]
    assert [turn["id"] for turn in talk.history] == ["m1", "m2", "m2/c1"]
    assert [each.talk for each in told] == ["'ses_1' (opencode-ses_1)"] * 3
    assert last == BadEntry(1, "is longer than 10,000 bytes")


def test_what_a_running_program_wrote_last_is_seen_though_it_lies_in_the_log(tmp_path: Path):
    path = tmp_path / "opencode.db"
    made = database(path)
    add(made, "ses_1", 0, [user("m1", 1, text("Reeds?"))])
    made.commit()
    size, changed = change_of(path)
    kept = Outcome("opencode", str(path), "kept", size=size, mtime_ns=changed, newest=newest(path))
    assert is_kept(path, kept)
    main = path.stat()
    add(made, "ses_2", 2, [user("m2", 3, text("Herons?"))])
    made.commit()
    assert path.stat() == main, "it is in the log alone"
    assert not is_kept(path, kept)


def test_a_database_whose_program_ended_has_nothing_new_though_its_file_was_written(tmp_path: Path):
    path = tmp_path / "opencode.db"
    made = database(path)
    add(made, "ses_1", 0, [user("m1", 1, text("Reeds?"))])
    made.commit()
    size, changed = change_of(path)
    kept = Outcome("opencode", str(path), "kept", size=size, mtime_ns=changed, newest=newest(path))
    made.close()  # moves what the log holds into the file
    assert change_of(path) != (size, changed)
    assert is_kept(path, kept)


def test_a_session_that_has_no_title_yet_is_called_by_what_was_asked(tmp_path: Path):
    made = database(tmp_path / "opencode.db")
    add(made, "ses_1", 0, [user("m1", 1, text("Where are reeds?"))], title="New session - 2026-03-01T08:00:00.000Z")
    made.commit()
    [talk] = conversations(tmp_path / "opencode.db")
    assert talk.title == "Where are reeds?"


def test_of_a_message_that_was_taken_back_in_part_the_rest_stays(tmp_path: Path):
    def message(own: str, role: str, *texts: str) -> dict[str, Any]:
        parts = [{"id": f"{own}-{number}", "type": "text", "text": each} for number, each in enumerate(texts)]
        return {"info": {"id": own, "role": role}, "parts": parts}

    answer = message("m2", "assistant", "Ferns.", "Moss.")
    messages = [message("m1", "user", "Shade?"), answer, message("m3", "user", "x")]
    for revert, shown in ({"partID": "m2-1"}, ["Shade?", "Ferns."]), ({}, ["Shade?"]), ({"partID": "m2-0"}, ["Shade?"]):
        info = {"id": "ses_1", "revert": {"messageID": "m2"} | revert}
        [talk] = conversations(written(tmp_path, {"info": info, "messages": messages}, "ses_1.json"))
        assert [turn["content"] for turn in talk.history] == shown


def ids(entries: Iterable[Imported | BadEntry]) -> list[str]:
    return [each.session_id for each in entries if isinstance(each, Imported)]


def test_only_sessions_with_newer_rows_are_read_and_what_tells_of_them(tmp_path: Path):
    path = tmp_path / "opencode.db"
    with database(path) as made:
        add(made, "ses_1", 0, TALK)
        add(made, "ses_2", 1, [user("n1", 5, text("Other."))])
        add(made, "ses_3", 2, [user("p1", 6, text("Look.")), model("p2", 7, tool("c3", "reeds", sessionId="ses_4"))])
    before = newest(path)
    with database(path) as made:
        copies = [(f"fork-{own}", at, role, data, parts) for own, at, role, data, parts in TALK]
        add(made, "ses_5", before - BEGAN + 1, [*copies, user("q1", 9, text("Why?"))], title="ses_1 (fork #1)")
        add(made, "ses_4", before - BEGAN + 1, [user("r1", 8, text("Count them."))], parent="ses_3")
    fork, child = (each for each in opencode.database(path, 1_000_000, before + 1) if isinstance(each, Imported))
    if fork.relation != "fork":
        fork, child = child, fork
    assert (fork.session_id, fork.parent, [words for _, words in said(fork)]) == (
        "opencode-ses_5",
        "opencode-ses_1",
        ["Why?"],
    )
    assert (child.session_id, child.context["spawned_by"]) == ("opencode-ses_4", "c3")
    assert len(ids(opencode.database(path, 1_000_000))) == 5
    with database(path) as made:
        made.execute("UPDATE part SET time_updated = ? WHERE message_id = 'n1'", (before + 9 * BEGAN,))
        made.commit()
    assert ids(opencode.database(path, 1_000_000, newest(path))) == ["opencode-ses_2"]


def test_capture_takes_in_what_is_new_of_the_database_and_all_of_it_where_it_is_not_known_what_was_read(tmp_path: Path):
    path = tmp_path / "opencode.db"
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)})
    (tmp_path / "data" / "capture").mkdir(parents=True)

    async def take() -> Outcome:
        sessions, _ = open_store(settings)
        async with sessions:
            taker = Taker(sessions, Growing(sessions, settings), tmp_path / "data" / "capture")
            return await taker.take("opencode", str(path))

    with database(path) as made:
        add(made, "ses_1", 0, TALK)
        add(made, "ses_2", 20_000, [user("n1", 20_005, text("Other."))])
    first = asyncio.run(take())
    with database(path) as made:
        row = ("n2", "ses_2", BEGAN + 30_000, BEGAN + 30_000, json.dumps({"role": "user", "time": {}}))
        made.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?)", row)
        part = ("prt-n2", "n2", "ses_2", BEGAN + 30_000, BEGAN + 30_000, json.dumps(text("And now?")))
        made.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)", part)
        made.commit()
    then = asyncio.run(take())
    assert sorted(first.sessions) == ["opencode-ses_1", "opencode-ses_2"]
    assert (then.outcome, then.sessions, then.turns) == ("kept", ["opencode-ses_2"], 2)
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "other"), "HOME": str(tmp_path)})
    assert len(asyncio.run(take()).sessions) == 2, "another journal knows nothing of it"


def test_what_was_taken_back_last_leaves_the_session_at_once_and_an_older_copy_takes_nothing_away(tmp_path: Path):
    path, settings = tmp_path / "opencode.db", Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data")})

    async def stored() -> list[str]:
        sessions, _ = open_store(settings)
        async with sessions:
            found, _ = await sessions.load("opencode-ses_1")
        assert isinstance(found, Document)
        return [turn["id"] for turn in found.session.history]

    def imported(changed: int, revert: str | None, messages: list[Message]) -> list[str]:
        path.unlink(missing_ok=True)
        with database(path) as made:
            add(made, "ses_1", 0, messages)
            held = json.dumps({"messageID": revert}) if revert else None
            made.execute("UPDATE session SET revert = ?, time_updated = ?", (held, BEGAN + changed))
            made.commit()
        made.close()
        assert import_from(settings, str(path)) == 0
        return asyncio.run(stored())

    more = [*TALK, user("m4", 20, text("And now?")), model("m5", 21, text("Mist."))]
    whole = ["m1", "m2", "m2/c1", "m3", "m4", "m5"]
    assert imported(22, None, more) == whole
    assert imported(15, None, TALK) == whole
    assert imported(30, "m4", more) == whole[:4]
    assert imported(31, None, more) == whole


def kept_as_files(folder: Path, **more: Any) -> Path:
    """A talk with a sub-agent's as versions before the database kept them; the file of the asking session."""
    storage = folder / "opencode" / "storage"
    talks: dict[str, list[Message]] = {
        "ses_a": [user("msg_1", 1, text("Which ferns?")), model("msg_2", 2, tool("call", "Lady", sessionId="ses_b"))],
        "ses_b": [user("msg_3", 3, text("Look.")), model("msg_4", 4, text("Lady fern."))],
    }
    for session, messages in talks.items():
        (storage / "message" / session).mkdir(parents=True)
        for own, at, role, info, parts in messages:
            told = {"id": own, "role": role, "time": {"created": BEGAN + at}} | info
            written(storage / "message" / session, told, f"{own}.json")
            (storage / "part" / own).mkdir(parents=True)
            for number, part in enumerate(parts):
                written(storage / "part" / own, part, f"prt_{number}.json")
    (storage / "session" / "global").mkdir(parents=True)
    info = {"version": "1.1.65", "projectID": "global", "directory": "/srv/garden", "time": {"created": BEGAN}}
    child = info | {"id": "ses_b", "title": "Look around", "parentID": "ses_a"}
    written(storage / "session" / "global", child, "ses_b.json")
    return written(storage / "session" / "global", info | {"id": "ses_a", "title": "Ferns"} | more, "ses_a.json")


def packed(path: Path) -> Path:
    with zipfile.ZipFile(path.parents[4] / "opencode.zip", "w") as archive:
        for each in sorted(path.parents[2].rglob("*.json")):
            archive.write(each, each.relative_to(path.parents[4]))
    return path.parents[4] / "opencode.zip"


@pytest.mark.parametrize("is_packed", [False, True])
def test_talks_of_versions_before_the_database_are_found_and_read(tmp_path: Path, *, is_packed: bool):
    path = kept_as_files(tmp_path)
    with sources(packed(path) if is_packed else tmp_path) as found:
        asking, helper = (each for source in found.files for each in conversations(source))
    assert (asking.session_id, asking.title, asking.tags) == ("opencode-ses_a", "Ferns", ("project:garden",))
    assert [role for role, _ in said(asking)] == ["user", "assistant", "tool"]
    assert said(helper) == [("user", "Look."), ("assistant", "Lady fern.")]
    assert (helper.parent, helper.relation, helper.context["spawned_by"]) == ("opencode-ses_a", "sub-agent", "call")


def test_what_was_taken_back_before_the_database_is_left_out(tmp_path: Path):
    [talk] = conversations(kept_as_files(tmp_path, revert={"messageID": "msg_2"}))
    assert said(talk) == [("user", "Which ferns?")]


def test_what_was_added_to_files_of_a_talk_comes_in_though_its_own_file_is_as_it_was(tmp_path: Path):
    path, settings = kept_as_files(tmp_path), Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data")})
    assert import_from(settings, str(path)) == 0
    storage = path.parents[2]
    written(
        storage / "message" / "ses_a", {"id": "msg_5", "role": "user", "time": {"created": BEGAN + 9}}, "msg_5.json"
    )
    (storage / "part" / "msg_5").mkdir()
    written(storage / "part" / "msg_5", text("And moss?"), "prt_0.json")
    assert import_from(settings, str(path)) == 0

    async def stored() -> Any:
        sessions, _ = open_store(settings)
        async with sessions:
            return (await sessions.load("opencode-ses_a"))[0]

    assert asyncio.run(stored()).session.history[-1]["content"] == "And moss?"


def test_backfill_finds_the_talks_of_every_version(tmp_path: Path):
    path = kept_as_files(tmp_path / ".local" / "share")
    [program] = named(["opencode"], ALL)
    assert path in program.found({}, tmp_path)

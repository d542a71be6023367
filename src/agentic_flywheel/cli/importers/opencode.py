"""Reads the talks of opencode (1.18.33): `opencode.db` in `~/.local/share/opencode`, and what `opencode export` gives.

The database has the tables session, message and part, with JSON in `data`; an export is `{"info", "messages": [{"info",
"parts"}]}` of one session. A message is a turn of its parts: text, reasoning, tool (the call with its result), file.
Texts that are `synthetic` are the program's. From `revert.messageID` on all is taken back. The message with `summary`
is a compaction's. A session with a `parent_id` is a sub-agent's. A fork copies its messages under new ids and names no
origin: it is told by a first message of the same time and text, and has here only what is its own. Rows have the time
of their last change, so that only sessions with newer ones need be read (`since`).
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, spoken, summary, thought
from agentic_flywheel.cli.importers.conversation import Imported, Relation, instant, text
from agentic_flywheel.cli.importers.databases import Database, opened
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.left_out import each_message, reported
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.cli.importers.talk import SUB_AGENT
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import id_of

_DONE = ("completed", "error")
"""States of a tool that has a result."""

_NO_TITLE = re.compile(r"(New|Child) session - \d{4}-\d\d-\d\dT[\d:.]+Z")
"""What it calls a session until its model has given it a title."""

_TIMES = """SELECT max(time_updated) AS at FROM session UNION ALL SELECT max(time_updated) FROM message
UNION ALL SELECT max(time_updated) FROM part"""


def is_export(value: JSONObject) -> bool:
    """Whether the object is what `opencode export` gives."""
    return is_object(value.get("info")) and isinstance(value.get("messages"), list)


def conversation(value: JSONObject, _: Beside) -> Iterator[Imported | BadEntry]:
    """The talk of an export, and before it what of it cannot be read."""
    yield from talk(as_object(value.get("info")), as_list(value.get("messages")))


def talk(info: JSONObject, messages: list[object], spawned_by: str = "") -> Iterator[Imported | BadEntry]:
    """The talk of these messages, each `{"info", "parts"}`, and before it what of it cannot be read."""
    yield from _conversation(info, _not_taken_back(info, messages), spawned_by, None)


_CHANGED = """SELECT id FROM session WHERE time_updated >= :since UNION SELECT session_id FROM message
WHERE time_updated >= :since UNION SELECT session_id FROM part WHERE time_updated >= :since"""

_FIRST = "SELECT session_id AS id, min(time_created) AS at FROM message GROUP BY session_id"


def database(path: Path, limit: int, since: int = 0) -> Iterator[Imported | BadEntry]:
    """The talks of the database, those that others go on from first; one of more than `limit` bytes is left out.

    `since`: those alone of which a row was changed then, as `newest` has it, or later.
    """
    seen: dict[str, tuple[str, list[str]]] = {}
    callers: dict[str, str] = {}
    try:
        with opened(path) as found:
            rows = list(found.select("SELECT * FROM session ORDER BY time_created, id"))
            changed = {each["id"] for each in found.select(_CHANGED, {"since": since})} if since else None
            needed = None if changed is None else changed | _told_by(found, rows, changed)
            for row in rows:
                if needed is None or row["id"] in needed:
                    talks = _of_row(found, row, limit, seen, callers)
                    yield from (each for each in talks if changed is None or row["id"] in changed)
    except InvalidArgument as exc:
        yield BadEntry(1, str(exc))


def _told_by(found: Database, rows: list[JSONObject], changed: set[object]) -> set[object]:
    """The sessions that tell of the `changed` ones who called them, or which they are forks of."""
    parents = {row.get("parent_id") for row in rows if row["id"] in changed}
    first = {each["id"]: each["at"] for each in found.select(_FIRST)}
    times = {first.get(each) for each in changed}
    return parents | {own for own, at in first.items() if at in times}


def newest(path: Path) -> int:
    """When a row of the database was changed last, in ms since 1970; 0 where that cannot be read."""
    try:
        with opened(path) as found:
            return max((row["at"] for row in found.select(_TIMES) if isinstance(row["at"], int)), default=0)
    except (InvalidArgument, OSError):
        return 0


def _of_row(
    found: Database, row: JSONObject, limit: int, seen: dict[str, tuple[str, list[str]]], callers: dict[str, str]
) -> Iterator[Imported | BadEntry]:
    """The talk of a row of the table of sessions; `seen` has what the ones before said, by their first message."""
    own = text(row.get("id"))
    size = next(found.select("SELECT sum(length(data)) AS size FROM part WHERE session_id = ?", [own]))["size"] or 0
    if size > limit:
        yield BadEntry(1, f"is longer than {limit:,} bytes", id_of("opencode", own))
        return
    parts: dict[str, list[object]] = {}
    for each in found.select("SELECT id, message_id, data FROM part WHERE session_id = ? ORDER BY id", [own]):
        data = as_object(_json(each["data"]))
        parts.setdefault(each["message_id"], []).append({**data, "id": each["id"]})
    query = "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id"
    messages: list[object] = [
        {"info": {**as_object(_json(each["data"])), "id": each["id"]}, "parts": parts.get(each["id"], [])}
        for each in found.select(query, [own])
    ]
    time = {"created": row.get("time_created"), "updated": row.get("time_updated")}
    info = {**row, "parentID": row.get("parent_id"), "revert": _json(row.get("revert")), "time": time}
    messages = _not_taken_back(info, messages)
    said = [_said(each) for each in messages]
    origin, before = seen.get(said[0], ("", [])) if said else ("", [])
    shared = next((at for at, pair in enumerate(zip(said, before, strict=False)) if pair[0] != pair[1]), None)
    shared = min(len(said), len(before)) if shared is None else shared
    if said:
        seen.setdefault(said[0], (own, said))
    yield from _conversation(info, messages[shared:] if origin else messages, callers.get(own, ""), origin or None)
    for part in (part for each in parts.values() for part in each if is_object(part)):
        metadata = as_object(as_object(part.get("state")).get("metadata"))
        if isinstance(child := metadata.get("sessionId"), str):
            callers[child] = text(part.get("callID"))


def _not_taken_back(info: JSONObject, messages: list[object]) -> list[object]:
    """The messages before the one to which the person went back, and the parts of that one which stay."""
    revert = as_object(info.get("revert"))
    ids = [as_object(as_object(each).get("info")).get("id") for each in messages]
    if not revert.get("messageID") or revert["messageID"] not in ids:
        return messages
    at = ids.index(revert["messageID"])
    parts = as_list(as_object(messages[at]).get("parts"))
    place = next((n for n, each in enumerate(parts) if as_object(each).get("id") == revert.get("partID")), 0)
    return [*messages[:at], *([as_object(messages[at]) | {"parts": parts[:place]}] if place else [])]


def _said(message: object) -> str:
    """A digest of what a fork repeats of a message: its time and its words."""
    held = as_object(message)
    info = as_object(held.get("info"))
    texts = [each.get("text") for each in as_list(held.get("parts")) if is_object(each) and each.get("type") == "text"]
    said = json.dumps([info.get("role"), as_object(info.get("time")).get("created"), texts], default=str)
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def _json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def _conversation(
    info: JSONObject, messages: list[object], spawned_by: str, origin: str | None
) -> Iterator[Imported | BadEntry]:
    own, talk = text(info.get("id")), Messages("opencode")
    if not own:
        yield BadEntry(1, "has no id")
        return
    title = text(info.get("title"))
    talk.title = "" if _NO_TITLE.fullmatch(title) else title
    version = text(info.get("version"))
    talk.known |= {"cwd": info.get("directory"), "program_version": version, "spawned_by": spawned_by}
    bad = list(each_message(messages, lambda _, message: _add(talk, message)))
    parent = text(info.get("parentID"))
    relation: Relation | None = SUB_AGENT if parent else "fork" if origin else None
    time = as_object(info.get("time"))
    talks = talk.imported(
        own,
        parent=parent or origin or "",
        relation=relation,
        created_at=instant(time.get("created")),
        updated_at=(changed := instant(time.get("updated"))),
    )
    yield from reported(bad, [replace(each, changed_at=changed) for each in talks])


def _add(talk: Messages, message: JSONObject) -> None:
    info = as_object(message.get("info"))
    own, role = text(info.get("id")), info.get("role")
    if not own or role not in ("user", "assistant"):
        raise InvalidArgument("it has no id, or its role is neither user nor assistant")
    parts = list(filter(is_object, as_list(message.get("parts"))))
    if info.get("summary") is True:
        said = [text(each.get("text")) for each in parts if each.get("type") == "text"]
        talk.summary = summary("\n".join(said)) or talk.summary
        return
    times = as_object(info.get("time"))
    talk.say(1, own, cast("str", role), [block for part in parts for block in _blocks(part)], times.get("created"))
    if text(info.get("modelID")):
        talk.known["model"] = info["modelID"]
    for part in parts:
        state = as_object(part.get("state"))
        if part.get("type") == "tool" and state.get("status") in _DONE:
            output = state.get("output") if state.get("status") == "completed" else state.get("error")
            talk.answer(1, part.get("callID"), output, as_object(state.get("time")).get("end"))


def _blocks(part: JSONObject) -> list[JSONObject]:
    kind = part.get("type")
    if part.get("synthetic") or part.get("ignored"):
        return []
    if kind == "text":
        return spoken(part.get("text"))
    if kind == "reasoning":
        return thought(part.get("text"))
    if kind == "tool":
        return [call(part.get("callID"), part.get("tool"), as_object(part.get("state")).get("input"))]
    if kind == "file":
        url = text(part.get("url"))
        kept = {name: part[name] for name in ("mime", "filename") if text(part.get(name))}
        return [{"type": "file", **kept, **({} if url.startswith("data:") else {"url": url})}]
    return []

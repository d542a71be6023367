"""Reads the talks of llm (0.36): `logs.db` in `~/.config/io.datasette.llm`, its new tables and its old ones.

A talk is a row of `threads`, whose `tip_message_hash` is the last of its `messages`; each names the one before it by
`parent_hash`, so that talks with equal beginnings share rows. What a message says is in `parts` (text, reasoning,
tool_call, tool_result, attachment); a text that has a fragment in it is in pieces (`text_ref`). A turn's model and time
are in `turns`. Before (0.27), a talk was a row of `conversations`, and each prompt with its answer one of `responses`;
both tables are still there, and empty for new talks. An old talk that goes on becomes a thread of the same id, which
has all of it again: what it had keeps its ids. Some models give their calls no ids: results stand in the calls' order.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from agentic_flywheel.cli.importers.blocks import call, spoken, thought
from agentic_flywheel.cli.importers.conversation import Imported, Relation, text, uncut
from agentic_flywheel.cli.importers.databases import Database, opened
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.left_out import reported
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = ("user", "assistant", "tool", "system")

LONGEST = 100_000
"""Messages of a thread; more go in a circle or are no talk."""


def database(path: Path, _: int) -> Iterator[Imported | BadEntry]:
    """The talks of the database, those that others go on from first."""
    try:
        with opened(path) as found:
            tables = found.tables()
            old: dict[str, JSONObject] = {}
            if {"conversations", "responses"} <= tables:
                rows = found.select("SELECT * FROM conversations ORDER BY id")
                old = {text(row.get("id")): row for row in rows}
            if {"threads", "turns", "messages", "parts"} <= tables:
                for row in list(found.select("SELECT * FROM threads ORDER BY datetime_utc, id")):
                    yield from _thread(found, row, old.pop(text(row.get("id")), None), tables)
            for own, row in old.items():
                talk, bad = _conversation(found, row, tables)
                yield from reported(bad, list(talk.imported(own)))
    except InvalidArgument as exc:
        yield BadEntry(1, str(exc))


def _thread(
    found: Database, row: JSONObject, old: JSONObject | None, tables: set[str]
) -> Iterator[Imported | BadEntry]:
    """A talk of the new tables; `old`: what the old ones had of it."""
    own, talk, bad = text(row.get("id")), Messages("llm"), list[BadEntry]()
    times: dict[str, JSONObject] = {}
    for each in found.select("SELECT * FROM turns WHERE thread_id = ? ORDER BY datetime_utc, id", [own]):
        times.setdefault(text(each.get("parent_message_hash")), each)
        times[text(each.get("tip_message_hash"))] = each
        talk.known["model"] = each.get("resolved_model") or each.get("model")
    path: dict[str, JSONObject] = {}
    tip = text(row.get("tip_message_hash"))
    while tip and tip not in path and len(path) < LONGEST:
        message = next(found.select("SELECT * FROM messages WHERE hash = ?", [tip]), None)
        if message is None:
            break
        path[tip] = message
        tip = text(message.get("parent_hash"))
    calls = _Calls()
    for hashed, message in reversed(path.items()):
        try:
            _message(found, talk, calls, hashed, message, times.get(hashed, {}).get("datetime_utc"))
        except InvalidArgument as exc:
            bad.append(BadEntry(1, f"has a message left out: {exc}"))
    talk.title = text(row.get("name"))
    if old:
        talk = _conversation(found, old, tables)[0].going_on(talk)
    parent = text(row.get("forked_from"))
    relation: Relation | None = "fork" if parent else None
    yield from reported(bad, list(talk.imported(own, parent=parent, relation=relation)))


class _Calls:
    """Gives ids to the calls that have none, and to their results: each tool's in the order of its calls."""

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}

    def made(self, given: object, own: str, name: object) -> str:
        """The id of a call, of which `own` is the place."""
        if not text(given):
            self._open.setdefault(text(name), []).append(own)
        return text(given) or own

    def answered(self, given: object, own: str, name: object) -> str:
        """The id of the call that a result answers; `own` if there is none."""
        waiting = [] if text(given) else self._open.get(text(name), [])
        return text(given) or (waiting.pop(0) if waiting else own)


def _message(found: Database, talk: Messages, calls: _Calls, hashed: str, message: JSONObject, time: object) -> None:
    role = text(message.get("role"))
    if role not in _ROLES:
        raise InvalidArgument("its role is none of user, assistant, tool and system")
    blocks: list[JSONObject] = []
    results: dict[str, object] = {}
    parts = found.select("SELECT * FROM parts WHERE message_hash = ? ORDER BY position, id", [hashed])
    for place, part in enumerate(parts):
        kind, payload = part.get("type"), _payload(part)
        given, own, name = payload.get("tool_call_id"), f"{hashed}/{place}", payload.get("name")
        if kind == "text":
            blocks += spoken(part.get("text") or _pieces(found, payload))
        elif kind == "reasoning":
            blocks += thought(part.get("text"))
        elif kind == "tool_call":
            blocks.append(call(calls.made(given, own, name), name, payload.get("arguments")))
        elif kind == "tool_result":
            results[calls.answered(given, own, name)] = payload.get("output")
        elif kind == "attachment":
            blocks.append(_attachment(found, as_object(payload.get("attachment")).get("id")))
    talk.say(1, hashed, role, blocks, time)
    for answered, output in results.items():
        talk.answer(1, answered, output, time)


def _payload(part: JSONObject) -> JSONObject:
    try:
        return as_object(json.loads(uncut(part.get("payload")) or "{}"))
    except (ValueError, RecursionError):
        raise InvalidArgument("a part of it is not JSON") from None


def _pieces(found: Database, payload: JSONObject) -> str:
    """A text that is put together of fragments and what stands between them."""
    pieces: list[str] = []
    for each in filter(is_object, as_list(payload.get("text_ref"))):
        if "fragment" in each:
            rows = found.select("SELECT content FROM fragments WHERE id = ?", [_key(each["fragment"])])
            pieces += [uncut(row.get("content")) for row in rows]
        else:
            pieces.append(uncut(each.get("literal")))
    return "".join(pieces)


def _attachment(found: Database, own: object) -> JSONObject:
    row = JSONObject()
    with contextlib.suppress(InvalidArgument):  # what is said beside it counts more
        row = next(found.select("SELECT type, path, url FROM attachments WHERE id = ?", [_key(own)]), row)
    kept = {"mime_type": row.get("type"), "path": row.get("path"), "url": row.get("url")}
    return {"type": "attachment"} | {name: value for name, value in kept.items() if text(value)}


def _key(value: object) -> str | int:
    return value if isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63) else ""


def _conversation(found: Database, row: JSONObject, tables: set[str]) -> tuple[Messages, list[BadEntry]]:
    """A talk of the old tables, and what of it cannot be read."""
    own, talk, bad = text(row.get("id")), Messages("llm"), list[BadEntry]()
    talk.title = text(row.get("name"))
    talk.known["model"] = row.get("model")
    system, calls = "", _Calls()
    query = "SELECT * FROM responses WHERE conversation_id = ? ORDER BY datetime_utc, id"
    for each in list(found.select(query, [own])):
        try:
            if text(each.get("system")) not in ("", system):
                system = text(each.get("system"))  # it is repeated with each prompt
                talk.say(1, f"{each['id']}/system", "system", spoken(each["system"]), each.get("datetime_utc"))
            _response(found, talk, calls, each, tables)
        except InvalidArgument as exc:
            bad.append(BadEntry(1, f"has a message left out: {exc}"))
    return talk, bad


def _response(found: Database, talk: Messages, calls: _Calls, row: JSONObject, tables: set[str]) -> None:
    own, time = text(row.get("id")), row.get("datetime_utc")
    if "tool_results" in tables:
        for each in found.select("SELECT * FROM tool_results WHERE response_id = ? ORDER BY id", [own]):
            answered = calls.answered(each.get("tool_call_id"), f"{own}/result/{each.get('id')}", each.get("name"))
            talk.answer(1, answered, each.get("output"), time)
    pieces: list[JSONObject] = []
    if "prompt_fragments" in tables:
        query = (
            "SELECT content FROM prompt_fragments JOIN fragments ON fragments.id = fragment_id"
            ' WHERE response_id = ? ORDER BY "order"'
        )
        pieces = [block for each in found.select(query, [own]) for block in spoken(each.get("content"))]
    if "prompt_attachments" in tables:
        query = 'SELECT attachment_id FROM prompt_attachments WHERE response_id = ? ORDER BY "order"'
        pieces += [_attachment(found, each["attachment_id"]) for each in found.select(query, [own])]
    talk.say(1, f"{own}/prompt", "user", pieces + spoken(row.get("prompt")), time)
    blocks = thought(row.get("reasoning")) + spoken(row.get("response"))
    if "tool_calls" in tables:
        for each in found.select("SELECT * FROM tool_calls WHERE response_id = ? ORDER BY id", [own]):
            made = calls.made(each.get("tool_call_id"), f"{own}/{each.get('id')}", each.get("name"))
            blocks.append(call(made, each.get("name"), each.get("arguments")))
    talk.say(1, own, "assistant", blocks, time)

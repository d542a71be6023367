"""Reads the messages of Flowise 3.1 (by its source): its download for people, its workspace export, and its rows.

"Export messages" gives `<chatflow>-Message.json`, an array of talks with `messages`, in which no id of a message and
none of the flow stands: a message is told by its place, the flow by the file's name. `ExportData.json` has rows of
`ChatMessage`, as `GET /api/v1/chatmessage/{id}` answers them, with the JSON of their columns as strings. Each answer
is an execution of its flow too, with all that the flow did for it. The answer of a prediction is a run, no talk.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from agentic_flywheel.cli.importers.blocks import thought
from agentic_flywheel.cli.importers.conversation import Imported, instant, mended, turn, turns, uncut
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.rows import call, content, decoded, execution, files, objects, shown, talk
from agentic_flywheel.cli.importers.web_pages import shortened
from agentic_flywheel.documents.turn_values import as_object, first_text, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = {"userMessage": "user", "user": "user", "apiMessage": "assistant", "bot": "assistant"}

_DOWNLOAD = re.compile(r"(.+)-Message(?: ?\(\d+\))?")
"""The name of a download; browsers number those that are there already."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def is_row(value: JSONObject) -> bool:
    """Whether it is a row of `ChatMessage`."""
    return {"chatflowid", "role", "content"} <= value.keys()


def is_talk(value: JSONObject) -> bool:
    """Whether it is a talk of the download."""
    return isinstance(value.get("messages"), list) and {"id", "source", "sessionId"} <= value.keys()


def is_workspace(value: JSONObject) -> bool:
    """Whether it is the export of a workspace."""
    return isinstance(value.get("ChatMessage"), list) and ("ChatFlow" in value or "ChatMessageFeedback" in value)


def is_prediction(value: JSONObject) -> bool:
    """Whether it is the answer of one prediction."""
    return {"chatMessageId", "chatId"} <= value.keys() and "messages" not in value


def conversations(entries: Iterable[JsonEntry | BadEntry], name: str) -> Iterator[Imported | BadEntry]:
    """The talks of a file of that name, and before them what cannot be read."""
    talks, runs = defaultdict[tuple[str, str], list[JsonEntry]](list), dict[str, JSONObject]()
    for entry in entries:
        if isinstance(entry, BadEntry):
            yield entry
        elif is_talk(entry.value):
            yield from _downloaded(replace(entry, value=mended(entry.value)[0]), name)
        else:
            is_all = is_workspace(entry.value)
            runs |= {uncut(run.get("id")): run for run in objects(entry.value.get("Execution"))} if is_all else {}
            for row in cast("list[object]", entry.value["ChatMessage"]) if is_all else [entry.value]:
                if isinstance(row, dict) and is_row(known := mended(cast("JSONObject", row))[0]):
                    own = uncut(known.get("sessionId")) or uncut(known.get("chatId"))
                    talks[uncut(known["chatflowid"]), own].append(replace(entry, value=known))
                else:
                    yield BadEntry(entry.line, "has a row that is no message of Flowise")
    for (flow, session), rows in talks.items():
        rows.sort(key=lambda row: instant(row.value.get("createdDate")) or _LONG_AGO)
        messages = [row.value | _run_of(row.value, runs) for row in rows]
        yield from _talk(flow, session, rows[0].line, messages)


def _run_of(row: JSONObject, runs: dict[str, JSONObject]) -> JSONObject:
    run = runs.get(uncut(row.get("executionId")))
    return {"execution": mended(run)[0]} if run else {}


def _downloaded(entry: JsonEntry, name: str) -> Iterator[Imported | BadEntry]:
    flow = _DOWNLOAD.fullmatch(name)
    session = uncut(entry.value.get("sessionId")) or uncut(entry.value["id"])
    beside: JSONObject = {"leadEmail": entry.value.get("email")}
    messages: list[object] = [
        {"id": str(place)} | beside | cast("JSONObject", each) if isinstance(each, dict) else each
        for place, each in enumerate(cast("list[object]", entry.value["messages"]), 1)
    ]
    yield from _talk(flow[1] if flow else "", session, entry.line, messages)


def _talk(flow: str, session: str, line: int, messages: Sequence[object]) -> Iterator[Imported | BadEntry]:
    made = turns(line, enumerate(messages, 1), _turn)
    known = (cast("JSONObject", each) for each in messages if isinstance(each, dict))
    lead = next(filter(None, (uncut(each.get("leadEmail")) for each in known)), "")
    values: JSONObject = {"backend_session_id": session, "current_flow_id": flow, "user_id": lead}
    own = "-".join(filter(None, (flow, session)))
    executions = list(_executions(own, filter(is_object, messages)))
    yield from talk("flowise", own, line, made, values, executions)


_DONE = ("sourceDocuments", "usedTools", "agentReasoning", "reasonContent", "artifacts", "fileAnnotations", "action",
         "followUpPrompts", "feedback")  # fmt: skip
"""What a row has of a run beside its text."""

_ASKED_BY = ("chatId", "sessionId", "memoryType", "chatType")


def _executions(talk: str, messages: Iterable[JSONObject]) -> Iterator[JSONObject]:
    """The run that gave each answer. An answer without an id of its own has a place in its talk."""
    question = ""
    for message in messages:
        if _ROLES.get(uncut(message.get("role"))) == "user":
            question = uncut(message.get("content"))
        elif own := uncut(message.get("id")):
            run = as_object(message.get("execution"))
            yield execution(
                "flowise",
                own if "chatflowid" in message else f"{talk}-{own}",
                question,
                {
                    "text": uncut(message.get("content")),
                    "created_at": shown(message.get("createdDate") or message.get("time")),
                    **{name: decoded(message.get(name)) for name in _DONE},
                    "executionId": message.get("executionId"),
                    "state": run.get("state"),
                    "agentFlowExecutedData": decoded(run.get("executionData")),
                },
                parameters={name: message.get(name) for name in _ASKED_BY},
            )


def _turn(message: JSONObject) -> JSONObject | None:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidArgument("its role is none of userMessage, apiMessage, user and bot")
    own = uncut(message.get("id"))
    blocks = thought(_thought(message.get("reasonContent")))
    steps = objects(message.get("agentReasoning"))
    tools = objects(message.get("usedTools")) or [tool for step in steps for tool in objects(step.get("usedTools"))]
    for number, tool in enumerate(tools):
        failed = tool.get("error")
        answer = failed or tool.get("toolOutput")
        blocks += call(f"{own}-{number}", tool.get("tool"), tool.get("toolInput"), answer, failed=bool(failed))
    blocks += map(_document, objects(message.get("sourceDocuments")))
    return turn(
        own,
        _ROLES[role],
        content(blocks, uncut(message.get("content"))),
        message.get("createdDate") or message.get("time"),
        files=files(message.get("fileUploads") or message.get("filePaths")),
    )


def _thought(value: object) -> str:
    """What the model thought, in whichever of the shapes."""
    given = decoded(value)
    held = cast("list[object]", given) if isinstance(given, list) else [given]
    texts = (uncut(each) or first_text(as_object(each), ("thinking", "text", "content", "reasoning")) for each in held)
    return "\n".join(text for text in texts if text.strip())


def _document(document: JSONObject) -> JSONObject:
    """A source of the answer: what it is called, and the beginning of its text."""
    name = first_text(as_object(decoded(document.get("metadata"))), ("title", "source", "url", "fileName"))
    return {"type": "document", "title": name, "text": shortened(uncut(document.get("pageContent")))}

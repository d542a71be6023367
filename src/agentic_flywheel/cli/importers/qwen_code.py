"""Reads the talks of a Qwen Code transcript: `chats/<session>.jsonl` below `~/.qwen/projects/<folder>`.

Read from 0.24.4. The envelope is Claude Code's (`uuid`, `parentUuid`, `sessionId`), the message Gemini's: `parts` of
text, thoughts, `functionCall` and `functionResponse`. An answer is one line; lines with one id are parts of one. Who
wrote a `user` line is told by `provenance` and `subtype`, and a reminder may be a part of what the person sent. A
`/rewind` is a system line whose parent is what stays. A compression (`chat_compression`) has the new history, which is
none of the talk: its first message is the summary. Talks with sub-agents are files of their own, below `subagents/`.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import between, notified, spoken, thought, without_named_files
from agentic_flywheel.cli.importers.branches import UNKNOWN, trunk
from agentic_flywheel.cli.importers.conversation import Imported, Relation, content, mended, must_be_object, text, turn
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.origins import named_parent
from agentic_flywheel.cli.importers.talk import SUB_AGENT, Said, Talk
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject, canonical

_PROGRAM = "qwen-code"

_BESIDE = (
    ("<system-reminder>", "</system-reminder>"),
    ("<qwen:user-prompt-submit-context>", "</qwen:user-prompt-submit-context>"),
)
"""How parts begin and end that the program puts beside the person's words."""

NO_LEAF = ("session_artifact_", "session_sources_", "managed_session_")
"""How the subtypes of lines begin that are on no branch."""

_LAUNCHED = "Background agent launched successfully."

_TRAILER = "\n\nResume the prior task using the summary above."
"""How that begins which stands behind a summary: what a model is to do with it."""


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the session; none in which nothing was said.

    A file beside it may describe a sub-agent.
    """
    transcript = _Transcript(is_tail=beside.is_tail)
    yield from from_lines(entries, transcript.add, lambda: transcript.imported(beside.stem, beside.description()))


class _Transcript:
    """What is known after some of the lines."""

    def __init__(self, *, is_tail: bool) -> None:
        self._lines: list[tuple[int, str, list[Said], str]] = []
        """Number and id of each line that says something, what it says, and the summary that it is."""
        self._parents: dict[str, str | None] = {}
        self._leaf = ""
        self._session = self._agent = self._title = self._parent = ""
        self._relation: Relation = "fork"
        self._seen: set[tuple[str, str]] = set()
        self._talk = Talk(goes_on=is_tail)

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no line of a transcript, or cannot be a turn.

        """
        value, halves = mended(entry.value)
        kind, uuid, subtype = value.get("type"), text(value.get("uuid")), text(value.get("subtype"))
        if not isinstance(kind, str):
            raise InvalidArgument("has no type")
        if uuid and not subtype.startswith(NO_LEAF):
            parent = value.get("parentUuid", UNKNOWN)
            self._parents.setdefault(uuid, parent if isinstance(parent, str) or parent is None else UNKNOWN)
            self._leaf = uuid
        self._know(value, subtype)
        said = [each for each in _said(value, kind, subtype, halves) if self._is_new(uuid, each)]
        summary = _summary(value) if subtype == "chat_compression" else ""
        if said or summary:
            self._lines.append((entry.line, uuid, said, summary))

    def _is_new(self, uuid: str, said: Said) -> bool:
        """Whether it is no line that was written twice."""
        known = (uuid, canonical(said.turn))
        is_new = not uuid or known not in self._seen
        self._seen.add(known)
        return is_new

    def _know(self, value: JSONObject, subtype: str) -> None:
        """Note what is known of the talk beside its turns."""
        self._session = text(value.get("sessionId")) or self._session
        self._agent = self._agent or (text(value.get("agentId")) if value.get("isSidechain") else "")
        payload = _payload(value)
        self._title = text(payload.get("customTitle")) or self._title
        self._parent = self._parent or named_parent(value)
        if subtype == "parent_session" and not self._parent:
            self._parent, self._relation = text(payload.get("parentSessionId")), "background"
        self._talk.known.setdefault("cwd", value.get("cwd"))
        newly = {"model": value.get("model"), "program_version": value.get("version")}
        self._talk.known |= {key: each for key, each in newly.items() if each}

    def imported(self, name: str, beside: JSONObject) -> Iterator[Imported]:
        """The session."""
        path, talk, summary = {*trunk(self._leaf, self._parents)}, self._talk, ""
        for line, uuid, said, summarised in self._lines:
            if uuid and uuid not in path:
                continue
            summary = summarised or summary
            for each in said:
                talk.say(each, line)
        own, parent, relation = self._session or name, self._parent, self._relation
        if self._agent:
            above = text(beside.get("parentAgentId"))
            own, relation = f"agent-{self._agent}", SUB_AGENT
            parent = f"agent-{above}" if above else self._session
            talk.known["spawned_by"] = beside.get("toolUseId")
        title = self._title or text(beside.get("description"))
        made = talk.imported(_PROGRAM, own, named=title, summary=summary, parent=parent, relation=relation)
        if made:
            yield made


def _said(value: JSONObject, kind: str, subtype: str, halves: int) -> list[Said]:
    """What a line says: a turn, or none; several where several tools answered."""
    time, uuid = value.get("timestamp"), value.get("uuid")
    if kind == "system":
        payload = _payload(value)
        is_command = subtype == "slash_command" and payload.get("phase") == "invocation"
        is_command = is_command and not payload.get("hiddenInvocation")
        made = turn(uuid, "system", text(payload.get("rawCommand")), time) if is_command else None
        return [Said(made, halves)] if made else []
    if kind not in ("user", "assistant", "tool_result"):
        return []
    given = must_be_object(value.get("message"), "its message").get("parts", [])
    if not isinstance(given, list):
        raise InvalidArgument("its message has no list of parts")
    parts = [must_be_object(part, "a part of its message") for part in cast("list[object]", given)]
    parts = without_named_files(parts) if kind == "user" else parts
    blocks = [block for part in parts for block in _block(part)]
    if kind == "assistant":
        made = turn(uuid, "assistant", blocks, time)
        return [Said(made, halves, text(uuid))] if made else []
    if kind == "tool_result":
        made = turn(uuid, "tool", blocks, time)
    else:
        role, words = _speaks(value, subtype, blocks)
        made = turn(uuid, role, words, time) if role else None
    return [Said(made, halves)] if made else []


def _payload(value: JSONObject) -> JSONObject:
    payload = value.get("systemPayload")
    return as_object(payload)


def _block(part: JSONObject) -> list[JSONObject]:
    """A part as a block of a turn, without the bytes of files; none if nothing is in it."""
    said = part.get("text")
    if part.get("thought"):
        return thought(said)
    if isinstance(said, str):
        return spoken(said)
    if isinstance(called := part.get("functionCall"), dict):
        call = cast("JSONObject", called)
        return [{"type": "tool_use", "id": call.get("id"), "name": call.get("name"), "input": call.get("args") or {}}]
    if isinstance(answered := part.get("functionResponse"), dict):
        return [_result(cast("JSONObject", answered))]
    if isinstance(file := part.get("inlineData"), dict):
        kept = cast("JSONObject", file)
        size = {"omitted_characters": len(kept["data"])} if isinstance(kept.get("data"), str) else {}
        return [{"type": "file", **{name: each for name, each in kept.items() if name != "data"}, **size}]
    return [part] if part else []


def _result(answered: JSONObject) -> JSONObject:
    made: JSONObject = {"type": "tool_result", "tool_use_id": answered.get("id")}
    response = answered.get("response")
    given = as_object(response)
    if isinstance(error := given.get("error"), str):
        return made | {"content": error, "is_error": True}
    output = given.get("output", response)
    if isinstance(output, str) and output.startswith(_LAUNCHED):
        output = _LAUNCHED  # behind it are orders to the model
    return made | {"content": output}


def _speaks(value: JSONObject, subtype: str, blocks: list[JSONObject]) -> tuple[str, str | list[JSONObject]]:
    """Who speaks in a `user` line, and their words; no role if it is nothing of the talk."""
    displayed = _payload(value).get("displayText")
    words = content([block for block in blocks if not _is_beside(block)]) if blocks else ""
    if subtype == "notification":
        return "tool", notified(words) if isinstance(words, str) else words
    if subtype == "goal_runtime":
        return "", ""
    if isinstance(displayed, str):  # as it was shown, without what the program put around
        files = [block for block in blocks if block.get("type") != "text"]
        words = content([{"type": "text", "text": displayed}, *files])
    is_person = subtype in ("", "mid_turn_user_message", "realtime_message")
    return ("user" if is_person and value.get("provenance") in (None, "real_user") else "system"), words


def _is_beside(block: JSONObject) -> bool:
    words = block.get("text")
    return isinstance(words, str) and any(
        words.lstrip().startswith(first) and words.rstrip().endswith(last) for first, last in _BESIDE
    )


def _summary(value: JSONObject) -> str:
    """The summary with which a compressed history begins, without what a model is to do with it."""
    history = _payload(value).get("compressedHistory")
    first = cast("list[object]", history)[0] if isinstance(history, list) and history else None
    parts = as_object(first).get("parts")
    texts = (
        (cast("JSONObject", part).get("text") for part in cast("list[object]", parts) if isinstance(part, dict))
        if isinstance(parts, list)
        else ()
    )
    words = next((each for each in texts if isinstance(each, str)), "")
    return between(words, "state_snapshot") or words.partition(_TRAILER)[0].strip()

"""Reads the session of a Claude Code transcript: `<session>.jsonl` below `~/.claude/projects`, a line for each event.

The vendor calls the format its own affair and may change it; this is what transcripts hold. `user` and `assistant`
lines have a `message` of the Messages API, an answer one line for each of its blocks; results of tools come as `user`
lines, and what the person said while the model worked as an `attachment`. Lines of sub-agents (`isSidechain`) and those
the program itself put in (`isMeta`) are no part of the talk. The lines name their parents, but not reliably: parents
that were never written and lines written twice are known faults, so turns come in as they were written, each once.
A `summary` line may be another session's: it counts if its `leafUuid` is a line of this file.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from agentic_flywheel.cli.importers.conversation import (
    Imported,
    as_object,
    content,
    context,
    instant,
    session_id,
    text,
    title,
    turn,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_SYNTHETIC = "<synthetic>"
"""The model of a message that no model wrote: the program's own, on an error."""


def session(entries: Iterable[JsonEntry | BadEntry], name: str) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, and then the session; no session if nothing was said in it.

    `name` is the file's without its ending. A file that continues another has the lines of both sessions: it is the
    session of its name then, or else the one named last.
    """
    transcript = _Transcript()
    for entry in entries:
        if isinstance(entry, BadEntry):
            yield entry
            continue
        try:
            transcript.add(entry)
        except InvalidArgument as exc:
            yield BadEntry(entry.line, str(exc))
    if transcript.history:
        yield transcript.imported(name)


class _Transcript:
    """What is known after some of the lines."""

    def __init__(self) -> None:
        self.history: list[JSONObject] = []
        self._line = 0
        self._sessions: set[str] = set()
        self._last_session = ""
        self._uuids: set[str] = set()
        self._summaries: dict[str, str] = {}
        self._titles: dict[str, str] = {}
        self._compacted = ""
        self._times: list[datetime] = []
        self._known: dict[str, object] = {}

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no line of a transcript, or cannot be a turn.

        """
        value = entry.value
        kind, uuid = value.get("type"), value.get("uuid")
        if not isinstance(kind, str):
            raise InvalidArgument("has no type")
        if isinstance(uuid, str) and uuid in self._uuids:
            return
        if kind in ("user", "assistant", "attachment"):
            if not value.get("isSidechain") and not value.get("isMeta"):
                self._say(entry, kind)
        elif kind == "summary" and isinstance(leaf := value.get("leafUuid"), str):
            self._summaries[leaf] = text(value.get("summary"))
        elif kind in ("custom-title", "ai-title"):
            self._titles[kind] = text(value.get("customTitle" if kind == "custom-title" else "aiTitle"))
        if isinstance(uuid, str):
            self._uuids.add(uuid)

    def imported(self, name: str) -> Imported | BadEntry:
        """The session."""
        if not self._sessions:
            return BadEntry(self._line, "begins a talk of which no line names the sessionId")
        own = name if name in self._sessions else self._last_session
        summaries = [summary for leaf, summary in self._summaries.items() if leaf in self._uuids]
        titles = [self._titles.get("custom-title"), self._titles.get("ai-title"), *reversed(summaries)]
        return Imported(
            line=self._line,
            session_id=session_id("claude-code", own),
            title=title(next((each for each in titles if each), ""), self.history),
            summary=self._compacted,
            tags=(),
            created_at=min(self._times, default=None),
            updated_at=max(self._times, default=None),
            history=self.history,
            context=context("claude-code", **self._known),
        )

    def _say(self, entry: JsonEntry, kind: str) -> None:
        value = entry.value
        message = _waiting(value) if kind == "attachment" else as_object(value.get("message"), "its message")
        if message is None:
            return
        said = content(message.get("content"))
        if value.get("isCompactSummary"):
            self._compacted = text(said)
            return
        role = "assistant" if kind == "assistant" else "tool" if _has_results(said) else "user"
        made = turn(value.get("uuid"), role, said, value.get("timestamp"))
        if made is None:
            return
        self.history.append(made)
        self._line = self._line or entry.line
        if isinstance(own := value.get("sessionId"), str) and own:
            self._sessions.add(own)
            self._last_session = own
        if time := instant(value.get("timestamp")):
            self._times.append(time)
        model = message.get("model")
        newly = {"cwd": value.get("cwd"), "git_branch": value.get("gitBranch"), "model": model}
        self._known |= {key: each for key, each in newly.items() if each and each != _SYNTHETIC}


def _waiting(value: JSONObject) -> JSONObject | None:
    """The message that an attachment is, if the person wrote it and it waited for the model."""
    attached = as_object(value.get("attachment"), "its attachment")
    is_message = attached.get("type") == "queued_command" and attached.get("commandMode") == "prompt"
    return {"content": attached.get("prompt")} if is_message else None


def _has_results(said: str | list[JSONObject]) -> bool:
    return isinstance(said, list) and any(block.get("type") == "tool_result" for block in said)

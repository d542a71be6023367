"""Reads a talk of Continue (CLI 1.5.47): `<session>.json` below `~/.continue/sessions`, one JSON object.

`history` has a `message` (`role`, `content`, `toolCalls`) for each turn, and the results of its calls in
`toolCallStates`. Nothing has an id or a time: turns are told by their place, and the talk's times are those of the list
`sessions.json` beside it and of the file. A compaction leaves the whole history where it is. The title is "Untitled
Session" where nobody gave one.
"""

from collections.abc import Iterator

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, spoken, summary, thought
from agentic_flywheel.cli.importers.conversation import Imported, instant, text
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.left_out import each_message, reported
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, as_object, is_list, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_UNTITLED = ("Untitled Session", "New Session")


def is_talk(value: JSONObject) -> bool:
    """Whether the object is what Continue writes."""
    history = value.get("history")
    return isinstance(history, list) and "sessionId" in value and ("workspaceDirectory" in value or "title" in value)


def conversation(value: JSONObject, beside: Beside) -> Iterator[Imported | BadEntry]:
    """The talk, and before it what of it cannot be read; nothing if nothing was said in it."""
    own, talk = text(value.get("sessionId")), _Messages()
    if not own:
        yield BadEntry(1, "has no sessionId")
        return
    bad = list(each_message(as_list(value.get("history")), lambda number, item: talk.add(f"{own}:{number}", item)))
    talk.title = "" if value.get("title") in _UNTITLED else text(value.get("title"))
    talk.known["cwd"] = value.get("workspaceDirectory")
    listed = filter(is_object, as_list(beside.json_of("sessions.json")))
    dated = next((each.get("dateCreated") for each in listed if each.get("sessionId") == own), None)
    began = instant(int(dated) if isinstance(dated, str) and dated.isdecimal() and len(dated) < 20 else dated)
    changed = beside.changed_at
    last = max(began, changed) if began and changed else changed or began
    yield from reported(bad, list(talk.imported(own, created_at=began, updated_at=last)))


class _Messages(Messages):
    """The talk as it is after some items of its history."""

    def __init__(self) -> None:
        super().__init__("continue")
        self._thoughts: list[JSONObject] = []

    def add(self, own: str, item: JSONObject) -> None:
        """Take in the next item.

        Raises:
            InvalidArgument: it cannot be a turn.

        """
        message = as_object(item.get("message"))
        role, given = message.get("role"), message.get("content")
        said = spoken(given) if isinstance(given, str) else _parts(given)
        if role == "thinking":  # the thought stands before its answer
            self._thoughts = thought("\n".join(each["text"] for each in said if each["type"] == "text"))
            return
        if role == "tool":
            if not self.answered(message.get("toolCallId")):
                self.answer(1, message.get("toolCallId"), given)
            return
        if role == "system":  # rules of the program
            return
        if role not in ("user", "assistant"):
            raise InvalidArgument("its role is none of user, assistant, tool, thinking and system")
        if role == "assistant":
            for each in filter(is_object, as_list(message.get("toolCalls"))):
                function = as_object(each.get("function"))
                said.append(call(each.get("id"), function.get("name"), function.get("arguments")))
            said, self._thoughts = self._thoughts + said, []
        self.say(1, own, role, said)
        for each in filter(is_object, as_list(item.get("toolCallStates"))):
            if each.get("output"):
                self.answer(1, each.get("toolCallId"), each.get("output"))
        self.summary = summary(item.get("conversationSummary")) or self.summary
        model = as_object(message.get("usage")).get("model")
        self.known |= {"model": model} if text(model) else {}


def _parts(given: object) -> list[JSONObject]:
    """The texts and pictures of a content that is a list."""
    if given is not None and not is_list(given):
        raise InvalidArgument("its content is neither text nor a list")
    said: list[JSONObject] = []
    for part in filter(is_object, as_list(given)):
        if part.get("type") == "text":
            said += spoken(part.get("text"))
        elif part.get("type") == "imageUrl":
            url = text(as_object(part.get("imageUrl")).get("url"))
            said.append({"type": "image_url", "image_url": {"url": "" if url.startswith("data:") else url}})
    return said

"""Reads a talk of Cline's CLI (3.0.65): `<session>.messages.json` below `~/.cline/data/sessions`, one JSON object.

Messages are those of the Messages API with `ts` in milliseconds; results of tools come as user messages, and hold
`[{query, result, success}]`. The person's words are wrapped in `<user_input mode="act">`, and all else that a user
message says is the program's: what it reminds the model of may stand alone, and some of it is wrapped, too. It marks by
`metadata.displayRole` what it shows as its own. `<session>.json` beside it has the title, the folder, the model and the
times. A sub-agent's talk is `<agent>.messages.json` in the same folder; nothing in it is wrapped.
"""

import re
from collections.abc import Iterator

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import apart, spoken, summary, thought
from agentic_flywheel.cli.importers.conversation import Imported, Relation, instant, text
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.left_out import each_message, reported
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.cli.importers.talk import SUB_AGENT
from agentic_flywheel.documents.turn_values import as_list, as_object, is_list, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_PROGRAMS_OWN = (
    "<environment_details", "<system", "<workspace", "[TASK RESUMPTION]", "System-delivered teammate async run updates",
    "The user approved switching to act mode.",
)  # fmt: skip
"""How what the program says begins, wrapped as a person's words or not."""

_COMMAND = re.compile(r'<user_command slash="([^"<>]+)">(.*)</user_command>', re.DOTALL)
_TEAM = "Spawn a team of agents for the following task:"
"""What the program makes of `/team`."""


def is_talk(value: JSONObject) -> bool:
    """Whether the object is what Cline writes."""
    return isinstance(value.get("messages"), list) and isinstance(value.get("sessionId"), str) and "agent" in value


def conversation(value: JSONObject, beside: Beside) -> Iterator[Imported | BadEntry]:
    """The talk, and before it what of it cannot be read; nothing if nothing was said in it."""
    own = text(value.get("sessionId"))
    if not own:
        yield BadEntry(1, "has no sessionId")
        return
    messages = as_list(value.get("messages"))
    talk = _Messages(own, is_wrapped=any(_inside(text) for each in messages for text in _texts(as_object(each))))
    bad = list(each_message(messages, talk.add))
    origin = as_object(value.get("origin"))
    parent = text(origin.get("parentThreadId"))
    about = beside.object_of(f"{parent or beside.stem.removesuffix('.messages')}.json")
    about = about if about.get("session_id") == (parent or own) else {}
    talk.title = "" if parent else text(as_object(about.get("metadata")).get("title"))
    talk.known["cwd"] = about.get("cwd")
    talk.known.setdefault("model", about.get("model"))
    talk.known["program_version"] = origin.get("version")
    began, changed = None if parent else instant(about.get("started_at")), instant(value.get("updated_at"))
    relation: Relation | None = SUB_AGENT if parent else None
    talks = talk.imported(own, parent=parent, relation=relation, created_at=began, updated_at=changed)
    yield from reported(bad, list(talks))


class _Messages(Messages):
    """The talk as it is after some messages; `is_wrapped`: the person's words are, and nothing else is theirs."""

    def __init__(self, own: str, *, is_wrapped: bool) -> None:
        super().__init__("cline")
        self._own = own
        self._is_wrapped = is_wrapped

    def add(self, number: int, message: JSONObject) -> None:
        """Take in the next message.

        Raises:
            InvalidArgument: it cannot be a turn.

        """
        role, time, given = message.get("role"), message.get("ts"), message.get("content")
        if role not in ("user", "assistant"):
            raise InvalidArgument("its role is neither user nor assistant")
        if given is not None and not isinstance(given, str) and not is_list(given):
            raise InvalidArgument("its content is neither text nor a list")
        blocks = spoken(given) if isinstance(given, str) else list(filter(is_object, as_list(given)))
        about = as_object(message.get("metadata"))
        if about.get("kind") == "compaction_summary":
            self.summary = summary(about.get("summary")) or self.summary
            return
        said = _of_person(blocks, is_wrapped=self._is_wrapped) if role == "user" else _of_model(blocks)
        if about.get("displayRole") in _SHOWN_AS_ITS_OWN:  # what is shown of it stands in the place of an answer
            said, role = said if role == "assistant" else [], "system"
        self.say(1, text(message.get("id")) or f"{self._own}:{number}", role, said, time)
        for each in blocks:
            if each.get("type") == "tool_result":
                self.answer(1, each.get("tool_use_id"), each.get("content"), time)
        model = as_object(message.get("modelInfo")).get("id")
        self.known |= {"model": model} if text(model) else {}


_SHOWN_AS_ITS_OWN = ("system", "status", "error")
"""What a message may be shown as by its `metadata` that neither the person nor the model says."""


def _texts(message: JSONObject) -> list[str]:
    given = message.get("content")
    if isinstance(given, str):
        return [given]
    return [text for each in filter(is_object, as_list(given)) if isinstance(text := each.get("text"), str)]


def _inside(words: str) -> list[str]:
    return [each.partition(">")[2] for each in apart(words, "<user_input", "</user_input>")[0]]


def _of_person(blocks: list[JSONObject], *, is_wrapped: bool) -> list[JSONObject]:
    """What the person said and gave; `is_wrapped`: in this talk their words are, and nothing else is theirs."""
    texts = _texts({"content": blocks})
    said = [each for words in texts for each in _inside(words)] if is_wrapped else texts
    typed = (_as_typed(each.strip()) for each in said if not each.lstrip().startswith(_PROGRAMS_OWN))
    files = [each for each in blocks if each.get("type") in ("image", "document", "file")]
    return [block for each in typed for block in spoken(each)] + files


def _as_typed(words: str) -> str:
    words = apart(words, "<mode_notice>", "</mode_notice>")[1].strip()
    if not (command := _COMMAND.fullmatch(words)):
        return words
    given = command[2].strip()
    given = given[len(_TEAM) :].strip() if given.lower().startswith(_TEAM.lower()) else given
    return f"/{command[1]} {given}".strip()


def _of_model(blocks: list[JSONObject]) -> list[JSONObject]:
    said: list[JSONObject] = []
    for each in blocks:
        kind = each.get("type")
        if kind == "thinking":
            said += thought(each.get("thinking"))
        elif kind == "text":
            said += spoken(each.get("text"))
        elif kind == "tool_use":
            said.append({name: each[name] for name in ("type", "id", "name", "input") if name in each})
    return said

"""Reads a talk of Cline's CLI (3.0.65): `<session>.messages.json` below `~/.cline/data/sessions`, one JSON object.

Messages are those of the Messages API with `ts` in milliseconds; results of tools come as user messages, and hold
`[{query, result, success}]`. The person's words are wrapped in `<user_input mode="act">`; text beside them is the
program's. `<session>.json` beside it has the title, the folder, the model and the times.
"""

from collections.abc import Iterator

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import apart, spoken, thought
from agentic_flywheel.cli.importers.conversation import Imported, instant, text
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.left_out import each_message, reported
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_PROGRAMS_OWN = ("<environment_details", "<system", "<workspace", "[TASK RESUMPTION]")


def is_talk(value: JSONObject) -> bool:
    """Whether the object is what Cline writes."""
    return isinstance(value.get("messages"), list) and isinstance(value.get("sessionId"), str) and "agent" in value


def conversation(value: JSONObject, beside: Beside) -> Iterator[Imported | BadEntry]:
    """The talk, and before it what of it cannot be read; nothing if nothing was said in it."""
    own, talk = text(value.get("sessionId")), Messages("cline")
    if not own:
        yield BadEntry(1, "has no sessionId")
        return

    def add(number: int, message: JSONObject) -> None:
        role, time = message.get("role"), message.get("ts")
        if role not in ("user", "assistant"):
            raise InvalidArgument("its role is neither user nor assistant")
        given = message.get("content")
        blocks = spoken(given) if isinstance(given, str) else [each for each in as_list(given) if is_object(each)]
        if not isinstance(given, str | list | None):
            raise InvalidArgument("its content is neither text nor a list")
        said = _of_person(blocks) if role == "user" else _of_model(blocks)
        talk.say(1, text(message.get("id")) or f"{own}:{number}", role, said, time)
        for each in blocks:
            if each.get("type") == "tool_result":
                talk.answer(1, each.get("tool_use_id"), each.get("content"), time)
        model = as_object(message.get("modelInfo")).get("id")
        talk.known |= {"model": model} if text(model) else {}

    bad = list(each_message(as_list(value.get("messages")), add))
    about = beside.object_of(f"{beside.stem.removesuffix('.messages')}.json")
    about = about if about.get("session_id") == own else {}
    talk.title = text(as_object(about.get("metadata")).get("title"))
    talk.known["cwd"] = about.get("cwd")
    talk.known.setdefault("model", about.get("model"))
    talk.known["program_version"] = as_object(value.get("origin")).get("version")
    times = instant(about.get("started_at")), instant(value.get("updated_at"))
    yield from reported(bad, list(talk.imported(own, created_at=times[0], updated_at=times[1])))


def _of_person(blocks: list[JSONObject]) -> list[JSONObject]:
    """What the person said and gave: where any of it is wrapped, only that is theirs."""
    texts = [text for each in blocks if isinstance(text := each.get("text"), str)]
    inside = [found for each in texts for found in apart(each, "<user_input", "</user_input>")[0]]
    wrapped = [each.partition(">")[2].strip() for each in inside]
    said = wrapped or [each for each in texts if not each.lstrip().startswith(_PROGRAMS_OWN)]
    files = [each for each in blocks if each.get("type") in ("image", "document", "file")]
    return [block for each in said for block in spoken(each)] + files


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

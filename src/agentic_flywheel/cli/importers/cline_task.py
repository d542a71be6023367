"""Reads a task of Cline's editor extension: `tasks/<id>/api_conversation_history.json`, an array of messages.

Read in the program's source (3.4 to 3.40), and not run; Roo Code and Kilo Code write the same. It is what the model is
given: the person's words stand in `<task>`, `<feedback>`, `<answer>` or `<user_message>`, results of tools behind
`[name for '…'] Result:`, and the rest is the program's. Models that have no calls of their own write them as XML
(`<read_file><path>…`). A question, a plan and the result are calls, too: the person saw their words. There are no ids.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import apart, plain, spoken
from agentic_flywheel.cli.importers.cline_calls import SHOWN, of_model
from agentic_flywheel.cli.importers.conversation import Imported, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_DETAILS = "<environment_details>"
_TASK = re.compile(r"\d{10,16}|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}")
"""Names of the folders of tasks: when they began, or an id."""

_FOLDER = re.compile(r"# Current (?:Working|Workspace) Directory \(([^)\n]+)\)")
_TYPED = ("task", "feedback", "answer", "user_message")
_RESULT = re.compile(r"\[(\w+)[^\n]*?\] Result:\s*")
_NAMED = re.compile(r"'([^'\n]+)' \(see below for [^)\n]+\)")
"""What became of a file that the person named with an @."""

_TOLD = ("The user ", "You seem to be having trouble")
"""How results begin that tell what the person said to a call."""

_PROGRAMS_OWN = (
    "[TASK RESUMPTION]",
    "[ERROR]",
    "[NOTE]",
    "<",
    "# task_progress",
    "# TODO LIST",
    "(This is an automated",
)
"""How texts begin in which the person says nothing, unless a part of them is marked as theirs."""


def is_first(value: JSONObject) -> bool:
    """Whether it is the message with which such a task begins."""
    texts = list(_texts(value))
    return (
        value.get("role") == "user"
        and any("<task>" in each for each in texts)
        and any(each.lstrip().startswith(_DETAILS) for each in texts)
    )


def conversation(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, then the talk; none if nothing was said in it."""
    talk, messages = Messages("cline"), list[JSONObject]()
    for entry in entries:
        if isinstance(entry, BadEntry):
            yield entry
        else:
            messages.append(entry.value)
    first = "\n".join(_texts(messages[0])) if messages else ""
    digest = hashlib.blake2b(first.partition(_DETAILS)[0].encode(errors="surrogatepass"), digest_size=16).hexdigest()
    own = beside.folder if _TASK.fullmatch(beside.folder) else digest
    yield from _Task(talk, own).say(messages)
    yield from talk.imported(own)


class _Task:
    """What was said up to a place; calls without ids are told by their order."""

    def __init__(self, talk: Messages, own: str) -> None:
        self._talk = talk
        self._own = own
        self._open: list[str] = []
        """The calls of the last answer that have no result yet."""

    def say(self, messages: Sequence[JSONObject]) -> Iterator[BadEntry]:
        """Take in all of them, and tell those that cannot be turns."""
        for number, message in enumerate(messages, 1):
            own, time, content = f"{self._own}:{number}", message.get("ts"), message.get("content")
            try:
                if not isinstance(content, str | list):
                    raise InvalidArgument("its content is neither text nor a list")
                blocks = spoken(message["content"]) or list(filter(is_object, as_list(message["content"])))
                if message.get("role") == "assistant":
                    said = of_model(blocks, own)
                    self._open = [each["id"] for each in said if each["type"] == "tool_use"]
                    self._talk.say(1, own, "assistant", said, time)
                elif message.get("role") == "user":
                    self._asked(own, blocks, time)
                else:
                    raise InvalidArgument("its role is neither user nor assistant")
            except InvalidArgument as exc:
                yield BadEntry(1, f"has a message ({number:,}) left out: {exc}", is_message=True)

    def _asked(self, own: str, blocks: list[JSONObject], time: object) -> None:
        typed, result, is_shown = list[JSONObject](), "", False
        results = dict[str, list[str]]()
        for block in blocks:
            words = text(block.get("text"))
            if block.get("type") == "tool_result":
                result, words = text(block.get("tool_use_id")), plain(block.get("content"))
                is_shown = result not in self._open
            elif found := _RESULT.match(words):
                is_shown = found[1] in SHOWN
                result = f"{own}/result" if is_shown or not self._open else self._open.pop(0)
                words = words[found.end() :]
            elif block.get("type") == "image" and (is_shown or not result):
                typed.append(block)
            if words.lstrip().startswith(_DETAILS):
                found = _FOLDER.search(words)
                self._talk.known.setdefault("cwd", found[1] if found else None)
                continue
            said, rest = _typed(words) if is_shown or not result or words.startswith(_TOLD) else ([], words)
            typed += said
            if result and not is_shown:
                results.setdefault(result, []).append(rest)
            elif not said and not is_shown and not rest.lstrip().startswith(_PROGRAMS_OWN):
                typed += spoken(rest)
        for call, words in results.items():
            if said := "\n".join(words).strip():
                self._talk.answer(1, call, said, time)
        self._talk.say(1, own, "user", typed, time)


def _typed(words: str) -> tuple[list[JSONObject], str]:
    """What the person typed of a text, where it is marked as theirs, and the rest."""
    said = list[JSONObject]()
    for tag in _TYPED:
        inside, words = apart(words, f"<{tag}>", f"</{tag}>")
        said += [block for each in inside for block in spoken(_as_typed(each.strip()))]
    return said, words


def _as_typed(words: str) -> str:
    """What the person typed, with the files that they named as they named them."""
    return _NAMED.sub(lambda named: f"@{named[1]}" if "://" in named[1] else f"@/{named[1].lstrip('/')}", words)


def _texts(message: JSONObject) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for block in filter(is_object, as_list(content)):
        yield text(block.get("text"))

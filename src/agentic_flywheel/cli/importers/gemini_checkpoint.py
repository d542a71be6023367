"""Reads a talk that a person saved in Gemini CLI with `/chat save TAG`: `checkpoint-TAG.json` below `~/.gemini/tmp`.

Read in the program's source (0.1 to 0.61), and not run. It is what the model is given, an array of `{role: user|model,
parts}`; since late 2025 in the field `history` of an object. There are no ids and no times. What the program tells the
model by itself (where it runs, what the editor shows) and the model's thanks for it are no talk. What stood before a
compression is not in the file; its summary is. The tag is the title. A talk that was saved again under its tag is the
same one if it begins with the same prompt.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, plain, spoken, summary, thought, without_named_files
from agentic_flywheel.cli.importers.conversation import Imported, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_NOT_SAID = (
    "<session_context>", "This is the Gemini CLI. We are setting up the context for our chat",
    "Here is the user's editor context", "Here is a summary of changes in the user's editor context",
)  # fmt: skip
"""How that begins which the program tells the model in the person's name."""

_THANKS, _THANKS_FOR_A_SUMMARY = "Got it. Thanks for the context!", "Got it. Thanks for the additional context!"
"""What the program has the model say to it."""

_FOLDER = re.compile(r"(?:working in the directory: |Workspace Directories:\*{0,2}[ \t]*\n[ \t]*- )([^\n]+)")
_NAME = re.compile(r"checkpoint-(.+)")


def is_content(value: JSONObject) -> bool:
    """Whether it is an entry of such a file."""
    return value.get("role") in ("user", "model") and isinstance(value.get("parts"), list)


def is_checkpoint(value: JSONObject) -> bool:
    """Whether it is such a file that is an object."""
    return any(is_content(as_object(each)) for each in as_list(value.get("history")))


def conversation(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, then the talk, by the name of the file; none if nothing was said in it."""
    talk, contents = Messages("gemini-cli"), list[JSONObject]()
    match = _NAME.fullmatch(beside.stem)
    talk.title = unquote(match[1]) if match else ""
    for entry in entries:
        if isinstance(entry, BadEntry):
            yield entry
        elif is_content(entry.value):
            contents.append(entry.value)
        else:
            yield BadEntry(entry.line, "is no message of Gemini CLI: it has no role or no parts", is_message=True)
    known = [talk.title, next((_words(each) for each in contents if _typed(each)), "")]
    own = hashlib.blake2b("\n".join(known).encode(errors="surrogatepass"), digest_size=16).hexdigest()
    yield from _Contents(talk, own).say(contents)
    yield from talk.imported(f"checkpoint-{own}")


class _Contents:
    """What was said up to a place; calls that have no ids are told by their names and order."""

    def __init__(self, talk: Messages, own: str) -> None:
        self._talk = talk
        self._own = own
        self._open: dict[str, list[str]] = {}
        """The calls that have not been answered, by the name of the tool."""

    def say(self, contents: Sequence[JSONObject]) -> Iterator[BadEntry]:
        """Take in all of them, and tell those that cannot be turns."""
        own, said = "", list[JSONObject]()
        for number, (content, then) in enumerate(zip(contents, [*contents[1:], {}], strict=False), 1):
            parts = list(filter(is_object, as_list(content["parts"])))
            try:
                if content["role"] == "user" and _words(then) == _THANKS_FOR_A_SUMMARY:
                    self._talk.summary = summary(_words(content))
                elif content["role"] == "user":
                    own, said = "", []
                    self._asked(number, content, parts)
                elif _words(content) not in (_THANKS, _THANKS_FOR_A_SUMMARY):
                    own = own or f"{self._own}:{number}"  # what follows goes on with the same answer
                    said = [*said, *self._answered(number, parts)]
                    self._talk.say(1, own, "assistant", said)
            except InvalidArgument as exc:
                yield BadEntry(1, f"has a message ({number:,}) left out: {exc}", is_message=True)

    def _asked(self, number: int, content: JSONObject, parts: list[JSONObject]) -> None:
        for part in parts:
            if is_object(given := part.get("functionResponse")):
                waiting = self._open.get(text(given.get("name"))) or []
                answered = text(given.get("id")) or (waiting.pop(0) if waiting else f"call-{number}")
                self._talk.answer(1, answered, plain(given.get("response")))
            if found := _FOLDER.search(text(part.get("text"))):
                self._talk.known.setdefault("cwd", found[1].strip())
        self._talk.say(1, f"{self._own}:{number}", "user", _typed(content))

    def _answered(self, number: int, parts: list[JSONObject]) -> Iterator[JSONObject]:
        for place, part in enumerate(parts):
            if part.get("thought"):
                yield from thought(part.get("text"))
            elif is_object(called := part.get("functionCall")):
                own = text(called.get("id")) or f"call-{number}-{place}"
                if not text(called.get("id")):
                    self._open.setdefault(text(called.get("name")), []).append(own)
                yield call(own, called.get("name"), called.get("args"))
            else:
                yield from spoken(part.get("text"))


def _words(content: JSONObject) -> str:
    return "".join(text(part.get("text")) for part in filter(is_object, as_list(content.get("parts"))))


def _typed(content: JSONObject) -> list[JSONObject]:
    """What a person typed and gave in a content; nothing if it is not theirs."""
    parts = list(filter(is_object, as_list(content.get("parts")))) if content.get("role") == "user" else []
    blocks: list[JSONObject] = []
    for part in without_named_files(parts):
        if is_object(file := part.get("inlineData") or part.get("fileData")):
            blocks.append({"type": "file", **{name: each for name, each in file.items() if name != "data"}})
        elif not text(part.get("text")).startswith(_NOT_SAID):
            blocks += spoken(part.get("text"))
    return blocks

"""Gathers a talk of another program into turns: one an answer, each result of a tool right behind its call.

What a reader takes from a program's file it gives here as text, thoughts, calls and results; what leaves here has one
shape whatever the program was. A turn that is written again under its id takes the place of the one before, at the
time that it had first.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from agentic_flywheel.cli.importers.conversation import (
    Imported,
    Relation,
    content,
    context,
    instant,
    mended,
    session_id,
    text,
    title,
    turn,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.documents.turn_values import is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id

SUB_AGENT: Relation = "sub-agent"
"""The tag of a talk with a sub-agent, and its relation to the one that asked for it."""

PAGE_KEPT = 2000
"""Characters of a web page that a tool brought; the rest is no part of the talk, and is counted."""

_BRINGS_PAGES = re.compile(r"web|browse|fetch", re.IGNORECASE)

_SUMMARY = re.compile(r"\s*<summary>(.*)</summary>\s*", re.DOTALL)


class Talk:
    """One talk as far as it was read; `program` is the beginning of its session's id."""

    def __init__(self, program: str) -> None:
        self.title = ""
        self.summary = ""
        self.known: dict[str, object] = {}
        """What is known beside its turns: cwd, model, program_version, spawned_by …; the last value stays."""
        self._program = program
        self._line = 0
        self._turns: dict[str, JSONObject] = {}
        self._results: dict[str, dict[str, JSONObject]] = {}
        """The results of each turn's calls, by the id of the call."""
        self._callers: dict[str, tuple[str, str]] = {}
        """The turn that makes a call, and the name of the tool, by the id of the call."""
        self._halves: dict[str, int] = {}

    def say(self, line: int, own: str, role: str, blocks: Sequence[JSONObject], time: object = None) -> None:
        """Take in a turn, or what became of the one of that id. No blocks say nothing.

        Raises:
            InvalidArgument: it holds what cannot be kept.

        """
        if not own:
            raise InvalidArgument("it has no id")
        own = mended(own)[0]
        made, halves = self._made(own, role, blocks, time)
        if made is None:
            return
        if before := self._turns.get(own):
            made |= {"created_at": before["created_at"]} if "created_at" in before else {}
        self._turns[own] = made
        self._halves[own] = halves
        self._line = self._line or line
        for block in blocks:
            if block["type"] == "tool_use" and isinstance(block.get("id"), str):
                self._callers[block["id"]] = own, text(block.get("name"))

    def answer(self, line: int, call_id: object, output: object, time: object = None) -> None:
        """Take in what a tool answered to a call; one whose call is not there stands where it comes.

        Raises:
            InvalidArgument: it holds what cannot be kept.

        """
        if not isinstance(call_id, str) or not call_id:
            return
        caller, name = self._callers.get(call_id, ("", ""))
        answered = shortened(plain(output)) if _BRINGS_PAGES.search(name) else plain(output)
        block: JSONObject = {"type": "tool_result", "tool_use_id": call_id, "content": answered}
        own = mended(f"{caller}/{call_id}")[0]
        made, halves = self._made(own, "tool", [block], time)
        if made is None:
            return
        self._halves[own] = halves
        self._line = self._line or line
        if caller:
            self._results.setdefault(caller, {})[call_id] = made
        else:
            self._turns[own] = made

    def answered(self, call_id: object) -> bool:
        """Whether the result of that call is there."""
        caller = self._callers.get(call_id, ("", ""))[0] if isinstance(call_id, str) else ""
        return call_id in self._results.get(caller, ())

    def _made(self, own: str, role: str, blocks: Sequence[JSONObject], time: object) -> tuple[JSONObject | None, int]:
        whole, halves = mended(list(blocks))
        return turn(own, role, content(whole) if whole else "", time), halves

    def going_on(self, later: "Talk") -> "Talk":
        """Take in what `later` has behind the same turns under other ids; give it all, or `later` if it has others."""
        own, whole = self.history, later.history
        if [said["role"] for said in own] != [said["role"] for said in whole[: len(own)]]:
            return later
        self._turns |= {said["id"]: said for said in whole[len(own) :]}
        self._halves |= later._halves  # noqa: SLF001  another of its kind
        self.known |= later.known
        return self

    @property
    def history(self) -> list[JSONObject]:
        """The turns, each with the results of its calls right behind."""
        found: list[JSONObject] = []
        for own, said in self._turns.items():
            found += [said, *self._results.get(own, {}).values()]
        return found

    def imported(
        self,
        own: str,
        *,
        parent: str = "",
        relation: Relation | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
    ) -> Iterator[Imported]:
        """The talk as the session of the program's id `own`; nothing if only the program spoke in it.

        `parent` is the program's id of the talk that it belongs to; `created_at` and `updated_at` count where its
        turns have no times.
        """
        history = self.history
        if all(said["role"] == "system" for said in history):
            return
        times = [time for said in history if (time := instant(said.get("created_at")))]
        tags = (SUB_AGENT,) if relation == SUB_AGENT else ()
        yield Imported(
            line=self._line,
            session_id=session_id(self._program, own),
            title=title(mended(self.title)[0], history),
            summary=text(self.summary),
            tags=tags + project(self.known.get("cwd")),
            created_at=min(times, default=created_at),
            updated_at=max(times, default=updated_at or created_at),
            history=history,
            context=context(self._program, **self.known),
            halves=sum(self._halves.get(said["id"], 0) for said in history),
            parent=session_id(self._program, parent) if parent else "",
            relation=relation,
        )


def from_lines(
    entries: Iterable[JsonEntry | BadEntry],
    add: Callable[[JsonEntry], None],
    found: Callable[[], Iterable[Imported | BadEntry]],
) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talks that are `found` when every line was added."""
    bad = list[BadEntry]()
    for entry in entries:
        if isinstance(entry, BadEntry):
            bad.append(entry)
            continue
        try:
            add(entry)
        except InvalidArgument as exc:
            bad.append(BadEntry(entry.line, str(exc)))
    yield from reported(bad, list(found()))


def reported(bad: Iterable[BadEntry], found: Sequence[Imported | BadEntry]) -> Iterator[Imported | BadEntry]:
    """What cannot be read, as of the first talk, which has a name only now; then what was found."""
    talk = next((each.talk for each in found if isinstance(each, Imported)), "")
    for entry in bad:
        yield replace(entry, talk=talk, is_message=True) if talk else entry
    yield from found


def each_message(
    messages: Sequence[object], add: Callable[[int, JSONObject], None], line: int = 1
) -> Iterator[BadEntry]:
    """Add each message by its 1-based number; those that cannot be turns are told."""
    for number, message in enumerate(messages, 1):
        if message is None:
            continue
        try:
            if not isinstance(message, dict):
                raise InvalidArgument("it is not an object")
            add(number, cast("JSONObject", message))
        except InvalidArgument as exc:
            yield BadEntry(line, f"has a message ({number:,}) left out: {exc}")


def words(value: object) -> list[JSONObject]:
    """A text as the blocks of a turn: none if it is blank."""
    return [{"type": "text", "text": value}] if isinstance(value, str) and value.strip() else []


def thought(value: object) -> list[JSONObject]:
    """A thought as a block: none if it has no text."""
    return [{"type": "thinking", "thinking": value}] if isinstance(value, str) and value.strip() else []


def call(own: object, name: object, given: object) -> JSONObject:
    """A call of a tool as a block; arguments that are JSON in a text are taken for what they are."""
    if isinstance(given, str):
        with contextlib.suppress(ValueError, RecursionError):
            parsed: object = json.loads(given)
            given = parsed if is_object(parsed) else given
    return {"type": "tool_use", "id": own, "name": text(name), "input": given}


def plain(value: object) -> str:
    """What a tool answered as text: texts as they are, of blocks their texts, anything else as JSON.

    Raises:
        InvalidArgument: it is nested too deeply.

    """
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, dict):
        held = cast("JSONObject", value)
        for name in ("output", "error", "text", "content"):
            if isinstance(held.get(name), str) and (len(held) == 1 or held.get("type") == name):
                return held[name]
    texts = list(map(_text_of, cast("list[object]", value))) if isinstance(value, list) else []
    if texts and all(each is not None for each in texts):
        return "\n".join(cast("list[str]", texts))
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        raise InvalidArgument("it is nested too deeply") from None


def _text_of(block: object) -> str | None:
    if isinstance(block, str):
        return block
    held = cast("JSONObject", block) if isinstance(block, dict) else {}
    return next((held[name] for name in ("text", "content", "result") if isinstance(held.get(name), str)), None)


def apart(said: str, begin: str, end: str) -> tuple[list[str], str]:
    """What stands between each `begin` and the `end` behind it, and the text without them."""
    inside, rest, at = list[str](), "", 0
    while (start := said.find(begin, at)) >= 0 and (stop := said.find(end, start)) >= 0:
        inside.append(said[start + len(begin) : stop])
        rest, at = rest + said[at:start], stop + len(end)
    return inside, rest + said[at:]


def shortened(page: str) -> str:
    """The beginning of a web page, and how much of it is left out."""
    left = len(page) - PAGE_KEPT
    return f"{page[:PAGE_KEPT]}… [{left:,} more characters of a page were left out at import]" if left > 0 else page


def summary(value: object) -> str:
    """A summary without the marks around it."""
    said = text(value)
    match = _SUMMARY.fullmatch(said)
    return (match[1] if match else said).strip()


def project(cwd: object) -> tuple[str, ...]:
    """The tag of the project: the name of the folder that the talk was in; none if it is not known."""
    name = re.split(r"[/\\]", text(cwd).rstrip("/\\"))[-1]
    try:
        return (check_id(f"project:{name}", "the tag"),) if name else ()
    except InvalidArgument:
        return ()

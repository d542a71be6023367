"""Makes vendors' conversations into sessions and turns that the store can keep as they are."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, cast

from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.documents.model import MAX_TEXT
from agentic_flywheel.documents.turn_text import asked_in
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import MAX_DEPTH, JSONObject, check_json, each_text
from agentic_flywheel.keys import MAX_ID_LENGTH
from agentic_flywheel.plain_text import ellipsis, quoted

TITLE_SHOWN = 60
"""Characters of a title in a report."""

TIMES = ("created_at", "timestamp", "createdAt", "created", "time", "date")
"""Fields of a turn in which programs say when it was said."""

Relation = Literal["sub-agent", "background", "fork", "continuation"]
"""What a talk is to another: a helper's, the same one sent to the background, another way on, the next file of it."""

MILLISECONDS_FROM = 1e11  # as seconds that were the year 5138

_IN_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00").fullmatch
"""Times as `datetime.isoformat` writes them in UTC: `+` stands before `.` also among characters."""

_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII).fullmatch
"""Times as JavaScript writes them, which are nearly what `datetime.isoformat` writes of them in UTC."""

FIRST_WORDS = 80
"""Characters of a title made of what the person said first: a line of a list."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One conversation; `line` is the 1-based line of the file on which it begins (also in a JSON array).

    Every field can be saved as it is; times are aware. A turn is `{"id", "role", "content", "created_at"}`, with more
    where the vendor has more; `role` is user, assistant, tool or system, `content` text, or blocks where it is more.
    """

    line: int
    session_id: str
    title: str
    summary: str
    tags: tuple[str, ...]
    created_at: datetime | None
    updated_at: datetime | None
    history: list[JSONObject]
    context: JSONObject
    halves: int = 0
    """Halves of characters in its turns and its title that became U+FFFD."""
    parent: str = ""
    """The id of the session that it belongs to or goes on from, if it names one."""
    relation: Relation | None = None
    """What it is to that session, or to one that has its first turns."""
    values: JSONObject = field(default_factory=JSONObject)
    """Other fields of the session: `backend`, `backend_session_id`, `current_flow_id`, `user_id`."""
    executions: list[JSONObject] = field(default_factory=list[JSONObject])
    """Runs of its flow, oldest first: `id`, `result`, and `input`, `parameters`, `metrics` where they are known."""
    changed_at: datetime | None = None
    """When its program changed it last, as it says itself."""
    is_clean: bool = field(default=False, compare=False)
    """Whether its turns were looked through, and nothing in them looks like a credential."""

    @property
    def said_at(self) -> datetime | None:
        """When the last of it was said."""
        texts = [time for turn in self.history if (time := turn.get("created_at"))]
        if len(texts) == len(self.history) and all(isinstance(time, str) and _IN_UTC(time) for time in texts):
            return instant(max(texts, default=None)) or self.updated_at  # as `turn` writes them, texts go by time
        return max(filter(None, map(time_of, self.history)), default=self.updated_at)

    @property
    def talk(self) -> str:
        """What a report calls it."""
        return named(self.title, self.session_id)


def named(title: str, own: str) -> str:
    """A talk as reports name it: its title and its id, as far as it has them."""
    title = ellipsis(" ".join(title.split()), TITLE_SHOWN)
    return f"{quoted(title)} ({own})" if title and own else own or (title and quoted(title))


def named_entry(entry: JsonEntry, title: object, own: str) -> str:
    """A talk that could not be read yet: by its title and id, or else by its place in the file."""
    return named(text(title), own) or (f"entry {entry.number:,}" if entry.number else "")


def time_of(turn: JSONObject) -> datetime | None:
    """When the turn was said, if it says so."""
    return next(filter(None, (instant(turn.get(name)) for name in TIMES)), None)


def context(vendor: str, **more: object) -> JSONObject:
    """What is known of a conversation beside its turns: where it is from, and those of the values that are text."""
    return {"imported_from": vendor} | {name: text(value) for name, value in more.items() if text(value)}


def tagged(what: str, name: str) -> tuple[str, ...]:
    """The tag that names what a talk belongs to, as `project:garden`; none if there is no name."""
    return (text(f"{what}:{' '.join(name.split())}")[:MAX_ID_LENGTH],) if name.strip() else ()


def text(value: object) -> str:
    """The value as a text of a session: cut to its limit, half characters replaced; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    cut = value[:MAX_TEXT]
    return cut if cut.isascii() else mended(cut)[0]


def uncut(value: object) -> str:
    """The value as it is, if it is a text; else an empty one."""
    return value if isinstance(value, str) else ""


def mended(value: Any) -> tuple[Any, int]:  # noqa: ANN401
    """The value with U+FFFD for each half of a character, of which JSON carries only whole ones; and how many it had.

    What is nested so deeply that it cannot be kept stays as it is.
    """
    try:
        check_json(value, "")
    except InvalidArgument:
        return _mended(value)
    return value, 0


def _mended(value: object) -> tuple[Any, int]:
    halves = 0

    def mend(text: str, _: str) -> str:
        nonlocal halves
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # two halves in turn are one
        halves += whole.count("\ufffd") - text.count("\ufffd")
        return whole

    return each_text(value, mend), halves


def title(given: object, history: Iterable[JSONObject]) -> str:
    """The vendor's title, or else the first words of the person that are no command."""
    if own := text(given).strip():
        return own
    texts = (asked_in(turn).strip() for turn in history)
    first = next((words for words in texts if words and not words.startswith("<")), "")
    return first.partition("\n")[0][:FIRST_WORDS].strip()


def instant(value: object) -> datetime | None:
    """The time that ISO 8601 text, or a number of (milli)seconds since 1970, names, in UTC; `None` if it is neither."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value.removesuffix(" UTC"))  # Langflow's
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS_FROM else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def must_be_object(value: Any, name: str) -> JSONObject:  # noqa: ANN401  a cast is a call for each line
    """The value, if it is an object.

    Raises:
        InvalidArgument: it is not.

    """
    if value.__class__ is not dict:
        raise InvalidArgument(f"{name} is not an object")
    return value


def content(value: object) -> str | list[JSONObject]:
    """A message's content: its text where there is only text, otherwise its blocks.

    Raises:
        InvalidArgument: it is neither text nor a list of objects.

    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidArgument("its content is neither text nor a list")
    blocks = [must_be_object(block, "a block of its content") for block in cast("list[object]", value)]
    for block in blocks:
        if not _is_text(block):
            return blocks
    return "\n\n".join([block["text"] for block in blocks])


def _is_text(block: JSONObject) -> bool:
    return block.get("type") == "text" and isinstance(block.get("text"), str) and not block.get("citations")


def turn(
    message_id: object,
    role: str,
    said: str | list[JSONObject],
    created_at: object,
    *,
    is_whole: bool = False,
    **more: object,
) -> JSONObject | None:
    """A message as a turn; `None` if there is nothing in it. Of `more`, what is not empty is kept with it.

    A text of `more` (who spoke, to whom) says nothing by itself; a list (files) does. `is_whole`: it is known to have
    no halves of characters.

    Raises:
        InvalidArgument: the message holds what JSON cannot carry.

    """
    kept = {name: value for name, value in more.items() if value} if more else more
    is_empty = not (said.strip() if isinstance(said, str) else said)
    if is_empty and all(isinstance(value, str) for value in kept.values()):
        return None
    made: JSONObject = {"id": message_id} if isinstance(message_id, str) and message_id else {}
    made |= {"role": role, "content": said}
    if time := _written(created_at):
        made["created_at"] = time
    made |= kept
    try:
        check_json(made, "", depth=1, is_whole=is_whole)
    except InvalidArgument:
        # Not its own words: the path in them is made of the conversation's keys.
        raise InvalidArgument(
            f"it holds a number that is not finite or more than {MAX_DEPTH} levels of nesting"
        ) from None
    if isinstance(said, list):
        made["content"] = [_without_data(block) for block in said]
    return made


def _written(time: object) -> str:
    """The time as `datetime.isoformat` writes it in UTC; empty if it is none."""
    if isinstance(time, str) and _MILLISECONDS(time) and _day(time[:10]):  # in a third of the time
        return f"{time[:19]}+00:00" if time[19:23] == ".000" else f"{time[:23]}000+00:00"
    return known.isoformat() if (known := instant(time)) else ""


_day = lru_cache(1000)(instant)


def _without_data(block: JSONObject) -> JSONObject:
    """The block without the bytes of pictures and documents: they fill a session and tell a model nothing."""
    source, inner = block.get("source"), block.get("content")
    if isinstance(source, dict) and isinstance(cast("JSONObject", source).get("data"), str):
        known = cast("JSONObject", source)
        kept = {name: value for name, value in known.items() if name != "data"}
        return block | {"source": kept | {"omitted_characters": len(known["data"])}}
    if isinstance(inner, list):
        items = cast("list[object]", inner)
        kept = [_without_data(cast("JSONObject", each)) if isinstance(each, dict) else each for each in items]
        return block | {"content": kept}
    return block


@dataclass(slots=True)
class Turns:
    """The turns of a conversation, the messages that cannot be turns, and how many halves of characters were mended."""

    history: list[JSONObject]
    bad: list[BadEntry]
    halves: int

    def reported(self, talk: str) -> Iterator[BadEntry]:
        """The messages that are left out, as those of this talk; if nothing is left of it, the first stands for it."""
        for number, entry in enumerate(self.bad):
            yield replace(entry, talk=talk, is_message=bool(self.history or number))


def turns(
    line: int,
    messages: Iterable[tuple[int, object]],
    made_of: Callable[[JSONObject], JSONObject | None],
    *,
    is_whole: bool = False,
) -> Turns:
    """The numbered messages of the conversation at `line` as turns; `is_whole`: none has halves of characters."""
    made = Turns([], [], 0)
    for number, message in messages:
        whole, halves = (message, 0) if is_whole else mended(message)
        try:
            turn = made_of(must_be_object(whole, "it"))
        except InvalidArgument as exc:
            made.bad.append(BadEntry(line, f"has a message ({number:,}) left out: {exc}"))
        else:
            if turn:
                made.history.append(turn)
                made.halves += halves
    return made

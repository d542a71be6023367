"""Tells what of a file cannot be read, entry by entry or message by message, as of the talk that comes of the rest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject


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


def each_message(messages: Sequence[object], add: Callable[[int, JSONObject], None]) -> Iterator[BadEntry]:
    """Add each message of a file that is one object by its 1-based number; those that cannot be turns are told."""
    for number, message in enumerate(messages, 1):
        if message is None:
            continue
        try:
            if not isinstance(message, dict):
                raise InvalidArgument("it is not an object")
            add(number, cast("JSONObject", message))
        except InvalidArgument as exc:
            yield BadEntry(1, f"has a message ({number:,}) left out: {exc}")

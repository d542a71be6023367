"""Knows what is off the record: a folder, a session, all, or whatever lies below a file `.flywheel-off`.

    capture/off.json   {"spans": [{"folder" | "session" | "all", "since", "until"?, "file"?}]}

A span without `until` is open: nothing of what it is about is read. Its times stay when it is closed, so that what was
said meanwhile is left out for ever, by whatever door it comes. Times are seconds since 1970. A file `.flywheel-off`
has no diary: since when is told by its times, until when by those of its folder, which are later if anything.
"""

import os
import time
from typing import Any, cast

from agentic_flywheel.cli.capture import small_files

SWITCH = ".flywheel-off"
"""The file that keeps a folder, and all below it, off the record."""

ALL = "all"

Span = dict[str, Any]


def spans(place: str) -> list[Span]:
    """All that is known, closed spans too. Where the file cannot be read, all is off the record: nothing slips out."""
    path = os.path.join(place, "off.json")
    value = small_files.read(path).get("spans")
    if isinstance(value, list):
        return [span for span in cast("list[Any]", value) if isinstance(span, dict)]
    return [{ALL: True, "since": 0}] if os.path.lexists(path) else []


def is_off(place: str, cwd: str, sessions: tuple[str, ...]) -> bool:
    """Whether nothing of a talk in this folder, with one of these ids, may be read now; notes what files say."""
    known = spans(place)
    switch = switch_above(cwd)
    if known or switch:
        known = _noted(place, known, switch)
    return bool(switch) or any("until" not in span and concerns(span, cwd, sessions) for span in known)


def open_now(place: str) -> list[str]:
    """What is off the record now, in words."""
    told: list[str] = []
    for span in spans(place):
        if "until" not in span:
            folder, session = span.get("folder"), span.get("session")
            told.append(f"talks in {folder}" if folder else f"session {session}" if session else "all talks")
    return told


def gaps(place: str, cwd: str, sessions: tuple[str, ...]) -> list[tuple[float, float]]:
    """When a talk in this folder, with one of these ids, was off the record; from, to."""
    return [
        (float(span["since"]), float(span["until"]))
        for span in spans(place)
        if "until" in span and concerns(span, cwd, sessions)
    ]


def concerns(span: Span, cwd: str, sessions: tuple[str, ...]) -> bool:
    """Whether a span is about a talk in this folder, with one of these ids."""
    if ALL in span:
        return True
    if folder := span.get("folder"):
        return bool(cwd) and (real(cwd) + os.sep).startswith(folder.rstrip(os.sep) + os.sep)
    own = span.get("session", "")
    return bool(own) and any(each == own or each.endswith(f"-{own}") or own.endswith(f"-{each}") for each in sessions)


def real(folder: str) -> str:
    """A folder as it is compared: absolute, links resolved."""
    return os.path.realpath(os.path.expanduser(folder))


def switch_above(cwd: str) -> str:
    """The folder, this one or one above it, in which the file is; empty if none is."""
    folder = real(cwd) if cwd else ""
    while folder:
        if os.path.lexists(os.path.join(folder, SWITCH)):
            return folder
        above = os.path.dirname(folder)
        folder = above if above != folder else ""
    return ""


def begin(place: str, about: Span) -> bool:
    """Open a span; whether it was not open before.

    Raises:
        OSError: it cannot be noted.

    """
    known = spans(place)
    if any("until" not in span and span.items() >= about.items() for span in known):
        return False
    _write(place, [*known, about | {"since": time.time()}])
    return True


def end(place: str, about: Span) -> int:
    """Close the open spans about this; how many there were.

    Raises:
        OSError: it cannot be noted.

    """
    known, now = spans(place), time.time()
    ended = [span for span in known if "until" not in span and "file" not in span and span.items() >= about.items()]
    if ended:
        _write(place, [span | {"until": now} if span in ended else span for span in known])
    return len(ended)


def _noted(place: str, known: list[Span], switch: str) -> list[Span]:
    """The spans, with what files say now; written if it is new."""
    noted = [span if "until" in span or "file" not in span else _as_of_now(span) for span in known]
    if switch and not any("until" not in span and span.get("folder") == switch and "file" in span for span in noted):
        status = os.lstat(os.path.join(switch, SWITCH))
        noted.append({"folder": switch, "file": True, "since": min(status.st_mtime, status.st_ctime)})
    if noted != known:
        _write(place, noted)
    return noted


def _as_of_now(span: Span) -> Span:
    """A span of a file; closed if the file has gone, at the last time at which that can have been."""
    if os.path.lexists(os.path.join(span["folder"], SWITCH)):
        return span
    try:
        return span | {"until": max(os.stat(span["folder"]).st_mtime, span["since"])}
    except OSError:
        return span | {"until": time.time()}


def _write(place: str, known: list[Span]) -> None:
    os.makedirs(place, 0o700, exist_ok=True)
    small_files.write(os.path.join(place, "off.json"), {"spans": known})

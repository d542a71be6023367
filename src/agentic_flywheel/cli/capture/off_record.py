"""Knows what is off the record: a folder, a session, all, or whatever lies below a file `.flywheel-off`.

    capture/off.json   {"spans": [{"folder" | "session" | "all", "since", "up"?, "until"?, "lasted"?, "file"?}]}

A span without `until` is open: nothing of what it is about is read. Its times stay when it is closed, so that what was
said meanwhile is left out for ever, by whatever door it comes. Times are seconds since 1970. A file `.flywheel-off`
has no diary: since when is told by its times, until when by those of its folder, which are later if anything.
A clock that is put back meanwhile ends a span before it began: so the time that passed is noted, too (`lasted`).
"""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.file_lock import wait_for_lock

SWITCH = ".flywheel-off"
"""The file that keeps a folder, and all below it, off the record."""

ALL = "all"

_BEGAN = re.compile(rb'"(?:timestamp|startTime)"\s*:\s*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[^"]*(?:Z|\+00:00)"')
"""The first time that a transcript names."""

HEAD_BYTES = 65_536
"""Of a transcript, in which that is looked for."""

LOCK, LOCK_SECONDS = "off.lock", 2.0
"""What is held while the diary is changed, and for how long others wait for it: each change takes milliseconds."""

Span = dict[str, Any]


def spans(place: str) -> list[Span]:
    """All that is known, closed spans too. Where the file cannot be read, all is off the record: nothing slips out."""
    path = diary(place)
    value = small_files.read(path).get("spans")
    if isinstance(value, list):
        return [span for span in cast("list[Any]", value) if isinstance(span, dict)]
    return [{ALL: True, "since": 0}] if os.path.lexists(path) else []


def is_off(place: str, cwd: str, sessions: tuple[str, ...]) -> bool:
    """Whether nothing of a talk in this folder, with one of these ids, may be read now; notes what files say."""
    known = spans(place)
    switch = switch_above(cwd)
    if _noted(known, switch) != known:
        known = _change(place, lambda now: _noted(now, switch))
    return bool(switch) or any("until" not in span and concerns(span, cwd, sessions) for span in known)


def open_now(place: str, about: Span | None = None) -> list[str]:
    """What is off the record now, in words; with a folder or a session, only what this is off the record by."""
    folder, session = (about or {}).get("folder", ""), (about or {}).get("session", "")
    told: list[str] = []
    for span in _noted(spans(place), ""):
        if "until" not in span and (not (folder or session) or concerns(span, folder, (session,))):
            own, named = span.get("folder"), span.get("session")
            told.append(f"talks in {own}" if own else f"session {named}" if named else "all talks")
    return told


def paused_by(place: str, cwd: str, session: str) -> str:
    """What a talk in this folder, of this id, is off the record by now, and what ends that; empty if it is not."""
    with suppress(OSError):  # where nothing can be noted, the file itself still tells
        is_off(place, cwd, (session,))
    opened = [span for span in _noted(spans(place), "") if "until" not in span and concerns(span, cwd, (session,))]
    if switch_above(cwd):
        return f"talks in this folder off the record by a file {SWITCH}; that ends when it is taken away"
    if any(ALL in span for span in opened):
        return "all talks off the record; `agentic-flywheel-state capture resume` ends that"
    if any("folder" in span for span in opened):
        return "talks in this folder off the record; `agentic-flywheel-state capture resume --folder` ends that"
    how = "`agentic-flywheel-state capture resume --session` ends that"
    return f"this session off the record; {how}" if opened else ""


def gaps(place: str, cwd: str, sessions: tuple[str, ...]) -> list[tuple[float, float]]:
    """When a talk in this folder, with one of these ids, was off the record; from, to."""
    closed = [span for span in spans(place) if "until" in span and concerns(span, cwd, sessions)]
    return [gap for span in closed for gap in _gaps_of(span)]


def _gaps_of(span: Span) -> list[tuple[float, float]]:
    """When a closed span was: by the clock as it was, and as it is, where that was put back meanwhile."""
    since, until = float(span["since"]), float(span["until"])
    if since <= until:
        return [(since, until)]
    lasted = float(span.get("lasted", since - until))
    return [(since, since + lasted), (until - lasted, until)]


def _up() -> float:
    """The seconds since this machine was started, which nobody sets; as far as can be told, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def was_off(place: str, cwd: str, sessions: tuple[str, ...], path: str) -> bool:
    """Whether a transcript may hold what was said off the record: a talk that began before such a time was over."""
    over = max((until for _, until in gaps(place, cwd, sessions)), default=0.0)
    if not over:
        return False
    try:
        with open(path, "rb") as file:
            began = _BEGAN.search(file.read(HEAD_BYTES))
    except OSError:
        return True
    return began is None or began[1].decode() <= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(over))


def concerns(span: Span, cwd: str, sessions: tuple[str, ...]) -> bool:
    """Whether a span is about a talk in this folder, with one of these ids."""
    if ALL in span:
        return True
    if folder := span.get("folder"):
        return bool(cwd) and (real(cwd) + os.sep).startswith(folder.rstrip(os.sep) + os.sep)
    return any(is_same_session(span.get("session", ""), each) for each in sessions)


def is_same_session(one: str, other: str) -> bool:
    """Whether two ids are of one session: ours begin with the program's name, the program's own do not."""
    return bool(one and other) and (one == other or one.endswith(f"-{other}") or other.endswith(f"-{one}"))


def real(folder: str) -> str:
    """A folder as it is compared: absolute, links resolved."""
    return os.path.realpath(os.path.expanduser(folder))


def switch_above(cwd: str) -> str:
    """The folder, this one or one above it, in which the file is; empty if none is."""
    found = (path for path in switches_of(real(cwd)) if os.path.lexists(path)) if cwd else ()
    return next(map(os.path.dirname, found), "")


def switches_of(folder: str) -> list[str]:
    """Where the file may be, this folder first, which is given as `real` gives it."""
    found = [os.path.join(folder, SWITCH)]
    while (above := os.path.dirname(folder)) != folder:
        folder = above
        found.append(os.path.join(folder, SWITCH))
    return found


def diary(place: str) -> str:
    """The file in which it is kept what is, and was, off the record."""
    return os.path.join(place, "off.json")


def begin(place: str, about: Span) -> bool:
    """Open a span; whether it was not open before. One of a file is none: it ends when the file is taken away.

    Raises:
        OSError: it cannot be noted.

    """
    new = about | {"since": time.time(), "up": _up()}

    def begun(known: list[Span]) -> list[Span]:
        return known if any("file" not in span and _is_open(span, about) for span in known) else [*known, new]

    return new in _change(place, begun)


def end(place: str, about: Span) -> int:
    """Close the open spans about this; how many there were.

    Raises:
        OSError: it cannot be noted.

    """
    until, up = time.time(), _up()

    def closed(span: Span) -> Span:
        lasted = up - float(span.get("up", up + 1))  # below nought: started again, or noted by an older version
        return span | {"until": until} | ({"lasted": lasted} if lasted >= 0 else {})

    def ended(known: list[Span]) -> list[Span]:
        return [closed(span) if "file" not in span and _is_open(span, about) else span for span in known]

    return sum(span.get("until") == until for span in _change(place, ended))


def _is_open(span: Span, about: Span) -> bool:
    """Whether a span is about this alone, and open."""
    own, asked = span.get("session", ""), about.get("session", "")
    return "until" not in span and (is_same_session(own, asked) if asked else span.items() >= about.items())


def _noted(known: list[Span], switch: str) -> list[Span]:
    """The spans, with what files say now."""
    noted = [span if "until" in span or "file" not in span else _as_of_now(span) for span in known]
    if switch and not any("until" not in span and span.get("folder") == switch and "file" in span for span in noted):
        status = os.lstat(os.path.join(switch, SWITCH))
        noted.append({"folder": switch, "file": True, "since": min(status.st_mtime, status.st_ctime)})
    return noted


def _as_of_now(span: Span) -> Span:
    """A span of a file; closed if the file has gone, at the last time at which that can have been."""
    if os.path.lexists(os.path.join(span["folder"], SWITCH)):
        return span
    try:
        return span | {"until": max(os.stat(span["folder"]).st_mtime, span["since"])}
    except OSError:
        return span | {"until": time.time()}


def _change(place: str, change: Callable[[list[Span]], list[Span]]) -> list[Span]:
    """Change the spans, while nobody else does: of two that come at once, neither is lost. What they are then.

    Raises:
        OSError: they cannot be noted.

    """
    os.makedirs(place, 0o700, exist_ok=True)
    file = os.open(os.path.join(place, LOCK), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        wait_for_lock(file, LOCK_SECONDS)
        before = spans(place)
        after = change(before)
        if after != before:
            small_files.write(diary(place), {"spans": after})
        return after
    finally:
        os.close(file)

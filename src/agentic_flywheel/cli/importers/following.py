"""Reads a growing file of lines from where the last run ended, where what was appended simply goes on.

A program that appends offers a `Follower` beside its reader (`FOLLOWED`). It looks at each line once and says whether
the talk went on from the line before, and whether a later run may begin behind it. What it keeps between two runs are
ids and digests, never words. Whatever is out of the ordinary (another branch, a compaction, a new title, an answer that
goes on) makes it say no: then the file is read whole, which is always right.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from agentic_flywheel.cli.importers.claude_code_follower import ClaudeCodeFollower
from agentic_flywheel.cli.importers.codex_follower import CodexFollower
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read
from agentic_flywheel.cli.importers.json_entries import BadEntry, Given, JsonEntry, lines
from agentic_flywheel.cli.importers.noted import Place
from agentic_flywheel.cli.importers.qwen_code_follower import QwenCodeFollower
from agentic_flywheel.json_text import JSONObject


class Follower(Protocol):
    """Follows the lines of one file."""

    def __init__(self, state: JSONObject) -> None:
        """Go on from what `state` of an earlier run said; `{}` at the beginning of a file."""

    def goes_on(self, value: JSONObject) -> bool:
        """Whether this next line simply goes on from what was seen. Each line is shown once, whatever was answered."""
        ...

    def is_settled(self) -> bool:
        """Whether no later line belongs to a turn of those seen: a run may begin behind the last one."""
        ...

    def state(self) -> JSONObject:
        """What the next run has to know: some ids and digests, no words of the talk, at most some kilobytes."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What follows a program's lines.

    `begun`: a line as it would be if a file began with it. `noise`: how lines begin that say nothing of the talk and
    are most of a file; they are not parsed.
    """

    follower: Callable[[JSONObject], Follower]
    begun: Callable[[JSONObject], JSONObject] = lambda value: value
    noise: tuple[bytes, ...] = ()


_CLAUDE_NOISE = (b'{"type":"api-request', b'{"type":"cost-state",')
"""Requests with their whole prompts, and what they cost."""

FOLLOWED: dict[str, Followed] = {
    "claude-code": Followed(ClaudeCodeFollower, lambda value: value | {"parentUuid": None}, _CLAUDE_NOISE),
    "codex": Followed(CodexFollower),
    "qwen-code": Followed(QwenCodeFollower, lambda value: value | {"parentUuid": None}),
}
"""By kind. A kind that is not here is read whole whenever its file has changed."""


@dataclass(frozen=True, slots=True)
class Grown:
    """What was read, of the whole file or of what is new, and where the next run may begin."""

    entries: list[Imported | BadEntry]
    place: Place


def read_whole(path: Path, kind: str, limit: int) -> Grown:
    """All of a file whose lines are followed.

    Raises:
        OSError: it cannot be read.

    """
    track = _Track(FOLLOWED[kind], Place())
    found = list(read(path, kind, limit, lambda file: Given(track.entries(file, limit))))
    return Grown(found, track.place)


def read_tail(path: Path, kind: str, limit: int, place: Place) -> Grown | None:
    """The turns behind `place`, as a talk of their own; `None` where the file must be read whole.

    `Imported.title`, `.summary`, `.tags` and `.created_at` say nothing then: no line told another one.

    Raises:
        OSError: it cannot be read.

    """
    track = _Track(FOLLOWED[kind], place)
    with path.open("rb") as file:
        file.seek(place.offset)
        entries = list(track.entries(file, limit))
    if not track.goes_on:
        return None
    first = next((at for at, each in enumerate(entries) if isinstance(each, JsonEntry) and each.value.get("uuid")), 0)
    if entries and isinstance(each := entries[first], JsonEntry):
        entries[first] = replace(each, value=FOLLOWED[kind].begun(each.value))
    found = list(read(path, kind, limit, lambda _: Given(iter(entries)), is_tail=True))
    return Grown(found, track.place) if sum(isinstance(each, Imported) for each in found) < 2 else None


class _Track:
    """Gives the entries of a file from a place on, and notes the last place where the next run may begin."""

    def __init__(self, followed: Followed, place: Place) -> None:
        self._follower = followed.follower(place.state or {})
        self._noise = followed.noise
        self._place = place.offset, place.line, place.state
        self.goes_on = True

    @property
    def place(self) -> Place:
        """The last one."""
        return Place(*self._place)

    def entries(self, file: IO[bytes], limit: int) -> Iterator[JsonEntry | BadEntry]:
        """The entries, in order. A last line that has no end may still be written: the next run reads it again."""
        counted, follower = _Counted(file, self._noise), self._follower
        offset, line, _ = self._place
        for each in lines(counted, limit, line + 1):
            if isinstance(each, JsonEntry):
                self.goes_on = follower.goes_on(each.value) and self.goes_on
            if counted.has_end and follower.is_settled():
                self._place = offset + counted.read, each.line, follower.state()  # a `Place` takes longer than the rest
            yield each


class _Counted:
    """A file whose bytes are counted as they are read; lines of noise are given as empty ones."""

    def __init__(self, file: IO[bytes], noise: tuple[bytes, ...]) -> None:
        self._file = file
        self._noise = noise
        self.read = 0
        self.has_end = True

    def readline(self, size: int = -1) -> bytes:
        """The next line, or `size` bytes of it."""
        line = self._file.readline(size)
        self.read += len(line)
        self.has_end = line.endswith(b"\n") or (not line and self.has_end)
        return b"\n" if self.has_end and line.startswith(self._noise) else line

"""Tells where a file lies, and finds what stands of its talk in other files around it.

That is its title or its folder, what a sub-agent was asked for, the origin of a fork. Only files of the same folder, of
the same program's folder or of the same archive are looked at, and no links.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from agentic_flywheel.cli.importers.json_entries import MAX_ENTRY_BYTES, JsonEntry, lines
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.json_text import JSONObject

LONGEST = 1_000_000
"""Bytes of a small file beside it that are read: they hold a title, a folder, a list of talks."""

FOLDERS_ABOVE = 6
"""In which a program's list of its projects is looked for."""

_THREAD = re.compile(r"[0-9A-Za-z-]{1,64}")
"""What may stand in a file's name as the id of a thread."""

_CODEX_FOLDERS = ("sessions", "archived_sessions")

_NAMES = "session_index.jsonl"
"""The file in Codex' folder with the names of threads, a line each time that one is given."""

MAX_NAMES = 100_000
"""Lines of it that are read."""

_UNREADABLE = (OSError, ValueError, KeyError, RecursionError, NotImplementedError, RuntimeError, EOFError,
               zipfile.BadZipFile, zlib.error)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beside:
    """Where a file lies: `stem` is its name without its ending, `folder` that of its folder, if it is known.

    `path` is the file itself where it is one of this machine, `name` its name in the `archive` where it lies in one;
    standard input has neither. `is_tail`: only what is new of the file is read.
    """

    stem: str
    folder: str = ""
    path: Path | None = None
    archive: zipfile.ZipFile | None = None
    name: str = ""
    is_tail: bool = False

    def text_of(self, name: str) -> str:
        """The text of the file of that name in the same folder; empty if there is none that can be read."""
        try:
            beside = self.path.with_name(name) if self.path else str(PurePosixPath(self.name or "none").with_name(name))
            with self._opened(beside) as file:
                return file.read(LONGEST).decode(errors="replace")
        except _UNREADABLE:
            return ""

    def is_there(self, name: str) -> bool:
        """Whether there is a file of that name in the same folder, or above it (`../name`)."""
        if self.path:
            return (self.path.parent / name).is_file()
        up, name = name.startswith("../"), name.removeprefix("../")
        folder = PurePosixPath(self.name).parent
        return bool(self.archive) and str((folder.parent if up else folder) / name) in self.archive.namelist()

    def objects_in(self, up: int, folder: str) -> list[JSONObject]:
        """The objects in the JSON files of a folder, by name; its path begins so many folders above the file's own."""
        own = self.path.absolute() if self.path else PurePosixPath(self.name or "none")
        if ".." in PurePosixPath(folder).parts or len(own.parents) <= up:
            return []
        below = own.parents[up] / folder
        found: list[JSONObject] = []
        for each in sorted(below.glob("*.json")) if isinstance(below, Path) else self._members_of(str(below)):
            with suppress(*_UNREADABLE), self._opened(each) as file:
                found.append(as_object(json.loads(file.read(MAX_ENTRY_BYTES))))
        return found

    def _members_of(self, folder: str) -> list[str]:
        """The names of the JSON files of a folder in the archive."""
        names = self.archive.namelist() if self.archive else []
        return sorted(each for each in names if each.endswith(".json") and str(PurePosixPath(each).parent) == folder)

    @contextmanager
    def log(self) -> Generator[IO[bytes] | None]:
        """The write-ahead log beside a database in an archive; `None` if there is none."""
        name = f"{self.name}-wal"
        if not self.archive or name not in self.archive.namelist():
            yield None
            return
        with self.archive.open(name) as file:
            yield file

    def json_of(self, name: str) -> Any:  # noqa: ANN401
        """What the file of that name in the same folder holds; `None` if it is no JSON."""
        try:
            return json.loads(self.text_of(name))
        except (ValueError, RecursionError):
            return None

    def object_of(self, name: str) -> JSONObject:
        """The object that the file of that name in the same folder holds; else one of no fields."""
        return as_object(self.json_of(name))

    def above(self, name: str) -> tuple[list[str], JSONObject]:
        """What lies between the first folder above that has a file of that name and this file, and what that holds."""
        own = PurePosixPath(self.path.absolute().as_posix() if self.path else self.name)
        for folder in islice(own.parents, FOLDERS_ABOVE):
            try:
                with self._opened(Path(folder / name) if self.path else str(folder / name)) as file:
                    return list(own.relative_to(folder).parts), as_object(json.loads(file.read(LONGEST)))
            except _UNREADABLE:
                continue
        return [], {}

    def description(self) -> JSONObject:
        """What `<name>.meta.json` says of the sub-agent whose transcript `<name>.jsonl` is; empty if there is none."""
        return self.object_of(f"{self.stem}.meta.json")

    @property
    def changed_at(self) -> datetime | None:
        """When the file was written last, if that is known."""
        try:
            return datetime.fromtimestamp(self.path.stat().st_mtime, UTC) if self.path else None
        except (OSError, OverflowError, ValueError):
            return None

    def head(self) -> JSONObject:
        """The first line of the file itself; empty where it has no path, or the line cannot be read."""
        try:
            with self.path.open("rb") if self.path else io.BytesIO() as file:
                first = next(lines(file), None)
        except OSError:
            return {}
        return first.value if isinstance(first, JsonEntry) else {}

    def thread_name(self, thread: str) -> str:
        """The name that Codex, or a person, gave to that thread of Codex last; empty if it has none."""
        home = self._home()
        name = ""
        try:
            with self._opened(home / _NAMES if home else _NAMES) as file:
                for entry in islice(lines(file), MAX_NAMES):
                    value = entry.value if isinstance(entry, JsonEntry) else {}
                    if value.get("id") == thread and isinstance(named := value.get("thread_name"), str):
                        name = named
        except _UNREADABLE:
            return name
        return name

    def _home(self) -> Path | None:
        """The folder of Codex that the file is in."""
        above = self.path.absolute().parents if self.path else ()
        return next((each.parent for each in above if each.name in _CODEX_FOLDERS), None)

    @contextmanager
    def rollout(self, thread: object) -> Generator[IO[bytes] | None]:
        """The transcript of Codex of that thread; `None` if it is not there."""
        found = self._rollout(thread) if isinstance(thread, str) and _THREAD.fullmatch(thread) else None
        if found is None:
            yield None
            return
        with self._opened(found) as file:
            yield file

    def _rollout(self, thread: str) -> Path | str | None:
        ending = f"-{thread}.jsonl"
        if self.archive:
            return next((name for name in self.archive.namelist() if name.endswith(ending)), None)
        if self.path is None:
            return None
        home = self._home()
        folders = [home / name for name in _CODEX_FOLDERS] if home else [self.path.parent]
        names = (each for folder in folders for each in folder.rglob(f"rollout-*{ending}"))
        return next((each for each in names if not each.is_symlink()), None)

    @contextmanager
    def _opened(self, found: Path | str) -> Generator[IO[bytes]]:
        if isinstance(found, Path):
            if found.is_symlink():
                raise FileNotFoundError(found)
            with found.open("rb") as file:
                yield file
        elif self.archive is None:
            raise FileNotFoundError(found)
        else:
            with self.archive.open(found) as file:
                yield file

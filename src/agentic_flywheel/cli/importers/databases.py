"""Opens the SQLite files in which other programs keep talks: to read only, with what lies in their write-ahead logs.

Nothing is written to them, and no file is put beside them: SQLite would do that beside one that has such a log and is
not open anywhere, so that such a one is read as it is. One in an archive, or on standard input, is copied for as long
as it is read.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

HEADER = b"SQLite format 3\0"
"""How every such file begins."""

_LOG_AT, _HAS_LOG = 19, b"\2"
"""Where the header tells that the file has a write-ahead log, and how (SQLite's file format, 1.3.3)."""

WAIT_SECONDS = 5.0
"""For a program that is writing."""

Program = Literal["opencode", "llm", "langflow"]

_TABLES: dict[Program, tuple[set[str], ...]] = {
    "opencode": ({"session", "message", "part"},),
    "llm": ({"threads", "turns", "messages", "parts"}, {"conversations", "responses"}),
    "langflow": ({"message"},),
}
"""The tables that tell a program, new and old."""


class Database:
    """A file that is open for reading: `select` has its rows as objects by the names of their columns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text

    def tables(self) -> set[str]:
        """The names of its tables."""
        return {row["name"] for row in self.select("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def select(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[JSONObject]:
        """The rows of a query.

        Raises:
            InvalidArgument: the file is damaged, or another program does not let go of it.

        """
        try:
            for row in self._connection.execute(query, values):
                yield dict(row)
        except sqlite3.Error as exc:
            raise InvalidArgument(_why(exc)) from None


def begins(file: IO[bytes]) -> bool:
    """Whether a file begins as a database does; it is at its beginning, before and after."""
    head = file.read(len(HEADER))
    file.seek(0)
    return head == HEADER


@contextlib.contextmanager
def on_disk(file: IO[bytes], log: IO[bytes] | None) -> Generator[Path]:
    """A copy of a database that has no path, and of its write-ahead log, for as long as it is read."""
    with tempfile.TemporaryDirectory(prefix="flywheel-") as folder:
        path = Path(folder) / "talks.db"
        for name, source in (path, file), (path.with_name(f"{path.name}-wal"), log):
            if source:
                with name.open("wb") as target:
                    shutil.copyfileobj(source, target)
        yield path


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


@contextlib.contextmanager
def opened(path: Path) -> Generator[Database]:
    """The database of that file.

    Raises:
        InvalidArgument: it cannot be read, with a sentence's rest that says why.
        OSError: the file cannot be read.

    """
    try:
        with path.open("rb") as file:
            logged = file.read(_LOG_AT + 1)[_LOG_AT:] == _HAS_LOG
        is_open = path.with_name(f"{path.name}-wal").exists()
        how = "mode=ro&immutable=1" if logged and not is_open else "mode=ro"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=WAIT_SECONDS)
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error as exc:
        raise InvalidArgument(_why(exc)) from None
    with contextlib.closing(connection):
        yield Database(connection)


def program(path: Path) -> Program | None:
    """The program whose database it is; `None` if it is another's.

    Raises:
        InvalidArgument: it cannot be read, with a sentence's rest that says why.
        OSError: the file cannot be read.

    """
    with opened(path) as database:
        tables = database.tables()
    return next((name for name, known in _TABLES.items() if any(each <= tables for each in known)), None)


def _why(exc: sqlite3.Error) -> str:
    code = getattr(exc, "sqlite_errorcode", None) or 0
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "is locked by the program that it belongs to; end that program and import it again"
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return "is a damaged SQLite database: what stands before is all that can be read"
    if isinstance(exc, sqlite3.OperationalError) and "no such" in str(exc):
        return "has not the columns that this version of its program is known to write"
    return (
        "is a SQLite database that cannot be opened with its log; copy it with all that lies beside it, and import that"
    )

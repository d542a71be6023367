"""Connects to files that SQLCipher encrypts, with connections that behave, and fail, as those of `sqlite3` do."""

# sqlcipher3 has no types: in strict mode every line would be an error.
# pyright: basic, reportAttributeAccessIssue=false
import contextlib
import sqlite3
from collections.abc import Generator, Iterable
from typing import Any, Self, cast

from sqlcipher3 import dbapi2

MARK = "HMAC_SHA256"
"""What tells a page that was changed. SQLCipher's own choice, SHA512, takes half as long again to read a large text."""

_KINDS: dict[type[Exception], type[sqlite3.Error]] = {
    getattr(dbapi2, name): getattr(sqlite3, name)
    for name in (
        "Error", "DatabaseError", "DataError", "IntegrityError", "InterfaceError", "InternalError",
        "NotSupportedError", "OperationalError", "ProgrammingError",
    )
}  # fmt: skip


def connect_sealed(target: str, key: bytes | None, **options: Any) -> sqlite3.Connection:
    """Connect; the key is not looked at before the first read: a wrong one is then `SQLITE_NOTADB`. None: in clear."""
    with _as_sqlite3():
        db = dbapi2.connect(target, factory=_Connection, **options)
        db.execute("PRAGMA cipher_log_level = NONE")  # it would write to standard error
        if key:
            db.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
            db.execute(f"PRAGMA cipher_hmac_algorithm = {MARK}")
    return cast("sqlite3.Connection", db)


@contextlib.contextmanager
def _as_sqlite3() -> Generator[None]:
    try:
        yield
    except dbapi2.Error as exc:
        mapped = _KINDS.get(type(exc), sqlite3.DatabaseError)(*exc.args)
        for name in ("sqlite_errorcode", "sqlite_errorname"):
            if hasattr(exc, name):
                setattr(mapped, name, getattr(exc, name))
        raise mapped from exc


class _Cursor(dbapi2.Cursor):
    """A cursor that raises the errors of `sqlite3`."""

    def execute(self, *arguments: Any) -> Self:
        with _as_sqlite3():
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Self:
        with _as_sqlite3():
            return super().executemany(*arguments)

    def fetchone(self) -> Any:  # noqa: ANN401  a row of any kind, as the base has it
        with _as_sqlite3():
            return super().fetchone()

    def fetchmany(self, *arguments: Any) -> list[Any]:
        with _as_sqlite3():
            return super().fetchmany(*arguments)

    def fetchall(self) -> list[Any]:
        with _as_sqlite3():
            return super().fetchall()

    def __next__(self) -> Any:  # noqa: ANN401
        with _as_sqlite3():
            return super().__next__()


class _Connection(dbapi2.Connection):
    """A connection whose statements raise the errors of `sqlite3`."""

    def cursor(self, factory: type[_Cursor] = _Cursor) -> _Cursor:
        return super().cursor(factory)

    def execute(self, *arguments: Any) -> _Cursor:
        return self.cursor().execute(*arguments)

    def executemany(self, statement: str, values: Iterable[Any]) -> _Cursor:
        return self.cursor().executemany(statement, values)

"""Keeps texts in pieces, so that an append writes only the first piece and the last.

The pieces of the text `n` have the ids from `n * PIECES` on; together they are its UTF-8 bytes. `n` is the row id of a
document, or, below zero, the number that the outbox gives to a command.

A last piece has `room` behind it, which shrinks as the piece grows: SQLite writes a row of the same size into the pages
that it has, and of these only the ones that changed.
"""

import sqlite3

from agentic_flywheel.documents.writes import ENDS, Splice, shared

PIECE = 16 * 1024
"""Bytes of a piece, four pages: an append writes two of them, and is synced with all that it writes."""

PIECES = 2**20
"""Ids that each text has for its pieces."""

IN_LEAF, OVERFLOW = 960, 4092
"""Bytes of a row that lie in a page with others, and in each page of its own: a last piece and its room fill all of its
pages, so that it takes another one only where these are full. Four such beginnings share a page; what changes is there.
A sealed file's pages hold less: there it is room, and no more.
"""

LEAST = 64
"""Bytes of the smallest room: SQLite writes the length of one below 58 in one byte less, and then the row moves."""

LONGER_FROM = 8186
"""Bytes from which on it writes the length of a piece in one byte more."""

ROOMY = 4096
"""Bytes from which on a piece has room: a smaller one lies in a page with others, where it may grow as it is."""

LOOKED_FOR = 64
"""Bytes from the middle of a text that are searched in the one that replaces it."""

MOVED = 16 * 1024
"""Bytes by which they may have moved towards the beginning."""


class DamagedText(sqlite3.DatabaseError):
    """A text is not as it was put: the file is damaged."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def __str__(self) -> str:
        return "a text in it is damaged"


def read_text(db: sqlite3.Connection, number: int, size: int | None = None) -> str:
    """The text `number`, of `size` bytes if that is known."""
    text = _read(db, number)
    try:
        if size is None or len(text) == size:
            return text.decode()
    except UnicodeDecodeError:
        pass  # it quotes what was said
    raise DamagedText


def read_command(db: sqlite3.Connection, number: int) -> str:
    """The text of a command, as far as it can be read: a damaged one fails to load, which stops only its key."""
    return _read(db, number).decode(errors="replace")


def read_ends(db: sqlite3.Connection, number: int) -> tuple[str, str]:
    """The first and the last `ENDS` bytes of a text that has several pieces."""
    query = "SELECT substr(piece, ?, ?) FROM texts WHERE id >= ? AND id < ? ORDER BY id"
    head = db.execute(f"{query} LIMIT 1", (1, ENDS, *_ids(number))).fetchone()
    tail = db.execute(f"{query} DESC LIMIT 2", (-ENDS, ENDS, *_ids(number))).fetchall()
    end = b"".join(row[0] for row in reversed(tail))[-ENDS:]
    return head[0].decode(errors="ignore"), end.decode(errors="ignore")  # a character may have been cut


def put_text(db: sqlite3.Connection, number: int, text: str, *, grows: bool = True) -> None:
    """Put a text in the place of the stored one, if there is one; one that hardly `grows` has no room at first."""
    drop_text(db, number)
    _put(db, number * PIECES, text.encode(), grows=grows)


def put_over_piece(db: sqlite3.Connection, number: int, text: str) -> None:
    """The same for a stored text that is one piece."""
    first, content = number * PIECES, text.encode()
    _overwrite(db, first, content[:PIECE])
    if len(content) > PIECE:
        _put(db, first + 1, content[PIECE:])


def replace_text(db: sqlite3.Connection, number: int, text: str) -> None:
    """The same for a text that may go on from the stored one: what both share is not written again."""
    new = text.encode()
    if len(new) > PIECE and (change := difference(_read(db, number), new)):
        _splice(db, number, *change)
    else:
        put_text(db, number, text)


def drop_text(db: sqlite3.Connection, number: int) -> None:
    """Delete a text."""
    db.execute("DELETE FROM texts WHERE id >= ? AND id < ?", _ids(number))


def splice_text(db: sqlite3.Connection, number: int, splice: Splice) -> None:
    """Give the stored text a new beginning and a new end."""
    _splice(db, number, splice.prefix.encode(), splice.skip_start_bytes, splice.skip_end_bytes, splice.suffix.encode())


def difference(old: bytes, new: bytes) -> tuple[bytes, int, int, bytes] | None:
    """How one text becomes another, as in a `Splice`; `None`: they share too little, or it is not found.

    Searches the middle of the old text in the new one, and extends the match to both sides.
    """
    middle = len(old) // 2
    found = new.find(old[middle : middle + LOOKED_FOR], max(middle - MOVED, 0))
    if found < 0:
        return None
    before = shared(old[:middle][::-1], new[:found][::-1])
    behind = shared(old[middle:], new[found:])
    if 2 * (before + behind) < len(new):
        return None
    return new[: found - before], middle - before, len(old) - middle - behind, new[found + behind :]


def _splice(db: sqlite3.Connection, number: int, head: bytes, start: int, rest: int, tail: bytes) -> None:
    pieces = db.execute("SELECT id, length(piece) FROM texts WHERE id >= ? AND id < ? ORDER BY id", _ids(number))
    sizes: list[tuple[int, int]] = pieces.fetchall()
    if len(head) + sum(size for _, size in sizes) - start - rest + len(tail) <= PIECE:  # one piece lies at its place
        old = _read(db, number)
        drop_text(db, number)
        _put(db, number * PIECES, head + old[start : len(old) - rest] + tail)
        return
    _cut_beginning(db, sizes, head, start)
    _cut_end(db, sizes, tail, rest)


def _cut_beginning(db: sqlite3.Connection, sizes: list[tuple[int, int]], head: bytes, start: int) -> None:
    """Replace the first `start` bytes by the new head; it takes the id of the first piece that is left."""
    while start > sizes[0][1]:
        start -= sizes[0][1]
        db.execute("DELETE FROM texts WHERE id = ?", (sizes.pop(0)[0],))
    first = sizes[0][0]
    piece = head + _piece(db, first)[start:]
    db.execute("UPDATE texts SET piece = ? WHERE id = ?", (piece, first))
    sizes[0] = first, len(piece)


def _cut_end(db: sqlite3.Connection, sizes: list[tuple[int, int]], tail: bytes, rest: int) -> None:
    """Replace the last `rest` bytes by the new tail."""
    while rest > sizes[-1][1]:
        rest -= sizes[-1][1]
        db.execute("DELETE FROM texts WHERE id = ?", (sizes.pop()[0],))
    last, size = sizes[-1]
    piece = _piece(db, last)[: size - rest] + tail
    _overwrite(db, last, piece[:PIECE])
    if len(piece) > PIECE:
        _put(db, last + 1, piece[PIECE:])


def _put(db: sqlite3.Connection, first: int, content: bytes, *, grows: bool = True) -> None:
    pieces = (content[at : at + PIECE] for at in range(0, max(len(content), 1), PIECE))
    rows = ((number, piece, _room(piece) if grows else 0) for number, piece in enumerate(pieces, start=first))
    db.executemany("INSERT INTO texts VALUES (?, ?, zeroblob(?))", rows)


def _overwrite(db: sqlite3.Connection, number: int, piece: bytes) -> None:
    """Put a last piece, or one that is full, in the place of the stored one. `REPLACE` would give it other pages."""
    db.execute("UPDATE texts SET piece = ?, room = zeroblob(?) WHERE id = ?", (piece, _room(piece), number))


def _room(piece: bytes) -> int:
    taken = len(piece) + (len(piece) >= LONGER_FROM)
    return LEAST + (IN_LEAF - taken) % OVERFLOW if ROOMY <= len(piece) < PIECE else 0


def _read(db: sqlite3.Connection, number: int) -> bytes:
    rows = db.execute("SELECT piece FROM texts WHERE id >= ? AND id < ? ORDER BY id", _ids(number))
    return b"".join(row[0] for row in rows)


def _piece(db: sqlite3.Connection, number: int) -> bytes:
    (piece,) = db.execute("SELECT piece FROM texts WHERE id = ?", (number,)).fetchone()
    return piece


def _ids(number: int) -> tuple[int, int]:
    return number * PIECES, (number + 1) * PIECES

"""The texts of documents in pieces: what is spliced is what a plain string would be, whatever lies at the borders."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents.writes import Splice
from agentic_flywheel.journal.migrations import create
from agentic_flywheel.journal.texts import (
    PIECE,
    PIECES,
    difference,
    drop_text,
    put_over_piece,
    put_text,
    read_text,
    replace_text,
    splice_text,
)
from agentic_flywheel.json_text import size_of

ALPHABET = ["a", "ü", "漢", "👩", "\x00"]  # of one to four bytes
LARGE = 3 * 1024 * 1024


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create(db)
        yield db


def filling(size: int, seed: int) -> str:
    """A text of about so many bytes, with characters of every width."""
    turn = "".join(ALPHABET[(seed + i) % len(ALPHABET)] * (1 + (seed * 7 + i) % 5) for i in range(40))
    return (turn * (size // size_of(turn) + 1))[: size // 2]


@st.composite
def splices(draw: st.DrawFn) -> tuple[str, list[Splice]]:
    """A text of a few pieces, and changes of its beginning and its end, each on top of the one before."""
    sizes = st.one_of(st.integers(0, 300), st.integers(PIECE - 3, PIECE + 3), st.integers(2 * PIECE - 3, 2 * PIECE + 3))
    text = first = filling(2 * draw(sizes), draw(st.integers(0, 99)))
    changes: list[Splice] = []
    for _ in range(draw(st.integers(1, 6))):
        # Where it is cut, in characters, so that no cut parts one.
        start = draw(st.integers(0, min(len(text), 3)) | st.integers(0, len(text)))
        rest = draw(st.integers(0, min(len(text) - start, 3)) | st.integers(0, len(text) - start))
        head, tail = (filling(2 * draw(sizes), draw(st.integers(0, 99))) for _ in range(2))
        gone = text[len(text) - rest :] if rest else ""
        changes.append(Splice(head, size_of(text[:start]), size_of(gone), tail))
        text = head + text[start : len(text) - rest] + tail
    return first, changes


def spliced(text: str, splice: Splice) -> str:
    data = text.encode()
    return (
        splice.prefix.encode()
        + data[splice.skip_start_bytes : len(data) - splice.skip_end_bytes]
        + splice.suffix.encode()
    ).decode()


@given(splices())
def test_a_text_that_is_spliced_is_what_a_plain_string_would_be(case: tuple[str, list[Splice]]):
    first, changes = case
    text = first
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create(db)
        put_text(db, 6, "the one before")
        put_text(db, 7, text)
        put_text(db, 8, "the one behind")
        assert read_text(db, 7) == text
        for splice in changes:
            splice_text(db, 7, splice)
            text = spliced(text, splice)
            assert read_text(db, 7) == text
        if size_of(text) <= PIECE:
            put_over_piece(db, 7, text + first)
            assert read_text(db, 7) == text + first
        assert (read_text(db, 6), read_text(db, 8)) == ("the one before", "the one behind")


def pieces(db: sqlite3.Connection, number: int) -> list[tuple[int, bytes]]:
    return db.execute(
        "SELECT id, piece FROM texts WHERE id >= ? AND id < ? ORDER BY id", (number * PIECES, (number + 1) * PIECES)
    ).fetchall()


def test_an_append_to_megabytes_touches_the_first_piece_and_the_last(db: sqlite3.Connection):
    text = "{1" + filling(2 * LARGE, 3) + "]}"
    put_text(db, 1, text)
    before = dict(pieces(db, 1))
    splice_text(db, 1, Splice("{2", 2, 2, " and on]}"))
    after = dict(pieces(db, 1))
    assert [number for number in after if before.get(number) != after[number]] == [min(after), max(after)]
    assert read_text(db, 1) == spliced(text, Splice("{2", 2, 2, " and on]}"))


def test_a_thousand_appends_leave_no_more_pieces_than_the_text_needs(db: sqlite3.Connection):
    put_text(db, 1, text := '{"revision":1,"turns":[]}')
    for i in range(1000):
        splice = Splice(f'{{"revision":{i},', text.index(",") + 1, 2, f'"漢字 {i} {"x" * 300}",]}}')
        splice_text(db, 1, splice)
        text = spliced(text, splice)
    assert read_text(db, 1) == text
    assert len(pieces(db, 1)) <= size_of(text) // PIECE + 2


def test_a_shorter_text_leaves_nothing_of_the_longer_one(db: sqlite3.Connection):
    put_text(db, 1, filling(LARGE, 1))
    put_text(db, 1, "short")
    assert pieces(db, 1) == [(PIECES, b"short")]
    put_text(db, 1, "")
    assert read_text(db, 1) == ""
    drop_text(db, 1)
    assert pieces(db, 1) == []


@given(splices())
def test_a_text_in_the_place_of_another_is_there_whatever_both_share(case: tuple[str, list[Splice]]):
    text, changes = case
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create(db)
        put_text(db, 7, text)
        for splice in changes:
            text = spliced(text, splice)
            replace_text(db, 7, text)
            assert read_text(db, 7) == text


@given(st.binary(max_size=99), st.binary(max_size=300), st.binary(max_size=99), st.binary(max_size=300))
def test_the_difference_of_two_texts_makes_the_one_of_the_other(a: bytes, b: bytes, c: bytes, d: bytes):
    old, new = a + b + c, d + b + a
    if change := difference(old, new):
        head, start, rest, tail = change
        assert head + old[start : len(old) - rest] + tail == new


def test_a_text_that_has_grown_is_not_written_anew_although_nobody_says_how(db: sqlite3.Connection):
    turns = ",".join(f'"turn {i} {hash(str(i))}"' for i in range(60_000))
    put_text(db, 1, f'{{"revision":99,"turns":[{turns}],"operation":99}}')
    before = dict(pieces(db, 1))
    replace_text(db, 1, grown := f'{{"revision":100,"turns":[{turns},"one more"],"operation":100}}')
    after = dict(pieces(db, 1))
    assert read_text(db, 1) == grown
    assert len(after) > 10
    assert [number for number in after if before.get(number) != after[number]] == [min(after), max(after)]


@pytest.mark.parametrize("splice", [Splice("", 20, 0, ""), Splice("", PIECE + 5, 0, ""), Splice("b", 4, 20, "c")])
def test_a_text_that_a_splice_makes_one_piece_can_be_put_over_as_one(db: sqlite3.Connection, splice: Splice):
    put_text(db, 7, text := "a" * (PIECE + 10))
    splice_text(db, 7, splice)
    assert read_text(db, 7) == spliced(text, splice)
    put_over_piece(db, 7, "another")
    assert read_text(db, 7) == "another"

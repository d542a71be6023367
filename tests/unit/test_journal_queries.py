"""What the journal is asked costs as much as there are rows to tell of, not as their texts are long."""

import inspect
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from agentic_flywheel.documents.writes import ListRow, Splice, Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.records import SyncState
from agentic_flywheel.session_keys import SessionKeys

INDEX = "p:index"
NO_SQL = {
    "one_moment",
    "close",
    "forget_connections",
    "locks",
    "nowait",
    "off",
    "unwiped",
    "wipe",
    "wipe_log",
    "excerpts",
    "synced_at_end",
    "terms_like",
    "terms_among",
}
"""Of these nothing is asked of the journal's file; `nowait` runs another verb."""


def document(revision: int) -> str:
    return f'{{"schema_version":1,"id":"s","revision":{revision},"turns":["hello"]}}'


def write(key: str, revision: int = 1, seen: str | None = None, **more: Any) -> Write:
    entry = None if more.get("tombstone") else ListRow(INDEX, key, revision, "{}")
    return Write(key, document(revision), seen, None, list_row=entry, **more)


CHILD = '{"parent":"a"}'


def verbs(journal: Journal) -> dict[str, Callable[[], object]]:
    """A call of every verb, in an order in which each has something to do."""
    splice = Splice("{", 1, 2, "]}")
    grave = write("p:session:grave", 2, tombstone=True)
    return {
        "commit": lambda: [
            journal.commit(write("p:session:a"), "change", write("p:revision:a:1"), supersedes=True),
            journal.commit(
                write("p:session:a", 2, document(1), splice=splice, delete_keys=("p:revision:a:1",)), "more"
            ),
            journal.commit(write("p:session:b"), "change"),
        ],
        "keep": lambda: journal.keep(write("p:revision:a:2")),
        "put_replica": lambda: journal.put_replica(write("p:session:c", 3), write("p:session:c", 4), grave),
        "overwrite_replica": lambda: journal.overwrite_replica(write("p:session:d", extend_keys=("p:revision:a:2",))),
        "parts_ended_by": lambda: journal.parts_ended_by(grave),
        "apply_tombstones": lambda: journal.apply_tombstones([grave]),
        "erase": lambda: journal.erase(SessionKeys("p:session:e")),
        "delete": lambda: [
            journal.commit(write("p:session:g"), "change"),
            journal.delete(
                write("p:session:g", 1, document(1), tombstone=True),
                SessionKeys("p:session:g"),
                "gone",
                supersedes=True,
            ),
        ],
        "part_keys": lambda: journal.part_keys(SessionKeys("p:session:e")),
        "copy": lambda: journal.copy("p:session:a"),
        "ends": lambda: journal.ends("p:session:a"),
        "copy_or_ends": lambda: journal.copy_or_ends("p:session:a"),
        "lookup": lambda: journal.lookup("p:session:a"),
        "lookup_nowait": lambda: journal.lookup_nowait("p:session:a"),
        "recent": lambda: journal.recent(INDEX, (10, "s"), 10),
        "entries": lambda: journal.entries(INDEX, ["a", "b"]),
        "unsent": lambda: journal.unsent(INDEX),
        "keys": lambda: journal.keys("p:session:"),
        "is_past_retention": lambda: journal.is_past_retention("p:session:a"),
        "children": lambda: [
            journal.commit(Write("p:session:h", document(1), None, None, list_row=ListRow(INDEX, "h", 1, CHILD))),
            journal.children(INDEX, ["a"]),
        ],
        "listed": lambda: journal.listed(INDEX, ["a"]),
        "note_reading": lambda: journal.note_reading("a file", "{}"),
        "reading": lambda: journal.reading("a file"),
        "readings": lambda: journal.readings("a "),
        "living": lambda: journal.living(["p:session:a"]),
        "search": lambda: journal.search(INDEX, Question.of("hello")),
        "index_new": lambda: journal.index_new(1.0),
        "put_list_rows": lambda: journal.put_list_rows([ListRow(INDEX, "far", 1, "{}")], "p:session:"),
        "count_list_rows": lambda: journal.count_list_rows(INDEX),
        "whole_list_age": lambda: journal.whole_list_age(INDEX),
        "note_whole_list": lambda: journal.note_whole_list(INDEX),
        "forget_list_rows": lambda: journal.forget_list_rows(["p:session:far"]),
        "titles": lambda: journal.titles(INDEX, 10),
        "has_none_here": lambda: journal.has_none_here("p:session:z"),
        "copy_of_this_machine": lambda: journal.copy_of_this_machine("p:session:z"),
        "recent_of_this_machine": lambda: journal.recent_of_this_machine(INDEX, None, 10),
        "move_from_this_machine": lambda: journal.move_from_this_machine("p:session:z"),
        "sessions_of_this_machine": lambda: journal.sessions_of_this_machine(INDEX),
        "parts_of_this_machine": lambda: journal.parts_of_this_machine(SessionKeys("p:session:z")),
        "leave_this_machine": lambda: journal.leave_this_machine("p:session:z", "{}"),
        "due_keys": lambda: journal.due_keys(["p:session:", "p:execution:"], ["p:session:b"]),
        "pending": lambda: journal.pending("p:session:a"),
        "next_pending": lambda: journal.next_pending("p:session:a"),
        "unsent_document": lambda: journal.unsent_document("p:session:a"),
        "postpone": lambda: journal.postpone("p:session:a", "why", 2**62),
        "try_all_now": journal.try_all_now,
        "make_dead_letter": lambda: journal.make_dead_letter(1, "why"),
        "dead_letters": journal.dead_letters,
        "command_of": lambda: journal.command_of(1),
        "retry": lambda: journal.retry(1),
        "discard": lambda: journal.discard(1),
        "waiting": journal.waiting,
        "held_up": lambda: journal.held_up(10),
        "of_this_machine": journal.of_this_machine,
        "ack": lambda: journal.ack([2, 3], write("p:session:a", 5)),
        "has_destination": journal.has_destination,
        "sync_state": journal.sync_state,
        "save_sync_state": lambda: journal.save_sync_state(SyncState("epoch", "run", "0-0"), lost=True),
        "recognise": lambda: journal.recognise("another"),
        "list_unverified": lambda: journal.list_unverified(10, (1, 1)),
        "list_replica": lambda: journal.list_replica(10, 1),
        "list_missing": lambda: journal.list_missing(INDEX, None, 10),
        "tombstone_revisions": lambda: journal.tombstone_revisions(["p:session:grave"]),
        "mark_verified": lambda: journal.mark_verified([("p:session:c", 1, "")]),
        "mark_missing": lambda: journal.mark_missing([("p:session:c", 1, "")]),
        "mark_unverified": lambda: [journal.mark_unverified("p:session:c"), journal.mark_unverified()],
        "state": journal.state,
        "purge_expired": journal.purge_expired,
        "purge": journal.purge,
        "drop": lambda: journal.drop("p:session:a"),
        "forget": lambda: journal.forget(["p:session:a"]),
    }


@pytest.fixture
def asked(journal: Journal) -> dict[str, list[str]]:
    """The statements of every verb, with their values."""
    journal.copy("open it")
    assert journal._open
    statements: list[str] = []
    for connection in (journal._open.reader, journal._open.writer):
        connection.set_trace_callback(statements.append)
    found: dict[str, list[str]] = {}
    for name, verb in verbs(journal).items():
        statements.clear()
        verb()
        found[name] = [each for each in statements if re.match("SELECT|INSERT|UPDATE|DELETE|WITH", each)]
    return found


def plan(db: sqlite3.Connection, statement: str) -> list[str]:
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]


TABLES = "documents|outbox|texts|o"


def test_every_verb_is_asked_about(journal: Journal):
    public = {name for name, _ in inspect.getmembers(Journal) if not name.startswith("_")}
    assert public - NO_SQL == verbs(journal).keys()


def test_no_statement_walks_over_rows_that_it_does_not_tell_of(journal: Journal, asked: dict[str, list[str]]):
    with closing(sqlite3.connect(journal.path)) as db:
        for verb, statements in asked.items():
            assert statements, f"{verb} asks nothing"
            for statement in statements:
                for step in plan(db, statement):
                    walks = re.match(rf"SCAN ({TABLES})\b", step) or re.search(
                        r"USING INDEX pending \(destination=.\)", step
                    )
                    assert not walks or re.search("COVERING INDEX|INDEX dead_letters", step), (
                        f"{verb}: {statement}: {step}"
                    )


def test_texts_are_only_asked_for_by_the_id_of_their_document(journal: Journal, asked: dict[str, list[str]]):
    with closing(sqlite3.connect(journal.path)) as db:
        met = 0
        for verb, statements in asked.items():
            for step in (step for statement in statements for step in plan(db, statement)):
                if re.search(r"\btexts\b", step):
                    met += 1
                    assert re.match(r"SEARCH texts USING INTEGER PRIMARY KEY \(rowid", step), (verb, step)
        assert met > 10


TELL = {
    "copy_or_ends",
    "copy",
    "lookup",
    "lookup_nowait",
    "unsent_document",
    "copy_of_this_machine",
    "parts_ended_by",
    "pending",
    "next_pending",
    "command_of",
}
"""The verbs whose answer is a document or a command."""


def test_what_is_asked_about_documents_reads_none(asked: dict[str, list[str]]):
    reading = {
        verb for verb, statements in asked.items() if any(re.search(r"piece\s+FROM", each) for each in statements)
    }
    writing = {"commit", "put_replica", "overwrite_replica", "apply_tombstones", "ack", "search"}
    assert TELL - {"copy_of_this_machine"} <= reading <= TELL | writing

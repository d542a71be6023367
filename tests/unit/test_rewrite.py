"""A document is rewritten only in the place of exactly the one that it was made of."""

from datetime import UTC, datetime, timedelta

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document, Past
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.revisions import earlier
from agentic_flywheel.documents.rewrite import RewriteCommand, digest, next_revision
from agentic_flywheel.errors import Conflict

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def document(said: str, **fields: object) -> Document:
    session = UniversalSession(
        id="s",
        backend=BackendType.CUSTOM,
        history=[{"role": "user", "content": said}],
        created_at=NOW,
        updated_at=NOW,
    )
    return Document(session, 3, NOW, None, **fields)  # pyright: ignore[reportArgumentType]


BEFORE = document("one", past=(Past(1, NOW, 1, None), Past(2, NOW, 1, {"title": "a"})))
CLEAN = document("two", past=(Past(1, NOW, 1, None), Past(2, NOW, 1, {"title": "b"})))
TEXT = encode(BEFORE)


def command(limit: int = 10, **fields: object) -> RewriteCommand:
    after = next_revision(BEFORE, CLEAN, "cleaned", limit)
    given = {"index": "p:index", "revisions": "p:revision:s:", "operation": "0123456789abcdef.1"} | fields
    return RewriteCommand(key="p:session:s", member="s", text=encode(after), seen=digest(TEXT), **given)  # pyright: ignore[reportArgumentType]


def test_it_becomes_the_next_revision_and_the_one_before_reads_as_it_does():
    later = NOW + timedelta(hours=1)
    step = command().apply(TEXT, later)
    assert step.answer == "rewritten"
    assert step.write
    assert step.write.list_row
    assert step.write.extend_keys == ("p:revision:s:1",)
    made = decode(step.write.text, "s")
    assert isinstance(made, Document)
    assert (made.revision, made.note, made.saved_at) == (4, "cleaned", later)
    before = earlier(made, 3)
    assert before
    assert before.session.history == made.session.history
    assert earlier(made, 2) == earlier(CLEAN, 2) or made.past[1].fields == {"title": "b"}


def test_it_is_done_once_however_often_it_is_sent():
    step = command().apply(TEXT, NOW)
    assert step.write
    again = command().apply(step.write.text, NOW)
    assert (again.write, again.answer) == (None, "rewritten")


def test_what_somebody_saved_meanwhile_stays():
    step = command().apply(encode(document("three")), NOW)
    assert (step.write, step.answer) == (None, "changed")
    with pytest.raises(Conflict, match="scan again"):
        command(acknowledged=True).apply(encode(document("three")), NOW)


def test_what_is_gone_stays_gone():
    assert command().apply(None, NOW).answer == "gone"


def test_an_older_revision_that_is_named_no_more_goes():
    step = command(limit=1).apply(TEXT, NOW)
    assert step.write
    assert step.write.delete_keys == ("p:revision:s:1",)


def test_an_older_revision_keeps_its_number_and_is_in_no_list():
    change = RewriteCommand(key="p:revision:s:3", member="s", text=encode(CLEAN), seen=digest(TEXT), operation="a.1")
    step = change.apply(TEXT, NOW + timedelta(hours=1))
    assert step.write
    assert step.write.list_row is None
    made = decode(step.write.text, "s")
    assert isinstance(made, Document)
    assert (made.revision, made.saved_at) == (3, NOW)

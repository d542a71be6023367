"""A document that grew has the text that it would have been given anew, and is not parsed again."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.documents import incremental
from agentic_flywheel.documents.codec import NARROW_FROM, encode
from agentic_flywheel.documents.incremental import (
    CACHED_CHARACTERS,
    DOCUMENT_CACHE,
    HEAD_PARSED_FROM,
    LARGEST,
    DocumentCache,
    StoredSession,
    append_text,
    next_text,
    parse_head,
    read_stored,
)
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Splice, Write
from agentic_flywheel.json_text import dumps, size_of

from ..support.conversations import turns
from .test_codec import DOCUMENTS, OBJECTS, TEXT

NOTHING_STORED = StoredSession(None, None, None, None)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOKS_LIKE_THE_HISTORY = {"history": [], 'x","history":[': "],"}


def document(session_id: str, size: int) -> tuple[str, Document]:
    text = json.dumps({"schema_version": 1, "id": session_id, "revision": 1, "history": turns("x" * size)})
    made = decode(text, session_id)
    assert isinstance(made, Document)
    return text, made


def spliced(before: str, splice: Splice) -> bytes:
    whole = before.encode()
    kept = whole[splice.skip_start_bytes : len(whole) - splice.skip_end_bytes]
    return splice.prefix.encode() + kept + splice.suffix.encode()


@pytest.mark.slow
@given(DOCUMENTS, st.lists(OBJECTS, max_size=3), st.none() | OBJECTS | st.just(LOOKS_LIKE_THE_HISTORY), TEXT)
def test_it_is_written_as_if_it_were_written_anew(
    written: Document, added: list[dict[str, Any]], context: dict[str, Any] | None, title: str
):
    before = encode(written)
    base = decode(before, written.session.id)
    assert isinstance(base, Document)
    session = replace(base.session, history=[*base.session.history, *added])
    session = session if context is None else replace(session, context=context)
    after = replace(base, session=session, revision=base.revision + 1, title=title)

    made = append_text(before, base, after, added)
    assert made
    text, splice = made
    assert json.loads(text) == json.loads(encode(after))
    assert spliced(before, splice) == text.encode()
    own = DOCUMENT_CACHE.decode(text, base.session.id)
    assert own == decode(text, base.session.id)

    changed = copy.deepcopy(own)
    for theirs in [*added, context or {}]:
        theirs["changed"] = "afterwards, by the caller"
    assert own == changed
    assert isinstance(own, Document)
    again = append_text(text, own, replace(own, revision=own.revision + 1), added)
    assert again
    assert again[0] == encode(replace(own, session=replace(own.session, history=[*own.session.history, *added]),
                                      revision=own.revision + 1))  # fmt: skip


def test_what_has_just_become_large_is_written_anew_and_grows_on_from_there():
    base = document("s", 10)[1]
    long = turns("🌱" + "x" * (NARROW_FROM // 2))
    small = replace(base, session=replace(base.session, history=long), title="🌱")
    large = replace(small, session=replace(base.session, history=[*long, *long]))
    larger = replace(small, session=replace(base.session, history=[*long, *long, *long]), tags=("🌿",))
    assert "🌱" in encode(small)
    assert append_text(encode(small), small, large, long) is None, "its emoji are escaped now"
    assert "🌱" not in encode(large)
    made = append_text(encode(large), large, larger, long)
    assert made
    assert made[0] == encode(larger)


@pytest.mark.slow
@given(DOCUMENTS, st.lists(OBJECTS, max_size=3), st.lists(OBJECTS, max_size=3), TEXT)
def test_what_takes_the_place_of_a_talk_is_written_anew_or_spliced_to_the_same(
    written: Document, begin: list[dict[str, Any]], end: list[dict[str, Any]], filling: str
):
    same = [*begin, {"content": filling or "é🌱" * 2000}]
    old = replace(written, session=replace(written.session, history=[*same, *begin]))
    before, _ = next_text(NOTHING_STORED, old, None, b"")  # which has its place remembered
    stored = read_stored(before, old.session.id, old.saved_at, head_only=True, alive_remotely=True)
    after = replace(old, session=replace(old.session, history=[*same, *end]), revision=old.revision + 1)
    text, splice = next_text(stored, after, None, b"")
    assert text == encode(after)
    if splice:
        assert spliced(before, splice) == text.encode()
    else:
        assert 2 * len(dumps(same)) < len(text) + 2 * len(dumps(begin)), "most of it was there"


def replacing(history: list[dict[str, Any]], before: str | None) -> Write:
    change = SaveCommand(
        key="k", operation="o", session_id="s", index="i", default_ttl_seconds=60, max_bytes=10**6,
        mode="replace", history=history,
    )  # fmt: skip
    written = change.with_write_id(f"{size_of(before or '')}").apply(before, NOW).write
    assert written
    return written


@pytest.mark.parametrize(("size", "by_another"), [(10_000, False), (HEAD_PARSED_FROM, False), (HEAD_PARSED_FROM, True)])
def test_a_replace_sends_what_it_changed(monkeypatch: pytest.MonkeyPatch, size: int, *, by_another: bool):
    talk = turns("é🌱" + "x" * size, "the last")
    before = replacing(talk, None).text
    if by_another:
        monkeypatch.setattr(incremental, "DOCUMENT_CACHE", DocumentCache())  # another process
    written = replacing([*talk[:-1], {"role": "user", "content": "another"}], before)
    assert written.splice
    assert len(written.splice.prefix + written.splice.suffix) < 2000
    assert spliced(before, written.splice) == written.text.encode()


@given(DOCUMENTS)
def test_what_somebody_else_wrote_in_another_way_is_written_anew(written: Document):
    other = json.dumps(json.loads(encode(written)), indent=1)
    base = decode(other, written.session.id)
    assert isinstance(base, Document)
    assert append_text(other, base, base, []) is None


@pytest.mark.slow
@given(DOCUMENTS, OBJECTS | st.just(LOOKS_LIKE_THE_HISTORY), OBJECTS)
def test_an_outline_is_the_document_without_its_turns_or_none(
    written: Document, context: dict[str, Any], extra: dict[str, Any]
):
    known = json.loads(encode(written))
    extra = {f"extra {name}": value for name, value in extra.items() if f"extra {name}" not in known}
    whole = replace(written, session=replace(written.session, context=context), extra=extra)
    text = encode(whole)
    document = decode(text, written.session.id)
    assert isinstance(document, Document)
    made = parse_head(text, written.session.id)
    if made is None:
        misleading = ',"history":[' in dumps(context) or '],"created_at":"' in dumps(extra)
        assert misleading, "only then it cannot be told where the turns are"
        return
    part, turns_text = made
    assert part == replace(document, session=replace(document.session, history=[]))
    assert json.loads(f"[{turns_text}]") == document.session.history


def test_a_recalled_document_is_that_of_the_very_text():
    recall, (text, made) = DocumentCache(), document("s", 10)
    recall.keep(text, made)
    assert recall.decode(text, "s") is made
    other, changed = document("s", 11)
    assert recall.decode(other, "s") == changed


def test_only_so_much_is_recalled():
    recall = DocumentCache()
    documents = {name: document(name, CACHED_CHARACTERS // 3) for name in "abcd"}
    for text, made in documents.values():
        recall.keep(text, made)
    newest_first = [*documents.items()][::-1]  # what is not known any more is learnt, and takes the room of others
    known = [name for name, (text, made) in newest_first if recall.decode(text, name) is made]
    assert known == ["d", "c"]
    large, made = document("d", LARGEST)
    recall.keep(large, made)
    assert recall.decode(large, "d") is not made

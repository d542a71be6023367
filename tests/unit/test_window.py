"""A window on a session: never more than the budget, nothing cut that need not be, every turn once."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode, public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.json_text import dumps
from agentic_flywheel.sessions.budget import (
    ANSWER_OVERHEAD,
    BYTES_PER_TOKEN,
    beginning,
    shortened,
    shown_fields,
    token_window,
)

LEAST_TOKENS = 600
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT | st.just("long " * 2000)})
    | st.dictionaries(
        st.text("abc", min_size=1, max_size=3), TEXT | st.integers() | st.lists(TEXT, max_size=3), max_size=3
    ),
    max_size=12,
)
CONTEXT = st.dictionaries(st.sampled_from("xyz"), TEXT | st.just("state " * 3000), max_size=3)


def document(history: list[dict[str, Any]], **more: Any) -> Document:
    session = UniversalSession("s", BackendType.CUSTOM, history=history, context=more.pop("context", {}))
    return Document(session, 3, datetime.now(UTC), None, **more)


@settings(max_examples=200)
@given(TURNS, CONTEXT, TEXT | st.just("summary " * 1000), st.integers(LEAST_TOKENS, 6000))
def test_paging_shows_every_turn_once_and_each_page_is_within_the_budget(
    history: list[dict[str, Any]], context: dict[str, Any], summary: str, tokens: int
):
    whole = document(history, context=context, summary=summary)
    length, before, shown = len(encode(whole)), None, list[dict[str, Any]]()
    while True:
        part = token_window(whole, length, tokens, before)
        page = part.session["history"]
        if part.session != shown_fields(whole):
            assert len(dumps(part.session).encode()) <= tokens * BYTES_PER_TOKEN - ANSWER_OVERHEAD
        assert len(page) == part.end - part.start
        assert page or not history
        if part.cut:
            assert (part.cut, len(page)) == ([part.start], 1)
            assert page[0] != history[part.start]
            page = [history[part.start]]
        shown = page + shown
        if not part.start:
            break
        before = part.start
    assert shown == history


@settings(max_examples=300)
@given(TURNS, CONTEXT)
@example([{"role": "user", "content": "x\n" * 400}], {})
def test_a_session_within_its_budget_comes_back_whole(history: list[dict[str, Any]], context: dict[str, Any]):
    whole = document(history, context=context)
    contents = [turn["content"] for turn in history if isinstance(turn.get("content"), str)]
    indented = sum(content.count("\n") for content in contents)  # each line break is a character longer as text
    tokens = -(-(len(dumps(shown_fields(whole)).encode()) + indented) // BYTES_PER_TOKEN)
    for size in (len(encode(whole).encode()), None):
        part = token_window(whole, size, tokens)
        assert (part.start, part.cut, part.left_out) == (0, [], [])
        assert part.session == shown_fields(whole)
        strict = token_window(whole, size, tokens + ANSWER_OVERHEAD // BYTES_PER_TOKEN + 1, strict=True)
        assert strict.session == shown_fields(whole)


def test_a_turn_that_is_larger_than_the_budget_is_cut_and_says_so():
    history = [{"role": "user", "content": "first"}, {"role": "assistant", "id": "t2", "content": "word " * 10_000}]
    part = token_window(document(history), 10**6, 1000)
    assert (part.start, part.cut) == (1, [1])
    (turn,) = part.session["history"]
    assert (turn["role"], turn["id"]) == ("assistant", "t2")
    assert turn["content"].startswith("word word")
    assert "[50,000 characters, the rest left out]" in turn["content"]
    assert 2000 < len(dumps(part.session)) <= 4000


def test_a_state_that_is_larger_than_half_the_budget_leaves_room_for_turns():
    talk = [{"role": "user", "content": f"turn {number}"} for number in range(100)]
    whole = document(talk, context={"state": "x" * 50_000}, summary="what matters " * 500, title="Harvest")
    part = token_window(whole, 10**6, 2000)
    assert part.left_out == ["context", "summary"]
    assert part.session["context"] == {}
    assert part.session["summary"].startswith("what matters")
    assert "the rest left out" in part.session["summary"]
    assert part.session["title"] == "Harvest"
    assert part.session["history"] == talk[part.start :]
    assert len(talk) - part.start > 50


@pytest.mark.parametrize("talk", [[], [{"role": "user", "content": "x"}]], ids=["no turn", "one turn"])
@pytest.mark.parametrize("before_turn", [None, 5])
def test_a_state_that_is_larger_than_the_budget_is_left_out_whether_there_are_turns_or_not(
    talk: list[dict[str, Any]], before_turn: int | None
):
    whole = document(talk, context={f"key {number}": number for number in range(10_000)}, summary="why " * 9_000)
    part = token_window(whole, 10**6, 2000, before_turn)
    assert part.left_out == ["context", "summary"]
    assert part.session["history"] == talk
    assert len(dumps(part.session).encode()) <= 2000 * BYTES_PER_TOKEN


def test_what_was_shown_can_be_changed_without_harm():
    whole = document([{"role": "user", "content": "x"}])
    before = public(replace(whole))
    token_window(whole, None, 1000).session["history"].append({"role": "user", "content": "mine"})
    assert public(whole) == before


@settings(max_examples=200)
@given(st.sampled_from(["a", "é", "花", "🌱", "\n", '"', "\x01"]), st.integers(300, 6000), st.integers(1, 40))
def test_a_token_is_four_bytes_whatever_is_said(sign: str, tokens: int, turns: int):
    whole = document([{"role": "user", "content": sign * 2000}] * turns, summary=sign * 3000)
    part = token_window(whole, len(encode(whole).encode()), tokens)
    size = len(dumps(part.session).encode())
    assert size <= tokens * BYTES_PER_TOKEN - (ANSWER_OVERHEAD if part.cut or part.start or part.left_out else 0) or (
        tokens < LEAST_TOKENS
    )
    if part.start and not part.cut:
        assert size > tokens * BYTES_PER_TOKEN / 2 - 13_000, "about as much as fits"
    assert len(beginning(sign * 2000, tokens).encode()) <= tokens
    assert len(shortened(sign * 2000, 300).encode()) <= 300


def test_what_a_talk_is_about_stands_before_its_turns_and_nothing_that_is_empty():
    whole = document([{"role": "user", "content": "x"}], context={"a": 1}, title="T", summary="S", tags=("t",))
    shown = token_window(whole, None, 1000).session
    assert [*shown][:6] == ["id", "revision", "title", "summary", "tags", "context"]
    assert [*shown][-1] == "history"
    assert not {"backend_session_id", "current_flow_id", "user_id", "expires_at", "total_queries"} & {*shown}
    assert [*token_window(document([]), None, 1000).session][2:6] == ["title", "summary", "tags", "context"]

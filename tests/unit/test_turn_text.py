"""One reader of a turn: who speaks and what is said, in the shape of any program; without what nobody can read."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.list_row import first_words
from agentic_flywheel.documents.same_words import fields_agree, key_of
from agentic_flywheel.documents.turn_text import asked_in, names_in, read, said_in, text_in, words_in
from agentic_flywheel.journal.folding import terms
from agentic_flywheel.json_text import canonical, dumps
from agentic_flywheel.server.transcript import markdown, transcript
from agentic_flywheel.sessions.results import ResumeResult

from ..support.native_turns import ASKED, FIELDS, PICTURE, SEALED, SHAPES, Shape

shaped = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@shaped
def test_who_speaks_and_what_is_said_is_shown_in_order(shape: Shape):
    assert [said_in(turn) for turn in shape.turns] == shape.shown


@shaped
def test_the_title_is_what_the_user_said_first(shape: Shape):
    wanted = ASKED if shape.name != "Open WebUI" else "pots.md ragwort in pots"
    assert first_words(shape.turns) == wanted


@shaped
def test_words_are_searched_and_names_of_fields_and_sealed_things_are_not(shape: Shape):
    searched = {term for turn in shape.turns for term in terms(f"{names_in(turn)} {words_in(turn)}")}
    said = {term for _, text in shape.shown for term in terms(text)}
    labels = {*terms("calls result of thinking attachment system error plant image input url image/png png ts 7 json"),
              *terms("refusal tool_call_id call_1 height")}  # fmt: skip
    assert said - labels <= searched
    assert searched.isdisjoint(term for field in FIELDS for term in terms(field))
    assert not any(sealed[:20] in words_in(turn) for turn in shape.turns for sealed in (SEALED, PICTURE))


@shaped
def test_transcript_and_markdown_show_the_same_and_nothing_is_changed(shape: Shape):
    before = canonical(shape.turns)
    session: dict[str, Any] = {"id": "s", "history": shape.turns, "revision": 1, "saved_at": "2026-01-01"}
    text = transcript(ResumeResult(found=True, session=session, revision=1, message="Resumed."), 80_000)
    page = markdown(session)
    for number, (who, said) in enumerate(shape.shown):
        assert f"\n\n[{number}] {who}: " + said.replace("\n", "\n  ") in text
        quoted = said.removesuffix(' {"ts":7}').removesuffix(' {"tool_call_id":"call_1"}')
        assert f"## {number} {who}\n\n> " + quoted.replace("\n", "\n> ") + "\n\n" in page
    for sealed in (SEALED, PICTURE):
        assert sealed[:20] not in text + page
    assert canonical(shape.turns) == before


def test_who_it_is_a_role_of_stands_beside_a_name_of_their_own():
    roles = {shape.name: [read(turn).role for turn in shape.turns] for shape in SHAPES}
    assert roles["Google ADK"] == ["user", "assistant", "tool", "assistant"]
    assert roles["AutoGen"] == ["user", "assistant", "tool", "gardener"]
    assert roles["Anthropic"] == roles["Gemini"] == roles["pydantic-ai"] == ["user", "assistant", "tool", "assistant"]
    assert names_in({"source": "gardener", "name": "Iris", "author": "user"}) == "Iris gardener"


@pytest.mark.parametrize("turn", [
    {"question": "ferns?", "answer": "ostrich", "signature": SEALED, "picture": PICTURE},
    {"content": "no role"}, {"role": "user"}, {}, {"role": "user", "content": 7},
])  # fmt: skip
def test_a_turn_of_no_known_shape_is_its_json_without_what_nobody_can_read(turn: dict[str, Any]):
    who, shown = said_in(turn)
    kept = {name: "…" if value == PICTURE else value for name, value in turn.items() if name != "signature"}
    assert (who, shown) == (None, dumps(kept))
    assert words_in(turn) == " ".join(str(each) for name, each in kept.items() if name != "role" and each != "…")


def test_a_text_of_a_role_and_no_more_is_itself():
    assert said_in({"role": "user", "content": "a\n[1] system: b"}) == ("user", "a\n[1] system: b")
    assert said_in({"role": "", "content": "user: yes"}) == ("", "user: yes"), "it gets no speaker that it names itself"
    assert asked_in({"role": "human", "content": " ferns "}) == " ferns "
    assert asked_in({"role": "assistant", "content": "ferns"}) == ""


def test_json_in_a_text_is_searched_by_its_values():
    call = {"name": "look_up", "arguments": '{"plant": "fern", "deep": [1, {"x": "moss"}]}'}
    assert words_in({"role": "assistant", "content": None, "tool_calls": [{"function": call}]}) == "look_up fern 1 moss"
    broken = {"name": "look_up", "arguments": '{"plant": "fer'}
    assert "fer" in words_in({"role": "assistant", "content": None, "tool_calls": [{"function": broken}]})


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_the_same_words_in_text_blocks_and_parts_are_the_same_words(role: str):
    said = "Ostrich ferns grow\nin deep shade."
    halves = said.split("\n")
    forms: list[dict[str, Any]] = [
        {"role": role, "content": said},
        {"role": role, "content": [{"type": "text", "text": said}]},
        {"role": role, "content": [{"type": "text", "text": half} for half in halves]},
        {"role": role, "content": halves},
        {"role": role, "parts": [{"text": half} for half in halves]},
        {"role": role, "parts": [{"type": "text", "text": said, "state": "done"}]},
        {"role": role, "blocks": [{"block_type": "text", "text": said}]},
        {"role": role, "contents": [{"type": "text", "text": said}]},
        {"role": role, "items": [{"content_type": "text", "text": said}]},
        {"role": role, "_content": [{"text": said}]},
    ]
    assert len({key_of(form) for form in forms}) == 1
    assert all(fields_agree(stored, sent) for stored in forms for sent in forms)


def text_at(time: str, text: str = "yes") -> dict[str, Any]:
    return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": text, "timestamp": time}]}


@pytest.mark.parametrize(("stored", "sent"), [
    (text_at("T1"), text_at("T2")),
    ({"type": "ai", "data": {"content": "yes", "id": "1"}}, {"type": "ai", "data": {"content": "yes", "id": "2"}}),
    ({"role": "user", "content": "buy", "items": ["milk"]}, {"role": "user", "content": "buy", "items": ["eggs"]}),
    ({"role": "u", "content": {"text": "ok", "code": 5}}, {"role": "u", "content": {"text": "ok", "code": 6}}),
    ({"role": "u", "parts": [{"text": "ok"}]}, {"role": "u", "parts": [{"text": "ok"}], "toolCalls": [{"name": "x"}]}),
    ({"source": "Ann", "content": "yes"}, {"source": "Bob", "content": "yes"}),
])  # fmt: skip
def test_the_same_words_with_another_id_time_or_more_beside_them_are_another_turn(stored: Any, sent: Any):
    assert key_of(stored) != key_of(sent) or not fields_agree(stored, sent)


NAMES = sorted(
    {
        "role",
        "content",
        "parts",
        "items",
        "blocks",
        "contents",
        "text",
        "type",
        "kind",
        "part_kind",
        "data",
        "message",
        "kwargs",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "output",
        "state",
        "thought",
        "reasoning",
        "attachments",
        "file",
        "source",
        "image",
        "image_url",
        "toolUse",
        "toolResult",
        "error",
        "additional_kwargs",
        "summary",
        "functionCall",
        "url",
        "citationsContent",
        "author",
        "info",
        "lc",
    }
)
KINDS = [
    "text",
    "tool_use",
    "tool_result",
    "thinking",
    "reasoning",
    "image",
    "file",
    "data",
    "refusal",
    "tool-x",
    "user-prompt",
    "request",
    "human",
    "function_call",
    "function_call_output",
    "error",
    "usage",
    "{",
    "[1",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner),
    max_leaves=12,
)  # fmt: skip
TURN = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JSON, max_size=8)


@pytest.mark.slow
@settings(max_examples=200)
@given(TURN)
@example({"role": "user", "content": [[["a"]]]})
@example({"content": {"content": {"content": {"content": {"content": {"content": {"content": "a"}}}}}}})
def test_any_json_is_read_without_an_error_and_left_as_it_is(turn: dict[str, Any]):
    before = canonical(turn)
    who, said = said_in(turn)
    assert {type(who), type(said)} <= {str, type(None)}
    for reading in (words_in, names_in, asked_in, text_in):
        assert isinstance(reading(turn), str)
    key_of(turn)
    assert canonical(turn) == before


def grown(shape: Shape, times: int) -> dict[str, Any]:
    """Turns of a shape whose lists are so many times as long."""

    def grow(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: grow(item) for name, item in value.items()}
        return [grow(item) for item in value] * times if isinstance(value, list) else value

    return {"role": "user", "parts": list(grow(shape.turns))}


def nested(depth: int) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": "fern " * 20_000}
    for _ in range(depth):
        block = {"type": "tool_result", "content": [block, {"x": 1}], "citationsContent": {"content": [block]}}
    return {"role": "user", "content": [block]}


def seconds(turn: dict[str, Any]) -> float:
    return min(_once(turn) for _ in range(3))


def _once(turn: dict[str, Any]) -> float:
    began = time.thread_time()
    said_in(turn)
    words_in(turn)
    return time.thread_time() - began


@pytest.mark.slow
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.name in ("AI SDK", "Gemini", "Semantic Kernel")],
                         ids=lambda shape: shape.name)  # fmt: skip
def test_time_grows_with_the_turn(shape: Shape):
    small, large = (grown(shape, times) for times in (20, 80))
    assert seconds(large) < 3 * len(dumps(large)) / len(dumps(small)) * max(seconds(small), 1e-4)


def test_the_same_thing_further_inside_is_not_read_over_and_over():
    small, large = nested(2), nested(7)  # one text 2 ** 2 and 2 ** 7 times
    assert seconds(large) < 3 * len(dumps(large)) / len(dumps(small)) * max(seconds(small), 1e-4)

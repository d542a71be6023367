"""What a person saw in ChatGPT and in Claude comes in, with its sources; what nobody saw or said stays out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.chatgpt_sources import with_sources
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.web_pages import MAX_PAGE, link
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import JSON, bad, claude, conversations, gpt_message, message, said, written

CITE = "\ue200cite\ue202turn0search0\ue201"
FERNS = {"title": "All about ferns", "url": "https://ferns.example/shade"}
SHADE = "[All about ferns](https://ferns.example/shade)"


def talk(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A conversation of ChatGPT's export in which these messages follow each other."""
    mapping = {
        f"n{number}": {"id": f"n{number}", "parent": f"n{number - 1}" if number else None, "message": each}
        for number, each in enumerate(messages)
    }
    return {"conversation_id": "g", "mapping": mapping, "current_node": f"n{len(messages) - 1}"} | fields


def read_one(folder: Path, value: Any) -> Imported:
    path = written(folder, [value])
    assert not bad(path)
    return conversations(path)[0]


# --- Sources


@pytest.mark.parametrize(
    ("text", "metadata", "seen"),
    [
        (f"Ferns like shade {CITE}.", {"content_references": [{"matched_text": CITE, "items": [FERNS]}]},
         f"Ferns like shade {SHADE}."),
        (f"Shade{CITE}, moss.", {"content_references": [{"matched_text": CITE, "items": [FERNS, FERNS]}]},
         f"Shade {SHADE}, moss."),
        (f"A {CITE} B {CITE}",
         {"content_references": [{"matched_text": CITE, "items": [FERNS]},
                                 {"matched_text": CITE, "items": [{"title": "Moss", "url": "http://moss.example/(x)"}]}]},
         f"A {SHADE} B [Moss](http://moss.example/%28x%29)"),
        (f"Of nothing known {CITE}.", {}, "Of nothing known."),
        (f"Of no place {CITE}.", {"content_references": [{"matched_text": CITE, "items": [{"title": "t"}]}]},
         "Of no place."),
        ("By \ue200entity\ue202[\"person\",\"Ada Fern\"]\ue201 \ue203said\ue204 so.", {}, "By Ada Fern said so."),
        ("Broken \ue200cite\ue202turn0", {"content_references": 7}, "Broken citeturn0"),
        ("Ferns【1†source】 and moss 【2†L1-L3】",
         {"citations": [{"start_ix": 24, "end_ix": 33, "metadata": {"title": "Moss", "url": "https://moss.example"}},
                        {"start_ix": 5, "end_ix": 15, "metadata": FERNS}]},
         f"Ferns {SHADE} and moss [Moss](https://moss.example)"),
        ("Ferns【1†source】", {"citations": [{"metadata": FERNS}]}, f"Ferns {SHADE}"),
        ("Ferns【1†source】", {}, "Ferns【1†source】"),
        ("An icon \uf8ff of theirs", {}, "An icon \uf8ff of theirs"),
    ],
)  # fmt: skip
def test_sources_stand_where_their_marks_were(text: str, metadata: dict[str, Any], seen: str):
    assert with_sources(text, metadata) == seen


def test_a_searched_answer_of_chatgpt_has_its_sources_and_the_beginning_of_their_pages(tmp_path: Path):
    page = {"content_type": "sonic_webpage", "text": "Fern. " * 9000, **FERNS}
    display = {"content_type": "tether_browsing_display", "result": "x" * 50_000}
    cited = {"content_references": [{"matched_text": CITE, "items": [FERNS]}]}
    found = read_one(
        tmp_path,
        talk(
            gpt_message("Shade?"),
            gpt_message('{"query": "ferns"}', "assistant", id="call", recipient="web.search"),
            {"author": {"role": "tool", "name": "web.search"}, "content": page, "weight": 0},
            {"author": {"role": "tool", "name": "web.search"}, "content": display},
            gpt_message(f"They like it {CITE}.", "assistant", id="a", metadata=cited),
        ),
    )
    question, answer = found.history
    assert question["content"] == "Shade?"
    call, first, second, words = answer["content"]
    assert (answer["id"], call["input"], words["text"]) == ("a", {"query": "ferns"}, f"They like it {SHADE}.")
    assert first["tool_use_id"] == second["tool_use_id"] == call["id"] == "call"
    assert first["content"].startswith(f"{SHADE}\nFern. ")
    assert first["content"].endswith("… [52,000 more characters of a page were left out at import]")
    assert len(json.dumps(found.history)) < 3 * MAX_PAGE
    assert SHADE in said_in(answer)[1]


def test_the_persons_own_marks_stay(tmp_path: Path):
    assert said(read_one(tmp_path, talk(gpt_message(f"My font has {CITE}")))) == [("user", f"My font has {CITE}")]


def test_pages_that_claude_found_are_shortened(tmp_path: Path):
    knowledge = {"type": "knowledge", "title": "Ferns", "url": "https://f.example", "text": "F" * 50_000}
    blocks = [
        {"type": "thinking", "thinking": "", "signature": "s" * 700},
        {"type": "thinking", "thinking": "Look it up.", "signature": "s" * 700, "summaries": [], "cut_off": False},
        {"type": "tool_use", "id": "t", "name": "web_search", "input": {"query": "f"}, "display_content": None},
        {"type": "tool_result", "tool_use_id": "t", "content": [knowledge], "is_error": False, "flag": None},
        {"type": "tool_use", "id": "u", "name": "notes", "input": {}},
        {"type": "tool_result", "tool_use_id": "u", "content": [{"type": "text", "text": "N" * 3000}]},
        {"type": "token_budget", "remaining": 7},
        {"type": "text", "text": "In shade.", "citations": []},
    ]
    [turn] = read_one(tmp_path, claude(chat_messages=[message(sender="assistant", content=blocks)])).history
    thought, call, result, _, own, words = turn["content"]
    assert thought == {"type": "thinking", "thinking": "Look it up."}
    assert call == {"type": "tool_use", "id": "t", "name": "web_search", "input": {"query": "f"}}
    assert words == {"type": "text", "text": "In shade."}
    assert result["content"][0]["text"].endswith("… [48,000 more characters of a page were left out at import]")
    assert len(own["content"][0]["text"]) == 3000  # no page


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", None, "https://[", "file:///etc", "//x"])
def test_what_is_no_address_of_the_web_is_no_link(address: Any):
    assert link("A [title]", address) == "A [title]"


# --- One turn an answer


def test_the_messages_of_one_answer_are_one_turn_with_the_id_of_its_first_words(tmp_path: Path):
    found = read_one(
        tmp_path,
        talk(
            gpt_message("Draw ferns."),
            gpt_message("Let me draw.", "assistant", id="a"),
            gpt_message('{"prompt": "ferns"}', "assistant", id="b", recipient="dalle.text2im"),
            {
                "author": {"role": "tool", "name": "dalle.text2im"},
                "content": {
                    "content_type": "multimodal_text",
                    "parts": [
                        {
                            "content_type": "image_asset_pointer",
                            "asset_pointer": "sediment://f",
                            "metadata": {"dalle": {"prompt": "Three ferns in the rain"}},
                        }
                    ],
                },
            },
            gpt_message("There they are.", "assistant", id="c", end_turn=True),
            gpt_message("The report that you wanted.", "assistant", id="d", end_turn=True),
            gpt_message("Thanks"),
        ),
    )
    assert [(turn["role"], turn["id"]) for turn in found.history] == [
        ("user", "n0"), ("assistant", "a"), ("assistant", "d"), ("user", "n6"),
    ]  # fmt: skip
    blocks = found.history[1]["content"]
    assert [block["type"] for block in blocks] == ["text", "tool_use", "tool_result", "text"]
    assert blocks[2]["content"][0]["prompt"] == "Three ferns in the rain"
    assert not any("end_turn" in turn for turn in found.history)


def test_answers_in_words_alone_are_text(tmp_path: Path):
    messages = [gpt_message("Ferns?"), gpt_message("Some", "assistant"), gpt_message("more.", "assistant")]
    assert said(read_one(tmp_path, talk(*messages))) == [("user", "Ferns?"), ("assistant", "Some\n\nmore.")]


def test_what_has_no_weight_was_not_seen_and_a_model_of_its_own_is_kept(tmp_path: Path):
    found = read_one(
        tmp_path,
        talk(
            gpt_message("Context of the program.", weight=0.0),
            gpt_message("Ferns?"),
            gpt_message("Yes.", "assistant", metadata={"model_slug": "small"}),
            gpt_message("More?"),
            gpt_message("No.", "assistant", metadata={"model_slug": "large"}),
            default_model_slug="large",
        ),
    )
    assert [turn["content"] for turn in found.history] == ["Ferns?", "Yes.", "More?", "No."]
    assert [turn.get("model") for turn in found.history] == [None, "small", None, None]
    assert found.context["model"] == "large"


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"gizmo_id": "g-p-123", "gizmo_type": "snorlax"}, ("project:g-p-123",)),
        ({"gizmo_id": "g-123"}, ("gizmo:g-123",)),
        ({"gizmo_id": None}, ()),
    ],
)
def test_the_project_of_a_chatgpt_conversation_is_a_tag(tmp_path: Path, fields: dict[str, Any], tags: tuple[str, ...]):
    assert read_one(tmp_path, talk(gpt_message("a"), **fields)).tags == tags


def test_the_project_of_a_claude_conversation_is_a_tag_where_it_is_said(tmp_path: Path):
    assert read_one(tmp_path, claude(project={"uuid": "p", "name": "Shade  garden"})).tags == ("project:Shade garden",)
    assert read_one(tmp_path, claude(project_uuid="p")).tags == ("project:p",)


# --- What is no loss


@pytest.mark.parametrize(
    "nothing",
    [
        gpt_message("", content=None),
        gpt_message("", "assistant", content={"content_type": "text", "parts": None}),
        gpt_message("", "assistant", content={"content_type": "text"}),
        gpt_message("", "assistant", content={"content_type": "thoughts", "thoughts": None}),
        gpt_message("", "assistant", content={"content_type": "reasoning_recap", "content": "Thought for 3 s"}),
    ],
)
def test_a_generation_of_chatgpt_that_failed_is_no_loss(tmp_path: Path, nothing: dict[str, Any]):
    assert said(read_one(tmp_path, talk(gpt_message("a"), nothing, gpt_message("b")))) == [("user", "a"), ("user", "b")]


def test_a_generation_of_claude_that_failed_is_no_loss(tmp_path: Path):
    path = written(tmp_path, [claude(chat_messages=[message(text=None, content=None), message("n")]),
                              claude(chat_messages=None)])  # fmt: skip
    assert not bad(path)
    assert [said(each) for each in conversations(path)] == [[("user", "Hello")]]


@pytest.mark.parametrize(("odd", "kept"), [({"text": "x"}, "x"), (7, ""), ({"a": []}, ""), ([1], "")])
def test_one_odd_part_costs_only_itself(tmp_path: Path, odd: Any, kept: str):
    content = {"content_type": "text", "parts": ["Fine.", odd]}
    [turn] = read_one(tmp_path, talk(gpt_message("", content=content))).history
    shown = said_in(turn)[1]
    assert "Fine." in shown
    assert kept in shown


@pytest.mark.slow
@given(st.lists(JSON, max_size=4), JSON, JSON, st.sampled_from(["assistant", "tool", "user", "system"]))
def test_no_content_or_metadata_makes_reading_fail(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Any], metadata: Any, more: Any, role: str
):
    folder = tmp_path_factory.mktemp("odd")
    kinds = ("text", "code", "thoughts", "sonic_webpage", "execution_output", "tool_use", "tool_result")
    said = {"parts": parts, "text": more, "thoughts": parts, "result": more}
    contents = [said | {"content_type": kind} for kind in kinds]
    beside = {
        "content_references": parts,
        "citations": [{"metadata": more, "start_ix": more}],
        "model_slug": more,
        "attachments": more,
    }
    messages = [
        gpt_message("", role, content=each, metadata=either, recipient=more)
        for each in contents
        for either in (metadata, beside)
    ]
    blocks = [{"type": kind, "id": more, "name": more, "content": parts, "text": more, "tool_use_id": more}
              for kind in ("text", "thinking", "tool_use", "tool_result", "flag", "knowledge")]  # fmt: skip
    other = claude(chat_messages=[message(sender="assistant", content=blocks)], project=more, project_uuid=more)
    conversations(written(folder, [talk(*messages, gizmo_id=more, default_model_slug=more)]))
    conversations(written(folder, [other]))


@given(st.text('ab 【1†】\ue200\ue201\ue202\ue203cite["]', max_size=60), JSON)
def test_no_text_makes_reading_its_marks_fail(text: str, value: Any):
    reference = {"matched_text": text, "items": value, "alt": value}
    with_sources(text, {"content_references": [reference], "citations": value})

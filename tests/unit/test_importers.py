"""What people have elsewhere comes in as sessions that can be saved; what is damaged costs only itself."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_flywheel.cli.comparison import first_save
from agentic_flywheel.cli.importers.conversation import Imported, title, turn
from agentic_flywheel.cli.importers.files import read
from agentic_flywheel.cli.importers.found_files import Source
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.documents.appended import appended
from agentic_flywheel.documents.model import MAX_TEXT
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.documents.tool_calls import ToolCalls, tool_calls
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.keys import MAX_ID_LENGTH

SAMPLES = Path(__file__).parent / "samples"
CLAUDE, CHATGPT, CLAUDE_CODE = SAMPLES / "claude.json", SAMPLES / "chatgpt.json", SAMPLES / "claude_code.jsonl"
OURS = SAMPLES / "flywheel.jsonl"
CODE_SESSION = "000000cc-5e55-4b6e-9c1d-0242ac120002"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["human", "user", "text"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def conversations(source: Source, kind: str = "") -> list[Imported]:
    return [each for each in read(source, kind) if isinstance(each, Imported)]


def bad(source: Source, kind: str = "") -> list[BadEntry]:
    return [each for each in read(source, kind) if isinstance(each, BadEntry)]


def written(folder: Path, data: Any, name: str = "conversations.json") -> Path:
    """A file of the folder with these bytes, this text, or this value as JSON."""
    path = folder / name
    raw = data if isinstance(data, bytes | str) else json.dumps(data)
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass"))
    return path


def jsonl(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def said(imported: Imported) -> list[tuple[str, Any]]:
    return [(turn["role"], turn["content"]) for turn in imported.history]


def claude(**fields: Any) -> dict[str, Any]:
    return {"uuid": "c", "name": "A name", "chat_messages": [message()]} | fields


def message(uuid: str = "m", **fields: Any) -> dict[str, Any]:
    return {"uuid": uuid, "sender": "human", "text": "Hello"} | fields


def chatgpt(*texts: str, **fields: Any) -> dict[str, Any]:
    mapping = {
        str(n): {"id": str(n), "parent": str(n - 1) if n else None, "message": gpt_message(said)}
        for n, said in enumerate(texts)
    }
    return {"conversation_id": "g", "title": "T", "mapping": mapping, "current_node": str(len(texts) - 1)} | fields


def gpt_message(said: Any, role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [said]}} | fields


def event(uuid: str, said: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {"type": "user", "uuid": uuid, "sessionId": "s", "message": {"role": "user", "content": said}} | fields


# --- Claude's export


def test_a_claude_export_comes_in_with_titles_times_and_the_text_of_its_turns():
    bread, rivers, _ = conversations(CLAUDE)
    assert (bread.session_id, bread.title) == (
        "claude-00000001-5e1f-4b6e-9c1d-0242ac120002",
        "Baking bread at altitude",
    )
    assert bread.created_at == datetime(2026, 3, 1, 8, 0, 0, 123456, UTC)
    assert bread.updated_at == datetime(2026, 3, 1, 8, 5, 30, tzinfo=UTC)
    assert bread.context == {"imported_from": "claude"}
    assert bread.history[0] == {
        "id": "00000011-5e1f-4b6e-9c1d-0242ac120002",
        "role": "user",
        "content": "My bread collapses. Why?",
        "created_at": "2026-03-01T08:00:01+00:00",
    }
    assert said(rivers) == [("user", "Name three rivers.\nOf Asia, please."), ("assistant", "Mekong, Indus, Lena.")]


def test_a_claude_message_with_more_than_text_keeps_its_blocks_but_no_bytes_of_pictures():
    answer = conversations(CLAUDE)[0].history[3]["content"]
    assert [block["type"] for block in answer] == ["thinking", "text", "tool_use", "tool_result", "text"]
    assert answer[4]["citations"] == [{"url": "https://example.org/yeast"}]
    picture = answer[3]["content"][1]["source"]
    assert picture == {"type": "base64", "media_type": "image/png", "omitted_characters": 12}
    assert "not supported" not in json.dumps(answer)


def test_text_that_was_pasted_into_claude_comes_with_its_turn():
    pasted = conversations(CLAUDE)[0].history[2]
    assert pasted["content"] == ""
    assert pasted["attachments"][0]["extracted_content"] == "500 g flour, 12 g yeast, 9 g salt"
    assert pasted["files"] == [{"file_name": "loaf.jpg"}]


def test_a_conversation_without_a_title_has_the_first_words_of_the_person():
    assert conversations(CLAUDE)[1].title == "Name three rivers."
    assert title("", [{"role": "user", "content": "<command>"}, {"role": "user", "content": "w" * 200}]) == "w" * 80
    assert title(None, [{"role": "assistant", "content": "Hi"}]) == ""


def test_of_a_claude_conversation_with_branches_the_newest_one_comes_in():
    cat = conversations(CLAUDE)[2]
    assert [content for _, content in said(cat)] == ["A name for my cat?", "Minka.", "Lovely."]
    assert cat.summary == "Cat names were weighed."


def test_claudes_own_word_on_the_branch_that_was_seen_counts(tmp_path: Path):
    branches = [
        message("a", text="A", created_at="2026-01-01T00:00:00Z"),
        message("b", text="B", created_at="2026-01-02T00:00:00Z", parent_message_uuid="a"),
        message("c", text="C", created_at="2026-01-03T00:00:00Z", parent_message_uuid="a"),
    ]
    path = written(tmp_path, [claude(chat_messages=branches, current_leaf_message_uuid="b")])
    assert [content for _, content in said(conversations(path)[0])] == ["A", "B"]


def test_of_claude_messages_without_times_the_last_one_in_the_file_ends_the_branch(tmp_path: Path):
    branches = [message("a", text="A"), *(message(each, text=each, parent_message_uuid="a") for each in ("b", "c"))]
    path = written(tmp_path, [claude(chat_messages=[*branches, message("", text="Of no branch"), 7])])
    assert [content for _, content in said(conversations(path)[0])] == ["A", "c", "Of no branch"]
    assert [each.reason for each in bad(path)] == ["has a message (5) left out: it is not an object"]


def test_text_with_sources_keeps_them(tmp_path: Path):
    blocks = [{"type": "text", "text": "Because."}, {"type": "text", "text": "So.", "citations": [{"url": "u"}]}]
    [imported] = conversations(written(tmp_path, [claude(chat_messages=[message(content=blocks)])]))
    assert imported.history[0]["content"] == blocks
    [imported] = conversations(written(tmp_path, [claude(chat_messages=[message(content=[blocks[0]] * 2)])]))
    assert imported.history[0]["content"] == "Because.\n\nBecause."


def test_what_is_damaged_in_a_claude_export_is_named_by_its_line():
    text = CLAUDE.read_text().splitlines()
    message_of, entry_of = bad(CLAUDE)
    assert text[message_of.line].strip() == '"uuid": "00000002-5e1f-4b6e-9c1d-0242ac120002",'
    assert message_of.reason == "has a message (3) left out: its sender is neither human nor assistant"
    assert text[entry_of.line - 1].startswith('{"uuid": "00000004')
    assert entry_of.reason == "is not JSON: it breaks at its character 134"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (7, "is not a JSON object"),
        (claude(uuid=None), "has no uuid"),
        (claude(chat_messages={}), "has no list of chat_messages"),
        (claude(chat_messages=[7]), "has a message (1) left out: it is not an object"),
        (claude(chat_messages=[message(sender=[])]), "has a message (1) left out: its sender is neither"),
        (claude(chat_messages=[message(text=7)]), "has a message (1) left out: its content is neither text nor a list"),
        (claude(chat_messages=[message(content=[7])]), "has a message (1) left out: a block of its content is not"),
        (claude(chat_messages=[message(files=[float("nan")])]), "has a message (1) left out: it holds a number"),
        (claude(chat_messages=[message(files=json.loads("[" * 130 + "]" * 130))]), "has a message (1) left out: it h"),
        (claude(chat_messages=[message("a", parent_message_uuid="a")]), "has messages that follow each other in a"),
    ],
)
def test_a_malformed_claude_entry_is_named_and_the_others_come_in(tmp_path: Path, entry: Any, reason: str):
    path = written(tmp_path, [claude(uuid="before"), entry, claude(uuid="after")])
    [told] = bad(path)
    assert told.reason.startswith(reason)
    assert [each.session_id for each in conversations(path)] == ["claude-before", "claude-after"]


# --- ChatGPT's export


def test_a_chatgpt_export_comes_in_as_the_branch_that_the_person_saw():
    dots, _ = conversations(CHATGPT)
    assert dots.session_id == "chatgpt-68e7a001-aaaa-8325-b001-000000000001"
    assert (dots.title, dots.context) == ("Counting dots", {"imported_from": "chatgpt", "model": "gpt-5"})
    assert dots.created_at == datetime.fromtimestamp(1760000000.25, UTC)
    assert [(turn["role"], turn["id"]) for turn in dots.history] == [
        ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a3"),
    ]  # fmt: skip
    assert dots.history[-1] == {
        "id": "a3",
        "role": "assistant",
        "content": "Yes.",
        "created_at": "2025-10-09T08:54:22.250000+00:00",
    }


def test_pictures_of_chatgpt_become_small_placeholders_and_spoken_words_text():
    turns = {turn["id"]: turn for turn in conversations(CHATGPT)[0].history}
    assert turns["q1"]["content"] == [
        {
            "type": "image_asset_pointer",
            "asset_pointer": "sediment://file_0000000012345678",
            "size_bytes": 48029,
            "width": 1024,
            "height": 768,
        },
        {"type": "text", "text": "How many dots are there?"},
    ]
    assert turns["q1"]["attachments"][0]["name"] == "dots.png"
    assert turns["q2"]["content"][0] == {"type": "text", "text": "Are you sure?"}
    assert turns["q2"]["content"][1] == {
        "type": "real_time_user_audio_video_asset_pointer",
        "audio_start_timestamp": 1.5,
    }


def test_thoughts_code_and_output_of_chatgpt_are_one_answer_with_its_words():
    turns = {turn["id"]: turn for turn in conversations(CHATGPT)[0].history}
    assert turns["a1"] == {
        "id": "a1",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Counting\nLet me count with code."},
            {
                "type": "tool_use",
                "id": "code",
                "name": "python",
                "input": {"language": "python", "code": "count_dots('dots.png')"},
            },
            {"type": "tool_result", "tool_use_id": "code", "name": "python", "content": "42"},
            {"type": "text", "text": "There are 42 dots."},
        ],
        "created_at": turns["a1"]["created_at"],
    }
    assert tool_calls(turns["a1"]) == ToolCalls({"code"}, {"code"})


def test_a_chatgpt_conversation_that_names_no_current_node_ends_with_its_latest_message():
    old = conversations(CHATGPT)[1]
    assert old.session_id == "chatgpt-old-conversation-1"
    assert old.title == "Tell me a short poem"
    assert [content for _, content in said(old)] == ["Tell me a short poem\nabout rain", "Rain again."]


def test_messages_of_chatgpt_in_a_circle_are_named():
    assert bad(CHATGPT) == [BadEntry(1, "has messages that follow each other in a circle")]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "is not a JSON object"),
        (chatgpt("a", conversation_id=None), "has no conversation_id"),
        (chatgpt(mapping=[]), "its mapping is not an object"),
        (chatgpt(mapping={"0": 7}), "a node of its mapping is not an object"),
        (chatgpt(mapping={"0": {"message": 7}}), "has a message (1) left out: it is not an object"),
        (chatgpt(mapping={"0": {"message": {}}}), "has a message (1) left out: its author is not an object"),
        (chatgpt(mapping={"0": {"message": gpt_message("a", "critic")}}), "has a message (1) left out: its author's r"),
        (chatgpt(mapping={"0": {"message": gpt_message("a", content=7)}}), "has a message (1) left out: its content i"),
        (
            chatgpt(mapping={"0": {"message": gpt_message("a", content={})}}),
            "has a message (1) left out: its content h",
        ),
        (chatgpt(mapping={"0": {"message": gpt_message(7)}}), "has a message (1) left out: a part of its content is"),
        (chatgpt(mapping={"0": {"message": gpt_message({})}}), "has a message (1) left out: a part of its content ha"),
    ],
)
def test_a_malformed_chatgpt_entry_is_named_and_the_others_come_in(tmp_path: Path, entry: Any, reason: str):
    path = written(tmp_path, [chatgpt("a", conversation_id="1"), entry, chatgpt("a", conversation_id="2")])
    [told] = bad(path)
    assert told.reason.startswith(reason)
    assert [each.session_id for each in conversations(path)] == ["chatgpt-1", "chatgpt-2"]


def test_system_messages_of_chatgpt_come_in_only_if_they_are_the_persons_own(tmp_path: Path):
    mapping = {
        "a": {"message": gpt_message("You are ChatGPT.", "system")},
        "b": {"message": gpt_message("Be short.", "system", metadata={"is_user_system_message": True}), "parent": "a"},
        "c": {"message": gpt_message("Hello"), "parent": "b"},
    }
    [imported] = conversations(written(tmp_path, [chatgpt(mapping=mapping, current_node="c")]))
    assert said(imported) == [("system", "Be short."), ("user", "Hello")]


def test_a_very_long_chatgpt_conversation_comes_in_whole(tmp_path: Path):
    [imported] = conversations(written(tmp_path, [chatgpt(*(f"turn {n}" for n in range(5000)))]))
    assert [content for _, content in said(imported)] == [f"turn {n}" for n in range(5000)]


def test_a_chatgpt_message_without_an_id_has_its_nodes(tmp_path: Path):
    [imported] = conversations(written(tmp_path, [chatgpt("a", "b")]))
    assert [turn["id"] for turn in imported.history] == ["0", "1"]


def test_a_chatgpt_message_in_which_nothing_is_said_is_no_turn(tmp_path: Path):
    mapping = {
        "a": {"message": gpt_message("Draw a cat.")},
        "b": {"message": gpt_message("", "assistant", recipient="dalle.text2im"), "parent": "a"},
    }
    [imported] = conversations(written(tmp_path, [chatgpt(mapping=mapping, current_node="b")]))
    assert said(imported) == [("user", "Draw a cat.")]


def test_memory_and_long_texts_beside_a_picture_of_chatgpt_stay_out(tmp_path: Path):
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://1", "base64": "A" * 501}
    mapping = {
        "a": {"message": gpt_message("", content={"content_type": "model_editable_context", "model_set_context": "x"})},
        "b": {"message": gpt_message(picture), "parent": "a"},
    }
    [imported] = conversations(written(tmp_path, [chatgpt(mapping=mapping, current_node="b")]))
    placeholder = {"type": "image_asset_pointer", "asset_pointer": "file-service://1"}
    assert said(imported) == [("user", [placeholder])]


# --- Claude Code's transcripts


def test_a_transcript_comes_in_as_what_was_said_each_line_once():
    rocket, _ = conversations(CLAUDE_CODE)
    assert rocket.session_id == f"claude-code-{CODE_SESSION}"
    assert rocket.line == 5
    assert [(turn["id"][:8], turn["role"]) for turn in rocket.history] == [
        ("000000a2", "user"),
        ("msg_01", "assistant"),
        ("000000a5", "tool"),
        ("000000a7", "user"),
        ("000000a8", "assistant"),
        ("000000ab", "user"),
    ]
    contents = [content for _, content in said(rocket)]
    assert contents[0] == "The fuel gauge shows 110 %. Please fix it."
    call = {"type": "tool_use", "id": "toolu_01", "name": "Read", "input": {"file_path": "/home/ada/rocket/gauge.py"}}
    assert contents[1] == [{"type": "thinking", "thinking": "Probably a wrong divisor."}, call]
    assert contents[3:] == ["And add a test.", "The divisor was 90; it is 100 now.", "Thanks!"]
    assert "iVBORw0KGgo=" not in json.dumps(contents)
    assert rocket.context == {
        "imported_from": "claude-code",
        "cwd": "/home/ada/rocket",
        "git_branch": "gauge",
        "model": "claude-opus-4-6",
        "program_version": "2.1.45",
    }
    assert rocket.tags == ("project:rocket",)
    assert rocket.created_at == datetime(2026, 2, 18, 15, 9, 10, 6000, UTC)
    assert rocket.updated_at == datetime(2026, 2, 18, 15, 31, tzinfo=UTC)


def test_a_summary_titles_only_the_session_it_is_of():
    rocket, _ = conversations(CLAUDE_CODE)
    assert rocket.title == "Fixing the rocket's fuel gauge"
    assert rocket.summary == "The gauge was fixed."


def test_a_title_that_the_person_gave_counts_most(tmp_path: Path):
    titles = [{"type": "custom-title", "customTitle": "Mine"}, {"type": "ai-title", "aiTitle": "Its"}]
    path = written(tmp_path, jsonl(event("1"), titles[0], titles[1]), "s.jsonl")
    assert conversations(path)[0].title == "Mine"
    path = written(tmp_path, jsonl(event("1"), titles[1]), "s.jsonl")
    assert conversations(path)[0].title == "Its"


def test_the_model_of_a_transcript_is_one_that_spoke(tmp_path: Path):
    messages = [{"role": "assistant", "content": "x", "model": model} for model in ("claude-opus-4-6", "<synthetic>")]
    events = [event(str(n), type="assistant", message=each) for n, each in enumerate(messages)]
    [imported] = conversations(written(tmp_path, jsonl(*events), "s.jsonl"))
    assert imported.context["model"] == "claude-opus-4-6"


def test_damaged_lines_of_a_transcript_are_named_and_the_others_come_in():
    assert bad(CLAUDE_CODE) == [
        BadEntry(11, "is not JSON: it breaks at its character 91"),
        BadEntry(19, "is not JSON: it breaks at its character 123; it is the last line, and has no end"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff{}", "is not UTF-8"),
        (b"[1]", "is not a JSON object"),
        (b"{}", "has no type"),
        (b"\x00\x00", "is not JSON"),
        (b'{"a":' * 100_000, "is nested too deeply"),  # deeper than any Python reads
        (b'{"a":' + b"9" * 5000 + b"}", "has a whole number of more than 4,300 digits"),
        (b'{"type":"user"}', "its message is not an object"),
        (b'{"type":"attachment"}', "its attachment is not an object"),
        (b'{"type":"user","message":{}}', "its content is neither text nor a list"),
        (b'{"type":"user","message":{"content":[1]}}', "a block of its content is not an object"),
        (b'{"type":"user","message":{"content":[{"a":NaN}]}}', "it holds a number that is not finite"),
    ],
)
def test_a_malformed_line_of_a_transcript_is_named(tmp_path: Path, line: bytes, reason: str):
    around = jsonl(event("1")).encode(), jsonl(event("2")).encode()
    path = written(tmp_path, around[0] + line + b"\n" + around[1], "s.jsonl")
    [told] = bad(path)
    assert told.line == 2
    assert told.reason.startswith(reason)
    assert [turn["id"] for turn in conversations(path)[0].history] == ["1", "2"]


def test_a_transcript_that_continues_another_is_the_session_of_its_name_or_the_last_one(tmp_path: Path):
    both = jsonl(event("1", sessionId="first"), event("2", sessionId="second"), event("3", sessionId="third"))
    for name, expected in {"second.jsonl": "claude-code-second", "copy.jsonl": "claude-code-third"}.items():
        assert [each.session_id for each in conversations(written(tmp_path, both, name))] == [expected]


def test_a_transcript_that_names_no_session_is_told(tmp_path: Path):
    nameless = written(tmp_path, jsonl(event("1", sessionId=7)), "s.jsonl")
    assert [each.line for each in bad(nameless)] == [1]


def test_talks_with_sub_agents_are_sessions_that_name_the_one_that_asked(tmp_path: Path):
    rocket, tests = conversations(CLAUDE_CODE)
    assert said(tests) == [("user", "Look for tests of the gauge.")]
    assert (tests.parent, tests.relation) == (rocket.session_id, "sub-agent")
    assert tests.tags == ("sub-agent", "project:rocket")
    own = jsonl(*(event(n, isSidechain=True, agentId="a1") for n in "12"))  # as since 2.0: a file of its own
    [agent] = conversations(written(tmp_path, own, "agent-a1.jsonl"))
    assert (agent.session_id, agent.parent, len(agent.history)) == ("claude-code-agent-a1", "claude-code-s", 2)
    chains = [("1", None), ("2", "1"), ("3", None), ("4", "2")]  # before: two among the lines of the session
    before = jsonl(*(event(uuid, isSidechain=True, parentUuid=parent) for uuid, parent in chains))
    found = conversations(written(tmp_path, before, "s.jsonl"))
    assert [[turn["id"] for turn in each.history] for each in found] == [["1", "2", "4"], ["3"]]


@pytest.mark.parametrize(
    ("fields", "parent", "relation"),
    [
        ({"forkedFrom": {"sessionId": "first", "messageUuid": "1"}}, "claude-code-first", "fork"),
        ({"requestSessionId": "first"}, "claude-code-first", "fork"),
        ({"requestSessionId": "s"}, "", "fork"),
        ({"sessionKind": "bg"}, "", "background"),
        ({"sessionKind": "bg", "forkedFrom": {"sessionId": "first"}}, "claude-code-first", "background"),
        ({"forkedFrom": 7, "requestSessionId": 7}, "", "fork"),
    ],
)
def test_a_transcript_names_the_one_that_it_goes_on_from(
    tmp_path: Path, fields: dict[str, Any], parent: str, relation: str
):
    [copy] = conversations(written(tmp_path, jsonl(event("1", **fields), event("2")), "s.jsonl"))
    assert (copy.parent, copy.relation) == (parent, relation)


# --- What holds for all of them


@pytest.mark.parametrize("path", [CLAUDE, CHATGPT, CLAUDE_CODE], ids=lambda path: path.name)
def test_importing_again_adds_nothing(path: Path):
    first, again = conversations(path), conversations(path)
    assert first == again
    for one, other in zip(first, again, strict=True):
        assert one.history
        assert appended(one.history, other.history, None).added == []


def test_an_export_made_later_adds_only_what_was_said_since(tmp_path: Path):
    [early] = conversations(written(tmp_path, [chatgpt("a", "b")]))
    [later] = conversations(written(tmp_path, [chatgpt("a", "b", "c")]))
    assert early.session_id == later.session_id
    assert [turn["content"] for turn in appended(early.history, later.history, None).added] == ["c"]


@pytest.mark.parametrize("own", ["line\nbreak", "\ud800", "x" * MAX_ID_LENGTH])
def test_an_id_that_a_session_cannot_have_becomes_one_that_is_always_the_same(tmp_path: Path, own: str):
    [first] = conversations(written(tmp_path, [claude(uuid=own)]))
    [again] = conversations(written(tmp_path, [claude(uuid=own)]))
    [other] = conversations(written(tmp_path, [claude(uuid=own + own)]))
    assert savable(first)
    assert first.session_id == again.session_id != other.session_id


def test_titles_are_cut_to_their_limit_and_half_characters_in_them_replaced(tmp_path: Path):
    [imported] = conversations(written(tmp_path, [claude(name="\ud83d" + "é" * MAX_TEXT)]))
    assert len(imported.title) == MAX_TEXT
    assert imported.title.startswith("\ufffdé")
    assert savable(imported)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("conversations.json", [claude(name="A \ud83d", chat_messages=[message(text="Cut \ud83d"), message("b")])]),
        ("conversations.json", [chatgpt("Cut \ud83d", "b", title="A \ud83d")]),
        ("s.jsonl", event("1", "Cut \ud83d")),
        ("talk.json", [{"role": "user", "content": "Cut \ud83d", "\ud83d": 1}]),
        ("talk.json", {"messages": [{"role": "user", "content": "Cut \ud83d", "more": ["\ude00"]}]}),
    ],
)
def test_half_an_emoji_costs_no_turn_and_is_counted(tmp_path: Path, name: str, file: Any):
    for form in (jsonl(file), json.dumps(file, ensure_ascii=False)):  # as an escape, and as three bytes
        [imported] = conversations(written(tmp_path, form, name))
        assert bad(written(tmp_path, form, name)) == []
        assert imported.history[0]["content"] == "Cut \ufffd"
        assert imported.halves == (1 if name == "s.jsonl" else 2)
        assert savable(imported)


def test_two_halves_in_turn_are_one_emoji_and_one_that_is_whole_is_not_counted(tmp_path: Path):
    form = json.dumps([claude(chat_messages=[message(text="\ufffd 🌾 \ud83c\udf3e \ud83c")])], ensure_ascii=False)
    [imported] = conversations(written(tmp_path, form))
    assert (imported.history[0]["content"], imported.halves) == ("\ufffd 🌾 🌾 \ufffd", 1)


def test_a_talk_was_said_when_its_last_turn_was(tmp_path: Path):
    entry = chatgpt("a", "b", update_time=1_800_000_000)  # the vendor touches old talks, too
    for number, time in {"0": 1_700_000_000, "1": 1_700_000_060}.items():
        entry["mapping"][number]["message"]["create_time"] = time
    [talk] = conversations(written(tmp_path, [entry]))
    assert talk.said_at == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)
    [timeless] = conversations(written(tmp_path, [chatgpt("a", update_time=1_800_000_000)]))
    assert timeless.said_at == timeless.updated_at == datetime(2027, 1, 15, 8, tzinfo=UTC)
    turn = {"role": "user", "content": "a"}
    for named in ({"created_at": "2023-11-14T22:14:20Z"}, {"timestamp": 1_700_000_060_000}, {"time": 1_700_000_060}):
        [plain] = conversations(written(tmp_path, [turn | named, turn], "talk.json"))
        assert plain.said_at == talk.said_at
    [plain] = conversations(written(tmp_path, [turn], "talk.json"))
    assert plain.said_at is None


@pytest.mark.parametrize(
    "time",
    [
        "2026-10-01T09:05:07.000Z", "2026-10-01T23:59:59.120Z", "2026-10-01T09:05:07.123456Z", "2026-10-01T09:05:07Z",
        "2026-10-01T09:05:07.123+02:00", "2026-10-01 09:05:07.123", "2026-W40-4T09:05:07.123Z", "20261001T090507.123Z",
    ],
)  # fmt: skip
def test_a_turn_has_its_time_in_utc_however_it_is_written(time: str):
    said = datetime.fromisoformat(time)
    said = said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)
    made = turn("a", "user", "Hi", time)
    assert made
    assert made["created_at"] == said.isoformat()


@pytest.mark.parametrize("time", ["2026-02-30T09:05:07.000Z", "2026-10-01T09:61:07.000Z", "2026-10-01T09:05:60.000Z"])
def test_a_time_that_no_clock_shows_is_none(time: str):
    assert turn("a", "user", "Hi", time) == {"id": "a", "role": "user", "content": "Hi"}


def test_times_that_no_calendar_has_are_no_times(tmp_path: Path):
    for time in (1e300, float("inf"), "0001-01-01T00:00:00+14:00", "soon", True, [], -1e18):
        entry = chatgpt(mapping={"0": {"message": gpt_message("Hello", create_time=time)}}, create_time=time)
        [imported] = conversations(written(tmp_path, [entry]))
        assert imported.created_at is None
        assert "created_at" not in imported.history[0]


def savable(imported: Imported) -> bool:
    """Whether a save takes it as it is, and JSON carries it."""
    save = Save(
        session_id=imported.session_id, history=imported.history, context=imported.context, title=imported.title,
        summary=imported.summary, tags=list(imported.tags),
    )  # fmt: skip
    save.check()
    assert all(turn["role"] in ("user", "assistant", "tool", "system") for turn in imported.history)
    assert all(time is None or time.utcoffset() is not None for time in (imported.created_at, imported.updated_at))
    return bool(imported.history and imported.line > 0 and imported.session_id.partition("-")[2])


def test_what_a_reader_made_is_not_looked_through_again_when_it_is_saved(tmp_path: Path):
    [talk] = conversations(written(tmp_path, [claude(chat_messages=[message("a")])]))
    talk.history[0]["content"] = float("nan")  # which no reader makes
    first_save(talk).check()
    with pytest.raises(InvalidArgument, match="summary"):
        first_save(replace(talk, summary="\ud800")).check()


def test_nesting_is_allowed_as_deep_as_a_save_takes_it(tmp_path: Path):
    for depth in range(110, 125):
        nested = json.loads("[" * depth + "1" + "]" * depth)
        held(written(tmp_path, [claude(chat_messages=[message(files=nested)])]), "claude")
    [imported] = conversations(
        written(tmp_path, [claude(chat_messages=[message(files=json.loads("[" * 110 + "1" + "]" * 110))])])
    )
    assert savable(imported)


def held(path: Path, kind: str) -> None:
    """Whatever is in the file, reading it ends with what was promised."""
    for each in read(path, kind):
        assert savable(each) if isinstance(each, Imported) else each.line > 0 < len(each.reason)


@pytest.mark.parametrize("kind", ["", "claude", "chatgpt", "claude-code", "flywheel"])
@given(st.binary() | st.text('[]{},:"\\ \nab1', max_size=60).map(str.encode) | JSON.map(json.dumps).map(str.encode))
@example(b"")
@example(b"[")
@example(b'["\\')
@example(b"[" * 3000)
@example(b"PK\x05\x06" + bytes(18))
def test_no_bytes_make_reading_fail(tmp_path_factory: pytest.TempPathFactory, kind: str, data: bytes):
    held(written(tmp_path_factory.getbasetemp(), data, "any"), kind)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in the value with each of its keys."""
    keyed = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in keyed:
        yield value, key
        yield from places(inner)


SOUND = {
    "claude": [claude(chat_messages=[message("a"), message("b", parent_message_uuid="a", content=[{"type": "text"}])])],
    "chatgpt": [chatgpt("a", "b", "c")],
    "claude-code": [event("1"), event("2", [{"type": "text", "text": "x"}]), {"type": "summary", "leafUuid": "1"}],
}


@pytest.mark.parametrize("kind", SOUND)
@given(data=st.data())
def test_no_value_in_any_field_makes_reading_fail(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
):
    entries = json.loads(json.dumps(SOUND[kind]))
    for _ in range(data.draw(st.integers(1, 3))):
        if all_places := list(places(entries)):
            container, key = data.draw(st.sampled_from(all_places))
            container[key] = data.draw(JSON)
    text = jsonl(*entries) if kind == "claude-code" else entries
    held(written(tmp_path_factory.getbasetemp(), text, "any"), kind)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ([claude(chat_messages=[message(), 7])], [("'A name' (claude-c)", True)]),
        ([claude(chat_messages=[7, 7])], [("'A name' (claude-c)", False), ("'A name' (claude-c)", True)]),
        ([claude(chat_messages=7), claude(uuid=None), claude(uuid=None, name=None), 7],
         [("'A name' (claude-c)", False), ("'A name'", False), ("entry 3", False), ("entry 4", False)]),
        ([chatgpt(mapping=7)], [("'T' (chatgpt-g)", False)]),
        ([{"role": "user", "content": "Ferns?"}, {"role": 7}], [("'Ferns?' (turns-", True)]),
    ],
)  # fmt: skip
def test_what_is_left_out_names_its_talk_and_whether_it_is_a_talk_or_a_message(
    tmp_path: Path, file: Any, told: list[tuple[str, bool]]
):
    found = bad(written(tmp_path, file))
    assert [each.is_message for each in found] == [is_message for _, is_message in told]
    assert [each.talk.startswith(talk) for each, (talk, _) in zip(found, told, strict=True)] == [True] * len(told)


def test_a_line_that_is_left_out_names_its_transcript(tmp_path: Path):
    [left] = bad(written(tmp_path, jsonl(event("1", "Ferns?"), {"type": "user"}), "s.jsonl"))
    assert (left.line, left.talk, left.is_message) == (2, "'Ferns?' (claude-code-s)", True)


def test_no_reason_quotes_the_conversation(tmp_path: Path):
    said = "Said in private"
    messages = [message(files=[{said: float("nan")}]), message(sender=said), message(text={said: 1})]
    text = json.dumps([claude(chat_messages=messages), {"uuid": {said: 1}}, [said]])
    told = bad(written(tmp_path, f'{text[:-1]}, {{"uuid": {said}}}'))
    assert len(told) == 7
    assert not [each for each in told if said in each.reason]


@given(st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from(["whole", "parts", "elsewhere", ""])), max_size=6))
def test_a_talk_was_said_when_the_last_of_its_turns_was_in_whichever_form_they_tell_it(told: list[tuple[int, str]]):
    history, times = list[dict[str, Any]](), list[datetime]()
    for seconds, form in told:
        time = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=seconds if form else 0)
        time = time.replace(microsecond=0) if form == "whole" else time
        shown = time.astimezone(timezone(timedelta(hours=-5))) if form == "elsewhere" else time
        history.append({"role": "user", "content": "Hi", **({"created_at": shown.isoformat()} if form else {})})
        times += [time] if form else []
    talk = Imported(1, "a", "", "", (), None, None, history, {})
    assert talk.said_at == max(times, default=None)

"""Turns of any program: saved as they are, shown and found by their words, through the server's doors."""

from urllib.parse import quote

from agentic_flywheel.json_text import canonical

from ..support.native_turns import ASKED, PICTURE, SEALED, SHAPES
from ..support.wire import WireServer
from .test_moving_house import run


def test_native_turns_come_back_to_the_byte_with_title_transcript_and_search(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        for shape in SHAPES:
            server.call("save_session", session_id=shape.name, history=shape.turns)
            again = server.call("save_session", session_id=shape.name, history=shape.turns)
            assert again["added_turns"] == 0, shape.name
        for shape in SHAPES:
            call = {"name": "resume_session", "arguments": {"session_id": shape.name}}
            answer = server.request("tools/call", call)
            session = answer["structuredContent"]["session"]
            assert canonical(session["history"]) == canonical(shape.turns)
            text = answer["content"][0]["text"]
            uri = f"session://{quote(shape.name, safe='')}/transcript"
            page = server.request("resources/read", {"uri": uri})["contents"][0]["text"]
            for number, (who, said) in enumerate(shape.shown):
                assert f"\n\n[{number}] {who}: {said.splitlines()[0]}" in text, shape.name
                assert f"\n## {number} {who}\n\n> {said.splitlines()[0].split(' {', 1)[0]}" in page, shape.name
            assert SEALED[:20] not in text + page
            assert PICTURE[:20] not in text + page
        names = {shape.name for shape in SHAPES}
        rows = server.call("list_sessions", limit=100)["sessions"]
        titles = {row["id"]: row["title"] for row in rows}
        assert {titles[name] for name in names - {"Open WebUI"}} == {ASKED}
        for query, found in (("fern shade", names), ("ragwort pots", {"Open WebUI"}), ("clay soil", None)):
            rows = server.call("list_sessions", query=query, limit=100)["sessions"]
            best = {row["id"] for row in rows if row["matched"] == "all words"}
            assert best == (found or {"Anthropic", "Open WebUI", "Claude's export"}), query
        for query in ("completed", "finish_reason", "kwargs", "signature"):
            assert not server.call("list_sessions", query=query)["sessions"], query
        (row,) = server.call("list_sessions", query="ragwort", limit=1)["sessions"]
        assert row["excerpt"] == "pots.md ragwort in pots"
    assert "\n> (attachment pots.md) ragwort in pots\n" in run(disabled_env, "sessions", "show", "Open WebUI").stdout


def test_a_native_turn_that_is_larger_than_the_budget_is_cut_and_still_read(disabled_env: dict[str, str]):
    parts = [{"part_kind": "user-prompt", "content": "fern " * 5_000}]
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=[{"kind": "request", "parts": parts}])
        call = {"name": "resume_session", "arguments": {"session_id": "s", "max_tokens": 1_000}}
        answer = server.request("tools/call", call)
    (turn,) = answer["structuredContent"]["session"]["history"]
    assert turn["parts"][0]["content"].startswith("fern fern")
    assert "\n[0] user: fern fern" in answer["content"][0]["text"]

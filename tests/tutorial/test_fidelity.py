"""What was saved comes back equal or is refused with a sentence that names what and where; the server stays well."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agentic_flywheel.sessions.redaction.values import redacted

from ..conftest import Place
from ..support.conversations import TALK, exact, turns, words
from ..support.wire import WireServer, error_text

pytestmark = pytest.mark.slow


def nested(depth: int) -> Any:
    value: Any = "the bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"d": value}
    return value


HARD = {
    "emoji": "🌾👩‍👩‍👧‍👦🏳️‍🌈",
    "NUL": "a\0b",
    "controls and line separators": "\x01\x1b\x7f\u0085\u2028\u2029\r\n\t",
    "byte order mark and the last code point": "\ufeff\U0010ffff\uffff",
    "both ways": "abc \u202e txet \u202c",
    "combining": "e\u0301 is not \u00e9",
    "2**70": 2**70,
    "minus 2**200": -(2**200),
    "2**53 + 1": 2**53 + 1,
    "floats": [0.1, 1e-300, 1.7976931348623157e308, -0.0, 1.0, 1e22],
    "one in three types": [1, 1.0, True],
    "nothing in many shapes": [None, [], {}, "", 0, False, [[]], [{}]],
    "null as text": "null",
    "list as text": "[1]",
    "object as text": '{"a":1}',
    "number as text": "1",
    "true as text": "true",
    "quoted text": '"quoted"',
    "NaN as text": "NaN",
    "backslashes": "\\ \\\\ \\u0041 \\n",
    "keys": {"": 1, "z": 1, "a": 2, "10": 3, "9": 4, "a.b": 5, "\0": 6, "__proto__": 7, "🌾": 8},
    "100 deep": nested(100),
    "lua empties": {"empty list": [], "empty object": {}, "big": 9007199254740993},
    "long line": "x" * 200_000,
}


@pytest.mark.parametrize("what", HARD)
def test_hard_values_come_back_equal_in_turns_and_context(what: str, server: WireServer, sid: str):
    value = HARD[what]
    history = [{"role": "user", "content": "before"}, {"role": "tool", "content": value}, {"odd": value}]
    saved = server.call("save_session", session_id=sid, history=history, context={"value": value})
    assert (saved["saved"], saved["turns"]) == (True, 3)
    resumed = server.call("resume_session", session_id=sid, max_tokens=1_000_000)
    assert exact(resumed["session"]["history"]) == exact(history)
    assert exact(resumed["session"]["context"]) == exact({"value": value})
    server.call("save_session", session_id=sid, history=turns("after"))
    assert exact(server.call("resume_session", session_id=sid, max_tokens=1_000_000)["session"]["history"]) == exact(
        [*history, *turns("after")]
    )


@pytest.mark.parametrize("text", ["null", "[1]", '{"a":1}', "1", "true", '"quoted"', "🌾\0"])
def test_text_that_looks_like_json_stays_text_in_every_field(text: str, server: WireServer, sid: str):
    fields: dict[str, Any] = {
        "title": text,
        "summary": text,
        "tags": [text],
        "backend_session_id": text,
        "current_flow_id": text,
        "user_id": text,
    }
    server.call("save_session", session_id=sid, **fields)
    session = server.call("resume_session", session_id=sid)["session"]
    assert exact({name: session[name] for name in fields}) == exact(fields)


def test_an_empty_history_is_a_history(server: WireServer, sid: str):
    saved = server.call("save_session", session_id=sid, history=[], context={}, title="Empty yet")
    assert (saved["saved"], saved["turns"]) == (True, 0)
    resumed = server.call("resume_session", session_id=sid)
    assert resumed["found"] is True
    assert (resumed["session"]["history"], resumed["session"]["context"], resumed["total_turns"]) == ([], {}, 0)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["null", "[1]", "{}", "NaN", "1"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(OBJECTS.filter(bool), max_size=5), context=OBJECTS)
def test_any_json_comes_back_equal(server: WireServer, history: list[dict[str, Any]], context: dict[str, Any]):
    assume(not redacted([*history, context], "sent")[1])  # hypothesis tries words of the source, as names of secrets
    session_id = uuid4().hex
    with_ids_twice = len({exact(turn["id"]) for turn in history if "id" in turn}) < sum(
        "id" in turn for turn in history
    )
    mode = "replace" if with_ids_twice else "append"
    server.call("save_session", session_id=session_id, history=history, context=context, mode=mode, title="Any")
    session = server.call("resume_session", session_id=session_id, max_tokens=1_000_000)["session"]
    assert exact(session["history"]) == exact(history)
    assert exact(session["context"]) == exact(context)


@settings(max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(result=OBJECTS, parameters=OBJECTS)
def test_any_result_comes_back_equal(server: WireServer, result: dict[str, Any], parameters: dict[str, Any]):
    execution_id = uuid4().hex
    server.call("cache_result", execution_id=execution_id, result=result, parameters=parameters)
    execution = server.call("get_result", execution_id=execution_id)["execution"]
    assert exact(execution["result"]) == exact(result)
    assert exact(execution["parameters"]) == exact(parameters)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("save_session", '{"session_id":SID,"history":[{"a":1},{"scores":[0,NUMBER]}]}', ["history", "1", "scores"]),
        ("save_session", '{"session_id":SID,"context":{"weather":{"wind":NUMBER}}}', ["context", "weather", "wind"]),
        ("cache_result", '{"execution_id":SID,"result":{"answer":NUMBER}}', ["result", "answer"]),
    ],
)
def test_a_number_that_json_has_not_is_refused_with_its_path(
    number: str, tool: str, arguments: str, path: list[str], server: WireServer, sid: str
):
    raw = arguments.replace("SID", json.dumps(sid)).replace("NUMBER", number)
    reply = server.reply(server.send("tools/call", raw_params=f'{{"name":"{tool}","arguments":{raw}}}'))
    text = error_text(reply)
    for step in path:
        assert step in text
    if tool == "save_session":
        assert server.call("resume_session", session_id=sid)["found"] is False, "nothing was kept"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('{"name":"save_session","arguments":{"title":"\\ud800"}}', id="a lone surrogate"),
        pytest.param(
            '{"name":"save_session","arguments":{"context":{"d":' + "[" * 10_000 + "]" * 10_000 + "}}}",
            id="10,000 deep",
        ),
        pytest.param('{"name":"save_session","arguments":{"context":{"n":' + "9" * 10_000 + "}}}", id="10,000 digits"),
        pytest.param('{"name":"save_session","arguments":{', id="half a line"),
        pytest.param('{"name":"no_such_tool","arguments":{}}', id="an unknown tool"),
        pytest.param('{"name":"save_session","arguments":[1]}', id="a list of arguments"),
        pytest.param('{"name":"save_session"}', id="no arguments"),
        pytest.param('{"name":"save_session","arguments":{"title":"\udcff"}}', id="no UTF-8"),
    ],
)
def test_the_server_survives_lines_that_are_no_good(raw: str, server: WireServer, sid: str):
    server.send("tools/call", raw_params=raw)
    assert server.call("save_session", session_id=sid, history=TALK)["saved"] is True
    assert exact(server.call("resume_session", session_id=sid)["session"]["history"]) == exact(TALK)


@pytest.mark.parametrize("depth", [150, 300])
def test_deep_nesting_comes_back_equal_or_is_refused(depth: int, server: WireServer, sid: str):
    value = {"v": nested(depth)}
    reply = server.reply(server.send_call("save_session", {"session_id": sid, "context": value}), within=10)
    if reply.get("result", {}).get("isError") or "error" in reply:
        assert server.call("resume_session", session_id=sid)["found"] is False
    else:
        assert exact(server.call("resume_session", session_id=sid)["session"]["context"]) == exact(value)


# size

MB = 1_000_000
PLACES = pytest.mark.parametrize("place", ["redis", "disabled"], indirect=True)


def whole_history(server: WireServer, session_id: str, max_tokens: int) -> list[dict[str, Any]]:
    """The history, walked page by page from the newest turns back."""
    pages: list[dict[str, Any]] = []
    before: dict[str, int] = {}
    while True:
        page = server.call("resume_session", session_id=session_id, max_tokens=max_tokens, within=60, **before)
        assert page["session"]["history"], page["message"]
        pages = page["session"]["history"] + pages
        if page.get("next_before_turn") is None:
            assert len(pages) == page["total_turns"]
            return pages
        before = {"before_turn": page["next_before_turn"]}


@PLACES
def test_a_session_of_fifteen_megabytes_comes_back_equal(place: Place, sid: str):
    history = [{"role": "user", "content": f"{i} " + "é🌾x " * 9_000} for i in range(150)]
    assert 15 * MB / 2 < len(json.dumps(history, ensure_ascii=False).encode()) < 16 * MB
    history += turns("y" * (15 * MB - len(json.dumps(history, ensure_ascii=False).encode())))
    with place.server() as server:
        if place.shared:
            server.warm()
        saved = server.call("save_session", session_id=sid, history=history, within=60)
        assert (saved["saved"], saved["stored_in"], saved["turns"]) == (True, place.stored_in, 151)
        added = server.call("save_session", session_id=sid, history=turns("one more"), within=60)
        assert (added["saved"], added["turns"]) == (True, 152)
        assert exact(whole_history(server, sid, max_tokens=3 * MB)) == exact([*history, *turns("one more")])
        server.kill()
    with place.server() as server:
        if place.shared:
            server.warm()
        assert words(whole_history(server, sid, max_tokens=3 * MB)[-1:]) == ["one more"]


@PLACES
def test_a_session_over_the_limit_is_refused_and_the_stored_one_is_as_it_was(place: Place, sid: str):
    with WireServer(place.env | {"FLYWHEEL_MAX_SESSION_BYTES": "200000"}) as server:
        if place.shared:
            server.warm()
        refused = server.call("save_session", session_id="never", history=turns("x" * 250_000))
        assert (refused["saved"], refused["reason"], refused["stored_in"]) == (False, "too_large", "none")
        assert "FLYWHEEL_MAX_SESSION_BYTES" in refused["message"]
        assert server.call("resume_session", session_id="never")["found"] is False
        server.call("save_session", session_id=sid, history=turns("y" * 150_000))
        refused = server.call("save_session", session_id=sid, history=turns("z" * 100_000))
        assert (refused["saved"], refused["reason"]) == (False, "too_large")
        kept = server.call("resume_session", session_id=sid, max_tokens=1_000_000)
        assert (kept["revision"], kept["total_turns"]) == (1, 1)
        assert kept["session"]["history"] == turns("y" * 150_000)
        assert server.call("save_session", session_id=sid, history=turns("small"))["saved"] is True


def test_a_session_over_the_default_limit_is_refused(disabled_env: dict[str, str], sid: str):
    with WireServer(disabled_env) as server:
        refused = server.call("save_session", session_id=sid, history=turns("x" * 17 * (1 << 20)), within=60)
        assert (refused["saved"], refused["reason"]) == (False, "too_large")
        assert server.call("save_session", session_id=sid, history=TALK)["saved"] is True


# what fits


def test_a_resumed_session_keeps_to_its_budget_and_its_pages_are_the_whole(server: WireServer, sid: str):
    history = [{"role": "user", "content": f"{i} " + "word " * (i % 50)} for i in range(200)]
    server.call("save_session", session_id=sid, history=history)
    page = server.call("resume_session", session_id=sid, max_tokens=1500)
    assert len(json.dumps(page["session"], ensure_ascii=False, separators=(",", ":"))) <= 1500 * 4
    assert 0 < len(page["session"]["history"]) < 200
    assert page["session"]["history"] == history[-len(page["session"]["history"]) :], "the newest turns"
    assert page["omitted_turns"] == 200 - len(page["session"]["history"])
    assert page["next_before_turn"] == page["omitted_turns"]
    assert whole_history(server, sid, max_tokens=1500) == history
    assert server.call("resume_session", session_id=sid)["session"]["history"] == history, "it fits the default budget"


def test_a_short_session_comes_back_whole_within_its_budget(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=TALK, summary="s" * 100)
    whole = server.call("resume_session", session_id=sid)
    size = len(json.dumps(whole["session"], ensure_ascii=False, separators=(",", ":")).encode())
    exactly = server.call("resume_session", session_id=sid, max_tokens=-(-size // 4))
    assert exactly["session"]["history"] == TALK
    assert exactly["omitted_turns"] == 0

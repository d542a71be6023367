"""Whatever a tool is called with, there is one answer: what the contract says, or an error that a model can act on."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..conftest import place_named
from ..support.fuzz import INTERNALS, LiveServer, fuzzed
from ..support.redis_server import RedisServer
from ..support.wire import error_text
from .test_arguments import GOOD

pytestmark = pytest.mark.slow

TOOLS = tuple(GOOD)
PARSE_ERROR, INVALID_PARAMS = -32700, -32602


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


STRANGE_TEXTS = [
    *("", " ", "\t\r\n", "\0", "\x1b[31mred", "\x7f", "\u2028", "\u202e", "\ufeff", "\uffff", "🌾", "e\u0301"),
    *("\U0010ffff", "\ud800", "a\udfffb", "..", "../../etc/passwd", "a:b", "*", "[", "?" * 50, "%s%n{0}"),
    *("null", "true", "1", "-1", "1.5", "NaN", "[]", "{}", '{"a":1}', "[[1]]", '"quoted"', "[1", "9" * 5000),
    *("'; DROP TABLE documents; --", "x" * 300, "x" * 150_000, "🌾" * 30_000),
]
STRANGE = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**400, 10**4299),
    *(-0.0, 1.0, 1.5, 1e308, 5e-324, float("nan"), float("inf"), nested(60), nested(130), nested(190)),
    *([], {}, [[]], [{}], [None], {"": None}, {"\0": "\0"}, {"\ud800": 1}),
    *([{"id": []}, {"id": {}}, {"id": 1.5}, {"id": True}], [{}] * 2000, {str(i): i for i in range(2000)}),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY_JSON = st.recursive(
    SCALARS | st.sampled_from(STRANGE) | st.sampled_from(STRANGE_TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
IDS = st.sampled_from(["s-1", "s-2", "e-1", "f-1", "nobody"])
RIGHT = {
    "string": IDS
    | st.sampled_from(["pending", "failed", "custom", "append", "replace", "*", "s-*", ""])
    | st.text(max_size=20),
    "integer": st.integers(0, 5) | st.integers(),
    "array": st.lists(st.text(max_size=5), max_size=4)
    | st.lists(st.dictionaries(st.text(max_size=5), SCALARS), max_size=4),
    "object": st.dictionaries(st.text(max_size=5), ANY_JSON, max_size=4),
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> Iterator[LiveServer]:
    place = place_named("redis", tmp_path_factory.mktemp("live"), worker_redis)
    live = LiveServer(place.server)
    yield live
    live.close()


@pytest.fixture(scope="module")
def tools(live: LiveServer) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool for tool in live.server.request("tools/list")["tools"]}


def arguments_for(tool: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of which most are there, most are right, and some are anything."""
    schema = tool["inputSchema"]
    known = {name: mostly(RIGHT[kind_of(kind)], ANY_JSON) for name, kind in schema.get("properties", {}).items()}
    required = {name: known.pop(name) for name in schema.get("required", ())}
    unknown = mostly(st.just({}), st.dictionaries(st.text(max_size=12), ANY_JSON, max_size=2))
    return st.builds(lambda one, other: one | other, st.fixed_dictionaries(required, optional=known), unknown)


def kind_of(schema: dict[str, Any]) -> str:
    """The type of a parameter, without the null beside it."""
    return schema["anyOf"][0]["type"] if "anyOf" in schema else schema["type"]


def mostly(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 3).flatmap(lambda n: usual if n else other)


def check_answer(answer: dict[str, Any], tool: dict[str, Any]) -> None:
    if "error" in answer:
        assert answer["error"]["code"] in (PARSE_ERROR, INVALID_PARAMS)
        text = answer["error"]["message"]
    elif answer["result"].get("isError"):
        text = error_text(answer)
    else:
        structured = answer["result"]["structuredContent"]
        jsonschema.validate(structured, tool["outputSchema"])
        shown, text = answer["result"]["content"][0]["text"], structured["message"]
        if tool["name"] == "resume_session":
            assert shown.startswith(text), "a transcript"
        else:
            assert json.loads(shown) == structured
    assert text.strip()
    assert len(text) < 2000, "a sentence"
    for internal in INTERNALS:
        assert internal not in text


@pytest.mark.parametrize("name", TOOLS)
def test_any_arguments_have_one_answer_that_is_a_result_or_a_sentence(
    name: str, live: LiveServer, tools: dict[str, dict[str, Any]]
):
    @fuzzed(80)
    @given(arguments=arguments_for(tools[name]), ascii_only=st.booleans())
    def hold(arguments: dict[str, Any], *, ascii_only: bool) -> None:
        check_answer(live.answer_to_call(name, arguments, ascii_only=ascii_only), tools[name])

    hold()
    live.check_that_it_serves()


INTEGERS = [
    ("save_session", "ttl_seconds"),
    ("save_session", "expected_revision"),
    ("resume_session", "max_tokens"),
    ("resume_session", "before_turn"),
    ("resume_session", "revision"),
    ("list_sessions", "limit"),
    ("cache_result", "ttl_seconds"),
    ("get_flow_history", "limit"),
    ("restore_session", "revision"),
    ("fork_session", "revision"),
]
REQUIRED = {
    "restore_session": {"session_id": "s", "revision": 1},
    "fork_session": {"session_id": "s"},
    "cache_result": {"result": {}},
    "get_flow_history": {"session_id": "s", "flow_id": "f"},
}


@pytest.mark.parametrize(("name", "parameter"), INTEGERS)
@pytest.mark.parametrize("value", [True, False, "1x", "one", "true", "1.5", "[1]", 1.5, [1], {"a": 1}], ids=repr)
def test_only_a_number_is_taken_for_a_number(name: str, parameter: str, value: Any, live: LiveServer):
    text = live.server.refused(name, **(REQUIRED.get(name, {}) | {parameter: value}))
    assert parameter in text
    assert "whole number" in text


def test_every_parameter_that_is_a_number_is_among_those(tools: dict[str, dict[str, Any]]):
    found = {
        (name, parameter)
        for name, tool in tools.items()
        for parameter, schema in tool["inputSchema"].get("properties", {}).items()
        if kind_of(schema) == "integer"
    }
    assert found == set(INTEGERS)

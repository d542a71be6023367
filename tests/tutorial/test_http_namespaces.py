"""Two tokens, each with a world of its own: nothing that one asks shows or changes anything of the other's."""

import asyncio
import json
import operator
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..support.http import HTTPProcess, headers_of, http_client, http_server, request, token_of, tool
from ..support.sealed import key_line
from ..support.waiting import eventually

MARK = {"ann": "quixotic-apples", "bob": "zephyrous-beans"}
"""A text in everything that one has, and in nothing that is ever asked."""

IDS = {"ann": ["garden", "ann-1", "shared plan"], "bob": ["garden", "bob-1", "bob:2/3", "shared plan", "läbyrinth"]}
TOOLS = (
    "save_session",
    "resume_session",
    "list_sessions",
    "delete_session",
    "list_revisions",
    "restore_session",
    "fork_session",
    "cache_result",
    "get_result",
    "get_flow_history",
    "persistence_status",
)


class World:
    """A server with two tokens, both of which have something."""

    def __init__(self, env: dict[str, str], server: HTTPProcess, tokens: dict[str, str]) -> None:
        self.prefix = env["FLYWHEEL_KEY_PREFIX"]
        self.server, self.tokens = server, tokens
        self.http = httpx2.Client(timeout=30)
        for name in tokens:
            self.fill(name)
        self.cursor = self.ask("bob", "tools/call", _call("list_sessions", limit=1))["result"]["structuredContent"][
            "next_cursor"
        ]
        self.before = self.seen_by("bob")
        self.tries = 0

    def fill(self, name: str) -> None:
        mark = MARK[name]
        for each in IDS[name]:
            for turn in range(2):
                history = [{"role": "user", "content": f"{mark} and harvest {turn}"}]
                texts = {"title": f"{mark} title", "summary": f"{mark} summary", "tags": [mark, "farm"]}
                saved = _call("save_session", session_id=each, history=history, context={"c": mark}, **texts)
                assert self.ask(name, "tools/call", saved)["result"]["structuredContent"]["saved"]
            cached = _call(
                "cache_result", result={"r": mark}, execution_id=f"run {each}", session_id=each, flow_id=f"flow {name}"
            )
            assert self.ask(name, "tools/call", cached)["result"]["structuredContent"]["cached"]

    def ask(self, name: str, method: str, params: dict[str, Any]) -> Any:
        routed = params.get("name") or params.get("uri") or ""
        headers = headers_of(method, "", self.tokens[name])
        if routed:
            headers["mcp-name"] = routed if routed.isascii() else "=?base64?" + _base64(routed) + "?="
        answer = self.http.post(self.server.url, json=request(method, params), headers=headers)
        assert answer.status_code in (200, 400, 404), (answer.status_code, answer.text)
        return answer.json()

    def seen_by(self, name: str) -> str:
        """All that one has, as text."""
        listed = self.ask(name, "tools/call", _call("list_sessions", limit=100))["result"]["structuredContent"]
        ids = sorted(row["id"] for row in listed["sessions"])
        parts = [ids]
        for each in ids:
            parts.append(
                self.ask(name, "resources/read", {"uri": f"session://{_quoted(each)}"})["result"]["contents"][0]["text"]
            )
            parts.append(
                self.ask(name, "tools/call", _call("list_revisions", session_id=each))["result"]["structuredContent"]
            )
            flow = _call("get_flow_history", session_id=each, flow_id=f"flow {name}")
            parts.append(self.ask(name, "tools/call", flow)["result"]["structuredContent"]["executions"])
        return json.dumps(parts, sort_keys=True)


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


@pytest.fixture(params=["journal", "redis", "sealed"])
def world(request: pytest.FixtureRequest, server_env: dict[str, str]) -> Iterator[World]:
    more = {"journal": {"REDIS_ENABLED": "false"}, "redis": {}, "sealed": {"FLYWHEEL_KEY": key_line("a")}}
    env = server_env | more[request.param]
    tokens = {name: token_of(env, name) for name in ("ann", "bob")}
    with http_server(env, "--rate", "0") as server:
        built = World(env, server, tokens)
        try:
            yield built
        finally:
            built.http.close()


near = st.sampled_from(IDS["bob"] + [f"run {each}" for each in IDS["bob"]])


@st.composite
def ids(draw: st.DrawFn) -> str:
    """An id of the other's, or one that is near it: another case, a part, a glob, a path, a whole key."""
    each = draw(near)
    shapes = [
        each,
        each.upper(),
        each[:-1] or each,
        each + "x",
        f"{each[:2]}*",
        "*",
        f"../bob/{each}",
        f"ns.bob:session:{each}",
        f"session:{each}",
        f"..ns.bob:session:{each}",
        _quoted(each),
        f"{each}/transcript",
        f"bob:{each}",
        draw(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)),
    ]
    return draw(st.sampled_from(shapes))


def _asked(kind: str, identity: str, number: int, cursor: str) -> tuple[str, dict[str, Any]]:
    """What is asked of this kind about that id."""
    uri = f"session://{_quoted(identity)}"
    arguments: dict[str, dict[str, Any]] = {
        "save_session": {"session_id": identity, "history": [{"role": "user", "content": f"mine {number}"}]},
        "resume_session": [
            {"session_id": identity},
            {},
            {"query": "harvest"},
            {"session_id": identity, "revision": number},
        ][number % 4],
        "list_sessions": [
            {"pattern": identity},
            {"query": "harvest title summary"},
            {"query": identity},
            {"tags": ["farm"]},
            {"cursor": cursor},
            {"limit": 1000},
        ][number % 6],
        "delete_session": {"session_id": identity},
        "list_revisions": {"session_id": identity},
        "restore_session": {"session_id": identity, "revision": number % 3 + 1},
        "fork_session": {"session_id": identity, "new_session_id": f"fork {number}"},
        "cache_result": {
            "result": {"n": number},
            "execution_id": identity,
            "session_id": identity,
            "flow_id": "flow bob",
        },
        "get_result": {"execution_id": [identity, f"run {identity}"][number % 2]},
        "get_flow_history": {"session_id": identity, "flow_id": ["flow bob", identity][number % 2]},
        "persistence_status": {},
    }
    if kind in arguments:
        return "tools/call", {"name": kind, "arguments": arguments[kind]}
    others: dict[str, tuple[str, dict[str, Any]]] = {
        "read": ("resources/read", {"uri": [uri, f"{uri}/transcript", f"execution://{_quoted(identity)}"][number % 3]}),
        "resources": ("resources/list", {}),
        "templates": ("resources/templates/list", {}),
        "prompt": (
            "prompts/get",
            {"name": ["resume_conversation", "handoff"][number % 2], "arguments": {"session": identity}},
        ),
        "complete": (
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": "session://{session_id}"},
                "argument": {"name": "session_id", "value": identity[: number % 5]},
            },
        ),
    }
    return others[kind]


KINDS = (*TOOLS, "read", "resources", "templates", "prompt", "complete")


def _tried(world: World, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(kind=st.sampled_from(KINDS), identity=ids(), number=st.integers(0, 11))
    def try_once(kind: str, identity: str, number: int) -> None:
        world.tries += 1
        method, params = _asked(kind, identity, number, world.cursor)
        answer = json.dumps(world.ask("ann", method, params), ensure_ascii=False)
        assert MARK["bob"] not in answer, (method, params, answer)
        if kind in ("resources", "complete", "persistence_status"):
            assert "bob-1" not in answer or any("bob-1" in each for each in _own(world)), answer
        if world.tries % 500 == 0:
            assert world.seen_by("bob") == world.before

    try_once()
    assert world.seen_by("bob") == world.before, "what ann did changed nothing of bob's"
    assert MARK["ann"] not in world.before


def _own(world: World) -> list[str]:
    listed = world.ask("ann", "tools/call", _call("list_sessions", limit=1000))["result"]["structuredContent"]
    return [row["id"] for row in listed["sessions"]]


def test_nothing_of_another_token_is_shown_or_changed(world: World):
    _tried(world, 250)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_of_another_token_is_shown_or_changed_in_ten_thousand_tries(world: World):
    _tried(world, 3_400)  # with Redis, without, and sealed


@pytest.mark.slow
def test_what_is_anothers_and_what_is_not_there_cannot_be_told_apart(world: World):
    theirs, nobodys = "läbyrinth", "länderyen"  # neither is like anything of ann's
    took: dict[str, list[float]] = {theirs: [], nobodys: []}
    said: dict[str, set[str]] = {theirs: set(), nobodys: set()}
    for number in range(100):
        for each in [*took][:: 1 if number % 2 else -1]:
            begun = time.perf_counter()
            answer = world.ask("ann", "tools/call", _call("resume_session", session_id=each))["result"][
                "structuredContent"
            ]
            took[each].append(time.perf_counter() - begun)
            said[each].add(json.dumps(answer, ensure_ascii=False).replace(each, "ID"))
    assert said[theirs] == said[nobodys]
    # Of pairs that were asked one after the other: so what else the machine does counts for both.
    apart = abs(statistics.median(map(operator.sub, took[theirs], took[nobodys])))
    assert apart < max(0.001, statistics.median(took[nobodys]) / 20), "a millisecond, or more where all is slow"


async def test_who_listens_to_anothers_resources_hears_only_of_their_own(world: World):
    heard: list[str] = []
    uris = ["session://bob-1", "session://garden", "session://ann-1"]
    token = world.tokens["ann"]
    async with http_client(world.server.url, token) as listener, listener.listen(resource_subscriptions=uris) as stream:

        async def note() -> None:
            async for event in stream:
                heard.append(str(getattr(event, "uri", "")))  # noqa: PERF401  the stream has no end

        noting = asyncio.ensure_future(note())
        async with httpx2.AsyncClient(timeout=30) as http:
            for who, each in (("bob", "bob-1"), ("bob", "garden"), ("ann", "ann-1")):
                turns = [{"role": "user", "content": "news"}]
                await tool(http, world.server.url, "save_session", world.tokens[who], session_id=each, history=turns)
            await eventually(lambda: any("ann-1" in each for each in heard))
        noting.cancel()
    assert not [each for each in heard if "bob" in each or "garden" in each]

"""What a program traces gets to Langfuse through the released client; what is the matter with that gets nowhere."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel import integrations
from agentic_flywheel.integrations import langfuse_tracer
from agentic_flywheel.integrations.langfuse_tracer import (
    LangfuseObservation,
    LangfuseScore,
    LangfuseTracerManager,
    get_current_trace_id,
    trace_mcp_tool,
)
from agentic_flywheel.langfuse_access import VARIABLES
from agentic_flywheel.sessions.tracing.outbox import MOST_EVENTS

from .support.langfuse import BASIC, PUBLIC_KEY, SECRET_KEY, RecordingLangfuse, noted, noting_child
from .support.waiting import wait_until

KEY = "sk-ant-api03-" + "fP7xQ2rT" * 11 + "AA"
PER_CALL = 5
"""What a traced call sends: trace, output, span, two scores."""


@pytest.fixture
def langfuse() -> Iterator[RecordingLangfuse]:
    server = RecordingLangfuse()
    yield server
    server.stop()


@pytest.fixture
def traced(langfuse: RecordingLangfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingLangfuse]:
    """A recording Langfuse that the environment names; not started yet. The tracer is closed afterwards."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LANGFUSE_ENABLED", "AGENTIC_FLYWHEEL_PARENT_TRACE_ID", "FLYWHEEL_COAIA_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    for name, value in langfuse.env.items():
        monkeypatch.setenv(name, value)
    yield langfuse
    langfuse.over.set()
    for access, tracer in list(langfuse_tracer._tracers.items()):
        if access.host == langfuse.env["LANGFUSE_HOST"]:
            tracer.sender.close(0.0)
            del langfuse_tracer._tracers[access]


@pytest.fixture
def noting(traced: RecordingLangfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001
    """The folder of a child that has the released tools' names and notes what they are sent."""
    names = ("coaia_fuse_trace_create", "coaia_fuse_add_observation", "coaia_fuse_trace_patch_output")
    monkeypatch.setenv("FLYWHEEL_COAIA_COMMAND", noting_child(tmp_path, *names, "coaia_fuse_score_apply"))
    return tmp_path


def status() -> dict[str, Any]:
    return LangfuseTracerManager().status()


def settled() -> dict[str, Any]:
    wait_until(lambda: not status()["pending"], what="all to be sent")
    return status()


@trace_mcp_tool("plant")
async def plant(name: str, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    trace_id = get_current_trace_id()
    await LangfuseObservation.add_intent_classification(trace_id, "planting", 0.95, ["fern"])
    await LangfuseObservation.add_flow_selection(trace_id, "f1", "Garden", "flowise", "it knows ferns")
    await LangfuseScore.add_quality_score(trace_id, 0.9, "complete")
    return {"answer": "in the shade", "for": arguments["question"], "key": KEY}


async def test_a_traced_call_arrives_with_trace_observations_scores_and_nesting(traced: RecordingLangfuse):
    traced.start()
    answer = await plant("plant", {"question": "where?"})
    assert answer["key"] == KEY, "what the program has is its own"
    traced.wait_for(PER_CALL + 3)
    assert {request.keys for request in traced.requests} == {BASIC}
    trace = traced.traces()["plant"]
    assert trace["input"] == {"name": "plant", "arguments": {"question": "where?"}}
    assert trace["output"] == {"answer": "in the shade", "for": "where?", "key": "[redacted: Anthropic key]"}
    (span,) = traced.of("observation-create", lambda o: o["type"] == "SPAN")
    assert (span["name"], span["traceId"], span["output"]) == ("plant", trace["id"], trace["output"])
    assert span["startTime"] < span["endTime"]
    assert "parentObservationId" not in span
    events = traced.of("observation-create", lambda o: o["type"] == "EVENT")
    assert [event["name"] for event in events] == ["intent_classification", "flow_selection"]
    assert {event["parentObservationId"] for event in events} == {span["id"]}
    assert events[0]["output"] == {"intent": "planting", "confidence": 0.95, "matched_keywords": ["fern"]}
    assert events[1]["output"]["flow_name"] == "Garden"
    scores = {score["name"]: score for score in traced.of("score")}
    assert {score["traceId"] for score in scores.values()} == {trace["id"]}
    assert (scores["quality"]["value"], scores["quality"]["comment"]) == (0.9, "complete")
    assert (scores["success"]["value"], scores["latency"]["value"] > 0) == (1.0, True)
    assert settled()["state"] == "arriving"


async def test_where_capture_is_off_no_content_leaves_the_program(traced: RecordingLangfuse):
    @trace_mcp_tool("private", capture_input=False, capture_output=False)
    async def private(question: str, *, fails: bool = False) -> str:
        if fails:
            raise ValueError(f"no {question}")
        return f"answer to {question}"

    traced.start()
    assert await private("marrow") == "answer to marrow"
    with pytest.raises(ValueError, match="no marrow"):
        await private("marrow", fails=True)
    settled()
    assert "marrow" not in traced.text
    assert traced.of("observation-create", lambda o: o["name"] == "error")[0]["output"] == {"error_type": "ValueError"}
    assert sorted(score["value"] for score in traced.of("score") if score["name"] == "success") == [0.0, 1.0]


async def test_an_exception_passes_and_is_traced_with_its_words_and_stack(noting: Path):
    @trace_mcp_tool("broken")
    async def broken(arguments: dict[str, Any]) -> None:
        raise KeyError(f"{arguments['a']} {KEY}")

    with pytest.raises(KeyError, match="leek"):
        await broken({"a": "leek"})
    settled()
    (error,) = [sent for _, sent in noted(noting) if sent.get("name") == "error"]
    assert error["output_data"]["error_type"] == "KeyError"
    assert "leek" in error["output_data"]["error_message"]
    assert "in broken" in error["output_data"]["stack_trace"]
    assert KEY not in str(noted(noting))
    assert [sent["value"] for name, sent in noted(noting) if sent.get("config_name_or_id") == "success"] == [0.0]


async def test_a_generator_is_one_call_that_lasts_until_it_ends(noting: Path):
    @trace_mcp_tool("stream")
    async def stream(count: int) -> AsyncGenerator[str, str | None]:
        here, told = get_current_trace_id(), "nothing"
        for at in range(count):
            try:
                told = (yield f"{at}, {told}") or told
            except KeyError:
                told = "an error"
            assert get_current_trace_id() == here
        raise ValueError("out of words")

    given = stream(3)
    assert await anext(given) == "0, nothing"
    assert get_current_trace_id() is None
    assert await given.asend("more") == "1, more"
    assert await given.athrow(KeyError()) == "2, an error"
    with pytest.raises(ValueError, match="out of words"):
        await anext(given)
    async with contextlib.aclosing(stream(2)) as left:
        assert await anext(left) == "0, nothing"
    await stream(1).aclose()  # never begun
    settled()
    sent = noted(noting)
    assert [verb for verb, _ in sent].count("coaia_fuse_trace_create") == 2
    assert sorted(each["value"] for _, each in sent if each.get("config_name_or_id") == "success") == [0.0, 1.0]
    given_out = [each["output_data"] for verb, each in sent if verb == "coaia_fuse_trace_patch_output"]
    assert sorted(given_out) == [["0, nothing"], ["0, nothing", "1, more", "2, an error"]]
    (error,) = [each for _, each in sent if each.get("name") == "error"]
    assert error["output_data"]["error_type"] == "ValueError"


async def test_a_generator_that_is_not_traced_is_the_functions_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)

    @trace_mcp_tool("stream")
    async def stream() -> AsyncGenerator[int]:
        yield 1

    assert [each async for each in stream()] == [1]


async def test_nested_and_parallel_traces_keep_their_own_ids(noting: Path):
    ids: dict[str, tuple[str | None, str | None, str | None]] = {}

    @trace_mcp_tool("inner")
    async def inner(which: str) -> str | None:  # noqa: ARG001
        await asyncio.sleep(0.01)
        return get_current_trace_id()

    @trace_mcp_tool("outer")
    async def outer(which: str) -> None:
        before = get_current_trace_id()
        nested = await inner(which)
        ids[which] = (before, nested, get_current_trace_id())

    await asyncio.gather(*(outer(str(number)) for number in range(20)))
    assert get_current_trace_id() is None
    assert all(before == after != nested for before, nested, after in ids.values())
    assert len({each for triple in ids.values() for each in triple[:2]}) == 40
    settled()
    calls = noted(noting)
    above = {s["trace_id"]: s["metadata"].get("parent_trace_id") for n, s in calls if n == "coaia_fuse_trace_create"}
    links = [s for n, s in calls if n == "coaia_fuse_add_observation" and "trace_id" in s.get("metadata", {})]
    spans = {s["observation_id"]: s["trace_id"] for n, s in calls if n == "coaia_fuse_add_observation"}
    for before, nested, _ in ids.values():
        assert nested
        assert (above[nested], above[before or ""]) == (before, None)
        (link,) = [link for link in links if link["metadata"]["trace_id"] == nested]
        assert (link["trace_id"], spans[link["parent_id"]]) == (before, before)


async def test_traces_by_hand_are_begun_below_a_parent_ended_and_remembered(noting: Path):
    manager = LangfuseTracerManager(parent_trace_id="session-1", timeout_ms=2000)
    trace_id = await manager.create_trace("talk", {"version": "2"}, {"question": "why?"})
    assert trace_id
    assert await LangfuseObservation.add_execution(trace_id, "why?", 0, 12.5)
    assert await LangfuseObservation.add_error(trace_id, "ValueError", "Invalid input", "Traceback...")
    assert await LangfuseScore.add_success_score(trace_id, success=False, error="Execution timeout")
    assert await LangfuseScore.add_latency_score(trace_id, 12.5)
    await manager.end_trace(trace_id, {"result": "because"})
    info = manager.get_trace_info(trace_id)
    assert info
    assert (info["name"], info["metadata"], info["parent_trace_id"]) == ("talk", {"version": "2"}, "session-1")
    assert (info["input_data"], info["output_data"]) == ({"question": "why?"}, {"result": "because"})
    assert info["started_at"] <= info["ended_at"]
    assert [each["type"] for each in info["observations"]] == ["execution", "error"]
    assert info["observations"][0]["data"] == {"input": "why?", "output": 0, "duration_ms": 12.5}
    assert info["scores"][0] == {"name": "success", "value": 0.0, "error": "Execution timeout"}
    assert info["scores"][1] == {"name": "latency", "value": 12.5, "unit": "ms"}
    info["scores"].clear()
    assert len((manager.get_trace_info(trace_id) or {})["scores"]) == 2, "a copy"
    assert manager.get_trace_info("nobody") is None
    settled()
    names = [name.removeprefix("coaia_fuse_") for name, _ in noted(noting)]
    assert names == ["trace_create", "add_observation", "add_observation", *["score_apply"] * 2, "trace_patch_output"]
    sent = [sent for _, sent in noted(noting)]
    assert sent[0]["metadata"] == {"version": "2", "parent_trace_id": "session-1"}
    assert sent[1]["output_data"] == "0", "the released client leaves out what is 0, false or empty"
    assert sent[3] | {"trace_id": ""} == {"config_name_or_id": "success", "target_type": "trace",
                                          "target_id": trace_id, "value": 0.0, "comment": "Execution timeout",
                                          "trace_id": ""}  # fmt: skip
    assert status()["state"] == "sent, unconfirmed", "a child whose success says nothing of Langfuse"


@pytest.mark.usefixtures("traced")
async def test_without_the_three_variables_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    for variable in VARIABLES:
        with monkeypatch.context() as without:
            without.delenv(variable)
            assert (await plant("plant", {"question": "q"}))["for"] == "q"
            manager = LangfuseTracerManager(enabled=True)
            assert (manager.enabled, await manager.create_trace("x"), manager.status()) == (
                False,
                None,
                {"state": "off"},
            )
    switched_off = LangfuseTracerManager(enabled=False)
    assert (switched_off.enabled, await switched_off.create_trace("x")) == (False, None)
    monkeypatch.setenv("LANGFUSE_ENABLED", "false")
    assert not LangfuseTracerManager().enabled
    assert (await plant("plant", {"question": "q"}))["for"] == "q"
    assert not await LangfuseScore.add_quality_score("trace-of-somebody", 0.5)
    assert not await LangfuseObservation.add_intent_classification(None, "x", 1.0)
    assert not [thread for thread in threading.enumerate() if thread.name == "langfuse traces"]


@pytest.mark.usefixtures("traced")
def test_a_wrong_address_is_one_line_and_no_key(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("LANGFUSE_HOST", "cloud.langfuse.com")
    assert not LangfuseTracerManager().enabled
    (record,) = caplog.records
    assert "https://cloud.langfuse.com" in record.getMessage()
    assert SECRET_KEY not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["down", "silent", "slow", "401", "503", "event refused"])
async def test_a_langfuse_that_is_not_well_neither_delays_the_function_nor_raises(
    traced: RecordingLangfuse, mood: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    if mood != "down":
        traced.mood = mood
        traced.start()

    async def work(arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        await asyncio.sleep(0.002)
        return {"answer": "a fern " * 200}

    shadowed = trace_mcp_tool("work")(work)
    arguments = {"history": [{"role": "user", "content": "ferns " * 100}] * 20}
    await shadowed(arguments)
    wait_until(lambda: status()["state"] not in ("starting", "nothing sent yet"), what="a first attempt")
    plain, with_traces = [], []
    for _ in range(150):
        for times, function in ((plain, work), (with_traces, shadowed)):
            began = time.perf_counter()
            assert (await function(arguments))["answer"]
            times.append(time.perf_counter() - began)
    # The quickest of each: who waits for Langfuse always does, who waits for a processor does not.
    assert min(with_traces) < 2 * min(plain), "below 2 ms more, of about 2"
    seen = status()
    assert seen["state"] == ("arriving" if mood == "slow" else "not arriving")
    assert seen["sent"] + seen["pending"] + seen["dropped"] + seen["failed"] == 151 * PER_CALL
    text = f"{seen} {LangfuseTracerManager()!r} {caplog.text}"
    assert not [secret for secret in (PUBLIC_KEY, SECRET_KEY, BASIC, "ferns") if secret in text]
    if mood == "401":
        assert "check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in seen["last_error"]


@pytest.mark.usefixtures("traced")
async def test_what_there_is_no_room_for_is_dropped_counted_and_said_once(caplog: pytest.LogCaptureFixture):
    manager = LangfuseTracerManager()  # nobody listens
    results = [await LangfuseScore.add_latency_score("trace-1", number) for number in range(MOST_EVENTS + 50)]
    assert results.count(False) >= 50 - 4
    assert manager.status()["dropped"] == results.count(False)
    assert len([record for record in caplog.records if "dropped" in record.getMessage()]) == 1


@pytest.mark.slow
async def test_what_waited_while_langfuse_was_away_arrives_once_each(traced: RecordingLangfuse):
    for number in range(5):
        await plant("plant", {"question": str(number)})
    wait_until(lambda: status()["state"] == "not arriving")
    traced.start()
    assert settled()["failed"] == 0
    ids = [
        request.body["batch"][0]["id"] if "batch" in request.body else request.body["id"] for request in traced.requests
    ]
    assert len(ids) == len(set(ids)) == 5 * (PER_CALL + 3)
    assert status()["state"] == "arriving"


async def test_what_is_refused_for_itself_makes_no_line_of_the_log_and_no_outage(
    traced: RecordingLangfuse, caplog: pytest.LogCaptureFixture
):
    traced.start()
    await plant("plant", {"question": "q"})
    settled()
    traced.mood = "event refused"
    await LangfuseScore.add_quality_score("trace-1", 0.5)
    seen = settled()
    assert (seen["state"], seen["failed"], seen["last_error"]) == ("arriving", 1, "Langfuse answers 400.")
    assert not caplog.records


@pytest.mark.usefixtures("traced")
async def test_a_child_without_the_tools_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("FLYWHEEL_COAIA_COMMAND", noting_child(tmp_path, "coaia_tash", "coaia_fetch"))
    await plant("plant", {"question": "q"})
    wait_until(lambda: (status()["state"], status()["pending"]) == ("not installed", 0))
    seen = status()
    assert "agentic-flywheel-state[coaiapy]" in seen["last_error"]
    assert (await plant("plant", {"question": "q"}))["for"] == "q"
    assert status()["dropped"] == PER_CALL + 3
    assert len([record for record in caplog.records if "[coaiapy]" in record.getMessage()]) == 1
    assert not noted(tmp_path)


async def test_any_arguments_and_answers_may_be_traced(noting: Path):
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("never asked")

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("never asked")

    circle: list[Any] = []
    circle.append(circle)

    @trace_mcp_tool("odd")
    async def odd(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG001
        return args[0]

    for value in (Odd(), circle, b"\xff" * 10, {1: {2}}, float("nan"), 10**400, "\ud800", "x" * 3_000_000):
        assert await odd(value, more=value) is value
    assert settled()["sent"] == 8 * PER_CALL
    assert all(len(str(sent)) < 300_000 for _, sent in noted(noting))


@pytest.mark.slow
def test_a_program_that_ends_at_once_has_its_trace_sent(traced: RecordingLangfuse, tmp_path: Path):
    traced.start()
    script = textwrap.dedent("""
        import asyncio
        from agentic_flywheel.integrations import trace_mcp_tool

        @trace_mcp_tool("short")
        async def short(): return 1

        asyncio.run(short())
    """)
    for mood in ("well", "401"):
        traced.mood = mood
        env = {"PATH": "", "HOME": str(tmp_path), **traced.env}
        env |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert SECRET_KEY not in done.stderr
        assert ("401" in done.stderr) == (mood == "401")
    assert len(traced.requests) == PER_CALL
    assert traced.traces()["short"]["output"] == 1


def test_who_does_not_trace_imports_nothing_for_it():
    script = "import sys, agentic_flywheel.integrations; print([m for m in sys.modules if m.endswith(('cing', 'cer'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert integrations.trace_mcp_tool is trace_mcp_tool
    assert set(langfuse_tracer.__all__) < set(integrations.__all__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = integrations.nothing_like_it


@pytest.mark.usefixtures("noting")
@pytest.mark.parametrize("state", ["on", "off"])
async def test_a_plain_function_is_awaited_once_it_is_decorated(state: str, monkeypatch: pytest.MonkeyPatch):
    if state == "off":
        monkeypatch.delenv(VARIABLES[1])

    @trace_mcp_tool("add")
    def add(a: int, b: int) -> int:
        assert (get_current_trace_id() is not None) == (state == "on")
        return a + b

    assert await add(2, 3) == 5  # type: ignore[misc]

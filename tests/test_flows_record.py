"""A prediction becomes an execution of its flow and two turns, once, whoever records or imports it how often."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentic_flywheel.cli.import_command import import_from_server
from agentic_flywheel.cli.importers.flow_servers import PROGRAMS
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import InvalidArgument, TooLarge
from agentic_flywheel.integrations.flows import FlowRecorder, record
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from .support import preloaded
from .support.conversations import words
from .support.flow_programs import KEY, FlowProgramServer, flowise
from .support.redis_server import NOBODY_LISTENS
from .support.wire import WireServer
from .unit.test_importers_flows import FLOW, row

FERNS = {
    "text": "Lady fern.",
    "question": "Which ferns?",
    "chatId": "chat",
    "chatMessageId": "row-2",
    "isStreamValid": False,
    "sessionId": "s",
    "memoryType": "Buffer Memory",
    "sourceDocuments": [{"pageContent": "F" * 5000, "metadata": {"source": "ferns.pdf"}}],
    "usedTools": [{"tool": "books", "toolInput": {"q": "fern"}, "toolOutput": "p. 7"}],
}


def run_of(*texts: str, question: str = "Which ferns?", begin: int = 2) -> dict[str, Any]:
    """What Langflow answers to a run with these outputs."""
    message = {
        "timestamp": "2026-11-28 23:40:02.000887 UTC",
        "sender": "Machine",
        "session_id": "ferns",
        "flow_id": FLOW,
    }
    outputs = [
        {
            "results": {"message": message | {"text": text, "data": message | {"text": text, "id": f"m-{number}"}}},
            "artifacts": {"message": text},
            "messages": [{"message": text, "sender": "Machine", "component_id": f"ChatOutput-{number}"}],
        }
        for number, text in enumerate(texts, begin)
    ]
    return {"session_id": "ferns", "outputs": [{"inputs": {"input_value": question}, "outputs": outputs}]}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)})


@pytest_asyncio.fixture
async def recorder(settings: Settings) -> AsyncIterator[FlowRecorder]:
    async with FlowRecorder(settings=settings) as made:
        yield made


async def stored(settings: Settings, session_id: str) -> Document:
    sessions, _ = open_store(settings)
    async with sessions:
        document, _ = await sessions.load(session_id)
    assert isinstance(document, Document)
    return document


async def flow_history(settings: Settings, session_id: str, flow_id: str) -> list[dict[str, Any]]:
    sessions, executions = open_store(settings)
    async with sessions:
        return (await executions.get_flow_history(session_id, flow_id)).executions


async def test_a_prediction_of_flowise_is_an_execution_and_two_turns(recorder: FlowRecorder, settings: Settings):
    kept = await recorder.record(FERNS, flow_id="flow")
    assert (kept.session_id, kept.execution_id) == ("flowise-flow-s", "flowise-row-2")
    assert (kept.added_turns, kept.is_new, kept.stored_in) == (2, True, "journal")
    session = (await stored(settings, kept.session_id)).session
    assert [(turn["role"], turn["content"]) for turn in session.history] == [
        ("user", "Which ferns?"), ("assistant", "Lady fern."),
    ]  # fmt: skip
    assert (session.backend.value, session.backend_session_id, session.current_flow_id) == ("flowise", "s", "flow")
    [execution] = await flow_history(settings, kept.session_id, "flow")
    assert execution["result"] == FERNS
    assert execution["input"] == {"question": "Which ferns?"}


async def test_the_answer_to_a_run_of_langflow_names_all_by_itself(settings: Settings):
    kept = await record(run_of("Lady fern."), settings=settings)
    assert (kept.session_id, kept.execution_id, kept.flow_id) == (f"langflow-{FLOW}-ferns", "langflow-m-2", FLOW)
    history = (await stored(settings, kept.session_id)).session.history
    assert words(history) == ["Which ferns?", "Lady fern."]
    assert history[1]["created_at"] == "2026-11-28T23:40:02.000887+00:00"
    assert len(await flow_history(settings, kept.session_id, FLOW)) == 1


async def test_each_output_of_a_run_is_a_turn_and_the_run_one_execution(recorder: FlowRecorder, settings: Settings):
    kept = await recorder.record(run_of("Lady fern.", "Royal fern."))
    assert words((await stored(settings, kept.session_id)).session.history) == [
        "Which ferns?", "Lady fern.", "Royal fern.",
    ]  # fmt: skip
    assert len(await flow_history(settings, kept.session_id, FLOW)) == 1


@pytest.mark.parametrize("prediction", [FERNS, run_of("Lady fern."), {"chatId": "c", "json": {"a": 1}}])
async def test_the_same_answer_again_adds_nothing(recorder: FlowRecorder, settings: Settings, prediction: Any):
    first, second = [await recorder.record(prediction, flow_id="flow") for _ in range(2)]
    assert (second.added_turns, second.is_new, second.revision) == (0, False, first.revision)
    side_by_side = [recorder.record(prediction, flow_id="flow") for _ in range(4)]
    assert {each.added_turns for each in await asyncio.gather(*side_by_side)} == {0}
    assert len(await flow_history(settings, first.session_id, "flow")) == 1


async def test_an_answer_that_names_no_talk_is_a_talk_of_its_own(recorder: FlowRecorder):
    of_two_people = [{"text": "Lady fern."}, {"text": "Oak fern."}, {"text": "Lady fern."}]
    kept = [await recorder.record(each, backend="flowise", flow_id=FLOW) for each in of_two_people]
    assert kept[0].session_id != kept[1].session_id
    assert (kept[2].session_id, kept[2].is_new) == (kept[0].session_id, False)
    without = run_of("Lady fern.")
    del without["session_id"]
    assert (await recorder.record(without)).session_id == f"langflow-{FLOW}-ferns", "its message names the talk"


async def test_the_same_words_said_again_are_another_answer(recorder: FlowRecorder, settings: Settings):
    for own in ("row-2", "row-4"):
        kept = await recorder.record(FERNS | {"chatMessageId": own}, flow_id="flow")
    assert words((await stored(settings, kept.session_id)).session.history) == ["Which ferns?", "Lady fern."] * 2


async def test_what_is_given_counts_before_what_the_answer_says(recorder: FlowRecorder, settings: Settings):
    kept = await recorder.record({"text": "Yes."}, question="Moss?", flow_id="f", session_id="mine", backend="flowise")
    assert kept.session_id == "mine"
    assert words((await stored(settings, "mine")).session.history) == ["Moss?", "Yes."]


async def test_a_run_that_is_too_large_is_refused_and_its_turns_stay(tmp_path: Path):
    env = {"FLYWHEEL_DATA_DIR": str(tmp_path), "HOME": str(tmp_path), "FLYWHEEL_MAX_SESSION_BYTES": "20000"}
    settings = Settings.from_env(env)
    large = FERNS | {"sourceDocuments": [{"pageContent": "F" * 30_000}]}
    with pytest.raises(TooLarge):
        await record(large, flow_id="flow", settings=settings)
    kept = await record(FERNS, flow_id="flow", settings=settings)
    assert (kept.added_turns, kept.is_new) == (0, True)


@pytest.mark.parametrize("prediction", [{}, {"text": "Yes."}, {"outputs": "none"}, {"chatId": float("nan")}])
async def test_what_is_no_answer_is_refused(recorder: FlowRecorder, prediction: Any):
    with pytest.raises(InvalidArgument):
        await recorder.record(prediction)


async def test_no_object_of_json_is_a_type_error(recorder: FlowRecorder):
    with pytest.raises(TypeError):
        await recorder.record("Yes.")  # pyright: ignore[reportArgumentType]


async def test_credentials_are_replaced_where_that_is_wished(settings: Settings):
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    prediction = FERNS | {"question": f"My key is {secret}"}
    kept = await record(prediction, flow_id="flow", settings=settings, redact=True)
    told = str(await stored(settings, kept.session_id)) + str(await flow_history(settings, kept.session_id, "flow"))
    assert secret not in told
    assert "[redacted" in told
    plain = await record(prediction, flow_id="other", settings=settings)
    assert secret in str(await stored(settings, plain.session_id))


def imported(settings: Settings, url: str) -> None:
    assert import_from_server(settings, PROGRAMS["flowise"], url, KEY) == 0


TALK = [
    row(1, "userMessage", "Which ferns?", sessionId="s"),
    row(2, "apiMessage", "Lady fern.", sessionId="s"),
    row(3, "userMessage", "Which ferns?", sessionId="s"),
    row(4, "apiMessage", "Royal fern.", sessionId="s"),
    row(5, "userMessage", "Moss?", sessionId="s"),
    row(6, "apiMessage", "Yes.", sessionId="s"),
]


@pytest.mark.parametrize("recorded", [(2, 4, 6), (4,), (6,), (6, 2), (2,), (4, 6)])
def test_what_is_recorded_and_imported_is_there_once_and_in_order(settings: Settings, recorded: tuple[int, ...]):
    def note(number: int) -> None:
        answer = TALK[number - 1]["content"]
        prediction = FERNS | {"chatMessageId": f"row-{number}", "text": answer, "question": TALK[number - 2]["content"]}
        asyncio.run(record(prediction, flow_id="flow", settings=settings))

    for number in recorded:
        note(number)
    with FlowProgramServer(flowise({"flow": TALK})).running() as server:
        for _ in range(3):
            imported(settings, server.url)
            document = asyncio.run(stored(settings, "flowise-flow-s"))
            assert words(document.session.history) == [each["content"] for each in TALK]
        for number in (2, 4, 6):
            note(number)
        imported(settings, server.url)
    after = asyncio.run(stored(settings, "flowise-flow-s"))
    assert after.revision == document.revision
    executions = asyncio.run(flow_history(settings, "flowise-flow-s", "flow"))
    assert sorted(each["id"] for each in executions) == ["flowise-row-2", "flowise-row-4", "flowise-row-6"]


def test_what_was_imported_and_then_recorded_is_there_once(settings: Settings):
    rows = TALK[:2]
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        imported(settings, server.url)
        kept = asyncio.run(record(FERNS, flow_id="flow", settings=settings))
        assert (kept.added_turns, kept.is_new) == (0, False)
        later = FERNS | {"chatMessageId": "row-4", "text": "Royal fern."}
        assert asyncio.run(record(later, flow_id="flow", settings=settings)).added_turns == 2
        rows += TALK[2:]
        imported(settings, server.url)
    document = asyncio.run(stored(settings, "flowise-flow-s"))
    assert words(document.session.history) == [each["content"] for each in TALK]


WRITER = """
import asyncio, sys
from agentic_flywheel.integrations.flows import FlowRecorder

async def main(who):
    async with FlowRecorder() as recorder:
        for number in range(8):
            answer = {"chatId": "chat", "chatMessageId": f"{who}-{number}", "text": "Yes.", "question": "Moss?"}
            await recorder.record(answer, flow_id="flow")
            await recorder.record(answer, flow_id="flow")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.slow
def test_eight_processes_record_side_by_side_and_each_answer_is_there_once(server_env: dict[str, str]):
    writers = [
        subprocess.Popen([*preloaded.program(WRITER), str(number)], env=server_env, stderr=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=200)
        assert writer.returncode == 0, said
    with WireServer(server_env) as server:
        executions = server.call("get_flow_history", session_id="flowise-flow-chat", flow_id="flow", limit=1000)
        found = server.call("resume_session", session_id="flowise-flow-chat", max_tokens=200_000)
        assert found["total_turns"] == 128
        ids = {turn["id"] for turn in found["session"]["history"] if turn["role"] == "assistant"}
        assert len(ids) == 64
        assert json.dumps(executions).count('"flowise-') >= 1
    with WireServer(server_env) as server:
        assert server.call("list_sessions", query="Moss")["sessions"][0]["turns"] == 128


@pytest.mark.slow
async def test_a_redis_that_is_away_loses_nothing(tmp_path: Path):
    settings = Settings.from_env(
        {"FLYWHEEL_DATA_DIR": str(tmp_path), "HOME": str(tmp_path), "REDIS_URL": NOBODY_LISTENS}
    )
    for _ in range(2):
        kept = await record(FERNS, flow_id="flow", settings=settings)
        assert kept.stored_in == "journal"
    assert kept.added_turns == 0

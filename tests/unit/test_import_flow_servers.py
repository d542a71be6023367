"""Flowise and Langflow are read over HTTP: all of it once, with its executions, within bounds; the key goes nowhere."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.import_command import import_from, import_from_server
from agentic_flywheel.cli.importers import http_server
from agentic_flywheel.cli.importers.flow_servers import PROGRAMS
from agentic_flywheel.documents.model import Document
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.conversations import words
from ..support.flow_programs import KEY, Answer, FlowProgramServer, as_json, flowise, langflow
from .test_importers import written
from .test_importers_flows import FLOW, row, said_there


def settings_in(folder: Path, **more: str) -> Settings:
    return Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder / "data"), "HOME": str(folder), **more})


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLOWISE_URL", "FLOWISE_API_KEY", "LANGFLOW_URL", "LANGFLOW_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def of_stores(folder: Path, asked: Callable[..., Any]) -> Any:
    """What is asked of the stores of that folder."""

    async def run() -> Any:
        sessions, executions = open_store(settings_in(folder))
        async with sessions:
            return await asked(sessions, executions)

    return asyncio.run(run())


def stored(folder: Path, session_id: str) -> Document:
    async def asked(sessions: Any, _: Any) -> Any:
        return (await sessions.load(session_id))[0]

    return of_stores(folder, asked)


def flow_history(folder: Path, session_id: str, flow_id: str) -> list[dict[str, Any]]:
    async def asked(_: Any, executions: Any) -> Any:
        return (await executions.get_flow_history(session_id, flow_id)).executions

    return of_stores(folder, asked)


def taken(folder: Path, program: str, url: str, capsys: pytest.CaptureFixture[str], **more: Any) -> tuple[int, str]:
    """The exit code and the last line of an import."""
    given: dict[str, Any] = {"key": KEY} | more
    code = import_from_server(settings_in(folder), PROGRAMS[program], url, **given)
    said = capsys.readouterr().err
    assert KEY not in said
    return code, said.splitlines()[-1] if said else ""


def test_all_flows_of_flowise_come_in_once_and_later_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = {"pageContent": "F" * 5000, "metadata": {"source": "ferns.pdf"}}
    flows: dict[str, list[dict[str, Any]]] = {
        "flow": [
            row(1, "userMessage", "Ferns?", sessionId="s"),
            row(2, "apiMessage", "Lady fern.", sessionId="s", sourceDocuments=[source], usedTools=[{"tool": "books"}]),
        ],
        "other": [row(3, "userMessage", "Moss?", chatflowid="other"), row(4, "apiMessage", "Yes.", chatflowid="other")],
        "unused": [],
    }
    with FlowProgramServer(flowise(flows)).running() as server:
        code, said = taken(tmp_path, "flowise", f"{server.url}/api/v1/", capsys)
        assert code == 0
        assert said.startswith("Took in 2 sessions; 0 were there already, 0 could not be taken in. Kept 2 executions")
        assert taken(tmp_path, "flowise", server.url, capsys) == (
            0, "Took in 0 sessions; 2 were there already, 0 could not be taken in.",
        )  # fmt: skip
        flows["flow"] += [
            row(5, "userMessage", "Bogs?", sessionId="s"),
            row(6, "apiMessage", "Royal fern.", sessionId="s", executionId="run", execution={
                "id": "run", "state": "FINISHED", "executionData": '[{"nodeId": "agent_0"}]'}),
        ]  # fmt: skip
        code, said = taken(tmp_path, "flowise", server.url, capsys)
        assert "Took in 0 sessions, added to 1 session; 1 were there already" in said
        assert "Kept 1 execution of" in said
    document = stored(tmp_path, "flowise-flow-s")
    session = document.session
    assert (session.backend.value, session.backend_session_id, session.current_flow_id) == ("flowise", "s", "flow")
    assert words(session.history)[::2] == ["Ferns?", "Bogs?"]
    first, second = flow_history(tmp_path, "flowise-flow-s", "flow")
    assert first["id"] == "flowise-row-2"
    assert first["result"]["sourceDocuments"] == [source]
    assert first["result"]["usedTools"] == [{"tool": "books"}]
    assert first["input"] == {"question": "Ferns?"}
    assert second["result"]["agentFlowExecutedData"] == [{"nodeId": "agent_0"}]
    assert all(headers["authorization"] == f"Bearer {KEY}" for _, headers in server.seen)


@pytest.mark.parametrize("most", [200, 70, 10**6], ids=["pages", "smaller pages than asked for", "all at once"])
def test_all_pages_of_langflow_come_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], most: int):
    messages = [
        said_there(0, ("User", "Machine")[number % 2], f"Fern {number}", session=f"s{number % 4 // 2}") | {
            "id": f"{number:08}-0000-4000-8000-000000000002",
            "timestamp": f"2026-11-28 23:{number // 60:02}:{number % 60:02}.000887 UTC",
            "duration": 7,
        }
        for number in range(450)
    ]  # fmt: skip
    answered = langflow(messages, most=most)
    late = said_there(1, "User", "Meanwhile", session="late") | {"timestamp": "2026-11-29 00:00:00.000887 UTC"}
    late["id"] = "99999999-0000-4000-8000-000000000002"

    def answer(path: str, query: dict[str, str]) -> Answer:
        if query["offset"] != "0" and late not in messages:
            messages.append(late)  # what is said while pages are read moves all others on
        return answered(path, query | ({"limit": "1000000", "offset": "0"} if most > 200 else {}))

    with FlowProgramServer(answer).running() as server:
        assert "Kept 225 executions" in taken(tmp_path, "langflow", server.url, capsys)[1]
        taken(tmp_path, "langflow", server.url, capsys)
        again = taken(tmp_path, "langflow", server.url, capsys)
        assert again == (0, "Took in 0 sessions; 3 were there already, 0 could not be taken in.")
    assert words(stored(tmp_path, f"langflow-{FLOW}-late").session.history) == ["Meanwhile"]
    for name, begin in (("s0", 0), ("s1", 2)):
        history = stored(tmp_path, f"langflow-{FLOW}-{name}").session.history
        wanted = [f"Fern {number}" for number in range(450) if number % 4 // 2 * 2 == begin]
        assert words(history) == wanted
    history = flow_history(tmp_path, f"langflow-{FLOW}-s0", FLOW)
    assert len(history) == 113
    assert history[0]["metrics"] == {"duration": 7}
    assert {headers["x-api-key"] for _, headers in server.seen} == {KEY}


def test_only_the_flow_that_is_named_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flows = {"a": [row(1, "userMessage", "A?", chatflowid="a")], "b": [row(2, "userMessage", "B?", chatflowid="b")]}
    with FlowProgramServer(flowise(flows)).running() as server:
        assert "Took in 1 session" in taken(tmp_path, "flowise", server.url, capsys, flows=["b"])[1]
        assert [path for path, _ in server.seen] == ["/api/v1/chatmessage/b?order=ASC"]


def test_a_flow_that_cannot_be_read_costs_only_itself_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    answered = flowise({"a": [row(1, "userMessage", "A?", chatflowid="a")], "b": []})

    def answer(path: str, query: dict[str, str]) -> Answer:
        return as_json({}, 500) if path.endswith("/b") else answered(path, query)

    with FlowProgramServer(answer).running() as server:
        code = import_from_server(settings_in(tmp_path), PROGRAMS["flowise"], server.url, KEY)
    said = capsys.readouterr().err
    assert code == 1
    assert "Flowise, flow 'Flow b' (b): " in said
    assert "failed at /api/v1/chatmessage/b (500). Try again later." in said
    assert "Took in 1 session; 0 were there already, 1 could not be taken in." in said


def test_a_server_without_messages_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with FlowProgramServer(langflow([])).running() as server:
        assert taken(tmp_path, "langflow", server.url, capsys) == (
            0, "Langflow has no messages that this key may read.",
        )  # fmt: skip


def test_address_and_key_may_stand_in_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with FlowProgramServer(langflow([said_there(1, "User", "Ferns?")])).running() as server:
        monkeypatch.setenv("LANGFLOW_URL", server.url)
        monkeypatch.setenv("LANGFLOW_API_KEY", KEY)
        assert "Took in 1 session" in taken(tmp_path, "langflow", "", capsys, key="")[1]


REFUSALS = {
    "no key": ("flowise", lambda: {"key": ""}, flowise({}), "wants a key (401). Give one with FLOWISE_API_KEY"),
    "another key": ("langflow", lambda: {"key": "x"}, langflow([]), "may not read this (403). Give another one with"),
    "no such page": ("langflow", dict, lambda *_: as_json({}, 404), "does not have /api/v1/monitor/messages (404)."),
    "a web page": ("flowise", dict, lambda *_: (200, {}, b"\n <html>"), "answered /api/v1/chatflows with a web page."),
    "no JSON": ("langflow", dict, lambda *_: (200, {}, b"ferns"), "with something that is no JSON."),
    "other JSON": ("langflow", dict, lambda *_: as_json({"a": 1}), "answered with other JSON."),
    "too many": ("langflow", dict, lambda *_: as_json({}, 429), "asks to be left alone for a while (429)."),
    "broken": ("flowise", dict, lambda *_: as_json({}, 503), "failed at /api/v1/chatflows (503). Try again later."),
    "cut off": ("flowise", dict, lambda *_: (200, {"content-length": "99"}, b"[1"), "broke off its answer"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_server_refuses_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str):
    program, more, answer, sentence = REFUSALS[case]
    with FlowProgramServer(answer).running() as server:
        code, said = taken(tmp_path, program, server.url, capsys, **more())
    assert code == 2
    assert f"{PROGRAMS[program].shown} at {server.url} " in said
    assert sentence in said
    assert not (tmp_path / "data").exists()


def test_a_server_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    server = FlowProgramServer(langflow([]))
    server._server.server_close()
    code, said = taken(tmp_path, "langflow", server.url, capsys)
    assert code == 2
    assert said.endswith("cannot be reached. Does it run there? Name its address with --url.")


def test_no_answer_is_waited_for_longer_or_taken_whole_than_its_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with FlowProgramServer(lambda *_: as_json(["x" * 2000])).running() as server:
        monkeypatch.setattr(http_server, "MAX_PARSED_BYTES", 1000)
        assert "with more than 1,000 bytes" in taken(tmp_path, "langflow", server.url, capsys)[1]
        monkeypatch.undo()
        monkeypatch.setattr(http_server, "ANSWER_SECONDS", -1.0)
        assert "took longer than" in taken(tmp_path, "langflow", server.url, capsys, key=KEY)[1]


def test_the_key_goes_to_no_other_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with FlowProgramServer(langflow([said_there(1, "User", "Ferns?")])).running() as other:

        def away(path: str, _: dict[str, str]) -> Answer:
            return 302, {"location": f"{other.url}{path}"}, b""

        with FlowProgramServer(away).running() as server:
            code, said = taken(tmp_path, "langflow", server.url, capsys)
    assert code == 2
    assert f"sends on to '{other.url}', where its key is not sent." in said
    assert other.seen == []


def test_a_redirect_on_the_same_host_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    answered = langflow([said_there(1, "User", "Ferns?")])

    def answer(path: str, query: dict[str, str]) -> Answer:
        if path.startswith("/moved"):
            return answered(path.removeprefix("/moved"), query)
        asked = "&".join(f"{name}={value}" for name, value in query.items() if name != "key")
        return 307, {"location": f"/moved{path}?{asked}"}, b""

    with FlowProgramServer(answer).running() as server:
        assert "Took in 1 session" in taken(tmp_path, "langflow", server.url, capsys)[1]


@pytest.mark.parametrize(
    "url", ["ftp://host", "localhost:3000", "http://", "http://host:port", "http://h/?k=1", "http://h/#a", "http://a b",
            "file:///etc/passwd"]
)  # fmt: skip
def test_what_is_no_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str):
    code, said = taken(tmp_path, "flowise", url, capsys)
    assert code == 2
    assert "--url must be like http://localhost:3000" in said


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, said = taken(tmp_path, "flowise", "http://ada:ferns-77@localhost", capsys)
    assert code == 2
    assert "the key goes into --api-key" in said
    assert "ferns-77" not in said


def test_credentials_in_executions_are_replaced_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    rows = [row(1, "userMessage", "Ferns?"), row(2, "apiMessage", "Yes.", agentReasoning=[{"state": {"key": secret}}])]
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        assert import_from_server(settings_in(tmp_path), PROGRAMS["flowise"], server.url, KEY) == 0
    assert "replaced before" in capsys.readouterr().err
    assert secret not in str(flow_history(tmp_path, "flowise-flow-chat", "flow"))


def test_executions_go_with_their_session_and_stay_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [row(1, "userMessage", "Ferns?"), row(2, "apiMessage", "Yes.")]

    async def delete(sessions: Any, _: Any) -> Any:
        return await sessions.delete("flowise-flow-chat", CallerViews())

    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        taken(tmp_path, "flowise", server.url, capsys)
        assert of_stores(tmp_path, delete).deleted
        assert "deleted here stayed so" in taken(tmp_path, "flowise", server.url, capsys)[1]
        assert flow_history(tmp_path, "flowise-flow-chat", "flow") == []
        said = taken(tmp_path, "flowise", server.url, capsys, brings_back=True)[1]
        assert "Kept 1 execution" in said
    assert len(flow_history(tmp_path, "flowise-flow-chat", "flow")) == 1


def test_exported_files_bring_executions_too_and_the_server_later_none_of_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [row(1, "userMessage", "Ferns?"), row(2, "apiMessage", "Yes.", executionId="run")]
    runs = [{"id": "run", "state": "FINISHED", "executionData": '[{"nodeId": "agent_0"}]'}]
    path = written(tmp_path, {"ChatFlow": [], "ChatMessage": rows, "Execution": runs}, "ExportData.json")
    assert import_from(settings_in(tmp_path), str(path)) == 0
    assert "Kept 1 execution of their flows." in capsys.readouterr().err
    [execution] = flow_history(tmp_path, "flowise-flow-chat", "flow")
    assert execution["result"]["agentFlowExecutedData"] == [{"nodeId": "agent_0"}]
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        assert taken(tmp_path, "flowise", server.url, capsys) == (
            0, "Took in 0 sessions; 1 were there already, 0 could not be taken in.",
        )  # fmt: skip


def test_an_execution_that_did_not_reach_its_flows_history_does_so_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    async def keep(_: Any, executions: Any) -> Any:
        return await executions.cache_result({"text": "Yes."}, "flowise-row-2", "flowise-flow-chat")

    of_stores(tmp_path, keep)
    rows = [row(1, "userMessage", "Ferns?"), row(2, "apiMessage", "Yes.")]
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        assert "Kept 1 execution" in taken(tmp_path, "flowise", server.url, capsys)[1]
        assert "Kept" not in taken(tmp_path, "flowise", server.url, capsys)[1]
    assert len(flow_history(tmp_path, "flowise-flow-chat", "flow")) == 1


def test_an_execution_that_is_too_large_costs_only_itself_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    large = [{"pageContent": "F" * 30_000}]
    rows = [row(1, "userMessage", "Ferns?"), row(2, "apiMessage", "Yes.", sourceDocuments=large),
            row(3, "apiMessage", "No.")]  # fmt: skip
    settings = settings_in(tmp_path, FLYWHEEL_MAX_SESSION_BYTES="20000")
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        assert import_from_server(settings, PROGRAMS["flowise"], server.url, KEY) == 1
    said = capsys.readouterr().err
    assert "flowise-flow-chat): its executions are not all kept: The result has 30," in said
    assert "Took in 1 session; 0 were there already, 0 could not be taken in. Kept 1 execution" in said


@pytest.mark.parametrize("first", ["download", "server"])
def test_a_download_and_the_server_come_to_the_same_talk(tmp_path: Path, first: str):
    rows = [row(1, "userMessage", "Ferns?", sessionId="s"),
            row(2, "apiMessage", "Lady fern.", sessionId="s", usedTools=[{"tool": "books", "toolOutput": "p. 7"}]),
            row(3, "userMessage", "Ferns?", sessionId="s"), row(4, "apiMessage", "Yes.", sessionId="s")]  # fmt: skip
    messages = [
        {"role": "user" if each["role"] == "userMessage" else "bot", "time": each["createdDate"]}
        | {name: each[name] for name in ("content", "usedTools") if name in each}
        for each in rows
    ]
    talk = {"id": "chat", "source": "UI", "sessionId": "s", "memoryType": None, "email": None, "messages": messages}
    path = written(tmp_path, [talk], "flow-Message.json")
    revisions = set[int]()
    with FlowProgramServer(flowise({"flow": rows})).running() as server:
        for turn in range(5):
            if (turn % 2 == 0) == (first == "download"):
                assert import_from(settings_in(tmp_path), str(path)) == 0
            else:
                assert import_from_server(settings_in(tmp_path), PROGRAMS["flowise"], server.url, KEY) == 0
            document = stored(tmp_path, "flowise-flow-s")
            revisions.add(document.revision)
            assert words(document.session.history)[::2] == ["Ferns?", "Ferns?"]
            assert len(document.session.history) == 4
            assert len(flow_history(tmp_path, "flowise-flow-s", "flow")) == 2
    assert revisions == {1}

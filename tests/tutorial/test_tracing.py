"""A server with FLYWHEEL_TRACE=langfuse traces its tools, says whether that arrives, and is the same server without."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import clean_env
from ..support.langfuse import PUBLIC_KEY, SECRET_KEY, RecordingLangfuse, noted, noting_child
from ..support.redis_server import NOBODY_LISTENS
from ..support.waiting import wait_until
from ..support.wire import WireServer
from ..test_demo_and_doctor import run

KEY = "sk-ant-api03-" + "fP7xQ2rT" * 11 + "AA"
SAVE = {"session_id": "garden", "user_id": "ana", "history": [{"role": "user", "content": f"Ferns, by {KEY}"}]}


@pytest.fixture
def langfuse() -> Iterator[RecordingLangfuse]:
    server = RecordingLangfuse()
    yield server
    server.stop()


@pytest.fixture
def env(tmp_path: Path, langfuse: RecordingLangfuse) -> dict[str, str]:
    """The environment of a server without Redis that traces."""
    mine = clean_env(tmp_path, NOBODY_LISTENS, "traced") | {"REDIS_ENABLED": "false", "FLYWHEEL_TRACE": "langfuse"}
    return mine | langfuse.env


def tracing(server: WireServer) -> dict:
    return server.call("persistence_status").get("tracing") or {}


def arriving(server: WireServer) -> dict:
    wait_until(lambda: (seen := tracing(server))["state"] == "arriving" and not seen["pending"])
    return tracing(server)


def test_a_traced_save_has_its_session_user_content_times_and_scores(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    with WireServer(env) as server:
        assert server.call("save_session", **SAVE)["saved"]
        server.call("resume_session", session_id="garden")
        langfuse.wait_for(8)
        seen = arriving(server)
        assert (seen["failed"], seen["dropped"], seen["content"], seen["to"]) == (
            0,
            0,
            True,
            langfuse.env["LANGFUSE_HOST"],
        )
        assert not [secret for secret in (PUBLIC_KEY, SECRET_KEY, KEY) if secret in server.stderr + json.dumps(seen)]
    trace = langfuse.traces()["save_session"]
    assert (trace["sessionId"], trace["userId"], trace["metadata"]) == ("garden", "ana", {"tool_name": "save_session"})
    assert trace["input"]["history"][0]["content"] == "Ferns, by [redacted: Anthropic key]"
    assert (trace["output"]["saved"], trace["output"]["revision"]) == (True, 1)
    (span,) = langfuse.of("observation-create", lambda o: o["traceId"] == trace["id"])
    assert (span["type"], span["name"], span["input"], span["output"]) == (
        "SPAN", "save_session", trace["input"], trace["output"]
    )  # fmt: skip
    assert span["startTime"] < span["endTime"]
    scores = {s["name"]: s["value"] for s in langfuse.of("score", lambda s: s["traceId"] == trace["id"])}
    assert scores["success"] == 1.0
    assert 0 < scores["latency"] < 60_000
    assert langfuse.traces()["resume_session"]["output"]["session"]["id"] == "garden"
    assert KEY not in langfuse.text


def test_a_wrong_call_is_traced_as_an_error(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    with WireServer(env) as server:
        assert server.request("tools/call", {"name": "save_session", "arguments": {"historie": []}})["isError"]
        wait_until(lambda: [s for s in langfuse.of("score") if s["name"] == "success"])
    (error,) = langfuse.of("observation-create", lambda o: o["name"] == "error")
    assert error["output"]["error_type"] == "ToolError"
    assert "Did you mean history?" in error["output"]["error_message"]
    assert [s["value"] for s in langfuse.of("score") if s["name"] == "success"] == [0.0]


def test_nothing_of_what_is_off_the_record_is_sent(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    assert run(env, "capture", "pause").returncode == 0
    with WireServer(env) as server:
        assert server.call("save_session", **SAVE)["reason"] == "disabled"
        langfuse.wait_for(4)
        assert arriving(server)["content"]
    assert "save_session" in langfuse.traces()
    assert "Ferns" not in langfuse.text


def test_without_content_only_names_ids_times_and_scores_are_sent(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    with WireServer(env | {"FLYWHEEL_TRACE_CONTENT": "false"}) as server:
        server.call("save_session", **SAVE)
        server.request("tools/call", {"name": "save_session", "arguments": {"ferns": "Ferns"}})
        langfuse.wait_for(9)
        assert not arriving(server)["content"]
    assert "ferns" not in langfuse.text.lower()
    assert "input" not in langfuse.text + json.dumps(langfuse.traces())
    assert "garden" in {trace.get("sessionId") for trace in langfuse.of("trace-create")}


def test_the_keys_may_stand_in_the_settings_file(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    file = Path(env["HOME"], ".config", "agentic-flywheel-state", "config.toml")
    file.parent.mkdir(parents=True)
    keys = {name.lower(): env.pop(name) for name in (*langfuse.env, "FLYWHEEL_TRACE")}
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in keys.items()))
    file.chmod(0o600)
    with WireServer(env) as server:
        server.call("save_session", **SAVE)
        arriving(server)
    with WireServer(env | {"LANGFUSE_HOST": "http://127.0.0.1:1"}) as server:
        server.call("save_session", **SAVE)
        assert tracing(server) == {
            "state": "off",
            "last_error": "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are not set",
        }, "keys of the file never go to an address that the environment names"


@pytest.mark.parametrize("mood", ["down", "silent", "401"])
def test_a_langfuse_that_is_not_well_is_told_and_hinders_nothing(
    env: dict[str, str], langfuse: RecordingLangfuse, mood: str
):
    if mood != "down":
        langfuse.mood = mood
        langfuse.start()
    with WireServer(env) as server:
        assert server.call("save_session", **SAVE)["saved"]
        wait_until(lambda: tracing(server)["state"] == "not arriving")
        assert tracing(server)["last_error"].startswith("Langfuse ")
        assert server.call("resume_session", session_id="garden")["found"]
        assert SECRET_KEY not in server.stderr


def test_what_is_off_is_not_spoken_of_and_costs_no_child(env: dict[str, str], langfuse: RecordingLangfuse):
    langfuse.start()
    del env["FLYWHEEL_TRACE"]
    with WireServer(env) as server:
        server.call("save_session", **SAVE)
        status = server.call("persistence_status")
        assert not server.children
    assert "tracing" not in status
    assert "langfuse" not in json.dumps(status).lower(), "variables that are there for others"
    assert not langfuse.requests


def test_what_is_missing_is_one_line_and_the_server_serves(env: dict[str, str]):
    with WireServer(env | {"LANGFUSE_SECRET_KEY": ""}) as server:
        assert server.call("save_session", **SAVE)["saved"]
        assert tracing(server) == {"state": "off", "last_error": "LANGFUSE_SECRET_KEY is not set"}
        assert server.stderr.count("Nothing is traced: LANGFUSE_SECRET_KEY is not set.") == 1


def test_another_child_is_given_the_released_tools_arguments(env: dict[str, str], tmp_path: Path):
    names = ("coaia_fuse_trace_create", "coaia_fuse_add_observation", "coaia_fuse_score_apply")
    with WireServer(env | {"FLYWHEEL_COAIA_COMMAND": noting_child(tmp_path, *names)}) as server:
        server.call("save_session", **SAVE)
        wait_until(lambda: len(noted(tmp_path)) == 4)
        assert tracing(server)["state"] == "sent, unconfirmed"
    assert [name for name, _ in noted(tmp_path)][:4] == [*names[:2], names[2], names[2]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mood", "found"),
    [
        ("well", "✓ Tracing       arrives at http://127.0.0.1:"),
        ("401", ": Langfuse answers 401: check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY."),
        ("301", ": Langfuse answers 301: check LANGFUSE_HOST."),
        ("down", ": Langfuse does not answer (ConnectionError)."),
    ],
)
def test_the_doctor_sends_a_trace_and_says_whether_it_arrived(
    env: dict[str, str], langfuse: RecordingLangfuse, mood: str, found: str
):
    langfuse.mood = mood
    if mood != "down":
        langfuse.start()
    done = run(env, "doctor", "--verbose")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert found in done.stdout
    assert SECRET_KEY not in done.stdout
    shown = run(env, "config", "show").stdout
    assert "LANGFUSE_SECRET_KEY" in shown
    assert not [key for key in (PUBLIC_KEY, SECRET_KEY) if key in shown]

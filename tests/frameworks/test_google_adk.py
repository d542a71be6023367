"""Google ADK's session service on our store: the contract of its owner's services, and what every adapter must show."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.genai import types

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.integrations.google_adk import FlywheelSessionService
from agentic_flywheel.json_text import canonical

from ..support.redis_server import RedisServer
from . import support

SESSION = "adk:garden:ann:s1"
WHOSE: dict[str, Any] = {"app_name": "garden", "user_id": "ann", "session_id": "s1"}
OPENED = """
import contextlib
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai.types import Content, Part
from agentic_flywheel.integrations.google_adk import FlywheelSessionService

@contextlib.asynccontextmanager
async def opened(session_id):
    app, user, name = session_id.split(":")[1:]
    whose = {"app_name": app, "user_id": user, "session_id": name}
    async with FlywheelSessionService() as service:
        with contextlib.suppress(AlreadyExistsError):
            await service.create_session(**whose)
        session = await service.get_session(**whose)

        async def append(text):
            nonlocal session
            event = Event(author="user", invocation_id="i", content=Content(role="user", parts=[Part(text=text)]))
            while True:
                try:
                    return await service.append_event(session, event)
                except StaleSessionError:
                    session = await service.get_session(**whose, config=GetSessionConfig(num_recent_events=1))

        yield append
"""


def event(text: str = "", author: str = "user", **fields: Any) -> Event:
    content = types.Content(role="user" if author == "user" else "model", parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i", content=content if text else None, **fields)


def changes(**delta: Any) -> EventActions:
    return EventActions(state_delta={key.replace("__", ":"): value for key, value in delta.items()})


def said(session: Session | None) -> list[str | None]:
    assert session
    return [each.content.parts[0].text for each in session.events if each.content and each.content.parts]


@pytest_asyncio.fixture
async def service(env: dict[str, str]) -> AsyncIterator[FlywheelSessionService]:
    async with FlywheelSessionService() as opened:
        yield opened


async def loaded(service: FlywheelSessionService, **more: Any) -> Session:
    session = await service.get_session(**(WHOSE | more))
    assert session
    return session


async def test_a_session_comes_back_as_it_was_made_and_as_it_went_on(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE, state={"key": "value"})
    assert (session.id, session.app_name, session.user_id, session.state) == ("s1", "garden", "ann", {"key": "value"})
    assert await loaded(service) == session
    whole = Event(
        author="gardener",
        invocation_id="i",
        content=types.Content(role="model", parts=[
            types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"),
            types.Part(function_call=types.FunctionCall(id="c1", name="water", args={"bed": None})),
            types.Part(text="thinking", thought=True, thought_signature=b"\xff\xfe"),
        ]),
        actions=EventActions(artifact_delta={"file": 0}, transfer_to_agent="b", escalate=True),
        long_running_tool_ids={"c1", "c0"},
        turn_complete=True,
        error_code="E",
        interrupted=True,
        grounding_metadata=types.GroundingMetadata(search_entry_point=types.SearchEntryPoint(sdk_blob=b"blob")),
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=1),
        custom_metadata={"a": [1, None]},
        timestamp=1700000000.123,
    )  # fmt: skip
    assert await service.append_event(session, whole) is whole
    again = await loaded(service)
    assert again == session
    assert again.last_update_time == 1700000000.123


async def test_the_turns_are_the_events_as_the_owners_services_write_them(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    sent = event("Beans?", actions=changes(a=None))
    await service.append_event(session, sent)
    document = await service.adapter.load(SESSION)
    assert document
    assert canonical(document.session.history) == canonical([sent.model_dump(mode="json", exclude_none=True)])
    assert (document.session.user_id, document.tags, document.session.current_flow_id) == ("ann", ("garden",), "garden")


async def test_a_generated_id_is_given_and_a_padded_one_is_stripped(service: FlywheelSessionService):
    first = await service.create_session(app_name="garden", user_id="ann")
    assert first.id
    padded = await service.create_session(app_name="garden", user_id="ann", session_id="  s1 ")
    assert padded.id == "s1"
    assert (await loaded(service, session_id=" s1  ")).id == "s1"
    await service.delete_session(app_name="garden", user_id="ann", session_id=" s1 ")
    assert await service.get_session(**WHOSE) is None


async def test_a_second_create_is_refused_and_changes_nothing(service: FlywheelSessionService):
    await service.create_session(**WHOSE, state={"k": 1})
    for state in ({"k": 1}, {"k": 2, "app:x": 1}):
        with pytest.raises(AlreadyExistsError, match="s1"):
            await service.create_session(**WHOSE, state=state)
    assert (await loaded(service)).state == {"k": 1}


async def test_a_session_may_begin_again_after_it_was_deleted(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    await service.append_event(session, event("old"))
    await service.delete_session(**WHOSE)
    await service.delete_session(**WHOSE)
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, event("late"))
    assert await service.get_session(**WHOSE) is None
    session = await service.create_session(**WHOSE)
    await service.append_event(session, event("new"))
    assert said(await loaded(service)) == ["new"]


async def test_an_event_for_a_session_that_never_was_is_refused(service: FlywheelSessionService):
    for marker in (None, "3"):
        stranger = Session(id="s9", app_name="garden", user_id="ann")
        stranger._storage_update_marker = marker
        with pytest.raises(SessionNotFoundError):
            await service.append_event(stranger, event("hello"))


async def test_state_is_shared_as_far_as_its_prefix_says(service: FlywheelSessionService):
    ann = await service.create_session(**WHOSE, state={"app:a": 1, "user:u": 1, "own": 1, "temp:t": 1})
    assert ann.state == {"app:a": 1, "user:u": 1, "own": 1}
    await service.append_event(ann, event("x", actions=changes(app__b=2, user__v=2, own2=2, temp__s=2)))
    assert ann.state["temp:s"] == 2
    assert "temp:s" not in ann.events[0].actions.state_delta
    assert (await loaded(service)).state == {"app:a": 1, "app:b": 2, "user:u": 1, "user:v": 2, "own": 1, "own2": 2}
    other = await service.create_session(app_name="garden", user_id="ann", session_id="s2")
    assert other.state == {"app:a": 1, "app:b": 2, "user:u": 1, "user:v": 2}
    bob = await service.create_session(app_name="garden", user_id="bob", session_id="s1")
    assert bob.state == {"app:a": 1, "app:b": 2}
    elsewhere = await service.create_session(app_name="kitchen", user_id="ann", session_id="s1")
    assert elsewhere.state == {}
    assert await service.get_user_state(app_name="garden", user_id="ann") == {"u": 1, "v": 2}
    assert await service.get_user_state(app_name="garden", user_id="nobody") == {}


async def test_values_without_json_are_kept_as_text_and_numbers_that_are_not_finite_as_nothing(
    service: FlywheelSessionService,
):
    session = await service.create_session(**WHOSE, state={"f": print, "n": float("nan"), "s": {1}, "h": "a\ud800"})
    assert session.state == {"f": str(print), "n": None, "s": [1], "h": "a\ufffd"}
    odd = event("x", avg_logprobs=float("-inf"))
    await service.append_event(session, odd)
    assert (await loaded(service)).events[0].avg_logprobs is None


async def test_a_session_that_was_changed_meanwhile_is_stale(service: FlywheelSessionService):
    first = await service.create_session(**WHOSE)
    await service.append_event(first, event("one"))
    second = await loaded(service)
    await service.append_event(second, event("two", actions=changes(k=2)))
    with pytest.raises(StaleSessionError, match="modified in storage"):
        await service.append_event(first, event("three", actions=changes(k=3, app__k=3)))
    assert said(first) == ["one"]
    now = await loaded(service)
    assert said(now) == ["one", "two"]
    assert now.state == {"k": 2}


async def test_of_two_who_append_at_once_one_is_stale(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    for n in range(4):
        latest = await loaded(service)
        twins = [latest.model_copy(deep=True) for _ in range(2)]
        results = await asyncio.gather(
            *(service.append_event(twin, event(f"{n}-{i}")) for i, twin in enumerate(twins)), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in results) == ["Event", "StaleSessionError"]
    assert len((await loaded(service)).events) == 4
    assert session.events == []


async def test_branches_that_share_a_session_object_append_one_after_another(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    await asyncio.gather(*(service.append_event(session, event(str(n))) for n in range(10)))
    assert await loaded(service) == session
    assert len(session.events) == 10


async def test_a_session_without_our_mark_is_current_if_it_ends_alike(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    await service.append_event(session, event("one"))
    session._storage_update_marker = None
    session.last_update_time -= 0.0001
    await service.append_event(session, event("two"))
    bare = Session(id="s1", app_name="garden", user_id="ann")
    with pytest.raises(StaleSessionError):
        await service.append_event(bare, event("three"))
    assert said(await loaded(service)) == ["one", "two"]


async def test_the_same_event_again_is_kept_once(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    unsure = await loaded(service)
    sent = event("one", actions=changes(n=1, user__n=1))
    await service.append_event(session, sent)
    await service.append_event(session, sent)
    await service.append_event(unsure, sent)  # its caller was never told that it was kept
    await service.append_event(unsure, event("one"))
    assert said(await loaded(service)) == ["one", "one"]
    assert said(unsure) == ["one", "one"]


async def test_a_partial_event_is_not_kept(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    await service.append_event(session, event("hal", partial=True))
    assert session.events == (await loaded(service)).events == []


async def test_a_configuration_chooses_the_events(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    for n in range(1, 6):
        await service.append_event(session, event(str(n), timestamp=float(n)))

    async def chosen(**config: Any) -> list[str | None]:
        return said(await loaded(service, config=GetSessionConfig(**config)))

    assert await chosen() == ["1", "2", "3", "4", "5"]
    assert await chosen(num_recent_events=0) == []
    assert await chosen(num_recent_events=3) == ["3", "4", "5"]
    assert await chosen(num_recent_events=9) == ["1", "2", "3", "4", "5"]
    assert await chosen(after_timestamp=4.0) == ["4", "5"]
    assert await chosen(after_timestamp=50.0) == []
    assert await chosen(after_timestamp=2.0, num_recent_events=3) == ["3", "4", "5"]
    assert await chosen(after_timestamp=4.0, num_recent_events=3) == ["4", "5"]
    recent = await loaded(service, config=GetSessionConfig(num_recent_events=1))
    await service.append_event(recent, event("6"))


async def test_lists_have_the_oldest_update_first_of_one_user_or_of_all(service: FlywheelSessionService):
    at = {("ann", "b"): 30.0, ("ann", "a"): 20.0, ("bob", "c"): 25.0}
    for (user, name), time in at.items():
        session = await service.create_session(
            app_name="garden", user_id=user, session_id=name, state={"app:x": 1, "user:who": user, "own": name}
        )
        await service.append_event(session, event("hi", timestamp=time))
    await service.create_session(app_name="garden2", user_id="ann", session_id="z")
    listed = (await service.list_sessions(app_name="garden")).sessions
    assert [(each.user_id, each.id) for each in listed] == [("ann", "a"), ("bob", "c"), ("ann", "b")]
    assert [each.state["user:who"] for each in listed] == ["ann", "bob", "ann"]
    assert all(each.events == [] and each.state["app:x"] == 1 for each in listed)
    assert [each.id for each in (await service.list_sessions(app_name="garden", user_id="bob")).sessions] == ["c"]
    assert (await service.list_sessions(app_name="garden", user_id="")).sessions == []
    assert (await service.list_sessions(app_name="none")).sessions == []


@pytest.mark.parametrize("part", ["a:b", "a%3Ab", "a*", "[x]", "a b", "ünï", "tab\there", "‮x", "a/../b"])
async def test_no_two_sessions_have_one_id(service: FlywheelSessionService, part: str):
    names = [("app", part, "c"), ("app", "a", "b:c"), (part, "b", "c"), ("app", "b", part), ("app", "a", "c")]
    for app, user, name in names:
        made = await service.create_session(app_name=app, user_id=user, session_id=name)
        await service.append_event(made, event(f"{app}|{user}|{name}"))
    for app, user, name in names:
        found = await service.get_session(app_name=app, user_id=user, session_id=name)
        assert said(found) == [f"{app}|{user}|{name}"]
        listed = (await service.list_sessions(app_name=app, user_id=user)).sessions
        assert (user, name) in [(each.user_id, each.id) for each in listed]
        assert {each.user_id for each in listed} == {user}


async def test_turns_of_others_are_events_with_their_words(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE)
    await service.append_event(session, event("mine", timestamp=5.0))
    await service.adapter.save(Save(session_id=SESSION, history=[
        {"role": "user", "content": "by hand"}, {"role": "assistant", "content": [{"type": "text", "text": "noted"}]},
        {"author": "user", "actions": "of another kind", "content": "odd"},
    ]))  # fmt: skip
    now = await loaded(service)
    assert said(now)[:3] == ["mine", "by hand", "noted"]
    assert [each.content and each.content.role for each in now.events] == ["user", "user", "model", "user"]
    assert [each.timestamp for each in now.events] == [5.0] * 4
    await service.append_event(now, event("on"))
    with pytest.raises(StaleSessionError):
        await service.append_event(session, event("late"))


async def test_credentials_are_kept_unless_they_are_to_be_replaced(env: dict[str, str]):
    secret = "AKIA" + "QYLPMN5HHHFPZAM2"
    async with FlywheelSessionService() as whole, FlywheelSessionService(redact=True) as careful:
        session = await whole.create_session(**WHOSE)
        await whole.append_event(session, event(f"key {secret}"))
        assert said(await loaded(whole)) == [f"key {secret}"]
        now = await loaded(careful)
        sent = event(f"also {secret}", actions=changes(k=secret))
        await careful.append_event(now, sent)
        await careful.append_event(await loaded(whole), sent)
        assert said(now)[-1] == f"also {secret}"
        again = await loaded(whole)
        assert secret not in str(again.state) + str(said(again)[1:])


async def test_the_talk_and_not_the_state_that_it_shares_is_the_last_one(service: FlywheelSessionService):
    session = await service.create_session(**WHOSE, state={"app:x": 1, "user:y": 1})
    await service.append_event(session, event("Beans?", actions=changes(app__x=2, user__y=2)))
    from agentic_flywheel.sessions.session_filter import SessionFilter

    listed = await (await service.adapter.stores()).sessions.list_sessions(SessionFilter())
    assert listed.sessions[0]["id"] == SESSION
    assert listed.sessions[0]["title"] == "Beans?"
    assert {row["id"] for row in listed.sessions} == {SESSION, "adk-state:garden", "adk-state:garden:ann"}


async def test_a_user_that_the_environment_names_narrows_nothing(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLYWHEEL_USER", "somebody")
    async with FlywheelSessionService() as service:
        await service.create_session(**WHOSE)
        assert len((await service.list_sessions(app_name="garden")).sessions) == 1


def test_eight_processes_append_fifty_events_each(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, SESSION)


def test_redis_may_be_away_in_the_middle(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, SESSION, own_redis)


def test_a_process_may_be_killed(env: dict[str, str]):
    support.one_is_killed(OPENED, env, SESSION)


async def test_a_session_expires(env: dict[str, str]):
    async with FlywheelSessionService(ttl_seconds=3) as service:
        session = await service.create_session(**WHOSE, state={"user:u": 1})
        await service.append_event(session, event("x"))

        async def absent() -> bool:
            return await service.get_session(**WHOSE) is None

        await support.it_expires(absent)
        assert (await service.list_sessions(app_name="garden")).sessions == []
        assert await service.get_user_state(app_name="garden", user_id="ann") == {"u": 1}


async def test_it_is_an_ordinary_session(env: dict[str, str]):
    async with FlywheelSessionService() as service:
        session = await service.create_session(**WHOSE, state={"bed": "north"})
        await service.append_event(session, event("How are the beans?"))
        await service.append_event(session, event("Rather aphidious.", author="gardener", actions=changes(bed="south")))
        earlier = int(session._storage_update_marker or 0) - 1
        shown = await asyncio.to_thread(support.it_is_an_ordinary_session, env, SESSION, "aphidious", earlier)
        assert (shown["context"], shown["user_id"]) == ({"bed": "south"}, "ann")
        with pytest.raises(StaleSessionError):
            await service.append_event(session, event("late"))
        await service.append_event(await loaded(service), event("on"))


TALK = """
import asyncio, sys
from google.adk.agents import Agent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.genai.types import Content, FunctionCall, Part
from agentic_flywheel.integrations.google_adk import FlywheelSessionService

class Scripted(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        parts = [part for content in llm_request.contents for part in content.parts]
        said = [part.text for part in parts if part.text]
        if parts[-1].function_response:
            part = Part(text=f"It is {parts[-1].function_response.response['wet']} wet; asked {len(said)}.")
        else:
            part = Part(function_call=FunctionCall(name="look", args={"bed": said[-1]}))
        yield LlmResponse(content=Content(role="model", parts=[part]))

def look(bed: str, tool_context) -> dict:
    "Looks at a bed."
    tool_context.state["user:looks"] = tool_context.state.get("user:looks", 0) + 1
    tool_context.state["temp:x"] = 1
    return {"wet": len(bed)}

async def main():
    async with FlywheelSessionService() as service:
        agent = Agent(name="gardener", model=Scripted(model="scripted"), tools=[look])
        runner = Runner(app_name="garden", agent=agent, session_service=service)
        whose = {"user_id": "ann", "session_id": "s1"}
        if await service.get_session(app_name="garden", **whose) is None:
            await service.create_session(app_name="garden", **whose)
        asked = Content(role="user", parts=[Part(text=sys.argv[1])])
        async for event in runner.run_async(**whose, new_message=asked):
            if event.is_final_response():
                print(event.content.parts[0].text)
        print(await service.get_user_state(app_name="garden", user_id="ann"))

asyncio.run(main())
"""


def test_a_talk_with_tools_goes_on_in_another_process(env: dict[str, str]):
    def asked(text: str) -> str:
        command = [sys.executable, "-W", "ignore", "-c", TALK, text]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=support.WITHIN, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    assert asked("north").splitlines() == ["It is 5 wet; asked 1.", "{'looks': 1}"]
    assert asked("far south").splitlines() == ["It is 9 wet; asked 3.", "{'looks': 2}"]
    document = support.stored(env, SESSION)
    assert document
    assert [turn["author"] for turn in document.session.history] == ["user", "gardener", "gardener", "gardener"] * 2


@pytest.mark.usefixtures("env")
async def test_what_other_programs_said_are_events_with_their_words():
    async with FlywheelSessionService() as service:
        await service.create_session(app_name="garden", user_id="ann", session_id="s")
        await support.said_elsewhere("adk:garden:ann:s")
        session = await service.get_session(app_name="garden", user_id="ann", session_id="s")
    assert session
    roles = {"user": "user", "model": "assistant"}
    contents = [event.content for event in session.events if event.content and event.content.parts]
    said = [(roles[content.role or ""], content.parts[0].text) for content in contents if content.parts]
    assert said == support.SAID_PLAINLY
    assert [event.author for event in session.events if event.author == "user"] == ["user"] * 3

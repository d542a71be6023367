"""Strands' session repository on our store: its owner's contract, and what every adapter must show."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from strands.multiagent.base import MultiAgentBase
from strands.types.content import Message
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.integrations.strands import FlywheelRepository
from agentic_flywheel.json_text import canonical

from ..support.redis_server import RedisServer
from . import strands_own_tests, support

OPENED = """
import contextlib
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType
from agentic_flywheel.integrations.strands import FlywheelRepository

@contextlib.asynccontextmanager
async def opened(session_id):
    with FlywheelRepository() as repository:
        with contextlib.suppress(SessionException):
            repository.create_session(Session(session_id, SessionType.AGENT))
        with contextlib.suppress(SessionException):
            repository.create_agent(session_id, SessionAgent("a", {}, {}))

        async def append(text):
            name, at = text.split("-")
            number = int(at) + 1_000_000 * int(name[1:]) if name[1:].isdecimal() else int(at)
            message = {"role": "user", "content": [{"text": text}]}
            repository.create_message(session_id, "a", SessionMessage.from_message(message, number))

        yield append
"""


class Group:
    """What of a group of agents is kept."""

    id = "g"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def serialize_state(self) -> dict[str, Any]:
        return self.state


def group(**state: Any) -> MultiAgentBase:
    return cast("MultiAgentBase", Group(state))


def message(number: int, text: str = "", role: str = "user", **block: Any) -> SessionMessage:
    content = [{"text": text}] if text else [block]
    return SessionMessage.from_message(cast("Message", {"role": role, "content": content}), number)


def agent(name: str = "a", **state: Any) -> SessionAgent:
    return SessionAgent(name, state, {"removed_message_count": 0}, {"interrupt_state": {}})


@pytest.fixture
def repository(env: dict[str, str]) -> Iterator[FlywheelRepository]:
    with FlywheelRepository() as opened:
        yield opened


@pytest.fixture
def begun(repository: FlywheelRepository) -> FlywheelRepository:
    repository.create_session(Session("s", SessionType.AGENT))
    repository.create_agent("s", agent(k=1))
    return repository


def numbers(repository: FlywheelRepository, **page: Any) -> list[int]:
    return [each.message_id for each in repository.list_messages("s", "a", **page)]


def test_what_is_kept_comes_back(repository: FlywheelRepository):
    session = Session("s", SessionType.AGENT)
    assert repository.read_session("s") is None
    assert repository.create_session(session) is session
    assert repository.read_session("s") == session
    assert repository.read_agent("s", "a") is None
    repository.create_agent("s", kept := agent(k=[1, None]))
    assert repository.read_agent("s", "a") == kept
    repository.create_message(
        "s", "a", picture := message(0, image={"format": "png", "source": {"bytes": b"\x89P\xff"}})
    )
    assert repository.read_message("s", "a", 0) == picture
    assert repository.read_message("s", "a", 1) is None
    assert repository.read_message("s", "b", 0) is None
    assert repository.read_message("none", "a", 0) is None


def test_another_process_of_the_program_finds_it(begun: FlywheelRepository):
    begun.create_message("s", "a", sent := message(0, "beans"))
    with FlywheelRepository() as other:
        assert other.list_messages("s", "a") == [sent]
        other.create_message("s", "a", message(1, "more"))
    begun.create_message("s", "a", message(2, "most"))
    assert numbers(begun) == [0, 1, 2]


def test_what_another_writer_made_is_seen(begun: FlywheelRepository):
    begun.create_message("s", "a", message(0, "beans"))
    with FlywheelRepository() as other:
        other.create_agent("s", agent("b"))
    begun.create_message("s", "b", message(0, "peas"))
    assert len(begun.list_messages("s", "b")) == 1


def test_what_there_is_already_is_not_made_again(begun: FlywheelRepository):
    with pytest.raises(SessionException, match="already exists"):
        begun.create_session(Session("s", SessionType.AGENT))
    with pytest.raises(SessionException, match="already exists"):
        begun.create_agent("s", agent(k=2))
    begun.create_message("s", "a", sent := message(0, "beans"))
    begun.create_message("s", "a", sent)  # its caller was never told that it was kept
    with FlywheelRepository() as other, pytest.raises(SessionException, match="already exists"):
        other.create_message("s", "a", message(0, "peas"))
    assert begun.list_messages("s", "a") == [sent]


def test_what_there_is_not_is_not_changed(begun: FlywheelRepository):
    for act in (
        lambda: begun.create_agent("none", agent()),
        lambda: begun.update_agent("none", agent()),
        lambda: begun.update_agent("s", agent("b")),
        lambda: begun.create_message("s", "b", message(0, "x")),
        lambda: begun.create_message("none", "a", message(0, "x")),
        lambda: begun.update_message("s", "a", message(0, "x")),
        lambda: begun.update_multi_agent("s", group()),
        lambda: begun.create_multi_agent("none", group()),
        lambda: begun.delete_session("none"),
    ):
        with pytest.raises(SessionException, match="does not exist"):
            act()
    assert begun.read_session("none") is None
    assert begun.list_messages("s", "b") == begun.list_messages("none", "a") == []
    assert begun.read_multi_agent("s", "g") is None


def test_an_agent_is_updated_as_of_when_it_was_created(begun: FlywheelRepository):
    created = begun.read_agent("s", "a")
    assert created
    begun.update_agent("s", later := agent(k=2))
    assert later.created_at == created.created_at
    assert begun.read_agent("s", "a") == later


def test_a_message_is_replaced_and_can_be_had_back(begun: FlywheelRepository):
    for number, text in enumerate(("one", "two", "three")):
        begun.create_message("s", "a", message(number, text))
    redacted = begun.list_messages("s", "a")[1]
    redacted.redact_message = cast("Message", {"role": "user", "content": [{"text": "(redacted)"}]})
    begun.update_message("s", "a", redacted)
    assert begun.read_message("s", "a", 1) == redacted
    assert numbers(begun) == [0, 1, 2]
    begun.create_message("s", "a", message(3, "four"))
    document = support.stored(dict(os.environ), "s")
    assert document
    assert [turn["content"][0]["text"] for turn in document.session.history] == ["one", "(redacted)", "three", "four"]


def test_pages_and_agents_are_apart(begun: FlywheelRepository):
    begun.create_agent("s", agent("b"))
    for number in (0, 1, 5, 3):
        begun.create_message("s", "a", message(number, f"a{number}"))
        begun.create_message("s", "b", message(number, f"b{number}"))
    assert numbers(begun) == [0, 1, 3, 5]
    assert numbers(begun, limit=2) == [0, 1]
    assert numbers(begun, limit=2, offset=1) == [1, 3]
    assert numbers(begun, offset=3) == [5]
    assert numbers(begun, limit=0) == numbers(begun, offset=9) == []


def test_the_state_of_a_group_of_agents_is_kept(begun: FlywheelRepository):
    begun.create_multi_agent("s", group(node=1))
    begun.update_multi_agent("s", group(node=2, created_at="theirs"))
    assert begun.read_multi_agent("s", "g") == {"node": 2, "created_at": "theirs"}


def test_a_deleted_session_may_begin_again(begun: FlywheelRepository):
    begun.create_message("s", "a", message(0, "old"))
    begun.delete_session("s")
    assert begun.read_session("s") is None
    with pytest.raises(SessionException, match="does not exist"):
        begun.create_message("s", "a", message(1, "late"))
    begun.create_session(Session("s", SessionType.AGENT))
    begun.create_agent("s", agent())
    assert numbers(begun) == []


def test_the_turns_are_the_messages_with_a_note(begun: FlywheelRepository):
    sent = message(0, role="assistant", toolUse={"toolUseId": "1", "name": "look", "input": {"bed": None}})
    begun.create_message("s", "a", sent)
    document = support.stored(dict(os.environ), "s")
    assert document
    (turn,) = document.session.history
    assert turn.pop("session_message")["agent_id"] == "a"
    assert canonical(turn) == canonical(sent.to_dict()["message"])


def test_what_json_cannot_carry_is_refused(begun: FlywheelRepository):
    with pytest.raises(InvalidArgument, match="history"):
        begun.create_message("s", "a", message(0, json=float("inf")))
    with pytest.raises(TypeError):
        begun.create_message("s", "a", message(0, json=object()))
    begun.create_message("s", "a", message(0, "half \ud800 a pair"))
    assert begun.list_messages("s", "a")[0].message["content"] == [{"text": "half \ufffd a pair"}]


def test_threads_and_loops_may_share_a_repository(begun: FlywheelRepository):
    def add(base: int) -> None:
        for number in range(base, base + 10):
            begun.create_message("s", "a", message(number, str(number)))

    threads = [threading.Thread(target=add, args=(base,)) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(support.WITHIN)

    async def within_a_loop() -> None:
        begun.create_message("s", "a", message(300, "x"))

    asyncio.run(within_a_loop())
    assert numbers(begun) == [*range(10), *range(100, 110), *range(200, 210), 300]


def test_a_closed_repository_opens_anew(begun: FlywheelRepository):
    begun.close()
    begun.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("agentic-flywheel")]
    begun.create_message("s", "a", message(0, "x"))
    assert numbers(begun) == [0]


def test_a_program_may_end_without_closing(env: dict[str, str]):
    program = f"""{OPENED}
import asyncio
import os
async def main():
    append = await opened("s").__aenter__()
    await append("one-0")
asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=support.WITHIN, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert support.everything(env, "s") == ["one-0"]


def test_credentials_are_replaced_where_that_is_asked(env: dict[str, str]):
    secret = "AKIA" + "QYLPMN5HHHFPZAM2"
    with FlywheelRepository(redact=True, user_id="ann") as careful:
        careful.create_session(Session("s", SessionType.AGENT))
        careful.create_agent("s", agent(k=secret))
        careful.create_message("s", "a", sent := message(0, f"key {secret}"))
        careful.create_message("s", "a", sent)
        assert len(careful.list_messages("s", "a")) == 1
    document = support.stored(env, "s")
    assert document
    assert document.session.user_id == "ann"
    assert secret not in str(document)


def test_eight_processes_append_fifty_messages_each(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, "s")


def test_redis_may_be_away_in_the_middle(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "s", own_redis)


def test_a_process_may_be_killed(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "s")


def test_a_session_expires(env: dict[str, str]):
    with FlywheelRepository(ttl_seconds=1) as repository:
        repository.create_session(Session("s", SessionType.AGENT))

        async def absent() -> bool:
            return repository.read_session("s") is None

        asyncio.run(support.it_expires(absent))
        with pytest.raises(SessionException):
            repository.create_agent("s", agent())


def test_it_is_an_ordinary_session(env: dict[str, str], begun: FlywheelRepository):
    begun.create_message("s", "a", message(0, "How are the beans?"))
    document = support.stored(env, "s")
    assert document
    begun.create_message("s", "a", message(1, "Rather aphidious.", role="assistant"))
    support.it_is_an_ordinary_session(env, "s", "aphidious", document.revision)
    begun.create_message("s", "a", message(2, "on"))
    assert numbers(begun) == [0, 1, 2]


TALK = """
import sys
from strands import Agent, tool
from strands.models import Model
from strands.session.repository_session_manager import RepositorySessionManager
from agentic_flywheel.integrations.strands import FlywheelRepository

class Scripted(Model):
    def update_config(self, **config): pass
    def get_config(self): return {}
    def structured_output(self, *given, **more): raise NotImplementedError
    async def stream(self, messages, *given, **more):
        last = messages[-1]["content"][0]
        blocks = [block for each in messages if each["role"] == "user" for block in each["content"]]
        asked = [block["text"] for block in blocks if "text" in block]
        yield {"messageStart": {"role": "assistant"}}
        if "toolResult" in last:
            wet = last["toolResult"]["content"][0]["text"]
            yield {"contentBlockDelta": {"delta": {"text": f"It is {wet} wet; asked {len(asked)}."}}}
        else:
            yield {"contentBlockStart": {"start": {"toolUse": {"name": "look", "toolUseId": f"t{len(messages)}"}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"bed": "%s"}' % asked[-1]}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if "toolResult" in last else "tool_use"}}

@tool
def look(bed: str) -> int:
    "Looks at a bed."
    return len(bed)

with FlywheelRepository() as repository:
    manager = RepositorySessionManager("s", session_repository=repository)
    agent = Agent(agent_id="a", model=Scripted(), tools=[look], session_manager=manager, callback_handler=None)
    agent.state.set("looks", (agent.state.get("looks") or 0) + 1)
    print(agent(sys.argv[1]), agent.state.get("looks"))
"""


def test_a_talk_with_tools_goes_on_in_another_process(env: dict[str, str]):
    def asked(text: str) -> str:
        command = [sys.executable, "-W", "ignore", "-c", TALK, text]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=support.WITHIN, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return " ".join(done.stdout.split())

    assert asked("north") == "It is 5 wet; asked 1. 1"
    assert asked("far south") == "It is 9 wet; asked 2. 2"
    document = support.stored(env, "s")
    assert document
    assert [turn["role"] for turn in document.session.history] == ["user", "assistant"] * 4


@pytest.mark.timeout(900)
def test_the_owners_own_tests_pass(tmp_path: Path, shared_env: dict[str, str]):
    any_repository, of_files = strands_own_tests.counts(tmp_path, shared_env)
    assert not any_repository.failed
    assert not any_repository.private
    assert len(any_repository.passed) > 50
    assert not of_files.failed
    assert len(of_files.passed) > 15

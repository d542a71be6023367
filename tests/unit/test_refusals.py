"""What one refusal of Redis tells of others: the stash knows it by what was taken since, the status by what waits."""

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.coaia.child_calls import OWN_VERBS
from agentic_flywheel.coaia.circuit_breaker import LARGE_WRITE
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import StashRefused
from agentic_flywheel.journal import Journal
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.server.messages import Messages
from agentic_flywheel.sessions.results import SaveResult
from agentic_flywheel.sessions.status import OVERDUE_SECONDS, persistence_status
from agentic_flywheel.settings import Settings

from ..support.redis_server import RedisServer
from .conftest import Clock
from .destinations import Machine

KEYS = Keys("p")


class Child:
    """A child that is ready, and refuses the keys that it is told to."""

    verbs = (*OWN_VERBS, "coaia_status")
    generation = 1
    tash_expires = was_ready = True

    def __init__(self) -> None:
        self.refuses: dict[str, str] = {}
        self.state = type("State", (), {"state": "ready", "generation": 1, "pid": 1, "verbs": (), "last_error": None})()

    async def ready(self, deadline: float) -> None:
        """It is."""

    async def call(self, verb: str, arguments: dict[str, Any], deadline: float) -> str:  # noqa: ARG002
        why = self.refuses.get(str(arguments.get("key")))
        reply: dict[str, Any] = {"success": False, "error": why} if why else {"success": True, "committed": True}
        return json.dumps(reply)


@pytest.fixture
def child() -> Child:
    return Child()


@pytest.fixture
def stash(child: Child, clock: Clock) -> Stash:
    return Stash(child, KEYS, 1.0, clock)  # type: ignore[arg-type]


async def write(stash: Stash, key: str, text: str = "{}", *, tombstone: bool = False) -> None:
    with_ = Write(key, text, None, None, tombstone=tombstone)
    with contextlib.suppress(StashRefused):
        await stash.commit(with_)


async def test_a_refusal_speaks_for_all_until_something_is_taken(stash: Stash, child: Child):
    child.refuses = {"a": "OOM a"}
    await write(stash, "a")
    assert stash.breaker.refuses_all == '"OOM a"'
    await write(stash, "b")
    assert stash.breaker.refuses_all is None
    await write(stash, "a")
    assert stash.breaker.refuses_all is None, "it was refused before, too, while others were taken"
    assert stash.breaker.refused["a"].why == '"OOM a"'
    child.refuses = {"b": "OOM b"}
    await write(stash, "b")
    assert stash.breaker.refuses_all == '"OOM b"'
    child.refuses = {}
    await write(stash, "b")
    assert (stash.breaker.refuses_all, set(stash.breaker.refused)) == (None, {"a"})


async def test_a_refused_deletion_or_a_large_document_says_nothing_of_other_writes(stash: Stash, child: Child):
    child.refuses = {"a": "NOPERM del", "b": "too large"}
    await write(stash, "a", '{"deleted_at": ""}', tombstone=True)
    await write(stash, "b", "x" * (LARGE_WRITE + 1))
    assert set(stash.breaker.refused) == {"a", "b"}
    assert stash.breaker.refuses_all is None


SHA = "db8d8f6383e1a67ce23db65efd679a334c123806"


@pytest.mark.parametrize(
    "said",
    [  # as Redis 6.2, 7.0 and 7.4 word it when a script runs a command that its user may not run
        f"Error running script (call to f_{SHA}): @user_script:1: @user_script: 1: The user executing the script can't "
        "run this command or subcommand",
        f"The user executing the script can't run this command or subcommand script: {SHA}, on @user_script:1.",
        f"NOPERM ACL failure in script: User default has no permissions to run the 'set' command script: {SHA}, "
        "on @user_script:1.",
    ],
)
async def test_a_missing_right_is_named_as_one_whatever_redis_calls_it_and_without_our_script(
    stash: Stash, child: Child, said: str
):
    child.refuses = {"a": f"Redis error: {said}"}
    await write(stash, "a")
    why = stash.breaker.refused["a"].why
    assert why.startswith('"NOPERM ')
    assert SHA not in why
    assert "user_script" not in why


async def test_a_refused_read_is_known_until_one_is_answered(stash: Stash, child: Child):
    child.refuses = {"a": "CROSSSLOT"}
    with pytest.raises(StashRefused):
        await stash.read("a")
    assert stash.breaker.unread == '"CROSSSLOT"'
    await stash.status()
    assert stash.breaker.unread == '"CROSSSLOT"', "what Redis says of itself is no document"
    await stash.read("b")
    assert stash.breaker.unread is None


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"REDIS_URL": "redis://redis.example.org", "FLYWHEEL_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def machine(journal: Journal, clock: Clock, tmp_path: Path) -> Machine:
    """With a Redis that is never started."""
    return Machine(journal, RedisServer(tmp_path / "redis", prefix="p"), clock)


async def test_what_is_pending_for_long_never_lacks_a_cause(
    machine: Machine, stash: Stash, settings: Settings, clock: Clock
):
    machine.keep(machine.save("s", "one"))
    repository = Repository(machine.journal, stash, KEYS, clock)
    first = await persistence_status(repository, settings.redis_target, settings.replica_bytes)
    assert "keeps the shared copy" in first.reason, "it was made just now"
    clock.move(seconds=OVERDUE_SECONDS + 1)
    late = await persistence_status(repository, settings.redis_target, settings.replica_bytes)
    assert "keeps the shared copy" not in late.reason
    assert "but one change waits in the journal: no attempt to send it has been answered." in late.reason
    stash.breaker.last_error = "The way to it is cut."
    told = await persistence_status(repository, settings.redis_target, settings.replica_bytes)
    assert "one change waits in the journal: The way to it is cut." in told.reason
    assert told.redis
    assert told.redis["last_error"] == "The way to it is cut"


async def test_of_many_that_wait_each_cause_is_named_once(
    machine: Machine, stash: Stash, settings: Settings, clock: Clock
):
    soon = int((clock() + timedelta(seconds=1)).timestamp() * 1e6)
    machine.keep(machine.save("a", "one"), machine.save("b", "two"), machine.save("c", "three"))
    for session_id in ("a", "b"):
        machine.journal.postpone(KEYS.session(session_id), "OOM.", soon)
    machine.journal.postpone(KEYS.session("c"), "NOPERM", soon)
    repository = Repository(machine.journal, stash, KEYS, clock)
    status = await persistence_status(repository, settings.redis_target, settings.replica_bytes)
    assert "3 changes wait in the journal: a save and 1 more like it (OOM), a save (NOPERM)." in status.reason
    assert status.journal["pending_cause"] in ("OOM.", "NOPERM")


async def test_the_sentence_of_a_save_asks_the_journal_nothing(journal: Journal, settings: Settings, clock: Clock):
    def walk() -> None:
        raise AssertionError("the journal was looked through on the event loop")

    journal.state = walk  # type: ignore[method-assign,assignment]
    messages = Messages(Repository(journal, None, KEYS, clock), settings)
    result = SaveResult(
        saved=True,
        session_id="s",
        revision=1,
        provisional=False,
        turns=1,
        added_turns=1,
        stored_in="journal",
        expires_at=None,
    )
    said = messages.saved(result)
    assert "persistence_status names the file" in said
    assert str(journal.path) not in said

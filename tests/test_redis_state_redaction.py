"""A Python program keeps what it is given, and without credentials where it asks for that."""

import copy
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.integrations.redis_state import RedisExecutionCache, RedisSessionManager

from .support.conversations import turns

KEY = "sk-ant-api03-" + "Zx9kQ2mVb7Lr4Tn8Wp3Yc6Hd1Jf5Gs0A" * 2 + "-AAAAAAAA"
MARK = "[redacted: Anthropic key]"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, disabled_env: dict[str, str]) -> None:
    """Nothing of a Redis: what is kept is the same in the journal."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in (disabled_env | {"REDIS_URL": "redis://127.0.0.1:1/0"}).items():
        monkeypatch.setenv(name, value)


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[RedisSessionManager]:
    async with RedisSessionManager(redact=True) as manager:
        yield manager


def session(session_id: str = "s", *said: str, **fields: Any) -> UniversalSession:
    return UniversalSession(id=session_id, backend=BackendType.CUSTOM, history=turns(*said), **fields)


async def test_credentials_are_replaced_where_it_is_wanted(
    manager: RedisSessionManager, caplog: pytest.LogCaptureFixture
):
    mine = session("s", f"the key is {KEY}", context={"db": {"password": "correct horse"}}, current_flow_id=KEY)
    before = copy.deepcopy(mine)
    assert await manager.save_session(mine)
    assert mine == before
    other = await manager.load_session("s")
    assert other
    assert other.history[0]["content"] == f"the key is {MARK}"
    assert other.context == {"db": {"password": "[redacted: password]"}}
    assert other.current_flow_id == MARK
    assert "history[0].content" in caplog.text
    assert KEY not in caplog.text
    async with RedisExecutionCache(redact=True) as cache:
        assert await cache.cache_result("e", {"authorization": f"Bearer {KEY}"})
        assert await cache.get_result("e") == {"authorization": "[redacted: authorization]"}
        assert await cache.cache_flow_history("s", "f", [{"id": "e", "result": {"said": KEY}}])
        assert (await cache.get_flow_history("s", "f"))[0]["result"] == {"said": MARK}


async def test_everything_is_kept_as_given_by_default():
    async with RedisSessionManager() as manager:
        assert await manager.save_session(session("s", KEY))
        kept = await manager.load_session("s")
        assert kept
        assert kept.history[0]["content"] == KEY


async def test_a_session_that_was_redacted_is_saved_again_as_it_is_now(manager: RedisSessionManager):
    mine = session("s", "Hello", f"the key is {KEY}", "Thanks")
    assert await manager.save_session(mine)
    mine.history = mine.history[1:]
    assert await manager.save_session(mine)
    kept = await manager.load_session("s")
    assert kept
    assert [turn["content"] for turn in kept.history] == [f"the key is {MARK}", "Thanks"]


async def test_a_new_id_that_looks_like_a_credential_is_refused(manager: RedisSessionManager):
    with pytest.raises(InvalidArgument, match="looks like a credential"):
        await manager.save_session(session(KEY, "Hello"))
    assert await manager.load_session(KEY) is None
    async with RedisExecutionCache(redact=True) as cache:
        with pytest.raises(InvalidArgument, match="choose another execution_id"):
            await cache.cache_result(KEY, {"a": 1})
        with pytest.raises(InvalidArgument, match="choose another flow_id"):
            await cache.cache_flow_history("s", KEY, [{"id": "e", "result": {}}])

"""What the adapters of all frameworks share: where they keep, what they replace, what they raise, how they end."""

import asyncio
import os
from pathlib import Path

import pytest

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict, SettingError, TooLarge
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.settings import Settings

from .support.conversations import turns, words
from .support.redis_server import NOBODY_LISTENS, RedisServer

SECRET = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1h"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings counts."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FLYWHEEL_DATA_DIR", str(tmp_path / "data"))


async def test_where_no_redis_is_named_the_journal_alone_keeps_it():
    async with Adapter() as adapter:
        saved = await adapter.save(Save(session_id="s", history=turns("a")))
        assert (saved.stored_in, saved.provisional) == ("journal", False)
        document = await adapter.load("s")
    assert document
    assert words(document.session.history) == ["a"]
    assert repr(adapter) == "Adapter(journal alone, agentic_flywheel:, 31536000 s)"


def test_an_object_remembers_no_event_loop_that_has_ended():
    adapter = Adapter()
    for _ in range(3):
        asyncio.run(adapter.save(Save(session_id="s", history=turns("a"), as_sent=True)))
    assert len(adapter._shared._mine) == 1
    document = asyncio.run(adapter.load("s"))
    assert document
    assert words(document.session.history) == ["a"] * 3


async def test_a_url_names_the_redis_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch, redis: RedisServer):
    monkeypatch.setenv("REDIS_URL", NOBODY_LISTENS)
    monkeypatch.setenv("REDIS_ENABLED", "false")
    monkeypatch.setenv("FLYWHEEL_TIMEOUT_SECONDS", "10")  # on a busy machine the child takes over two to start
    async with Adapter(redis_url=redis.url, key_prefix=redis.prefix, ttl_seconds=100) as adapter:
        assert (await adapter.save(Save(session_id="s", history=turns("a")))).stored_in == "redis"
        await (await adapter.stores()).attached.put("s", "state", "a", {})
    assert 0 < redis.ttl(redis.session_key("s")) <= 100
    assert 0 < redis.ttl(f"{redis.prefix}:execution:attached:state:s:a") <= 100


async def test_settings_may_be_given_and_told_apart_by_a_prefix_and_no_password_is_shown(tmp_path: Path):
    settings = Settings.from_env({"REDIS_URL": "redis://:hidden@127.0.0.1:1/0", "FLYWHEEL_DATA_DIR": str(tmp_path)})
    adapter = Adapter(settings=settings, key_prefix="other")
    assert adapter.settings.key_prefix == "other"
    assert "hidden" not in repr(adapter)
    with pytest.raises(ValueError, match="either settings"):
        Adapter(settings=settings, redis_url=NOBODY_LISTENS)
    for wrong in ("a b", "", "p:session"):
        with pytest.raises((SettingError, ValueError), match=r"(?i)prefix"):
            Adapter(key_prefix=wrong)
        with pytest.raises((SettingError, ValueError), match=r"(?i)prefix"):
            Adapter(settings=settings, key_prefix=wrong)
    with pytest.raises(ValueError, match="ttl_seconds"):
        Adapter(ttl_seconds=-1)


async def test_what_is_not_kept_is_raised_and_not_kept_in_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLYWHEEL_MAX_SESSION_BYTES", "2000")
    async with Adapter() as adapter:
        await adapter.save(Save(session_id="s", history=turns("a")))
        with pytest.raises(TooLarge):
            await adapter.save(Save(session_id="s", history=turns("x" * 3000), as_sent=True))
        with pytest.raises(Conflict):
            await adapter.save(Save(session_id="s", history=turns("b"), expected_revision=7))
        document = await adapter.load("s")
        assert document
        assert words(document.session.history) == ["a"]
        assert await adapter.delete("s")
        assert not await adapter.delete("s")
        assert await adapter.load("s") is None


async def test_credentials_are_kept_as_given_unless_they_are_to_be_replaced(caplog: pytest.LogCaptureFixture):
    async with Adapter() as keeps, Adapter(redact=True) as replaces:
        await keeps.save(Save(session_id="keeps", history=turns(f"key {SECRET}")))
        assert not caplog.records
        await replaces.save(Save(session_id="replaces", history=turns(f"key {SECRET}")))
        kept, replaced = await keeps.load("keeps"), await keeps.load("replaces")
    assert kept
    assert replaced
    assert SECRET in repr(kept)
    assert SECRET not in repr(replaced)
    assert "history" in caplog.text
    assert SECRET not in caplog.text

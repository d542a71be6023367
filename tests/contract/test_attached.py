"""What is kept beside sessions, on a journal alone and on a real Redis: documents, logs, lives, deletions, outages."""

import asyncio
import json
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict, InvalidArgument, TooLarge, Unavailable
from agentic_flywheel.sessions import attached_logs
from agentic_flywheel.sessions.attached import Attached, AttachedStore
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import attached_to, open_store
from agentic_flywheel.settings import Settings

from ..support import preloaded
from ..support.files import contents
from ..support.redis_server import RedisServer
from ..support.waiting import eventually

MARKER = "a-planted-marker"


@dataclass
class Clock:
    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Kept:
    """A place with its stores."""

    sessions: SessionStore
    attached: AttachedStore
    settings: Settings
    clock: Clock

    @asynccontextmanager
    async def another_process(self) -> AsyncIterator["Kept"]:
        async with opened(self.settings, self.clock) as other:
            yield other


@asynccontextmanager
async def opened(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Kept]:
    clock = clock or Clock()
    sessions, _ = open_store(settings, clock)
    async with sessions:
        await sessions.repository.wait_for_child(30)
        yield Kept(sessions, attached_to(sessions, settings, clock), settings, clock)


def settings_of(folder: Path, redis_url: str = "", **more: str) -> Settings:
    env = {"FLYWHEEL_DATA_DIR": str(folder / "data"), "FLYWHEEL_KEY_PREFIX": f"attached-{uuid.uuid4().hex[:12]}"}
    return Settings.from_env(env | {"REDIS_URL": redis_url, "FLYWHEEL_TIMEOUT_SECONDS": "10"} | more)


@pytest.fixture(params=["journal", "redis"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path, worker_redis: RedisServer) -> AsyncIterator[Kept]:
    url = worker_redis.url if request.param == "redis" else ""
    async with opened(settings_of(tmp_path, url)) as place:
        yield place


def records(*names: object, **more: Any) -> list[dict[str, Any]]:
    return [{"id": str(name), "n": name, **more} for name in names]


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in found]


def files_with(folder: Path, text: str) -> list[Path]:
    return [path for path, data in contents(folder) if text.encode() in data]


# documents


async def test_a_document_comes_back_and_a_later_one_of_its_name_takes_its_place(kept: Kept):
    assert await kept.attached.get("s", "state", "a") is None
    assert await kept.attached.put("s", "state", "a", {"x": [1, {"y": "é\u2028"}]}) == 1
    assert await kept.attached.get("s", "state", "a") == Attached({"x": [1, {"y": "é\u2028"}]}, 1)
    assert await kept.attached.put("s", "state", "a", {"x": 2}) == 2
    async with kept.another_process() as other:
        assert await other.attached.get("s", "state", "a") == Attached({"x": 2}, 2)


async def test_names_that_look_alike_are_others(kept: Kept):
    places = [("s", "a", "b:c"), ("s:b", "a", "c"), ("s", "a.b", "c"), ("s%3Ab", "a", "c")]
    for at, (session, kind, name) in enumerate(places):
        await kept.attached.put(session, kind, name, {"at": at})
    for at, (session, kind, name) in enumerate(places):
        assert await kept.attached.get(session, kind, name) == Attached({"at": at}, 1)


async def test_a_document_is_written_only_over_the_revision_that_is_expected(kept: Kept):
    assert await kept.attached.put("s", "state", "a", {"x": 1}, expected_revision=0) == 1
    async with kept.another_process() as other:
        assert await other.attached.put("s", "state", "a", {"x": 2}, expected_revision=1) == 2
    for wrong in (0, 1, 3):
        with pytest.raises(Conflict) as refused:
            await kept.attached.put("s", "state", "a", {"x": 9}, expected_revision=wrong)
        assert refused.value.revision == 2
    await kept.attached.remove("s", "state", "a")
    assert await kept.attached.put("s", "state", "a", {"x": 3}, expected_revision=0) > 2


async def test_what_is_removed_is_gone_from_every_place(kept: Kept, worker_redis: RedisServer):
    for name in ("a", "b", "c"):
        await kept.attached.put("s", "state", name, {"text": MARKER + name})
    await kept.attached.remove("s", "state", "a", "b", "not there")
    assert [await kept.attached.get("s", "state", name) for name in ("a", "b")] == [None, None]
    left = await kept.attached.get("s", "state", "c")
    assert left
    folder = kept.settings.data_dir
    await eventually(lambda: not files_with(folder, MARKER + "a") and not files_with(folder, MARKER + "b"))
    with worker_redis.client() as client:
        values = [client.get(key) for key in client.scan_iter(f"{kept.settings.key_prefix}:execution:*")]
        assert not [value for value in values if MARKER + "a" in value or MARKER + "b" in value]


async def test_a_write_that_is_sent_again_because_its_answer_was_lost_is_no_conflict(kept: Kept):
    for _ in range(2):
        assert await kept.attached.put("s", "state", "a", {"x": 1}, expected_revision=0) == 1
    async with kept.another_process() as other:
        for _ in range(2):
            assert await other.attached.put("s", "state", "a", {"x": 2}, expected_revision=1) == 2
    for late, value in ((0, 1), (0, 2), (1, 1)):
        with pytest.raises(Conflict):
            await kept.attached.put("s", "state", "a", {"x": value}, expected_revision=late)
    await kept.attached.remove("s", "state", "a")
    with pytest.raises(Conflict):
        await kept.attached.put("s", "state", "a", {"x": 2}, expected_revision=1)


async def test_a_document_expires_after_its_time(kept: Kept):
    await kept.attached.put("s", "state", "a", {}, ttl_seconds=1)
    await kept.attached.put("s", "state", "for ever", {}, ttl_seconds=0)
    kept.clock.ahead = timedelta(seconds=2)

    async def gone() -> bool:
        return await kept.attached.get("s", "state", "a") is None

    await eventually(gone)
    assert await kept.attached.get("s", "state", "for ever")
    assert await kept.attached.put("s", "state", "a", {"x": 1}, expected_revision=0) >= 1


async def test_what_is_too_large_or_no_json_is_refused_and_nothing_is_kept(kept: Kept):
    with pytest.raises(TooLarge):
        await kept.attached.put("s", "state", "a", {"x": "y" * kept.settings.max_session_bytes})
    with pytest.raises(InvalidArgument):
        await kept.attached.put("s", "state", "a", {"x": float("nan")})
    with pytest.raises(InvalidArgument):
        await kept.attached.append("s", "log", [{"no": "id"}])
    assert await kept.attached.get("s", "state", "a") is None
    assert await kept.attached.read("s", "log") == []


# logs


async def test_records_come_back_in_order_each_once_by_its_id(kept: Kept):
    assert await kept.attached.read("s", "log") == []
    await kept.attached.append("s", "log", records(1, 2, kept_until="1999-01-01T00:00:00+00:00"))
    await kept.attached.append("s", "log", records(2, 3))
    await kept.attached.append("s", "log", records(1, 2))
    assert ids(await kept.attached.read("s", "log")) == ["1", "2", "3"]
    assert (await kept.attached.read("s", "log"))[0] == records(1, kept_until="1999-01-01T00:00:00+00:00")[0]
    async with kept.another_process() as other:
        await other.attached.append("s", "log", records(3, 4, 4))
        assert ids(await other.attached.read("s", "log", newest=2)) == ["3", "4"]
        assert await other.attached.read("s", "log", newest=0) == []
    assert ids(await kept.attached.read("s", "log")) == ["1", "2", "3", "4"]


async def test_a_full_log_goes_on_and_loses_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attached_logs, "SEGMENT_BYTES", 3000)
    async with kept.another_process() as one, kept.another_process() as other:
        for at in range(0, 40, 4):
            await one.attached.append("s", "log", records(at, at + 1, text="x" * 200))
            await other.attached.append("s", "log", records(at + 2, at + 3, text="x" * 200))
        everything = [str(at) for at in range(40)]
        for at in range(0, 40, 5):  # said again, by both, wherever it is stored
            await one.attached.append("s", "log", records(at, text="again"))
            await other.attached.append("s", "log", records(at + 1, text="again"))
        assert ids(await one.attached.read("s", "log")) == everything
    async with kept.another_process() as third:
        await third.attached.append("s", "log", records(3, 40))
        assert ids(await third.attached.read("s", "log")) == [*everything, "40"]
        assert ids(await third.attached.read("s", "log", newest=15)) == [*everything, "40"][-15:]


async def test_a_log_is_read_by_a_process_whose_segments_are_of_another_size(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attached_logs, "SEGMENT_BYTES", 3000)
    async with kept.another_process() as one:
        await one.attached.append("s", "log", records(*range(50), text="x" * 200))
        await kept.attached.append("s", "log", records(50))
        assert ids(await kept.attached.read("s", "log")) == [str(at) for at in range(51)]
        assert ids(await one.attached.read("s", "log")) == [str(at) for at in range(51)]


async def test_a_log_is_rewritten_longer_and_shorter_and_cleared(kept: Kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attached_logs, "SEGMENT_BYTES", 3000)
    async with kept.another_process() as one, kept.another_process() as other:
        await one.attached.append("s", "log", records(*range(50), text="x" * 200))
        await other.attached.append("s", "log", records(50))
        await one.attached.rewrite("s", "log", records(*range(100, 160), text="y" * 200))
        assert ids(await other.attached.read("s", "log")) == [str(at) for at in range(100, 160)]
        await one.attached.rewrite("s", "log", records("a", "b", text=MARKER))
        await other.attached.append("s", "log", records("c"))
        assert ids(await one.attached.read("s", "log")) == ["a", "b", "c"]
        await one.attached.clear("s", "log")
        assert await other.attached.read("s", "log") == []
        await other.attached.append("s", "log", records("d"))
        assert ids(await one.attached.read("s", "log")) == ["d"]
    await eventually(lambda: not files_with(kept.settings.data_dir, MARKER))


async def test_a_log_expires_as_a_whole_and_not_before_its_end(kept: Kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attached_logs, "SEGMENT_BYTES", 3000)
    kept.clock.ahead = timedelta(days=-40)  # so that Redis, whose clock is right, expires nothing meanwhile
    async with opened(kept.settings, kept.clock) as one:
        for _ in range(30):  # a day's talk, every day
            kept.clock.ahead += timedelta(days=1)
            at = len(await one.attached.read("s", "log"))
            await one.attached.append("s", "log", records(at, at + 1, text="x" * 300), ttl_seconds=3 * 86_400)
        assert len(await one.attached.read("s", "log")) == 60
    if kept.sessions.repository.stash is None:
        kept.clock.ahead += timedelta(days=4)
        assert await kept.attached.read("s", "log") == []
        await kept.attached.append("s", "log", records("anew"), ttl_seconds=3 * 86_400)
        assert ids(await kept.attached.read("s", "log")) == ["anew"]


async def test_what_many_add_at_once_is_all_there(kept: Kept):
    async with kept.another_process() as other:
        both = [kept, other]
        added = [
            each.attached.append("s", "log", records(f"{n}-{at}")) for n, each in enumerate(both) for at in range(50)
        ]
        await asyncio.gather(*added)
        found = ids(await kept.attached.read("s", "log"))
    assert sorted(found) == sorted(f"{n}-{at}" for n in (0, 1) for at in range(50))


# with its session


async def test_the_deletion_of_a_session_leaves_no_byte_of_what_is_beside_it(kept: Kept, worker_redis: RedisServer):
    history = [{"role": "user", "content": "hello"}]
    for session in ("s", "other"):
        assert (await kept.sessions.save(Save(session_id=session, history=history), CallerViews())).saved
        await kept.attached.put(session, "state", "a", {"text": MARKER + session})
        await kept.attached.append(session, "log", records(1, 2, text=MARKER + session))
    assert (await kept.sessions.delete("s", CallerViews())).deleted
    assert await kept.attached.get("s", "state", "a") is None
    assert await kept.attached.read("s", "log") == []
    assert await kept.attached.get("other", "state", "a")
    assert len(await kept.attached.read("other", "log")) == 2
    await eventually(lambda: not files_with(kept.settings.data_dir, MARKER + "s"))
    with worker_redis.client() as client:
        for key in client.scan_iter(f"{kept.settings.key_prefix}:*"):
            if client.type(key) == "string":
                assert MARKER + "s" not in client.get(key), key


async def test_what_is_beside_a_session_is_none_of_its_history(kept: Kept):
    await kept.sessions.save(Save(session_id="s", history=[{"role": "user", "content": "hello"}]), CallerViews())
    await kept.attached.put("s", "state", "a", {"text": MARKER})
    await kept.attached.append("s", "log", records(1, text=MARKER))
    document, _ = await kept.sessions.load("s")
    assert MARKER not in repr(document)


# outages


async def test_what_is_kept_during_an_outage_arrives_once_and_in_order(tmp_path: Path, own_redis: RedisServer):
    settings = settings_of(tmp_path, own_redis.start().url, FLYWHEEL_TIMEOUT_SECONDS="1")
    async with opened(settings) as kept:
        await kept.attached.put("s", "state", "a", {"x": 1})
        await kept.attached.append("s", "log", records(1, 2))
        own_redis.freeze()
        assert await kept.attached.put("s", "state", "a", {"x": 2}, expected_revision=1) == 2
        assert await kept.attached.put("s", "state", "a", {"x": 3}, expected_revision=2) == 3
        with pytest.raises(Conflict):
            await kept.attached.put("s", "state", "a", {"x": 4}, expected_revision=2)
        await kept.attached.append("s", "log", records(2, 3))
        await kept.attached.append("s", "log", records(4))
        with pytest.raises(Unavailable):
            await kept.attached.remove("s", "state", "never seen here")
        own_redis.thaw()
        await eventually(lambda: kept.sessions.repository.journal.state().pending == 0)
    async with opened(settings_of(tmp_path / "b", own_redis.url, FLYWHEEL_KEY_PREFIX=settings.key_prefix)) as elsewhere:
        assert await elsewhere.attached.get("s", "state", "a") == Attached({"x": 3}, 3)
        assert ids(await elsewhere.attached.read("s", "log")) == ["1", "2", "3", "4"]


async def test_what_was_kept_during_an_outage_arrives_in_a_log_that_others_filled_meanwhile(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attached_logs, "SEGMENT_BYTES", 3000)
    settings = settings_of(tmp_path, own_redis.start().url, FLYWHEEL_TIMEOUT_SECONDS="1")
    there = settings_of(tmp_path / "b", own_redis.url, FLYWHEEL_KEY_PREFIX=settings.key_prefix)
    async with opened(settings) as kept:
        await kept.attached.append("s", "log", records(0))
        await kept.sessions.repository.close_client()  # so that nothing is sent before the others have filled it
        await kept.attached.append("s", "log", records("here", text="x" * 200))
        assert kept.sessions.repository.journal.state().pending == 1
        async with opened(there) as elsewhere:
            for at in range(1, 40):
                await elsewhere.attached.append("s", "log", records(at, text="y" * 200))
    async with opened(settings) as kept:
        await eventually(lambda: kept.sessions.repository.journal.state().pending == 0)
        assert kept.sessions.repository.journal.state().dead_letters == ()
        found = ids(await kept.attached.read("s", "log"))
    assert sorted(found) == sorted(["here", *(str(at) for at in range(40))])


async def test_what_was_written_elsewhere_meanwhile_is_not_overwritten_by_what_expected_another_state(
    tmp_path: Path, own_redis: RedisServer
):
    settings = settings_of(tmp_path, own_redis.start().url, FLYWHEEL_TIMEOUT_SECONDS="1")
    async with opened(settings) as kept:
        await kept.attached.put("s", "state", "a", {"x": 1})
        own_redis.freeze()
        await kept.attached.put("s", "state", "a", {"x": "here"}, expected_revision=1)
        await kept.attached.put("s", "state", "a", {"x": "here again"}, expected_revision=2)
        await kept.sessions.repository.close_client()  # so that another machine is faster
        own_redis.thaw()
        elsewhere = settings_of(tmp_path / "b", settings.redis_url, FLYWHEEL_KEY_PREFIX=settings.key_prefix)
        async with opened(elsewhere) as other:
            await other.attached.put("s", "state", "a", {"x": "there"})
    async with opened(settings) as kept:
        await eventually(lambda: kept.sessions.repository.journal.state().pending == 0)
        found = await kept.attached.get("s", "state", "a")
        dead_letters = len(kept.sessions.repository.journal.state().dead_letters)
    assert found
    assert found.value == {"x": "there"}
    # The first of them lay in the frozen Redis' socket, and may have come in before the other machine's.
    assert (found.revision, dead_letters) in ((2, 2), (3, 1)), "what came too late is kept, for a person to decide"


async def test_a_revision_that_only_redis_may_have_is_unknown_during_an_outage_and_no_conflict(
    tmp_path: Path, own_redis: RedisServer
):
    settings = settings_of(tmp_path, own_redis.start().url, FLYWHEEL_TIMEOUT_SECONDS="1")
    there = settings_of(tmp_path / "b", settings.redis_url, FLYWHEEL_KEY_PREFIX=settings.key_prefix)
    async with opened(settings) as kept, opened(there) as elsewhere:
        await elsewhere.attached.put("s", "state", "a", {"x": 1})
        await elsewhere.attached.put("s", "state", "a", {"x": 2}, expected_revision=1)
        own_redis.freeze()
        with pytest.raises(Unavailable):
            await kept.sessions.load("whatever")  # and now Redis is known not to answer
        with pytest.raises(Unavailable, match="Revision 2 may well be there"):
            await kept.attached.put("s", "state", "a", {"x": 3}, expected_revision=2)
        own_redis.thaw()


APPENDER = """
import asyncio, json, sys
from agentic_flywheel.sessions.wiring import attached_to, open_store
from agentic_flywheel.settings import Settings

async def main():
    settings = Settings.from_env(json.loads(sys.argv[1]))
    sessions, _ = open_store(settings)
    async with sessions:
        attached = attached_to(sessions, settings)
        for at in range(int(sys.argv[3])):
            await attached.append("s", "log", [{"id": f"{sys.argv[2]}-{at}"}])
            print(at, flush=True)

asyncio.run(main())
"""


def appender(env: dict[str, str], name: str, count: int) -> subprocess.Popen[str]:
    command = [*preloaded.program(APPENDER), json.dumps(env), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"HOME": env["HOME"]})


@pytest.mark.slow
@pytest.mark.parametrize("place", ["journal", "redis"])
async def test_two_processes_add_at_once_and_one_that_is_killed_loses_nothing_acknowledged(
    place: str, tmp_path: Path, worker_redis: RedisServer
):
    prefix = f"attached-{uuid.uuid4().hex[:12]}"
    env = {
        "HOME": str(tmp_path),
        "FLYWHEEL_DATA_DIR": str(tmp_path / "data"),
        "FLYWHEEL_KEY_PREFIX": prefix,
        "FLYWHEEL_TIMEOUT_SECONDS": "10",
        **({"REDIS_URL": worker_redis.url} if place == "redis" else {}),
    }
    whole, killed = appender(env, "whole", 60), appender(env, "killed", 100_000)
    assert killed.stdout
    said = [await asyncio.to_thread(killed.stdout.readline) for _ in range(30)]
    killed.send_signal(signal.SIGKILL)
    rest = await asyncio.to_thread(killed.stdout.read)
    acknowledged = [f"killed-{line}" for line in ("".join(said) + rest).split()]
    out, _ = await asyncio.to_thread(whole.communicate)
    killed.wait(30)
    killed.stdout.close()
    assert out.split() == [str(at) for at in range(60)]
    async with opened(Settings.from_env(env)) as kept:
        found = ids(await kept.attached.read("s", "log"))
    assert len(found) == len(set(found))
    of_whole = [name for name in found if name.startswith("whole")]
    of_killed = [name for name in found if name.startswith("killed")]
    assert of_whole == [f"whole-{at}" for at in range(60)]
    assert of_killed[: len(acknowledged)] == acknowledged
    assert len(of_killed) <= len(acknowledged) + 1

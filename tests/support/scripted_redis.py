"""A server that speaks Redis' protocol and says what a test wants: also what a real Redis says on bad days only."""

import socket
import threading
from collections.abc import Callable
from typing import Self

Answer = bytes | None
"""What goes over the wire; `None` cuts the connection."""


class ScriptedRedis:
    """Answers each command by `answer`, in threads of its own, and PING with PONG, which clients send to begin with.

    `heard` are the other commands, each as its words.
    """

    def __init__(self, answer: Callable[[list[str]], Answer]) -> None:
        self._answer = answer
        self.heard: list[list[str]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"

    def times(self, verb: str) -> int:
        """How often a command was heard."""
        return sum(words[0].upper() == verb for words in self.heard)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(30)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=[connection], daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while head := lines.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int(lines.readline()[1:])
                    words.append(lines.read(size + 2)[:-2].decode())
                if words[0] == "PING":
                    connection.sendall(b"+PONG\r\n")
                    continue
                self.heard.append(words)
                answer = self._answer(words)
                if answer is None:
                    return
                connection.sendall(answer)

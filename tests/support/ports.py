"""Loopback ports that stay ours: bound from when they are chosen, while a server listens there, and after its end.

A port that was only looked for is anybody's until it is listened at: another test's server may get it, or a
connection that somebody makes meanwhile. So a socket that does not listen holds it. Linux lets a server that sets
SO_REUSEADDR (Redis, `asyncio` and `socketserver` do) listen beside it, and gives the port to nobody else. Elsewhere
only the choice is left.
"""

import os
import random
import socket
import sys
import weakref
from contextlib import suppress

LOWEST, HIGHEST = 10_000, 22_000
"""Below what outgoing connections are given, as is the port of a cluster's node 10,000 above."""


class HeldPort:
    """A port, and those so far `above` it, held as long as this lives."""

    def __init__(self, *above: int) -> None:
        self.number = 0
        while not self.number:
            self._try(random.SystemRandom().randrange(LOWEST, HIGHEST), above)

    def __repr__(self) -> str:
        return f"<HeldPort {self.number}>"

    def _try(self, port: int, above: tuple[int, ...]) -> None:
        held: list[int] = []
        with suppress(OSError):
            for each in (0, *above):
                held.append(_bound(port + each))  # noqa: PERF401  those before one that fails are closed
            self.number = port
        for each in held:
            if self.number and sys.platform == "linux":
                weakref.finalize(self, os.close, each)
            else:
                os.close(each)


def _bound(port: int) -> int:
    """The descriptor of a socket that has this port, and from now on lets a server listen beside it.

    Raises:
        OSError: somebody else has it.

    """
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))  # before it shares, so that of two that choose it one gets it
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return holder.detach()

"""Reads and writes the pipes that messages come through, for asyncio, and looks after the memory that they take.

Our server, the child's supervisor and the child use it. The child loads this file by its path, in an environment that
may not have this package, so it imports nothing but the standard library.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import stat
import sys
from collections.abc import Awaitable, Callable

Write = Callable[[bytes], Awaitable[None]]

LINE_LIMIT = 256 * 2**20
"""Bytes of one message, far above any session that is accepted. Only a program that writes no newline meets it."""

PIPE_BYTES = 2**20
"""The most that Linux gives a pipe of anybody (/proc/sys/fs/pipe-max-size)."""

LARGE_LINE = 2**20
"""Bytes of a message from which on the memory that it took is given back."""

GIVEN_BACK_AFTER = 1.0
"""Seconds after the last large message: the next one would need it again."""

_giving_back: list[asyncio.TimerHandle] = []

UNTRACKED = 20_000
"""Objects made before the garbage collector runs: a message of 10 KB makes some hundreds, all soon gone."""

M_ARENA_MAX = -8
"""A parameter of mallopt (glibc `malloc.h`)."""


def settle_memory() -> None:
    """Prepare for messages of megabytes, once everything is imported and before there are threads.

    The garbage collector need not look at the modules again and again. The C library keeps one heap for all threads:
    each heap would hold on to megabytes.
    """
    gc.freeze()
    gc.set_threshold(UNTRACKED)
    gc.enable()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def passed(line: bytes) -> None:
    """Give back the memory that a large message took, once no other one has come for a while."""
    if len(line) > LARGE_LINE:
        while _giving_back:
            _giving_back.pop().cancel()
        _giving_back.append(asyncio.get_running_loop().call_later(GIVEN_BACK_AFTER, _give_back_memory))


def _give_back_memory() -> None:
    """Return to the system what was freed."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def widen(descriptor: int) -> None:
    """Make a pipe hold a megabyte, where it can: a large message then wakes its reader a sixteenth as often."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not Linux, no pipe, or too many of them
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def is_pipe(descriptor: int) -> bool:
    """Whether asyncio can wait for a descriptor: a pipe or a socket, not a file or a terminal."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def open_reader(descriptor: int, read: bytes = b"") -> asyncio.StreamReader:
    """A reader of a pipe, of which some was read before."""
    widen(descriptor)
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    reader.feed_data(read)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb"))
    return reader


async def open_writer(descriptor: int) -> asyncio.StreamWriter:
    """A writer to a pipe."""
    widen(descriptor)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(os.dup(descriptor), "wb")
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)

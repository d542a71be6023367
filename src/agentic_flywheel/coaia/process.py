"""Runs one child process: asyncio pipes, a line a message, an end that is always bounded.

The SDK's own `stdio_client` hides its process, so a wedged child could not be killed before it is waited for,
and it reads a line in quadratic time (15 s for 15 MB).
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio

from agentic_flywheel.pipes import LINE_LIMIT, Write

logger = logging.getLogger(__name__)

END_OF_INPUT_SECONDS = 0.3
"""How long a child may take to leave once its input has ended (the stock one needs 0.2 s) before it is killed."""

REAP_SECONDS = 1.0
"""How long a killed process may take to vanish; only one stuck in the kernel does."""

CANCELLED_SECONDS = 0.1
"""How long a start that is cancelled has to end its child, which takes milliseconds, before it is cancelled again."""

STDERR_LINES = 5
"""Last lines of stderr kept to say why a child did not start. Afterwards stderr is read and thrown away: the stock
child writes whole conversations there."""


def kill_children() -> None:
    """Kill all that this process has started, also what asyncio has not told it of yet (Linux knows)."""
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, listed.read_text().split()):
                for kill in (os.killpg, os.kill):  # it leads a group of its own, unless it has just begun
                    with contextlib.suppress(OSError):
                        kill(pid, signal.SIGKILL)


class ChildProcess:
    """Starts `command` when opened, and ends it when closed. `env` is the whole environment of the child."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._command = command
        self._env = env
        self._folder = folder
        self.can_run = True
        """Whether the command may be of some use when it is tried again: it is there, and allowed to be run."""
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._stderr: deque[str] | None = deque(maxlen=STDERR_LINES)
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id, once started."""
        return self._process.pid if self._process else None

    @property
    def last_words(self) -> str:
        """The last line that the child wrote to stderr before it was ready."""
        return self._stderr[-1] if self._stderr else ""

    def forget_stderr(self) -> None:
        """Keep nothing of stderr from here on."""
        self._stderr = None

    async def open(self) -> tuple[Callable[[], Awaitable[bytes]], Write]:
        """Start the child: what gives the next line that it writes, nothing at the end, and what writes to it.

        Raises:
            OSError: it cannot be started.

        """
        try:
            self._process = process = await self._start()
        except (FileNotFoundError, PermissionError):
            self.can_run = False
            raise
        if not (process.stdin and process.stdout and process.stderr):
            raise OSError("the child has no pipes")  # it has: all three were asked to be pipes
        self._drain = asyncio.create_task(self._drain_stderr(process.stderr))
        stdin, stdout = process.stdin, process.stdout

        async def next_line() -> bytes:
            try:
                line = await stdout.readline()
            except ValueError:
                logger.warning("The coaia child wrote %s bytes without a newline; it will be replaced.", LINE_LIMIT)
                line = b""
            if not line:
                self._ended.set()
            return line

        async def write(data: bytes) -> None:
            stdin.write(data)
            await stdin.drain()

        return next_line, write

    async def _start(self) -> asyncio.subprocess.Process:
        if not self._command:
            where = "set FLYWHEEL_COAIA_PYTHON or FLYWHEEL_COAIA_COMMAND"
            raise FileNotFoundError(f"a frozen program has no Python for it: {where}")
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._env,
                cwd=self._folder,
                limit=LINE_LIMIT,
                start_new_session=True,  # a group of its own, so that a launcher (uvx) dies with what it launched
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A program that ends cancels every task, asyncio's own that connects the pipes too: then the first cancel
            # kills the child and waits for these pipes for ever, and only a second one ends that.
            while not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=CANCELLED_SECONDS)
            if not starting.cancelled() and not starting.exception():
                self._process = starting.result()
                await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the child: its input ends, then, after a moment, it is killed with all it started."""
        process = self._process
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.stdin:
                process.stdin.close()
            with anyio.move_on_after(END_OF_INPUT_SECONDS):
                await process.wait()
            self.kill()
            with anyio.move_on_after(REAP_SECONDS):
                await process.wait()
            if self._drain:
                self._drain.cancel()
                await asyncio.wait({self._drain})
            # A grandchild may hold the pipes open; closing the transport lets go of our ends.
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  asyncio offers no public way

    async def ended(self) -> None:
        """Wait for the child's own end (or that of its stdout, which for us is the same)."""
        await self._ended.wait()

    def kill(self) -> None:
        """Kill the child and everything in its group, at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _drain_stderr(self, stderr: asyncio.StreamReader) -> None:
        """Read stderr for ever: a full pipe would stall the child."""
        while chunk := await stderr.read(65_536):
            if self._stderr is not None:
                self._stderr.extend(line for line in chunk.decode(errors="replace").splitlines() if line.strip())

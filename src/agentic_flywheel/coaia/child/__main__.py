"""The program: serves the Redis verbs of coaiapy-mcp, and those that they lack, over MCP on standard input and output.

Environment: `REDIS_URL` (validated by the parent), `REDIS_CLUSTER` ("true"), `FLYWHEEL_CHILD_SOCKET_TIMEOUT`
(seconds), `FLYWHEEL_CHILD_PARENT` (its pid), `FLYWHEEL_CHILD_SERVES` ("langfuse": the tools for that, and no Redis).
The parent also sees to a private folder and HOME (`coaia/launch.py`).
"""

# pyright: basic
# redis-py has no types that hold for all its versions; in strict mode every line that touches it would be an error.

import asyncio
import ctypes
import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from front import Answers, Front

LAST_WRITE_SECONDS = 0.2
"""How long the parent may take to read the last answer."""


async def _serve(calls: Answers, answers: int) -> None:
    """Answer what comes from standard input, on `answers`, until it ends."""
    if sys.platform == "win32":  # where asyncio has no pipes
        from sdk_server import serve_stdio

        await serve_stdio(calls, answers)
        return
    pipes = _pipes()
    pipes.settle_memory()
    reader, writer = await pipes.open_reader(0), await pipes.open_writer(answers)

    async def write(line: bytes) -> None:
        pipes.passed(line)
        writer.write(line)
        await writer.drain()

    async with Front(calls, write) as front:
        while line := await reader.readline():
            pipes.passed(line)
            await front.take(line)
    writer.close()  # flushes what is buffered first
    await asyncio.wait([asyncio.ensure_future(writer.wait_closed())], timeout=LAST_WRITE_SECONDS)


def _pipes() -> ModuleType:
    """The package's module, by its path: this interpreter may be that of an environment without the package."""
    path = Path(__file__).parents[2] / "pipes.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path.stem)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while a call is stuck; elsewhere EOF does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if str(os.getppid()) != os.environ.get("FLYWHEEL_CHILD_PARENT", str(os.getppid())):
            sys.exit(0)  # it died before we could ask


def _calls(timeout: float) -> Answers:
    """What this child serves. Each imports what it needs alone."""
    if os.environ.get("FLYWHEEL_CHILD_SERVES") == "langfuse":
        from trace_tools import TraceCalls

        return TraceCalls(timeout)
    from calls import Calls
    from redis_client import connect

    return Calls(connect(os.environ["REDIS_URL"], timeout, cluster=os.environ.get("REDIS_CLUSTER") == "true"))


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends this process in its own time
    answers = os.dup(1)
    os.dup2(2, 1)  # coaiapy prints while it is imported: that must not get between two messages
    timeout = float(os.environ.get("FLYWHEEL_CHILD_SOCKET_TIMEOUT", "1.5"))
    asyncio.run(_serve(_calls(timeout), answers))
    os._exit(0)  # a call that a frozen Redis holds up must not hold up the end


if __name__ == "__main__":
    main()

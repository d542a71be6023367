"""Begins to serve: the child starts while the SDK is imported, which takes either of them as long."""

import asyncio
import logging
import sys

from agentic_flywheel.pipes import share_one_heap
from agentic_flywheel.plain_text import PlainFormatter
from agentic_flywheel.server.front import Front
from agentic_flywheel.server.paused import OffRecord
from agentic_flywheel.server.sdk_import import import_server
from agentic_flywheel.server.tool_tracing import open_tracing
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings


def serve(settings: Settings, front: Front | None, off_record: OffRecord) -> int:
    """Serve over standard input and output until input ends or a signal comes; the process's exit code.

    `front` has them until the server is built; `off_record` says what nothing is to be kept of.
    """
    share_one_heap()
    log_to_stderr(settings.log_level)
    return asyncio.run(_serve(settings, front, off_record))


def log_to_stderr(level: str) -> None:
    """Have what is logged from this level on written to stderr, a line each."""
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[log])


async def _serve(settings: Settings, front: Front | None, off_record: OffRecord) -> int:
    sessions, executions = open_store(settings)
    if stash := sessions.repository.stash:
        if front:
            front.at_sudden_end = stash.supervisor.abandon
        stash.supervisor.start()
        await asyncio.to_thread(import_server)
    else:
        import_server()
    from agentic_flywheel.server import app

    tracing = open_tracing(settings)
    server = app.build_server(settings, sessions, executions, tracing, off_record=off_record)
    if front:
        front.hand_over()
    try:
        return await app.serve(server, sessions, front)
    finally:
        if tracing:
            await asyncio.to_thread(tracing.close)

"""The client of a child: a request whose line cannot be sent any more fails, and leaves nothing to complain of."""

import asyncio
import gc
from typing import Any

import pytest

from agentic_flywheel.coaia.jsonrpc_client import ConnectionEndedError, JSONRPCClient


async def test_a_child_that_goes_while_it_is_written_to_is_told_once():
    gone, complaints = asyncio.Event(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def next_line() -> bytes:
        return b""

    async def write(_: object) -> None:
        await gone.wait()
        raise BrokenPipeError

    client = JSONRPCClient(next_line, write)
    asked = asyncio.create_task(client.request("ping", {}))
    await asyncio.sleep(0)  # its line is on the way now
    async with client.reading():
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(ConnectionEndedError):
            await asked
    del asked
    gc.collect()
    assert complaints == []

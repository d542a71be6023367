"""Says to whoever runs the server whether it lives, and whether it is ready: whether requests should be sent to it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import Unavailable

ASK_SECONDS = 2.0
"""How long Redis may take to answer a probe."""

FRESH_SECONDS = 1.0
"""How long an answer is told again: probes may come often."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Health:
    """`/livez`: this process answers. `/readyz`: what is saved here reaches what all processes share."""

    def __init__(self, stash: Callable[[], Stash] | None, folder: Path | None) -> None:
        self._stash = stash
        self._folder = folder
        self.ending = False
        """Whether it finishes what was accepted, and takes nothing more."""
        self._asked = float("-inf")
        self._ready = False
        self._asking = asyncio.Lock()

    async def answer(self, path: str, method: str, send: Send) -> None:
        """Answer a probe, in two words and nothing else."""
        is_well = True if path == "/livez" else await self.is_ready()
        body = (b"ok\n" if is_well else b"not ready\n") if method != "HEAD" else b""
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200 if is_well else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        if self.ending:
            return False
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked > FRESH_SECONDS:
                self._ready = await self._look()
                self._asked = asyncio.get_running_loop().time()
            return self._ready

    async def _look(self) -> bool:
        if self._stash is None:
            return await self._can_write()
        stash = self._stash()  # a new one each time: it must not remember the last outage
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await stash.status()
        except (Unavailable, TimeoutError):
            return False
        return True

    async def _can_write(self) -> bool:
        """Whether the journal's folder can be written, or will be made in one that can."""
        folder = self._folder
        if folder is None:
            return False
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return await asyncio.to_thread(os.access, folder, os.W_OK | os.X_OK)

"""Keys that Redis refuses, or that cost the connection: all others are served, sent and put back meanwhile."""

import asyncio

from agentic_flywheel.backoff import RESENT_BYTES_A_SECOND

from ..client import Client
from ..watch import UNNAMED_SECONDS
from ..world import PREFIX
from .fault import EVERYTHING, Fault

RIGHTS = (f"~{PREFIX}:[^s]*", f"~{PREFIX}:s[^e]*", f"~{PREFIX}:session:[^x]*", "~tenant:*")
CUT_BYTES, LARGE_BYTES = 1_000_000, 1_150_000  # far above what putting back many small sessions asks at once
LIMIT_BYTES, TOO_LARGE_BYTES = 1_048_576, 1_150_000  # the least that Redis lets it be set to
HELD_SECONDS = (0.5, 1.5)


class RefusedKeys(Fault):
    """No right to one key, or a limit on requests, by Redis or by a proxy that cuts the connection."""

    name = "refused keys"
    rests = LARGE_BYTES / RESENT_BYTES_A_SECOND
    WAYS = ("no right", "no right", "cut", "cut", "limit")

    async def strike(self) -> None:
        way = self.rng.choice(self.WAYS)
        client = self.rng.choice(self.cast.clients)
        refused = self.world.ledger.session("A", f"x-{self.cast.episode}-refused", client.name)
        self.cast.sessions.append(refused)
        self.note(f"{way}: {refused.id} is refused")
        await self._impose(way)
        size = {"no right": 0, "cut": LARGE_BYTES, "limit": TOO_LARGE_BYTES}[way]
        await self._save(client, refused.id, size)
        await asyncio.sleep(self.rng.uniform(*HELD_SECONDS))
        if self.rng.random() < 0.5:
            await self.world.a.ask("FLUSHALL")
            self.note("FLUSHALL")
            await self.lost_by_redis(EVERYTHING)
        if self.rng.random() < 0.3:  # long enough for the cause to be missed
            await asyncio.sleep(UNNAMED_SECONDS + 2)
        await self.others_arrive(but=refused.id)
        await self._lift(way)
        self.note("nothing is refused any more")

    async def _save(self, client: Client, session_id: str, size: int) -> None:
        session = self.world.ledger.session("A", session_id)
        helper = Client(client.caller, self.world.ledger, self.rng, f"x-{self.cast.episode}", resends=True)
        helper.own = session
        await helper.save(session, size=size)
        await helper.save(session)
        await helper.read(session)

    async def _impose(self, way: str) -> None:
        if way == "no right":
            await self.world.a.ask("ACL", "SETUSER", "default", "resetkeys", *RIGHTS)
        elif way == "cut":
            self.world.a.proxy.most = CUT_BYTES
        else:
            await self.world.a.ask("CONFIG", "SET", "proto-max-bulk-len", LIMIT_BYTES)

    async def _lift(self, way: str) -> None:
        if way == "no right":
            await self.world.a.ask("ACL", "SETUSER", "default", "allkeys")
        elif way == "cut":
            self.world.a.proxy.most = 0
        else:
            await self.world.a.ask("CONFIG", "SET", "proto-max-bulk-len", 512 * 1024 * 1024)

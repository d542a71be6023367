"""A fail-over to a replica that lags: it takes the primary's place at the same address, without the newest saves."""

import asyncio
import time

from ...support.proxy import Proxy
from ...support.redis_server import RedisServer
from ...support.waiting import eventually
from ..world import redis_arguments
from .fault import Fault

FOLLOWS_WITHIN = 20.0


class LaggingReplica(Fault):
    """A replica follows, its link is cut, saves are acknowledged, the primary dies, the replica is promoted."""

    name = "lagging replica"

    async def prepare(self) -> None:
        a = self.world.a
        self._replica = RedisServer(a.folder / f"replica-{time.monotonic_ns()}")
        a.others.append(self._replica)
        with Proxy(a.redis.port) as link:
            self._replica.arguments = [*redis_arguments(a.folder), "--replicaof", f"127.0.0.1 {link.port}"]
            await asyncio.to_thread(self._replica.start)
            await eventually(self._has_all, within=FOLLOWS_WITHIN, what="the replica to follow")
            self._since = time.monotonic()
            await eventually(self._has_all, within=FOLLOWS_WITHIN, what="the replica to have all")
            link.shut_off()
        self.note("the link to the replica is cut")

    async def strike(self) -> None:
        a = self.world.a
        await asyncio.sleep(self.rng.uniform(0, 0.4))
        await a.kill()
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        with self._replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        await self.lost_by_redis(self._since)
        a.redis = self._replica
        self.note("the replica has taken the place of Redis A")
        a.comes_up()
        a.proxy.lead_to(self._replica.port)

    def _has_all(self) -> bool:
        """Whether the link is up and nothing of the primary's is on its way."""
        with self._replica.client() as client, self.world.a.redis.client() as primary:
            ours, theirs = client.info("replication"), primary.info("replication")
        is_up = ours.get("master_link_status") == "up"
        return is_up and ours.get("slave_repl_offset") == theirs.get("master_repl_offset")

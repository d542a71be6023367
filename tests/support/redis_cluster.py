"""A real Redis Cluster of the tests' own: three primaries on loopback ports, each with a third of the slots."""

import itertools
from pathlib import Path
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from .ports import HeldPort
from .redis_server import RedisServer
from .waiting import wait_until

NODES = 3
PASSWORD = "hush-hush-3"  # noqa: S105  the same for every node, as a client is given only one
BUS_PORT = 10_000
"""Above a node's port: where nodes speak with each other. Only Redis 7 and later can be given another."""

NODE_TIMEOUT_MS = 1500
"""After this a silent node counts as failed: soon enough to be waited for, late enough for two busy cores."""

WELL_WITHIN = 30.0
"""Seconds: forming takes about 3; a node that failed is taken back after twice its timeout, and 2 s more."""


class ClusterNode(RedisServer):
    """A node that may be frozen, killed and started again; `nodes.conf` in its folder tells it who the others are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, password=PASSWORD)
        self.held = HeldPort(BUS_PORT)
        self.arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
        if self.version >= (4, 0):
            self.arguments += ["--cluster-announce-ip", "127.0.0.1"]
        self.arguments += ["--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        self.arguments += ["--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]

    @property
    def node_id(self) -> str:
        with self.client() as client:
            return client.execute_command("CLUSTER MYID")

    def follow(self, primary: "ClusterNode") -> None:
        """Become a replica, and have what the primary has."""
        with self.client() as client:
            client.execute_command("CLUSTER MEET", "127.0.0.1", primary.port)
            known = wait_until(lambda: self._knows(primary.node_id), within=WELL_WITHIN, what="the nodes to meet")
            client.execute_command("CLUSTER REPLICATE", known)
            wait_until(
                lambda: client.info("replication").get("master_link_status") == "up",
                within=WELL_WITHIN,
                what="the replica to follow",
            )

    def is_primary(self) -> bool:
        with self.client() as client:
            return client.info("replication")["role"] == "master"

    def known(self) -> list[dict[str, Any]]:
        """The nodes that this one knows, itself among them."""
        with self.client() as client:
            return [*client.execute_command("CLUSTER NODES").values()]

    def _knows(self, node_id: str) -> str:
        return node_id if any(node["node_id"] == node_id and node["slots"] for node in self.known()) else ""


class RedisCluster:
    """Three primaries, started together."""

    def __init__(self, folder: Path, *, prefix: str = "agentic_flywheel") -> None:
        self.prefix = prefix
        self.nodes = [ClusterNode(folder / f"node-{number}") for number in range(NODES)]

    def __repr__(self) -> str:
        return f"<RedisCluster {self.nodes}>"

    @property
    def url(self) -> str:
        """The first node's; the others are learnt from it."""
        return self.nodes[0].url

    def start(self) -> "RedisCluster":
        """Start the nodes that are down, each with what its folder holds, and wait until all slots are served."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        if not self._slots_are_given():
            self._form()
        wait_until(self.is_well, within=WELL_WITHIN, what=f"the cluster to be well: {self.nodes}")
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _slots_are_given(self) -> bool:
        with self.nodes[0].client() as client:
            return bool(client.execute_command("CLUSTER SLOTS"))

    def _form(self) -> None:
        share = -(-REDIS_CLUSTER_HASH_SLOTS // NODES)
        for number, node in enumerate(self.nodes):
            first, last = number * share, min((number + 1) * share, REDIS_CLUSTER_HASH_SLOTS) - 1
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(first, last + 1))
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                for other in self.nodes[:number]:
                    client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)

    def is_well(self) -> bool:
        """Whether every node sees all nodes and all slots served."""
        return all(self._sees_all(node) for node in self.nodes)

    def _sees_all(self, node: RedisServer) -> bool:
        with node.client() as client:
            state = client.execute_command("CLUSTER INFO")["cluster_state"]
            owners = {(row[2][0], row[2][1]) for row in client.execute_command("CLUSTER SLOTS")}
        return state == "ok" and owners == {("127.0.0.1", each.port) for each in self.nodes}

    # what the tests ask of it

    def is_down(self) -> bool:
        """Whether the first node says that not all slots are served."""
        with self.nodes[0].client() as client:
            return client.execute_command("CLUSTER INFO")["cluster_state"] == "fail"

    def node_of(self, key: str) -> ClusterNode:
        """The node that has the slot of a key."""
        slot = key_slot(key.encode())
        with self.nodes[0].client() as client:
            rows = client.execute_command("CLUSTER SLOTS")
        (port,) = (owner[1] for first, last, owner, *_ in rows if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def get(self, key: str) -> str | None:
        return self.node_of(key).get(key)

    def all_keys(self, pattern: str = "*") -> set[str]:
        return {key for node in self.nodes for key in node.all_keys(pattern)}

    def session_key(self, session_id: str) -> str:
        return f"{self.prefix}:session:{session_id}"

    def ids_on(self, node: ClusterNode, count: int = 1) -> list[str]:
        """Ids of sessions whose keys lie on a node."""
        candidates = (f"s{number}" for number in itertools.count())
        return list(itertools.islice((c for c in candidates if self.node_of(self.session_key(c)) is node), count))

    def ids_on_each(self, count: int = 1) -> list[str]:
        """As many ids for every node, in the order of the nodes."""
        return [session_id for node in self.nodes for session_id in self.ids_on(node, count)]

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

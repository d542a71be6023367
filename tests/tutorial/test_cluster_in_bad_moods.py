"""A cluster of which one node is in a bad mood: dead, frozen, empty, or replaced by another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import cluster_env
from ..support.conversations import turns
from ..support.moods import BACK_WITHIN, TimedServer, arrives, ids, kept_here, kept_in_redis, timed, words_in_redis
from ..support.processes import PROC
from ..support.redis_cluster import NODES, ClusterNode, RedisCluster
from ..support.waiting import wait_until

CAUSES = "refused|connect|closed|CLUSTERDOWN|time"
FEW_DESCRIPTORS = 5

pytestmark = pytest.mark.slow


def timed_server(cluster: RedisCluster, folder: Path) -> TimedServer:
    return TimedServer(timed(cluster_env(folder, cluster), cluster.url))


def test_while_a_node_is_dead_saves_are_kept_here_and_drained_when_it_is_back(cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each()
    victim = cluster.nodes[1]
    with timed_server(cluster, tmp_path) as server:
        server.warm()
        for name in names:
            kept_in_redis(server.save(name, turns("before")))
        with victim.client() as client:
            client.save()
        victim.kill()
        kept_here(server.save(names[1], turns("meanwhile")))
        server.blames(CAUSES)
        wait_until(cluster.is_down, what="the other nodes to see it")
        for name in (names[0], names[2]):
            kept_here(server.save(name, turns("meanwhile")))
        resumed = server.resume(names[1])
        assert (resumed["found"], resumed["source"], resumed["stale"]) == (True, "journal", True)
        assert server.resume("stranger")["reason"] == "unavailable"
        listed = server.call("list_sessions")
        assert (ids(listed), listed["scope"]) == (set(names), "this machine")
        assert server.blames(CAUSES)["journal"]["pending"] == NODES
        assert server.pending() == NODES

        cluster.start()
        arrives(cluster, {name: ["before", "meanwhile"] for name in names})
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        for name in names:
            kept_in_redis(server.save(name, turns("after")))
        server.is_well()
        arrives(cluster, {name: ["before", "meanwhile", "after"] for name in names}, within=0)
        assert server.status()["child"]["generation"] == 1, "no child was given up for it"


def test_while_a_node_is_frozen_saves_are_kept_here_and_drained_when_it_thaws(cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each()
    victim = cluster.nodes[2]
    with timed_server(cluster, tmp_path) as server:
        server.warm()
        for name in names:
            kept_in_redis(server.save(name, turns("before")))
        victim.freeze()
        try:
            kept_here(server.save(names[2], turns("meanwhile")))
            for name in names[:2]:
                kept_here(server.save(name, turns("meanwhile")))
            server.blames(CAUSES)
        finally:
            victim.thaw()
        wait_until(cluster.is_well, what="the cluster to be well")
        arrives(cluster, {name: ["before", "meanwhile"] for name in names})
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        server.is_well()
        assert server.status()["child"]["generation"] == 1, "no child was given up for it"


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.skipif(not PROC, reason="descriptors are counted in /proc")
def test_a_dead_node_costs_no_descriptor_however_often_it_is_asked_for(cluster: RedisCluster, tmp_path: Path):
    with timed_server(cluster, tmp_path) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("before")))
        child = server.status()["child"]["pid"]
        before = descriptors(child)
        cluster.nodes[1].kill()
        for number in range(100):
            assert server.resume(f"stranger-{number}")["found"] is False
        assert descriptors(child) < before + FEW_DESCRIPTORS


def test_a_server_that_starts_while_the_named_node_is_dead_gets_all_there_when_it_is_back(
    cluster: RedisCluster, tmp_path: Path
):
    names = cluster.ids_on_each()
    with cluster.nodes[0].client() as client:
        client.save()
    cluster.nodes[0].kill()
    with timed_server(cluster, tmp_path) as server:
        server.settled()
        for name in names:
            kept_here(server.save(name, turns("early")))
        assert server.resume("stranger")["reason"] == "unavailable"
        server.blames(CAUSES)
        cluster.start()
        arrives(cluster, {name: ["early"] for name in names})
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        server.is_well()


def test_what_one_node_lost_is_put_back(cluster: RedisCluster, tmp_path: Path):
    first, loser, _ = cluster.nodes
    while not all(cluster.node_of(f"{cluster.prefix}:{kind}") is first for kind in ("epoch", "deletions")):
        cluster.prefix += "x"  # till what tells a loss of everything is elsewhere
    names = cluster.ids_on_each(2)
    with timed_server(cluster, tmp_path) as server:
        server.warm()
        for name in names:
            kept_in_redis(server.save(name, turns(name)))
        wait_until(lambda: cluster.get(f"{cluster.prefix}:epoch"), what="the first look at the cluster")
        loser.kill()
        wait_until(cluster.is_down, what="the other nodes to see it")
        cluster.start()
        arrives(cluster, {name: [name] for name in names})
        wait_until(
            lambda: ids(server.call("list_sessions")) == set(names), within=BACK_WITHIN, what="the list to be whole"
        )


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[tuple[RedisCluster, ClusterNode]]:
    """A cluster for this test alone that serves what it can, and a replica of its first node."""
    cluster, replica = RedisCluster(tmp_path / "cluster"), ClusterNode(tmp_path / "replica")
    for node in (*cluster.nodes, replica):
        node.arguments += ["--cluster-require-full-coverage", "no"]
    try:
        cluster.start()
        replica.start()
        replica.follow(cluster.nodes[0])
        everybody = (*cluster.nodes, replica)  # whom the replica does not know cannot elect it
        wait_until(lambda: all(len(node.known()) == len(everybody) for node in everybody), what="the nodes to meet")
        yield cluster, replica
    finally:
        replica.kill()
        cluster.stop()


def test_after_a_failover_all_goes_on_with_the_node_that_took_over(
    mirrored: tuple[RedisCluster, ClusterNode], tmp_path: Path
):
    cluster, replica = mirrored
    names = cluster.ids_on_each()
    with timed_server(cluster, tmp_path) as server:
        server.warm()
        for name in names:
            kept_in_redis(server.save(name, turns("before")))
        cluster.nodes[0].freeze()  # worse than dead: it still takes connections, and the URL names it
        kept_here(server.save(names[0], turns("meanwhile")))
        wait_until(replica.is_primary, what="the replica to take over")
        wait_until(lambda: server.pending() == 0, within=BACK_WITHIN, what="nothing to be pending")
        kept_in_redis(server.save(names[0], turns("after")))
        assert words_in_redis(replica, names[0]) == ["before", "meanwhile", "after"]
        assert ids(server.call("list_sessions")) == set(names)
        server.is_well()
        cluster.nodes[0].thaw()

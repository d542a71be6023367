"""Three nodes of a Redis Cluster are as good as one Redis, wherever a key lies and while it moves."""

from pathlib import Path
from typing import Any

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from ..conftest import cluster_env
from ..support.client import Session, open_server
from ..support.conversations import TALK, exact, turns, words
from ..support.moods import BACK_WITHIN, TimedServer, arrives, ids, kept_here, kept_in_redis, timed, words_in_redis
from ..support.ports import HeldPort
from ..support.redis_cluster import BUS_PORT, NODES, PASSWORD, RedisCluster
from ..support.redis_server import RedisServer
from ..support.waiting import eventually, wait_until

PAGE = 7
MANY = 3000  # more than a listing looks through; what it misses is found bit by bit
HEALED_WITHIN = 40.0  # a step a second: about five

pytestmark = pytest.mark.slow


async def listed_in_pages(server: Session) -> list[str]:
    """The ids of a list that is shared, page by page."""
    rows: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = await server.call("list_sessions", limit=PAGE, **more)
        assert page["scope"] == "shared", page
        assert len(page["sessions"]) <= PAGE
        rows += [row["id"] for row in page["sessions"]]
        if not page.get("next_cursor"):
            return rows
        more = {"cursor": page["next_cursor"]}


async def test_a_conversation_is_saved_continued_resumed_elsewhere_and_deleted_for_all(
    cluster: RedisCluster, tmp_path: Path
):
    names = cluster.ids_on_each()
    async with open_server(cluster_env(tmp_path / "here", cluster)) as here:
        await here.warm()
        for name in names:
            saved = await here.call("save_session", session_id=name, history=TALK)
            assert (saved["stored_in"], saved["revision"], saved["provisional"]) == ("redis", 1, False)
            saved = await here.call("save_session", session_id=name, history=turns("and then?"))
            assert (saved["stored_in"], saved["revision"], saved["turns"]) == ("redis", 2, len(TALK) + 1)
        assert [cluster.node_of(cluster.session_key(name)) for name in names] == cluster.nodes
        assert all(node.get(cluster.session_key(name)) for node, name in zip(cluster.nodes, names, strict=True))

        async with open_server(cluster_env(tmp_path / "there", cluster)) as there:
            await there.warm()
            latest = await there.call("resume_session")
            assert (latest["session"]["id"], latest["source"], latest["stale"]) == (names[-1], "redis", False)
            for name in names:
                resumed = await there.call("resume_session", session_id=name)
                assert (resumed["source"], resumed["revision"]) == ("redis", 2)
                assert exact(resumed["session"]["history"]) == exact([*TALK, *turns("and then?")])
                conflict = await there.call("save_session", session_id=name, history=[], expected_revision=1)
                assert (conflict["saved"], conflict["reason"], conflict["revision"]) == (False, "conflict", 2)
                assert (await there.call("delete_session", session_id=name))["deleted"] is True

        for name in names:
            assert (await here.call("resume_session", session_id=name))["reason"] == "deleted"
            assert cluster.get(cluster.session_key(name)) is None
        assert await listed_in_pages(here) == []
        assert (await here.call("persistence_status"))["mode"] == "redis"


async def test_the_list_has_the_sessions_of_all_nodes_newest_first_in_pages(cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each(2 * PAGE // NODES)
    async with open_server(cluster_env(tmp_path / "here", cluster)) as here:
        await here.warm()
        for name in names:
            await here.call("save_session", session_id=name, history=turns(name), title=f"about {name}")
    async with open_server(cluster_env(tmp_path / "there", cluster)) as there:
        await there.warm()
        assert await listed_in_pages(there) == names[::-1]
        gone = names[1::NODES]
        for name in gone:
            await there.call("delete_session", session_id=name)
        assert await listed_in_pages(there) == [name for name in names[::-1] if name not in gone]
        found = await there.call("list_sessions", query=f"about {names[0]}")
        assert names[0] in ids(found)


@pytest.mark.parametrize("others", [0, MANY], ids=["few keys", "many keys"])
async def test_a_list_that_was_lost_is_made_anew_from_all_nodes(others: int, cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each(3)
    with cluster.node_of("padding").client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(others):
            pipe.set(f"{{padding}}:{number}", "")
        pipe.execute()
    async with open_server(cluster_env(tmp_path, cluster)) as server:
        await server.warm()
        for name in names:
            await server.call("save_session", session_id=name, history=turns(name))
        for key in (f"{cluster.prefix}:index", f"{cluster.prefix}:index:notes"):
            with cluster.node_of(key).client() as client:
                assert client.delete(key) == 1

        async def whole() -> bool:
            return sorted(await listed_in_pages(server)) == sorted(names)

        await eventually(whole, within=HEALED_WITHIN if others else BACK_WITHIN, what="the list to be whole again")


async def test_results_and_the_histories_of_flows_are_kept(cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each()
    async with open_server(cluster_env(tmp_path / "here", cluster)) as here:
        await here.warm()
        for name in names:
            await here.call("save_session", session_id=name, history=turns("a"))
            for n in range(3):
                run = {"result": {"n": n}, "session_id": name, "flow_id": "f", "execution_id": f"{name}-{n}"}
                assert (await here.call("cache_result", **run))["stored_in"] == "redis"
    async with open_server(cluster_env(tmp_path / "there", cluster)) as there:
        await there.warm()
        for name in names:
            history = await there.call("get_flow_history", session_id=name, flow_id="f")
            assert [execution["result"]["n"] for execution in history["executions"]] == [0, 1, 2]
            found = await there.call("get_result", execution_id=f"{name}-1")
            assert (found["found"], found["execution"]["result"]) == (True, {"n": 1})
            await there.call("delete_session", session_id=name)
            assert (await there.call("get_flow_history", session_id=name, flow_id="f"))["found"] is False
            assert f"{cluster.prefix}:history:{name}:f" not in cluster.all_keys()


async def test_what_a_replace_took_away_is_an_older_revision_for_everybody(cluster: RedisCluster, tmp_path: Path):
    names = cluster.ids_on_each()
    async with open_server(cluster_env(tmp_path / "here", cluster)) as here:
        await here.warm()
        for name in names:
            await here.call("save_session", session_id=name, history=turns("one", "two"))
            replaced = await here.call("save_session", session_id=name, history=turns("afresh"), mode="replace")
            assert (replaced["stored_in"], replaced["revision"], replaced["turns"]) == ("redis", 2, 1)
    async with open_server(cluster_env(tmp_path / "there", cluster)) as there:
        await there.warm()
        for name in names:
            assert words((await there.call("resume_session", session_id=name))["session"]["history"]) == ["afresh"]
            older = await there.call("resume_session", session_id=name, revision=1)
            assert (older["found"], words(older["session"]["history"])) == (True, ["one", "two"])
            missing = await there.call("resume_session", session_id=name, revision=9)
            assert missing["reason"] == "not_found"
            await there.call("delete_session", session_id=name)
            assert (await there.call("resume_session", session_id=name, revision=1))["found"] is False


async def test_what_all_nodes_lost_is_put_back_and_what_was_deleted_stays_deleted(
    cluster: RedisCluster, tmp_path: Path
):
    names = cluster.ids_on_each(2)
    kept = names[1:]
    async with open_server(cluster_env(tmp_path, cluster)) as server:
        await server.warm()
        for name in names:
            await server.call("save_session", session_id=name, history=turns(name))
        await server.call("delete_session", session_id=names[0])
        await eventually(lambda: cluster.get(f"{cluster.prefix}:epoch"), what="the first look at the cluster")
        cluster.flush()
        resumed = await server.call("resume_session", session_id=kept[0])
        assert words(resumed["session"]["history"]) == [kept[0]]
        arrives(cluster, {name: [name] for name in kept})
        assert (await server.call("resume_session", session_id=names[0]))["reason"] == "deleted"
        assert sorted(await listed_in_pages(server)) == sorted(kept)


def test_a_cluster_is_as_durable_as_its_least_durable_node(cluster: RedisCluster, tmp_path: Path):
    with TimedServer(timed(cluster_env(tmp_path, cluster), cluster.url)) as server:
        server.warm()
        try:
            for node in cluster.nodes:
                assert server.status()["redis"]["durability"].startswith("no append-only file")
                with node.client() as client:
                    client.config_set("appendonly", "yes")
            assert server.status()["redis"]["durability"].startswith("append-only file")
        finally:
            for node in cluster.nodes:
                with node.client() as client:
                    client.config_set("appendonly", "no")


def test_a_key_that_moves_to_another_node_is_followed(cluster: RedisCluster, tmp_path: Path):
    """Redis Cluster specification, "Redirection and resharding": ASK while a slot moves, MOVED afterwards."""
    (name,) = cluster.ids_on(cluster.nodes[0])
    key = cluster.session_key(name)
    slot = key_slot(key.encode())
    source, target, _ = cluster.nodes
    source.require(4, 1, "way to move a key with a password")
    env = timed(cluster_env(tmp_path, cluster), cluster.url)
    with TimedServer(env) as server, source.client() as old, target.client() as new:
        server.warm()
        kept_in_redis(server.save(name, turns("one")))
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.node_id)
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.node_id)
        try:
            assert said_in_redis(server, name) == ["one"]
            kept_in_redis(server.save(name, turns("two")))
            for moving in old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, moving, 0, 5000, "AUTH", PASSWORD)
            assert said_in_redis(server, name) == ["one", "two"]
            kept_in_redis(server.save(name, turns("three")))
        finally:
            for client in (new, old):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.node_id)
        wait_until(lambda: cluster.node_of(key) is target, what="the slot to be the other node's")
        assert said_in_redis(server, name) == ["one", "two", "three"]
        kept_in_redis(server.save(name, turns("four")))
        server.is_well()
    arrives(cluster, {name: ["one", "two", "three", "four"]}, within=0)


def said_in_redis(server: TimedServer, session_id: str) -> list[str]:
    """The words of a session that Redis itself was asked for."""
    resumed = server.resume(session_id)
    assert (resumed["found"], resumed["source"]) == (True, "redis"), resumed
    return words(resumed["session"]["history"])


def test_a_single_node_that_does_not_know_its_own_address_is_a_cluster_too(
    own_redis: RedisServer, lonely_env: dict[str, str], sid: str
):
    own_redis.held = HeldPort(BUS_PORT)
    own_redis.arguments = ["--cluster-enabled", "yes"]
    own_redis.start()
    with own_redis.client() as client:
        client.execute_command("CLUSTER ADDSLOTS", *range(REDIS_CLUSTER_HASH_SLOTS))
        wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", what="the cluster")
        assert client.execute_command("CLUSTER SLOTS")[0][2][0] == ""
    with TimedServer(timed(lonely_env, own_redis.url, REDIS_CLUSTER="true")) as server:
        server.warm()
        kept_in_redis(server.save(sid, TALK))
        assert ids(server.call("list_sessions")) == {sid}
        server.is_well()
    assert words_in_redis(own_redis, sid) == words(TALK)


def test_a_redis_that_is_no_cluster_is_named_as_the_cause(redis: RedisServer, server_env: dict[str, str]):
    with TimedServer(timed(server_env, redis.url, REDIS_CLUSTER="true")) as server:
        server.settled()
        kept_here(server.save("s", TALK))
        server.blames("cluster support disabled")

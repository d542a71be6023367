"""The repair of a list: what it remembers of a list that was well makes it overlook nothing for long."""

import pytest

from agentic_flywheel.coaia.child import index_repair
from agentic_flywheel.coaia.child.index_repair import IndexRepair

from ..support.redis_server import RedisServer


def test_a_session_that_went_as_another_key_came_leaves_the_list(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    with own_redis.start().client() as client:
        repair = IndexRepair(client)
        client.set("p:session:s", "{}")
        client.zadd("p:index", {"s": 1})
        monkeypatch.setattr(index_repair, "WELL_SECONDS", 0.0)
        assert repair.reconcile("p:index", "p:session:") == []
        client.delete("p:session:s")
        client.set("another", "program's")
        repair.reconcile("p:index", "p:session:")
        assert client.zrange("p:index", 0, -1) == []

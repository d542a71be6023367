"""A place by its name. The children live as long as the module's event loop; keys are each test's own."""

import asyncio
import shlex
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.journal import Journal
from agentic_flywheel.keys import Keys

from ..support.redis_cluster import RedisCluster
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.stock import StockEnvironment
from .places import DictPlace, JournalPlace, Place, utc_now

STARTED_WITHIN = 30.0  # seconds, on two cores that run much else
SECONDS = 5.0  # the bound of one operation: generous, since two cores run it all


@asynccontextmanager
async def child(folder: Path, redis_url: str, command: str = "", *, cluster: bool = False) -> AsyncIterator[Supervisor]:
    """A child that reaches `redis_url`, and nothing of it afterwards."""
    home = ChildFolder(folder)
    env = child_environment({}, home.path, redis_url=redis_url, cluster=cluster, socket_timeout=2.0)
    client = Supervisor(child_command(shlex.split(command), ""), env, home, fair_seconds=SECONDS / 2)
    try:
        await client.ready(asyncio.get_running_loop().time() + STARTED_WITHIN)
        yield client
    finally:
        await client.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_child(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("own"), worker_redis.url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster_child(
    tmp_path_factory: pytest.TempPathFactory, worker_cluster: RedisCluster
) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("cluster-child"), worker_cluster.url, cluster=True) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stock_child(
    tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer, stock: StockEnvironment
) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("stock"), worker_redis.url, stock.child_command) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lost_own_child(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("lost"), NOBODY_LISTENS) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lost_cluster_child(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("lost-cluster"), NOBODY_LISTENS, cluster=True) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lost_stock_child(
    tmp_path_factory: pytest.TempPathFactory, stock: StockEnvironment
) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("lost-stock"), NOBODY_LISTENS, stock.child_command) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    own_child: Supervisor,
    cluster_child: Supervisor,
    stock_child: Supervisor,
    lost_own_child: Supervisor,
    lost_cluster_child: Supervisor,
    lost_stock_child: Supervisor,
    worker_redis: RedisServer,
    worker_cluster: RedisCluster,
) -> AsyncIterator[Place]:
    """The place that the suite names. A child is started by the first who calls it."""
    (tmp_path / "file").write_text("not a folder")
    journal = Journal(tmp_path / "journal", utc_now)
    journal_below_a_file = Journal(tmp_path / "file" / "journal", utc_now)
    places = {
        "a dict": DictPlace(utc_now),
        "the journal": JournalPlace(journal),
        "a stash on our child": own_child,
        "a stash on a cluster": cluster_child,
        "a stash on the stock child": stock_child,
        "a dict that is away": DictPlace(utc_now, away=True),
        "a journal below a file": JournalPlace(journal_below_a_file),
        "our child without Redis": lost_own_child,
        "our child without its cluster": lost_cluster_child,
        "the stock child without Redis": lost_stock_child,
    }
    chosen = places[request.param]
    keys = Keys(f"contract-{uuid.uuid4().hex[:12]}")
    kv = Stash(chosen, keys, SECONDS, utc_now) if isinstance(chosen, Supervisor) else chosen
    yield Place(kv, keys, worker_cluster.node_of if chosen is cluster_child else lambda _key: worker_redis)
    journal.close()
    journal_below_a_file.close()

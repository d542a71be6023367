"""A place by its name. The children live as long as the module's event loop; keys are each test's own."""

import asyncio
import shlex
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.key_file import unlock
from agentic_flywheel.keys import Keys

from ..support.redis_cluster import RedisCluster
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.sealed import ring
from ..support.stock import StockEnvironment
from .places import DictPlace, JournalPlace, Place, utc_now

STARTED_WITHIN = 30.0  # seconds, on two cores that run much else
SECONDS = 5.0  # the bound of one operation: generous, since two cores run it all


@asynccontextmanager
async def child(
    folder: Path, redis_url: str, command: str = "", *, python: str = "", cluster: bool = False
) -> AsyncIterator[Supervisor]:
    """A child that reaches `redis_url`, and nothing of it afterwards: ours under `python`, or that of a command."""
    home = ChildFolder(folder)
    env = child_environment({}, home.path, redis_url=redis_url, cluster=cluster, socket_timeout=2.0)
    client = Supervisor(child_command(shlex.split(command), python), env, home, fair_seconds=SECONDS / 2)
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
async def todays_child(
    tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer, todays_python: str
) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("todays"), worker_redis.url, python=todays_python) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def todays_cluster_child(
    tmp_path_factory: pytest.TempPathFactory, worker_cluster: RedisCluster, todays_python: str
) -> AsyncIterator[Supervisor]:
    folder = tmp_path_factory.mktemp("todays-cluster")
    async with child(folder, worker_cluster.url, python=todays_python, cluster=True) as client:
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
async def lost_todays_child(tmp_path_factory: pytest.TempPathFactory, todays_python: str) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("lost-todays"), NOBODY_LISTENS, python=todays_python) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lost_stock_child(
    tmp_path_factory: pytest.TempPathFactory, stock: StockEnvironment
) -> AsyncIterator[Supervisor]:
    async with child(tmp_path_factory.mktemp("lost-stock"), NOBODY_LISTENS, stock.child_command) as client:
        yield client


CHILDREN = {
    "a stash on our child": "own_child",
    "a stash on a cluster": "cluster_child",
    "a stash on our child with today's redis-py": "todays_child",
    "a stash on a cluster with today's redis-py": "todays_cluster_child",
    "a stash on the stock child": "stock_child",
    "our child without Redis": "lost_own_child",
    "our child without its cluster": "lost_cluster_child",
    "our child with today's redis-py without Redis": "lost_todays_child",
    "the stock child without Redis": "lost_stock_child",
}
"""The fixture of each place that has a child, started by the first test that asks for it."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, worker_redis: RedisServer) -> Iterator[Place]:
    """The place that the suite names."""
    name: str = request.param
    keys = Keys(f"contract-{uuid.uuid4().hex[:12]}")
    redis_of: Callable[[str], RedisServer] = lambda _key: worker_redis  # noqa: E731  a function is what a place has
    if child := CHILDREN.get(name.replace("a sealed", "a")):
        if child in ("cluster_child", "todays_cluster_child"):
            cluster: RedisCluster = request.getfixturevalue("worker_cluster")
            cluster.flush()  # of thousands of keys, which other tests leave, a list is reconciled step by step
            redis_of = cluster.node_of
        envelopes = Envelopes(ring("new", "old")) if "sealed" in name else None
        yield Place(Stash(request.getfixturevalue(child), keys, SECONDS, utc_now, envelopes), keys, redis_of)
    elif "journal" in name:
        (tmp_path / "file").write_text("not a folder")
        folder = tmp_path / ("file/journal" if name == "a journal below a file" else "journal")
        if "sealed" in name:
            unlock(folder, ring("new"))
        journal = Journal(folder, utc_now)
        yield Place(JournalPlace(journal), keys, redis_of)
        journal.close()
    else:
        yield Place(DictPlace(utc_now, away=name == "a dict that is away"), keys, redis_of)

"""Fixtures of the black-box tests: each test has its own HOME, data folder, key prefix and, if it asks, Redis."""

import gc
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis
import pytest

from .support import preloaded
from .support.environments import child_alone, environment
from .support.redis_cluster import RedisCluster
from .support.redis_server import NOBODY_LISTENS, RedisServer
from .support.stock import StockEnvironment, build
from .support.wire import WireServer

gc.disable()  # until all tests are there: next to nothing of what they are made of is garbage


def pytest_collection_finish() -> None:
    """Have no look for garbage go through the tests themselves, which stay to the end."""
    gc.freeze()
    gc.enable()


# No deadline, and inputs may be made slowly: two cores run all at once. No database: a run leaves nothing behind.
# The same examples each time: what nobody has tried yet is for `FUZZ=2 pytest` to find, not for somebody's commit.
# Here, before any test is imported: what a test is decorated with takes over the profile of that moment.
hypothesis.settings.register_profile(
    "ours",
    deadline=None,
    derandomize=os.environ.get("FUZZ", "1") == "1",
    database=None,
    max_examples=80,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ours")

PATIENT = {"FLYWHEEL_TIMEOUT_SECONDS": "10"}
"""A save that a busy machine holds up for two seconds is kept in the journal, as it should be: not what is tested."""

AS_USUAL = {"FLYWHEEL_TIMEOUT_SECONDS": "2"}
"""The bound that people have, for what waits for something that does not answer."""


def clean_env(folder: Path, redis_url: str, prefix: str) -> dict[str, str]:
    """The whole environment of a server process: nothing of ours leaks in."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "FLYWHEEL_DATA_DIR": str(folder / "data"),
        "REDIS_URL": redis_url,
        "FLYWHEEL_KEY_PREFIX": prefix,
        **PATIENT,
        **{name: os.environ[name] for name in ("PYTHONPATH",) if os.environ.get(name)},  # `tests.mutations` sets it
    }


def cluster_env(folder: Path, cluster: RedisCluster) -> dict[str, str]:
    """The same, with this cluster."""
    return clean_env(folder, cluster.url, cluster.prefix) | {"REDIS_CLUSTER": "true"}


@pytest.fixture(scope="session", autouse=True)
def stem() -> Iterator[None]:
    """The process that our programs are forked from lives as long as tests run: who only hands them out has none."""
    preloaded.install()
    yield
    preloaded.end_stem()


@pytest.fixture
def cold() -> Iterator[None]:
    """Our programs start as they do for everybody, with an interpreter of their own that imports them."""
    with preloaded.cold():
        yield


@pytest.fixture(scope="session")
def worker_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis for all tests of this worker."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.arguments = ["--hz", "1"]  # it has nothing to look after while nobody asks, and there are four
    yield server.start()
    server.kill()


@pytest.fixture
def redis(worker_redis: RedisServer) -> Iterator[RedisServer]:
    """The worker's Redis, under a key prefix of this test's own. Not to be killed."""
    worker_redis.prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield worker_redis
    worker_redis.forget()


@pytest.fixture(scope="session")
def worker_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One real Redis Cluster for all tests of this worker that ask for one."""
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def cluster(worker_cluster: RedisCluster) -> Iterator[RedisCluster]:
    """The worker's cluster, under a key prefix of this test's own; afterwards it is whole and empty again."""
    worker_cluster.prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield worker_cluster
    worker_cluster.start().flush()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for this test alone, to be frozen, killed, started again. Not started yet."""
    server = RedisServer(tmp_path / "own-redis")
    yield server
    server.kill()


@pytest.fixture
def server_env(tmp_path: Path, redis: RedisServer) -> dict[str, str]:
    """The environment of a server with the worker's Redis."""
    return clean_env(tmp_path, redis.url, redis.prefix)


@pytest.fixture
def lonely_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a server whose Redis is not there."""
    return clean_env(tmp_path, NOBODY_LISTENS, "agentic_flywheel")


@pytest.fixture
def disabled_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a server told to use no Redis."""
    return clean_env(tmp_path, NOBODY_LISTENS, "agentic_flywheel") | {"REDIS_ENABLED": "false"}


@dataclass(frozen=True)
class Place:
    """Somewhere a server keeps sessions: its environment, and the name it gives the place."""

    env: dict[str, str]
    stored_in: str
    shared: bool  # Redis answers, so "not found" waits for it

    def server(self) -> WireServer:
        return WireServer(self.env)

    def elsewhere(self, folder: Path) -> "Place":
        """The same place seen from another machine: another HOME and data folder."""
        home = folder / "home"
        home.mkdir(parents=True)
        return replace(self, env=self.env | {"HOME": str(home), "FLYWHEEL_DATA_DIR": str(folder / "data")})


def place_named(name: str, folder: Path, redis: RedisServer) -> Place:
    if name == "redis":
        return Place(clean_env(folder, redis.url, f"place-{uuid.uuid4().hex[:12]}"), "redis", shared=True)
    if name == "no Redis":
        return Place(clean_env(folder, NOBODY_LISTENS, "agentic_flywheel"), "journal", shared=False)
    assert name == "disabled"
    return Place(
        clean_env(folder, NOBODY_LISTENS, "agentic_flywheel") | {"REDIS_ENABLED": "false"}, "journal", shared=False
    )


@pytest.fixture(params=["redis", "no Redis", "disabled"])
def place(request: pytest.FixtureRequest, tmp_path: Path, worker_redis: RedisServer) -> Place:
    """Every place a session may be kept in: tests that take it hold wherever the data goes."""
    return place_named(request.param, tmp_path, worker_redis)


@pytest.fixture(scope="module", params=["redis", "disabled"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer
) -> Iterator[WireServer]:
    """A running server shared by the tests of a module, which keep apart by session id."""
    where = place_named(request.param, tmp_path_factory.mktemp("server"), worker_redis)
    with where.server() as running:
        yield running.warm() if where.shared else running
    assert running.junk == [], "stdout is the protocol's alone"


@pytest.fixture
def sid() -> str:
    """A session id nobody else uses."""
    return f"s-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def stock(request: pytest.FixtureRequest) -> StockEnvironment:
    """The released coaiapy-mcp and MCP SDK 1, in a virtual environment kept in pytest's cache folder."""
    return build(Path(request.config.cache.mkdir("stock-coaia")))


@pytest.fixture(scope="session")
def todays_python(request: pytest.FixtureRequest) -> str:
    """An interpreter with today's redis-py and nothing else, for our child: no coaiapy-mcp, no MCP SDK, not us."""
    return str(environment(Path(request.config.cache.mkdir("child-alone")), child_alone()))

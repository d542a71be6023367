"""Fixtures of the adapters' tests: an environment for each place, for this process and those that it starts."""

import os
from pathlib import Path

import pytest

from ..conftest import clean_env
from ..support.redis_server import RedisServer


@pytest.fixture(params=["journal", "redis"])
def env(
    request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """An environment with Redis, and one where none is named; this process has it too."""
    env = clean_env(tmp_path, redis.url, redis.prefix) | {"FLYWHEEL_TIMEOUT_SECONDS": "10"}
    if request.param == "journal":
        del env["REDIS_URL"]
    return _here(env, monkeypatch)


@pytest.fixture
def shared_env(tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment with Redis, for what needs one."""
    return _here(clean_env(tmp_path, redis.url, redis.prefix) | {"FLYWHEEL_TIMEOUT_SECONDS": "10"}, monkeypatch)


@pytest.fixture
def failing_env(tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment with a Redis that the test may freeze, and which is waited for only shortly."""
    env = clean_env(tmp_path, own_redis.start().url, own_redis.prefix) | {"FLYWHEEL_TIMEOUT_SECONDS": "1"}
    return _here(env, monkeypatch)


def _here(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env

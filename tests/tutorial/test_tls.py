"""Over TLS a Redis must show a certificate for the very host that REDIS_URL names, whatever redis-py is installed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.conversations import turns
from ..support.moods import MoodyRedis, TimedServer, kept_here, kept_in_redis, timed
from ..support.proxy import ELSEWHERE, OUR_CERTIFICATE, Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..test_demo_and_doctor import run

pytestmark = pytest.mark.slow

SLOTS = 16_384


@pytest.fixture(params=["plain", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["the installed redis-py", pytest.param("today's redis-py", marks=pytest.mark.slow)])
def lonely_env(lonely_env: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a server whose child runs on that redis-py."""
    if request.param == "the installed redis-py":
        return lonely_env
    return lonely_env | {"FLYWHEEL_COAIA_PYTHON": request.getfixturevalue("todays_python")}


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[MoodyRedis]:
    redis = MoodyRedis(tmp_path / "redis")
    yield redis
    redis.kill()


def started(redis: MoodyRedis, kind: str, proxy: Proxy) -> dict[str, str]:
    """Start the Redis behind the proxy, as a cluster of one node that names the proxy as itself if it is to be one."""
    if kind == "plain":
        redis.start()
        return {}
    redis.require(4, 0, "way to announce another port")
    redis.arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
    redis.arguments += ["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(proxy.port)]
    redis.start()
    with redis.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        wait_until(
            lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", what="the cluster to be well"
        )
    return {"REDIS_CLUSTER": "true"}


def url(proxy: Proxy, certificate: Path, more: str = "", host: str = "127.0.0.1") -> str:
    return f"rediss://{host}:{proxy.port}/0?ssl_ca_certs={certificate}{more}"


def nothing_is_in(redis: RedisServer) -> bool:
    return redis.all_keys() == set()


def test_a_certificate_for_another_host_is_refused_and_named_with_what_to_do(
    kind: str, moody: MoodyRedis, lonely_env: dict[str, str]
):
    with Proxy(moody.port, tls=True, certificate=ELSEWHERE) as proxy:
        env = timed(lonely_env, url(proxy, ELSEWHERE)) | started(moody, kind, proxy)
        with TimedServer(env) as server:
            server.settled()
            kept_here(server.save("s", turns("one")))
            status = server.blames("certificate is not valid for '127.0.0.1'")
            assert "REDIS_URL must have the host name that its certificate names" in status["reason"]
        done = run(env, "doctor")
        assert done.returncode == 1
        assert re.search(r"✗ Redis .*certificate is not valid for '127\.0\.0\.1'", done.stdout), done.stdout
        assert re.search(r"Try: REDIS_URL must have the host name .*ssl_check_hostname=false", done.stdout)
        assert nothing_is_in(moody), "and nothing was sent to whoever that is"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_for_this_host_is_taken(kind: str, host: str, moody: MoodyRedis, lonely_env: dict[str, str]):
    with Proxy(moody.port, tls=True) as proxy:
        env = timed(lonely_env, url(proxy, OUR_CERTIFICATE, host=host)) | started(moody, kind, proxy)
        with TimedServer(env) as server:
            kept_in_redis(server.warm().save("s", turns("one")))
        done = run(env, "doctor")
        assert (done.returncode, "! TLS" in done.stdout) == (0, False), done.stdout


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("&ssl_check_hostname=false", "the host name in its certificate is not checked"),
        ("&ssl_cert_reqs=none&ssl_check_hostname=No", "the certificate is not checked"),
    ],
)
def test_the_url_alone_turns_the_check_off_and_the_doctor_says_so(
    option: str, what: str, kind: str, moody: MoodyRedis, lonely_env: dict[str, str]
):
    with Proxy(moody.port, tls=True, certificate=ELSEWHERE) as proxy:
        env = timed(lonely_env, url(proxy, ELSEWHERE, option)) | started(moody, kind, proxy)
        with TimedServer(env) as server:
            kept_in_redis(server.warm().save("s", turns("one")))
        done = run(env, "doctor")
        assert done.returncode == 0, done.stdout
        assert re.search(rf"! TLS +{what} \(ssl_check_hostname=false in REDIS_URL\)", done.stdout), done.stdout

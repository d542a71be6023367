"""The doctor beside a Redis that is not well: it ends 1, names the cause, and says what to do; and leaves nothing."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from .conftest import clean_env
from .support.conversations import turns
from .support.moods import MoodyRedis, TimedServer, ids, kept_here, kept_in_redis, timed
from .support.proxy import OUR_CERTIFICATE, Proxy
from .support.redis_server import RedisServer, server_binary
from .support.waiting import wait_until
from .support.wire import WireServer
from .test_demo_and_doctor import run

pytestmark = pytest.mark.slow

SLOTS = 16_384
PASSWORD = "hush-hush-9"  # noqa: S105


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[MoodyRedis]:
    """A Redis for this test alone, started."""
    redis = MoodyRedis(tmp_path / "moody")
    yield redis
    redis.kill()


@dataclass
class Ward:
    """A Redis of the test's own, another beside it, and where the environment says Redis is."""

    redis: MoodyRedis
    other: RedisServer
    env: dict[str, str]

    def as_user(self, *rules: str) -> None:
        """Be a user with these rights, named in the URL."""
        with self.redis.client() as client:
            client.execute_command("ACL", "SETUSER", "ana", "reset", "on", f">{PASSWORD}", *rules)
        self.env["REDIS_URL"] = f"redis://ana:{PASSWORD}@127.0.0.1:{self.redis.port}/0"

    def doctor(self) -> subprocess.CompletedProcess[str]:
        return run(self.env, "doctor", "--verbose")


@pytest.fixture
def ward(moody: MoodyRedis, tmp_path: Path, lonely_env: dict[str, str]) -> Iterator[Ward]:
    other = RedisServer(tmp_path / "other")
    yield Ward(moody, other, timed(lonely_env, moody.url))
    other.kill()


def a_cluster(ward: Ward) -> None:
    ward.redis.arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
    ward.redis.start()
    with ward.redis.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        wait_until(
            lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", what="the cluster to be well"
        )


def no_cluster(ward: Ward) -> None:
    ward.redis.start()
    ward.env["REDIS_CLUSTER"] = "true"


def no_right_to_write(ward: Ward) -> None:
    ward.redis.start()
    ward.as_user("~*", "+@all", "-@write")


def no_right_to_scripts(ward: Ward) -> None:
    ward.redis.start()
    ward.as_user("~*", "+@all", "-@scripting")


def a_replica(ward: Ward) -> None:
    ward.other.start()
    ward.redis.arguments = ["--replicaof", f"127.0.0.1 {ward.other.port}"]
    ward.redis.start()
    with ward.redis.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica to follow")


def one_database(ward: Ward) -> None:
    ward.redis.arguments = ["--databases", "1"]
    ward.redis.start()
    ward.env["REDIS_URL"] = ward.redis.url.removesuffix("/0") + "/3"


def a_wrong_password(ward: Ward) -> None:
    ward.redis.start()
    ward.as_user("~*", "+@all")
    ward.env["REDIS_URL"] = ward.env["REDIS_URL"].replace(PASSWORD, "something-else")


def a_full_memory(ward: Ward) -> None:
    ward.redis.arguments = ["--maxmemory", "1"]
    ward.redis.start()


def a_disk_that_cannot_be_written(ward: Ward) -> None:
    ward.redis.arguments = ["--dbfilename", "dump.rdb"]
    ward.redis.start()
    with ward.redis.client() as client:
        (ward.redis.folder / "dump.rdb").mkdir()  # a snapshot cannot be put in its place
        client.set("something", "to write")
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="a snapshot to fail")


def no_tls(ward: Ward) -> None:
    ward.redis.start()
    ward.env["REDIS_URL"] = ward.redis.url.replace("redis:", "rediss:", 1)


def loading(ward: Ward) -> None:
    ward.redis.start()
    ward.redis.start_loading()


def a_sentinel(ward: Ward) -> None:
    """The Redis binary is a Sentinel where it is told so; its client is asked for a PING only."""
    ward.redis.folder.mkdir(parents=True)
    config = ward.redis.folder / "sentinel.conf"
    config.write_text(f"port {ward.redis.port}\nbind 127.0.0.1\n")
    command = [server_binary(ward.redis.folder), str(config), "--sentinel"]
    log = ward.redis.folder / "sentinel.log"
    with log.open("ab") as out:
        ward.redis.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    wait_until(ward.redis._answers, what=f"the Sentinel to answer: {log.read_text()}")


def a_renamed_command(ward: Ward) -> None:
    ward.redis.arguments = ["--rename-command", "SET", "PUT"]
    ward.redis.start()


def a_script_without_end(ward: Ward) -> None:
    ward.redis.start()
    with ward.redis.client() as client:
        client.config_set("lua-time-limit", "1")
    with socket.create_connection(("127.0.0.1", ward.redis.port)) as asking:
        asking.sendall(b"EVAL 'while true do end' 0\r\n")
        with ward.redis.client() as client:
            wait_until(lambda: is_busy(client), what="the script to hold up the others")


def is_busy(client: Any) -> bool:
    try:
        return not client.ping()
    except redis_py.ResponseError as exc:
        return "BUSY" in str(exc)


def all_paused(ward: Ward) -> None:
    ward.redis.start()
    with ward.redis.client() as client:
        client.execute_command("CLIENT", "PAUSE", "60000", "ALL")


@pytest.mark.parametrize(
    ("make", "cause", "advice"),
    [
        (a_cluster, "CROSSSLOT", r"set REDIS_CLUSTER=true"),
        (no_cluster, "cluster support disabled", r"REDIS_CLUSTER=true is set, but this Redis is no cluster"),
        (no_right_to_write, "NOPERM|permission", r"ACL SETUSER .* ~agentic_flywheel:\* .*\+evalsha"),
        (no_right_to_scripts, "NOPERM|permission", r"ACL SETUSER .* ~agentic_flywheel:\* .*\+evalsha"),
        (a_replica, "READONLY|read only", r"(?s)replica.*REDIS_URL must name the primary"),
        (one_database, "DB index", r"end REDIS_URL with /0"),
        (a_wrong_password, "WRONGPASS|password", r"check the user and the password"),
        (a_full_memory, "OOM", r"raise maxmemory"),
        (a_disk_that_cannot_be_written, "MISCONF", r"cannot write its snapshots"),
        (loading, "LOADING|loading", r"wait until it has"),
        (no_tls, "in time|broke off", r"is redis:// meant\?"),  # its child may be replaced meanwhile
        (a_sentinel, "unknown command", r"may be a Sentinel.*the primary"),
        (a_renamed_command, "nknown .*command", r"took that command away"),
        (a_script_without_end, "BUSY", r"SCRIPT KILL"),
        (all_paused, "in time|broke off|no answer", r"CLIENT UNPAUSE"),
    ],
)
def test_a_redis_that_takes_no_save_ends_it_with_1_and_what_to_do(
    make: Callable[[Ward], None], cause: str, advice: str, ward: Ward
):
    make(ward)
    done = ward.doctor()
    assert done.returncode == 1, done.stdout
    assert "✗ A save" in done.stdout, done.stdout
    assert re.search(f"[✗!] Redis .*({cause})", done.stdout), done.stdout
    assert re.search(advice, done.stdout), done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_a_user_who_may_list_nothing_is_warned_that_lists_are_not_shared(ward: Ward):
    ward.redis.start()
    ward.as_user("~*", "+@all", "-zadd")
    done = ward.doctor()
    assert done.returncode == 0, done.stdout
    assert re.search(r"! The list +is this machine's alone.*zadd.*\n.*Try: .*ACL SETUSER", done.stdout), done.stdout
    assert {key.split(":")[-1] for key in ward.redis.all_keys()} <= {"epoch"}, "nothing of the trial is left"


def test_a_foreign_value_under_the_key_of_the_list_is_warned_of(ward: Ward):
    ward.redis.start()
    with ward.redis.client() as client:
        client.set("agentic_flywheel:index:notes", "foreign")
        client.set("agentic_flywheel:session:s", "{}")
        client.zadd("agentic_flywheel:index", {"s": 1})
    done = ward.doctor()
    assert done.returncode == 0, done.stdout
    assert re.search(r"! The list .*agentic_flywheel:index:notes.*\n.*Try: delete that key", done.stdout), done.stdout
    assert ward.redis.get("agentic_flywheel:index:notes") == "foreign"


def test_a_redis_that_is_not_there_ends_it_with_1(ward: Ward):
    done = ward.doctor()
    assert done.returncode == 1, done.stdout
    assert re.search(r"✗ Redis .*does not answer.*\n.*Try: start the Redis at ", done.stdout), done.stdout
    with TimedServer(ward.env) as server:
        assert server.settled().pending() == 0, "what was saved to try is taken back"


def test_a_certificate_of_no_known_authority_is_told_with_how_to_name_it(ward: Ward):
    ward.redis.start()
    with Proxy(ward.redis.port, tls=True) as proxy:
        done = run(ward.env | {"REDIS_URL": f"rediss://127.0.0.1:{proxy.port}/0"}, "doctor")
        assert done.returncode == 1, done.stdout
        assert re.search(r"ssl_ca_certs=FILE", done.stdout), done.stdout
        url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={OUR_CERTIFICATE}"
        done = run(ward.env | {"REDIS_URL": url}, "doctor")
        assert done.returncode == 0, done.stdout


def test_a_redis_that_is_well_is_left_as_it_was(ward: Ward):
    ward.redis.start()
    done = ward.doctor()
    assert done.returncode == 0, done.stdout
    assert re.search(r"✓ Redis +\S+ \S+, master: answers", done.stdout), done.stdout
    assert not re.search("[✗!] ", done.stdout), done.stdout
    assert ward.redis.all_keys() == set()
    assert [*Path(ward.env["HOME"]).iterdir()] == []
    assert not Path(ward.env["FLYWHEEL_DATA_DIR"]).exists()
    short = run(ward.env, "doctor")
    assert re.fullmatch(r"All well: a save takes [\d.]+ ms and is kept in Redis \(redis://\S+\)\.\n", short.stdout)
    with TimedServer(ward.env) as server:
        journal = server.warm().status()["journal"]
        assert (journal["pending"], journal["replica"]["documents"]) == (0, 0), journal


def test_a_user_with_the_rights_that_are_named_can_do_all(ward: Ward, tmp_path: Path):
    ward.redis.start()
    ward.as_user("~other:*", "+@all")
    line = re.search(r"ACL SETUSER (\S+) (.*)", ward.doctor().stdout)
    assert line
    rules = line[2].replace("PASSWORD", PASSWORD).split()
    with ward.redis.client() as client:
        client.execute_command("ACL", "SETUSER", line[1], *rules)
        client.execute_command("ACL", "LOG", "RESET")
    ward.env["REDIS_URL"] = f"redis://{line[1]}:{PASSWORD}@127.0.0.1:{ward.redis.port}/0"
    assert ward.doctor().returncode == 0
    with TimedServer(ward.env) as server:
        server.warm()
        for text in ("one", "two"):
            kept_in_redis(server.save("s", turns(text, "fern " * 2_000)))
        kept_in_redis(server.save("t", turns("three"), ttl_seconds=0))
        assert server.call("restore_session", session_id="s", revision=1)["restored"]
        cached = server.call("cache_result", result={}, execution_id="e", session_id="s", flow_id="f")
        assert cached["stored_in"] == "redis"
        assert server.call("get_flow_history", session_id="s", flow_id="f")["found"]
        assert ids(server.call("list_sessions", query="fern")) == {"s"}
        assert ids(server.call("list_sessions", pattern="t*")) == {"t"}
        assert server.call("delete_session", session_id="s")["deleted"]
        server.is_well()
        ward.redis.flush()
        wait_until(lambda: ward.redis.get(ward.redis.session_key("t")), what="what was lost to be put back")
    elsewhere = clean_env(tmp_path / "elsewhere", ward.env["REDIS_URL"], "agentic_flywheel")
    with WireServer(elsewhere) as server:
        server.warm()
        assert ids(server.call("list_sessions")) == {"t"}
        assert server.call("resume_session", session_id="t")["source"] == "redis"
    with ward.redis.client() as client:
        refused = {(row["object"], row["reason"]) for row in client.execute_command("ACL", "LOG")}
    assert not {each for each in refused if not each[0].startswith("client")}, refused


@pytest.mark.parametrize(("memory", "said"), [("0", "once its memory is limited"), ("100mb", "may evict sessions \\(")])
def test_a_redis_that_may_evict_is_warned_of(ward: Ward, memory: str, said: str):
    ward.redis.arguments = ["--maxmemory", memory, "--maxmemory-policy", "allkeys-lru"]
    ward.redis.start()
    done = ward.doctor()
    assert done.returncode == 0, done.stdout
    assert re.search(rf"! Eviction .*{said}.*set maxmemory-policy noeviction", done.stdout), done.stdout


def test_what_waits_for_another_redis_is_listed_with_how_to_send_it(ward: Ward):
    with TimedServer(ward.env | {"REDIS_URL": f"redis://127.0.0.1:{ward.other.port}/0"}) as server:
        server.settled()
        kept_here(server.save("s", turns("one")))
        kept_here(server.save("s", turns("two")))
    ward.redis.start()
    done = ward.doctor()
    assert done.returncode == 0, done.stdout
    said = rf"! Waiting +2 changes wait for \S+:{ward.other.port}/0 \(1 document\): start once with REDIS_URL set to it"
    assert re.search(said, done.stdout), done.stdout
    ward.other.start()
    with TimedServer(ward.env | {"REDIS_URL": f"redis://127.0.0.1:{ward.other.port}/0"}) as server:
        wait_until(lambda: server.pending() == 0, what="what waited to be sent")
    assert "Waiting" not in ward.doctor().stdout

"""Scripts are run in whichever way Redis allows, and only where no way is open is that said."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import NoScriptError

from agentic_flywheel.coaia.child.inline_redis import InlineRedis
from agentic_flywheel.coaia.child.script_runner import Scripts

from ..support.redis_server import RedisServer

ECHO = "return {KEYS[1], ARGV[1]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield one
    one.kill()


@pytest.fixture
def user(server: RedisServer) -> Iterator[Callable[..., redis_py.Redis]]:
    """A client of a user with these rights, of a Redis that knows no script yet; as a user may have been before."""
    with server.client() as admin:
        admin.script_flush()
        admin.config_resetstat()
    clients: list[redis_py.Redis] = []

    def client(*rules: str) -> redis_py.Redis:
        with server.client() as admin:
            try:
                admin.execute_command("ACL", "SETUSER", "user", "reset", "on", "nopass", "~*", "+@all", *rules)
            except redis_py.ResponseError as exc:
                pytest.skip(f"this server has no access lists: {exc}")
        url = server.url.replace("redis://", "redis://user:any@")
        clients.append(redis_py.from_url(url, decode_responses=True, socket_timeout=5))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


def calls(server: RedisServer, command: str) -> int:
    """How often a command was run, or tried."""
    with server.client() as admin:
        told = admin.info("commandstats").get(f"cmdstat_{command}", {})
    return told.get("calls", 0) + told.get("rejected_calls", 0)


@pytest.mark.parametrize("forbidden", [(), ("-script",), ("-eval",), ("-evalsha",), ("-evalsha", "-script")])
def test_a_script_runs_as_long_as_one_way_is_open(user: Callable[..., redis_py.Redis], forbidden: tuple[str, ...]):
    scripts = Scripts(user(*forbidden), by_name=True)
    for reads in (False, True):
        script = scripts.of(ECHO, reads=reads)
        assert [script(["key"], [text]) for text in ("a", "é 🌱")] == [["key", "a"], ["key", "é 🌱"]]
    assert not scripts.forbidden


def test_the_way_that_was_found_is_remembered(server: RedisServer, user: Callable[..., redis_py.Redis]):
    script = Scripts(user("-evalsha"), by_name=True).of(ECHO)
    for number in range(10):
        script(["key"], [number])
    assert calls(server, "evalsha") == 1
    assert calls(server, "eval") == 10


def test_a_script_that_redis_knows_is_not_sent_again(server: RedisServer, user: Callable[..., redis_py.Redis]):
    script = Scripts(user(), by_name=True).of(ECHO)
    for number in range(10):
        script(["key"], [number])
    assert calls(server, "eval") == 1


def test_where_scripts_are_forbidden_that_is_said_until_they_are_not(
    server: RedisServer, user: Callable[..., redis_py.Redis]
):
    scripts = Scripts(user("-@scripting"), by_name=True)
    script = scripts.of(ECHO)
    with pytest.raises(redis_py.ResponseError, match="eval"):
        script(["key"], ["x"])
    assert scripts.forbidden
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "user", "+@all")
    assert script(["key"], ["x"]) == ["key", "x"]
    assert not scripts.forbidden


def test_a_refusal_inside_of_a_script_is_no_reason_to_send_it_otherwise(
    server: RedisServer, user: Callable[..., redis_py.Redis]
):
    scripts = Scripts(user("-get"), by_name=True)
    script = scripts.of("return redis.call('GET', KEYS[1])", reads=True)
    for _ in range(3):
        with pytest.raises(redis_py.ResponseError):
            script(["key"])
    assert (scripts.by_name, scripts.flagged, scripts.forbidden) == (True, True, False)
    assert calls(server, "eval") == 1


@pytest.mark.parametrize("forbidden", [(), ("-evalsha",), ("-script",)])
async def test_the_connection_that_needs_no_thread_goes_the_same_way(
    user: Callable[..., redis_py.Redis], forbidden: tuple[str, ...]
):
    client = user(*forbidden)
    script = Scripts(client, by_name=True).of(ECHO, reads=True)
    with ThreadPoolExecutor(4) as threads:
        inline = InlineRedis(client, threads)
        for number in range(20):
            answer = inline.ask(script, ["key"], [str(number)])
            assert (answer if isinstance(answer, list) else await answer) == ["key", str(number)]
            await asyncio.sleep(0)


class BeforeSeven:
    """A Redis that knows no flags: what it is sent, and what it says (as 6.2.14 does)."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def execute_command(self, *command: Any, **_options: Any) -> list[Any]:
        self.sent.append(command[1])
        if command[0] == "EVALSHA":
            raise NoScriptError("No matching script. Please use EVAL.")
        if command[1].startswith("#!"):
            raise redis_py.ResponseError(
                "Error compiling script (new function): user_script:1: unexpected symbol near '#'"
            )
        return [command[3], command[4]]


def test_before_redis_7_a_script_that_reads_is_sent_without_flags():
    old = BeforeSeven()
    scripts = Scripts(old, by_name=True)
    script, other = scripts.of(ECHO, reads=True), scripts.of(f"{ECHO} -- other", reads=True)
    assert script(["key"], ["x"]) == ["key", "x"]
    assert not scripts.flagged
    old.sent.clear()
    assert other(["key"], ["x"]) == ["key", "x"]
    assert not any(text.startswith("#!") for text in old.sent)


def test_before_redis_7_each_of_many_calls_sent_together_has_another_way():
    script = Scripts(BeforeSeven(), by_name=False).of(ECHO, reads=True)
    refusal = redis_py.ResponseError("Error compiling script (new function): user_script:1: unexpected symbol near '#'")
    assert [script.has_another_way(refusal) for _ in range(3)] == [True] * 3
    wrong = redis_py.ResponseError("Error compiling script (new function): user_script:1: '=' expected near 'x'")
    assert not script.has_another_way(wrong)

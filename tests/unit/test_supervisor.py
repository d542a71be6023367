"""One child is kept alive: bounded calls, replacement of the broken and the deaf, and an end that leaves nothing."""

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.coaia import launch
from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
from agentic_flywheel.coaia.process import ChildProcess
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.errors import InvalidArgument, StashRefused, StashUnavailable

from ..support.processes import alive, kill, wait_gone
from ..support.waiting import eventually

pytestmark = pytest.mark.slow

# A child as small as can be, and as bad as it is told to be: by its arguments at start, by the key when called.
CHILD = r"""
import json, os, signal, subprocess, sys, time

def out(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

def reply(request, result):
    out(json.dumps({"jsonrpc": "2.0", "id": request, "result": result}).encode() + b"\n")

STALE = b'{"jsonrpc": "2.0", "id": 424242, "result": {}}\n{"jsonrpc": "2.0", "method": "notifications/what"}\n'
JUNK = b'warning: stray print\n\n{"some": "json"}\n[1, 2]\nnull\n\x00\x01\n' + b"x" * 300_000 + b"\n" + STALE
NOT_UTF8 = b"caf\xe9 \xff\xfe\n" + b'{"jsonrpc": "2.0", "id": 9, "result": "\xff"}\n'

if "exit" in sys.argv:
    print("first line\nno Redis library here", file=sys.stderr)
    sys.exit(3)
if "silent" in sys.argv:
    signal.pause()
if "junk" in sys.argv:
    out(JUNK + NOT_UTF8)
if "flood" in sys.argv:
    os.write(2, b"e" * 1_000_000)

TASH = {"type": "object", "properties": {"key": {}, "value": {}} | ({"ttl_seconds": {}} if "ttl" in sys.argv else {})}
TOOLS = [{"name": "coaia_tash", "inputSchema": TASH}, {"name": "coaia_fetch", "inputSchema": {"type": "object"}}]

for line in sys.stdin:
    message = json.loads(line)
    method, request, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "initialize":
        server = {"name": "child", "version": "1"}
        version = params["protocolVersion"]
        reply(request, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server})
    elif method == "tools/list":
        reply(request, {"tools": TOOLS})
    elif method == "tools/call":
        key = params["arguments"].get("key")
        text = "pong"
        if key == "pid":
            text = str(os.getpid())
        elif key == "surroundings":
            folder = os.getcwd()
            text = json.dumps({"env": dict(os.environ), "cwd": folder, "files": os.listdir(folder),
                               "env file": open(os.environ["COAIAPY_ENV_PATH"]).read()})
        elif key == "echo":
            text = params["arguments"]["value"]
        elif key == "grandchild":
            code = "import signal; signal.pause()"
            text = str(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL).pid)
        elif key == "hang":
            signal.pause()
        elif key == "ignore":
            continue
        elif key == "die":
            os._exit(1)
        elif key == "refuse":
            error = {"code": params["arguments"]["value"], "message": "the value that was sent is too long"}
            out(json.dumps({"jsonrpc": "2.0", "id": request, "error": error}).encode() + b"\n")
            continue
        elif key == "close stdin":
            reply(request, {"content": [{"type": "text", "text": "pong"}]})
            os.close(0)
            signal.pause()
        elif key == "close stdout":
            os.close(1)
            signal.pause()
        elif key == "junk":
            out(JUNK)
        elif key == "not UTF-8":
            out(NOT_UTF8)
        elif key == "flood":
            for _ in range(30):
                os.write(2, b"conversation " * 8000)
        reply(request, {"content": [{"type": "text", "text": text}], "isError": False})
"""

FAIR = 0.2
SOON = 12.0
"""Seconds that a busy machine may take for what is at once; a child that starts has 15, who waits for ever has more."""

OpenChild = Callable[..., AbstractAsyncContextManager["Child"]]


class Child:
    """A client and what was ever started by it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.pids: set[int] = set()

    async def ask(self, key: str, within: float = 10.0, **arguments: Any) -> str:
        """The text of the answer."""
        deadline = asyncio.get_running_loop().time() + within
        answer = await self.supervisor.call("coaia_fetch", {"key": key, **arguments}, deadline)
        if pid := self.supervisor.state.pid:
            self.pids.add(pid)
        assert isinstance(answer, str)
        return answer

    async def refused(self, key: str, within: float = 10.0) -> str:
        """Why there is no answer."""
        with pytest.raises(StashUnavailable) as refusal:
            await self.ask(key, within)
        return str(refusal.value)


@pytest.fixture
def opened(tmp_path: Path) -> OpenChild:
    """A client of the child above (or of another command). Afterwards no process is left."""
    program = tmp_path / "child.py"
    program.write_text(CHILD)

    @asynccontextmanager
    async def child(*moods: str, command: list[str] | None = None, **environ: str) -> AsyncIterator[Child]:
        folder = ChildFolder(tmp_path / "data")
        env = child_environment(
            {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ},
            folder.path,
            redis_url="redis://localhost:1/0",
            cluster=False,
            socket_timeout=1.0,
        )
        client = Supervisor(command or [sys.executable, str(program), *moods], env, folder, fair_seconds=FAIR)
        kept = Child(client)
        try:
            yield kept
        finally:
            await client.aclose()
            wait_gone(sorted(kept.pids))

    return child


# life


async def test_a_child_is_started_by_the_first_call_and_serves_those_after(opened: OpenChild):
    async with opened() as child:
        assert (child.supervisor.state.state, child.supervisor.was_ready) == ("not started", False)
        pid = await child.ask("pid")
        assert await child.ask("pid") == pid
        state = child.supervisor.state
        assert (state.state, state.generation, state.pid) == ("ready", 1, int(pid))
        assert state.verbs == ("coaia_fetch", "coaia_tash")
        assert child.supervisor.was_ready


@pytest.mark.parametrize(("moods", "expires"), [((), False), (("ttl",), True)])
async def test_what_a_child_can_do_is_learnt_from_its_tools(
    opened: OpenChild, moods: tuple[str, ...], *, expires: bool
):
    async with opened(*moods) as child:
        await child.ask("pid")
        assert child.supervisor.tash_expires is expires


async def test_calls_at_once_get_each_its_own_answer(opened: OpenChild):
    async with opened() as child:
        values = [f"value {i} " * i for i in range(100)]
        assert await asyncio.gather(*(child.ask("echo", value=value) for value in values)) == values


async def test_a_large_value_goes_both_ways_unchanged(opened: OpenChild):
    value = "🌾 été\u2028\x00" * 300_000
    async with opened() as child:
        assert await child.ask("echo", value=value) == value


async def test_a_child_that_is_killed_is_followed_by_a_new_one(opened: OpenChild):
    async with opened() as child:
        first = int(await child.ask("pid"))
        kill(first)
        await eventually(lambda: child.supervisor.state.pid != first or child.supervisor.state.state != "ready")
        second = int(await child.ask("pid"))
        assert second != first
        assert child.supervisor.state.generation == 2


async def test_a_call_whose_child_dies_fails_at_once_and_the_next_one_is_answered(opened: OpenChild):
    async with opened() as child:
        began = time.monotonic()
        await child.refused("die", within=30)
        assert time.monotonic() - began < SOON
        assert await child.ask("echo", value="well") == "well"
        assert child.supervisor.state.generation == 2


async def test_all_calls_under_way_fail_when_their_child_dies(opened: OpenChild):
    async with opened() as child:
        await child.ask("pid")
        calls = [asyncio.create_task(child.refused("ignore", within=30)) for _ in range(10)]
        await child.ask("pid")  # the child has read them all
        await child.refused("die", within=30)
        await asyncio.wait_for(asyncio.gather(*calls), 30)
        assert await child.ask("echo", value="well") == "well"
        assert child.supervisor.state.generation == 2


@pytest.mark.parametrize("mood", ["hang", "close stdout", "ignore"])
async def test_a_child_that_does_not_answer_is_bounded_and_replaced(opened: OpenChild, mood: str):
    async with opened() as child:
        first = int(await child.ask("pid"))
        began = time.monotonic()
        await child.refused(mood, within=0.5)
        assert time.monotonic() - began < SOON
        assert int(await child.ask("pid")) != first
        await eventually(lambda: not alive(first), what="the end of the deaf child")
        assert child.supervisor.state.generation == 2


@pytest.mark.parametrize("code", [-32602, -32601, -32600, -32001, 0, 1, -31999])
async def test_a_call_that_a_child_refuses_costs_it_nothing(opened: OpenChild, code: int):
    async with opened() as child:
        pid = await child.ask("pid")
        with pytest.raises(StashRefused, match=f"refused coaia_fetch .error {code}.") as refusal:
            await child.ask("refuse", value=code)
        assert "too long" not in str(refusal.value), "a child may repeat what was said in a session"
        assert await child.ask("pid") == pid
        assert child.supervisor.state.generation == 1


@pytest.mark.parametrize("code", [-32000, -32603])
async def test_a_child_that_is_broken_is_replaced(opened: OpenChild, code: int):
    async with opened() as child:
        await child.ask("pid")
        with pytest.raises(StashUnavailable):
            await child.ask("refuse", value=code)
        assert await child.ask("echo", value="well") == "well"
        assert child.supervisor.state.generation == 2


async def test_a_child_that_no_longer_reads_is_replaced(opened: OpenChild):
    async with opened() as child:
        assert await child.ask("close stdin") == "pong"
        await child.refused("echo", within=1)
        assert await child.ask("echo", value="well") == "well"
        assert child.supervisor.state.generation == 2


async def test_a_child_that_hangs_with_much_unread_is_replaced_as_soon(opened: OpenChild):
    async with opened() as child:
        await child.ask("pid")
        hanging = asyncio.create_task(child.refused("hang", within=1))
        behind_it = asyncio.create_task(child.ask("echo", within=1, value="x" * 2_000_000))
        began = time.monotonic()
        await asyncio.wait({hanging, behind_it})
        assert isinstance(behind_it.exception(), StashUnavailable)
        assert hanging.result()
        assert time.monotonic() - began < SOON
        assert await child.ask("echo", value="well") == "well"


async def test_a_call_that_had_no_fair_time_does_not_cost_the_child_its_life(opened: OpenChild):
    async with opened() as child:
        pid = await child.ask("pid")
        await child.refused("ignore", within=FAIR / 4)
        assert await child.ask("pid") == pid
        assert child.supervisor.state.generation == 1


async def test_a_child_that_answers_others_meanwhile_is_busy_and_keeps_its_life(opened: OpenChild):
    async with opened() as child:
        pid = await child.ask("pid")
        late = asyncio.create_task(child.refused("ignore", within=3 * FAIR))
        while not late.done():
            assert await child.ask("pid") == pid
        assert "did not answer coaia_fetch in time" in await late
        assert await child.ask("pid") == pid
        assert child.supervisor.state.generation == 1


async def test_a_late_failure_of_an_old_child_leaves_the_new_one_alone(opened: OpenChild):
    async with opened() as child:
        await child.ask("pid")
        late = asyncio.create_task(child.refused("ignore", within=60))
        await child.refused("hang", within=0.5)
        second = await child.ask("pid")
        await asyncio.wait_for(late, 30)
        child.supervisor.replace(1, "a failure of the first child, told late")
        assert await child.ask("pid") == second
        assert (child.supervisor.state.generation, child.supervisor.state.last_error) == (2, None)


async def test_a_call_that_is_given_up_does_not_disturb_the_child(opened: OpenChild):
    async with opened() as child:
        pid = await child.ask("pid")
        for _ in range(5):
            call = asyncio.create_task(child.ask("ignore"))
            await child.ask("pid")
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
        assert await child.ask("pid") == pid


async def test_everything_a_child_started_ends_with_it(opened: OpenChild):
    async with opened() as child:
        grandchild = int(await child.ask("grandchild"))
        child.pids.add(grandchild)
        await child.refused("hang", within=0.5)
        await eventually(lambda: not alive(grandchild), what="the grandchild's end")


# bad manners


@pytest.mark.parametrize("mood", ["junk", "not UTF-8"])
async def test_junk_on_stdout_is_survived(opened: OpenChild, mood: str):
    async with opened() as child:
        for _ in range(3):
            assert await child.ask(mood) == "pong"
        assert child.supervisor.state.generation == 1


@pytest.mark.parametrize("mood", ["junk", "flood"])
async def test_a_child_that_talks_before_it_serves_is_survived(opened: OpenChild, mood: str):
    async with opened(mood) as child:
        assert await child.ask("echo", value="well") == "well"
        assert child.supervisor.state.generation == 1


async def test_a_flood_on_stderr_is_survived(opened: OpenChild):
    async with opened() as child:
        assert [await child.ask("flood") for _ in range(3)] == ["pong"] * 3
        assert child.supervisor.state.generation == 1


async def test_nothing_a_serving_child_says_on_stderr_is_kept(opened: OpenChild, caplog: pytest.LogCaptureFixture):
    caplog.set_level(0)
    async with opened() as child:
        await child.ask("flood")
        await child.refused("die")
        await child.ask("pid")
        assert "conversation" not in caplog.text + repr(child.supervisor) + repr(child.supervisor.state)


@pytest.mark.parametrize("value", ["half \ud800", ["in a list", "half \udc00"]], ids=ascii)
async def test_half_a_surrogate_pair_is_refused_and_the_connection_lives(opened: OpenChild, value: Any):
    async with opened() as child:
        pid = await child.ask("pid")
        with pytest.raises(InvalidArgument):
            await child.ask("echo", within=1, value=value)
        assert await child.ask("pid") == pid


# children that cannot be started


async def test_a_child_that_ends_at_once_is_tried_less_and_less_often(opened: OpenChild):
    async with opened("exit") as child:
        client = child.supervisor
        client.start()
        await eventually(lambda: client.state.state == "waiting to restart", what="the back-off")
        tried, first = client.state.generation, time.monotonic()
        assert 2 <= tried <= 6
        for _ in range(50):
            began = time.monotonic()
            why = await child.refused("pid", within=30)
            assert time.monotonic() - began < SOON  # of the 30 that it was given
        assert "no Redis library here" in why
        assert client.state.generation <= tried + 1 + (time.monotonic() - first)
        assert not client.was_ready


@pytest.mark.parametrize("command", [["/nowhere/coaiapy-mcp"], ["/"], ["/dev/null"]], ids=str)
async def test_a_command_that_cannot_be_run_says_so(opened: OpenChild, command: list[str]):
    async with opened(command=command) as child:
        child.supervisor.start()
        await eventually(lambda: child.supervisor.state.state == "waiting to restart", what="the back-off")
        assert "could not be started" in await child.refused("pid")


async def test_a_call_does_not_wait_for_a_command_that_is_not_there_and_is_served_once_it_is(
    opened: OpenChild, tmp_path: Path
):
    command = tmp_path / "coaiapy-mcp"
    async with opened(command=[str(command)]) as child:
        client = child.supervisor
        assert f"{command}: No such file or directory" in await child.refused("pid", within=30)
        assert client.generation <= 2, "the back-off was waited out"
        command.write_text(f"#!{sys.executable}\n{CHILD}")
        command.chmod(0o700)
        await eventually(lambda: client.state.state == "ready", what="the child")
        assert await child.ask("echo", value="hello") == "hello"


async def test_a_call_does_not_wait_beyond_its_time_for_a_child_that_never_answers(opened: OpenChild):
    async with opened("silent") as child:
        began = time.monotonic()
        assert "starting" in await child.refused("pid", within=0.3)
        assert time.monotonic() - began < SOON
        child.pids.add(child.supervisor.state.pid or 0)


# the end


async def test_another_task_may_close_and_nothing_is_left(opened: OpenChild):
    async with opened() as child:
        pid = int(await asyncio.create_task(child.ask("pid")))
        began = time.monotonic()
        await asyncio.create_task(child.supervisor.aclose())
        assert time.monotonic() - began < SOON
        wait_gone([pid])
        assert child.supervisor.state.state == "closed"
        assert "closed" in repr(child.supervisor)


@pytest.mark.parametrize("mood", ["hang", "ignore"])
async def test_closing_does_not_wait_for_a_call_that_hangs(opened: OpenChild, mood: str):
    async with opened() as child:
        pid = int(await child.ask("pid"))
        hanging = asyncio.create_task(child.refused(mood, within=60))
        await eventually(
            lambda: child.supervisor._bounds, what="the call to be under way"
        )  # seen from outside by nobody
        began = time.monotonic()
        await child.supervisor.aclose()
        await asyncio.wait_for(hanging, 30)
        assert time.monotonic() - began < SOON
        wait_gone([pid])


async def test_closing_does_not_wait_for_a_child_that_never_answers(opened: OpenChild):
    async with opened("silent") as child:
        child.supervisor.start()
        pid = await eventually(lambda: child.supervisor.state.pid, what="the child's start")
        waiting = asyncio.create_task(child.refused("pid", within=60))
        began = time.monotonic()
        await child.supervisor.aclose()
        await asyncio.wait_for(waiting, 30)
        assert time.monotonic() - began < SOON
        wait_gone([pid])


async def test_closing_ends_the_back_off(opened: OpenChild):
    async with opened("exit") as child:
        child.supervisor.start()
        await eventually(lambda: child.supervisor.state.state == "waiting to restart", what="the back-off")
        began = time.monotonic()
        await child.supervisor.aclose()
        assert time.monotonic() - began < SOON


async def test_what_is_closed_stays_closed(opened: OpenChild):
    async with opened() as child:
        await child.ask("pid")
        await child.supervisor.aclose()
        await child.supervisor.aclose()
        child.supervisor.start()
        await child.refused("pid")
        assert (child.supervisor.state.state, child.supervisor.state.generation) == ("closed", 1)


async def test_what_was_never_started_can_be_closed(opened: OpenChild):
    async with opened() as child:
        await child.supervisor.aclose()
        await child.refused("pid")
        assert child.supervisor.state.generation == 0


# surroundings


async def test_nothing_of_the_callers_surroundings_redirects_the_child(opened: OpenChild):
    evil = {
        name: f"redis://evil/{name}"
        for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD", "KV_URL",
                     "KV_REST_API_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "COAIAPY_ENV_PATH",
                     "LANGFUSE_HOST", "LANGFUSE_SECRET_KEY", "PYTHONPATH", "PYTHONSTARTUP")
    }  # fmt: skip
    async with opened(**evil, TZ="UTC") as child:
        seen = json.loads(await child.ask("surroundings"))
        assert not [name for name, value in seen["env"].items() if "evil" in value]
        assert seen["env"]["REDIS_URL"] == "redis://localhost:1/0"
        assert seen["env"]["TZ"] == "UTC"


def test_only_a_command_of_the_users_own_gets_what_fetches_programs_and_no_child_gets_credentials(tmp_path: Path):
    word = "hush" + "-hush"
    environ = {
        "HTTPS_PROXY": f"http://ana:{word}@proxy.example.org",
        "UV_CACHE_DIR": "/somewhere",
        "UV_PUBLISH_TOKEN": word,
        "UV_PUBLISH_PASSWORD": word,
        "UV_INDEX_OURS_PASSWORD": word,
        "UV_KEYRING_PROVIDER": "subprocess",
        "UV_INDEX_URL": f"https://ana:{word}@index.example.org/simple",
        "UV_EXTRA_INDEX_URL": f"https://{word}@a.example.org https://b.example.org/x@y",
    }
    given = {"redis_url": "redis://h", "cluster": False, "socket_timeout": 1.0}
    ours = child_environment(environ, tmp_path, **given)
    assert not {"HTTPS_PROXY", "UV_CACHE_DIR", "UV_INDEX_URL"} & ours.keys()
    assert word not in str(ours)
    theirs = child_environment(environ, tmp_path, **given, launcher=True)
    assert (theirs["UV_CACHE_DIR"], theirs["HTTPS_PROXY"]) == ("/somewhere", environ["HTTPS_PROXY"])
    assert theirs["UV_INDEX_URL"] == "https://index.example.org/simple"
    assert theirs["UV_EXTRA_INDEX_URL"] == "https://a.example.org https://b.example.org/x@y"
    assert [name for name, value in theirs.items() if word in value] == ["HTTPS_PROXY"]


async def test_the_child_works_in_a_private_folder_that_is_its_home(opened: OpenChild, tmp_path: Path):
    async with opened() as child:
        seen = json.loads(await child.ask("surroundings"))
        folder = Path(seen["cwd"])
        assert seen["env"]["HOME"] == seen["cwd"]
        assert folder.is_relative_to(tmp_path / "data")
        assert [stat.S_IMODE(each.stat().st_mode) & 0o077 for each in (folder, tmp_path / "data")] == [0, 0]
        assert Path(seen["env"]["COAIAPY_ENV_PATH"]) == folder / "env"
        assert seen["env file"].strip()
        assert seen["files"] == ["env"]


def test_a_child_without_a_folder_of_ours_gets_a_temporary_one_that_goes_with_it(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    for parent in (None, tmp_path / "file" / "data"):
        folder = ChildFolder(parent)
        assert (folder.path / "env").exists()
        folder.close()
        assert not folder.path.exists()


@pytest.mark.parametrize("kind", ["frozen", "archive"])
async def test_a_program_that_has_no_python_beside_it_does_not_start_itself(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if kind == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        assert child_command([], "/usr/bin/python3")[0] == "/usr/bin/python3"
    else:
        monkeypatch.setattr(launch, "CHILD_FOLDER", tmp_path / "program.pyz" / "child")
    assert child_command(["/opt/child"], "") == ["/opt/child"]
    child = ChildProcess(child_command([], ""), {}, tmp_path)
    with pytest.raises(OSError, match="FLYWHEEL_COAIA_PYTHON"):
        await child.open()


def test_the_command_is_the_users_own_or_our_program_without_the_current_folder():
    assert child_command(["/opt/my child", "--flag"], "") == ["/opt/my child", "--flag"]
    assert child_command(["python3"], "")[0].endswith("/python3")
    own = child_command([], "")
    assert (own[0], own[1]) == (sys.executable, "-P")
    assert (Path(own[2]) / "__main__.py").is_file()
    assert child_command([], "/other/python")[0] == "/other/python"

"""Programs that save when they end: what can be kept still is, and none of them hangs."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

BEGIN = """
import asyncio, atexit, sys, threading
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations import RedisSessionManager

manager = RedisSessionManager()

def save(name):
    session = UniversalSession(id=name, backend=BackendType.CUSTOM, history=[{"role": "user", "content": "hello"}])
    return asyncio.run(manager.save_session(session))

async def save_many_at_once():
    session = [UniversalSession(id=f"s{n}", backend=BackendType.CUSTOM, history=[{"n": n}]) for n in range(20)]
    return await asyncio.gather(*map(manager.save_session, session))

def last():
    print(save("last"), asyncio.run(manager.load_session("last")) is not None, flush=True)
"""

AFTER_OTHERS = """
atexit.register(last)
assert all(asyncio.run(save_many_at_once()))
"""

FIRST_OF_ALL = """
atexit.register(last)
"""

IN_A_THREAD_THAT_GOES_ON = """
def work():
    threading.main_thread().join()
    last()

threading.Thread(target=work).start()
"""


def run(code: str, env: dict[str, str]) -> list[str]:
    """What a program printed that ended well."""
    env = env | {"FLYWHEEL_COAIA_COMMAND": "/nowhere/coaia", "FLYWHEEL_TIMEOUT_SECONDS": "0.2"}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", BEGIN + code]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr, ended.stderr[-2000:]
    return ended.stdout.splitlines()


@pytest.mark.parametrize("code", [AFTER_OTHERS, FIRST_OF_ALL, IN_A_THREAD_THAT_GOES_ON])
def test_what_a_program_saves_after_its_main_thread_has_ended_is_kept(code: str, lonely_env: dict[str, str]):
    assert run(code, lonely_env) == ["True True"]


WHEN_MODULES_ARE_TAKEN_APART = """
class Talk:
    def __del__(self):
        print(save("last"), flush=True)

talk = Talk()
assert save("first")
"""


def test_an_object_that_saves_as_the_last_of_its_program_is_told_that_nothing_is_kept(lonely_env: dict[str, str]):
    """Python starts no threads and imports nothing any more."""
    assert run(WHEN_MODULES_ARE_TAKEN_APART, lonely_env) == ["False"]

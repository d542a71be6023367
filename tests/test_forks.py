"""Programs that fork while they use the library: what either process acknowledged is there."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no process forks there"),
]

ROOT = Path(__file__).parents[1]

BEGIN = """
import asyncio, contextlib, os, shutil, sys, threading
from pathlib import Path
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations import RedisSessionManager

manager = RedisSessionManager(redis_url="redis://127.0.0.1:1")

def session(name, *said):
    return UniversalSession(id=name, backend=BackendType.CUSTOM, history=[{"content": each} for each in said])

def save(name, *said):
    return asyncio.run(manager.save_session(session(name, *said)))

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)

def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

class Signal:
    def __init__(self):
        self.reads, self.writes = os.pipe()
    def give(self):
        os.write(self.writes, b".")
    def wait(self):
        os.read(self.reads, 1)
"""


def run(code: str, env: dict[str, str]) -> list[str]:
    """The lines that a program printed, which ended well."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.splitlines()


PARENT_CLOSES_FIRST = """
saved, closed = Signal(), Signal()

async def saves():
    kept = await manager.save_session(session("child's", "before"))
    saved.give()
    await asyncio.to_thread(closed.wait)
    return kept and await manager.save_session(session("child's", "after"))

loop = asyncio.new_event_loop()
loop.run_until_complete(manager.save_session(session("parent's", "hello")))
pid = forked(lambda: asyncio.run(saves()))
saved.wait()
loop.run_until_complete(manager.aclose())
loop.close()
closed.give()
print(code_of(pid))
print([turn["content"] for turn in asyncio.run(manager.load_session("child's")).history])
"""


def test_what_a_forked_process_saves_after_its_parent_closed_is_there(server_env: dict[str, str]):
    assert run(PARENT_CLOSES_FIRST, server_env) == ["0", "['before', 'after']"]


AMID_WRITING = """
from datetime import UTC, datetime
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import Journal

def write(journal, number):
    return journal.commit(Write(f"agentic_flywheel:session:{number}", "{}", None, None))

folder = Path(os.environ["FLYWHEEL_DATA_DIR"])
journal = Journal(folder, lambda: datetime.now(UTC))
write(journal, "first")
ended = threading.Event()

def go_on():
    number = 0
    while not ended.is_set():
        write(journal, f"parent {number}")
        number += 1

writing = threading.Thread(target=go_on)
writing.start()
for number in range(20):
    print(code_of(forked(lambda: write(Journal(folder, lambda: datetime.now(UTC)), f"child {number}").accepted)))
ended.set()
writing.join()
"""


def test_a_process_that_is_forked_amid_writing_may_write(server_env: dict[str, str]):
    assert run(AMID_WRITING, server_env) == ["0"] * 20


IN_USE = """
from agentic_flywheel.journal import Journal, forks

forks.FORK_SECONDS = 0.0
loop = asyncio.new_event_loop()
loop.run_until_complete(manager.save_session(session("parent's", "hello")))
(journal,) = [each for each in forks._known if isinstance(each, Journal)]
held, goes_on = threading.Event(), threading.Event()

def hold():
    with journal._transaction():
        held.set()
        goes_on.wait(60)

holding = threading.Thread(target=hold)
holding.start()
held.wait(60)
pid = forked(lambda: not save("child's", "no"))
print(code_of(pid))
goes_on.set()
holding.join()
print(loop.run_until_complete(manager.save_session(session("parent's", "goes on"))))
"""


def test_a_process_that_is_forked_while_the_journal_is_held_for_long_is_told_that_nothing_is_kept(
    server_env: dict[str, str],
):
    assert run(IN_USE, server_env) == ["0", "True"]


SAME_SESSION = """
async def main():
    await manager.save_session(session("shared", "hello"))
    async with manager._other_loops.of("shared"):  # a save of it is under way
        return forked(lambda: save("shared", "child"))

from agentic_flywheel.integrations import shared_stores
shared_stores.STEPS = 10**9
print(code_of(asyncio.run(main())))
"""


def test_a_save_that_was_under_way_in_the_parent_holds_up_no_forked_process(server_env: dict[str, str]):
    assert run(SAME_SESSION, server_env) == ["0"]


TEMPORARY_FOLDER = """
from agentic_flywheel.coaia.launch import ChildFolder

folder = ChildFolder(None)

def child():
    folder.close()
    return True

print(code_of(forked(child)), folder.path.exists())
folder.close()
print(folder.path.exists())
"""


def test_a_forked_process_leaves_the_folder_of_its_parents_child_alone(server_env: dict[str, str]):
    assert run(TEMPORARY_FOLDER, server_env) == ["0 True", "False"]

"""However a command is ended: it says so in plain words, leaves nothing behind, and the next run goes on.

And a Python program that keeps sessions, ended wherever it waits, leaves no child.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from ..conftest import AS_USUAL, clean_env
from ..support import preloaded
from ..support.conversations import turns
from ..support.endings import ENDINGS, EXIT_WITHIN, nothing_is_left, with_temporary
from ..support.processes import children, kill, wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until

pytestmark = pytest.mark.slow

SIGNALS = [name for name, ending in ENDINGS.items() if not ending.silent]
ALONE = ["SIGTERM alone (Gemini CLI)", "SIGINT alone", "SIGHUP"]
COUNT = {False: 800, True: 400}
"""Sessions, of which an import without Redis, or with it, takes about a second: it is ended in their middle."""
COLD = "SIGINT alone"
"""What ends a command that has an interpreter of its own: that looks at this signal itself."""
TRIES = 10
"""So often is a command begun that a busy machine may let us come to only when it is done."""

SO_FAR = re.compile(r"Took in [\d,]+ sessions so far\. Run the same again to go on\.\nInterrupted\.\n")
TOOK_IN = re.compile(r"Took in ([\d,]+) sessions?; ([\d,]+) were there already, 0 could not")
ROOT = Path(__file__).parents[2]

each_signal = pytest.mark.parametrize("name", SIGNALS)
each_signal_alone = pytest.mark.parametrize("name", ALONE)
with_and_without = pytest.mark.parametrize("with_redis", [False, True], ids=["no Redis", "Redis"])


@pytest.fixture
def env(server_env: dict[str, str], with_redis: bool) -> dict[str, str]:  # noqa: FBT001
    if not with_redis:
        del server_env["REDIS_URL"]
    return with_temporary(server_env)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Exports that take a while to take in, without Redis and with it."""
    folder = tmp_path_factory.mktemp("many")
    return {with_redis: export_of(count, folder) for with_redis, count in COUNT.items()}


@pytest.fixture
def many(exported: dict[bool, Path], with_redis: bool) -> Path:  # noqa: FBT001
    return exported[with_redis]


def export_of(count: int, folder: Path) -> Path:
    same = {"schema_version": 1, "revision": 1, "saved_at": "2026-01-02T03:04:05.000006+00:00", "kept_until": None}
    lines = [
        json.dumps({"id": f"s{number:05}", "history": turns(f"turn {number}"), "ttl_seconds": 0} | same)
        for number in range(count)
    ]
    path = folder / f"{count}.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


class Command:
    """A command under way."""

    def __init__(self, env: dict[str, str], process: "subprocess.Popen[bytes]", said: Path) -> None:
        self.env = env
        self.process = process
        self._said = said

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8")

    def end(self, name: str, *, left: bool = True) -> None:
        """End it so, and look that nothing is left."""
        assert self.end_unless_done(name, left=left), self.said

    def end_unless_done(self, name: str, *, left: bool = True) -> bool:
        """End it so, and look that nothing is left; whether it was ended, and not done before."""
        below = children(self.process.pid)
        ENDINGS[name].does(self.process)
        code = wait_until(self._ended, within=EXIT_WITHIN, what=f"the end; it said {self.said}")[0]
        assert code in ENDINGS[name].codes | {0}, (code, self.said)
        if left:
            nothing_is_left(self.env, below, self.said)
        return code != 0

    def _ended(self) -> tuple[int] | None:
        code = self.process.poll()
        return None if code is None else (code,)


@contextmanager
def begun(env: dict[str, str], *arguments: str, cold: bool = False) -> Generator[Command]:
    said = Path(env["HOME"]) / "stderr-command"
    command = [sys.executable, "-m", "agentic_flywheel", *arguments]
    with said.open("wb") as err, preloaded.cold() if cold else nullcontext():
        process = subprocess.Popen(
            command, env=env, cwd=env["HOME"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err
        )
    try:
        yield Command(env, process, said)
    finally:
        if process.poll() is None:
            kill(process.pid)
            process.wait(10)
        for pipe in (process.stdin, process.stdout):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()


def to_its_end(env: dict[str, str], *arguments: str) -> str:
    """Run a command to its good end; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "agentic_flywheel", *arguments],
        env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def arrivals(env: dict[str, str], redis: RedisServer) -> Callable[[], int]:
    """How many sessions an import has brought in, as it goes on."""
    if "REDIS_URL" in env:
        return lambda: len(redis.all_keys(f"{redis.prefix}:session:*"))
    path = Path(env["FLYWHEEL_DATA_DIR"]) / "journal.sqlite3"

    def looked() -> int:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
                return journal.execute("SELECT COUNT(*) FROM documents").fetchone()[0]
        except sqlite3.Error:
            return 0

    return looked


def ended_in_mid_import(name: str, env: dict[str, str], redis: RedisServer, many: Path) -> str:
    """What an import said that was ended when some had come in; one that was done before we came to it is undone."""
    for _ in range(TRIES):
        arrived = arrivals(env, redis)
        with begun(env, "import", str(many), cold=name == COLD) as command:
            wait_until(lambda: command.process.poll() is not None or arrived() > 5, what="some to come in")  # noqa: B023
            if command.end_unless_done(name):
                return command.said
        shutil.rmtree(env["FLYWHEEL_DATA_DIR"])
        redis.forget()
    raise AssertionError("it was always done before it could be ended")


@each_signal
@with_and_without
def test_mid_import(
    name: str,
    env: dict[str, str],
    redis: RedisServer,
    many: Path,
    with_redis: bool,  # noqa: FBT001
    tmp_path: Path,
):
    said = ended_in_mid_import(name, env, redis, many)
    assert name not in ALONE or SO_FAR.fullmatch(said)
    told = TOOK_IN.search(to_its_end(env, "import", str(many)))
    assert told
    new, old = (int(number.replace(",", "")) for number in told.groups())
    assert old > 5
    assert new + old == COUNT[with_redis]
    to_its_end(env, "export", str(tmp_path / "back.jsonl"))
    back = [json.loads(line) for line in (tmp_path / "back.jsonl").read_text("utf-8").splitlines()]
    assert {each["id"]: each["history"] for each in back} == {
        f"s{number:05}": turns(f"turn {number}") for number in range(COUNT[with_redis])
    }
    assert len(back) == COUNT[with_redis]


@each_signal
@pytest.mark.parametrize("with_redis", [False], ids=["no Redis"])
def test_an_import_that_waits_for_standard_input(name: str, env: dict[str, str], many: Path):
    with begun(env, "import", "-", cold=name == COLD) as command:
        assert command.process.stdin
        command.process.stdin.write(many.read_bytes())  # more than a pipe holds: it has begun to read
        command.end(name)
        assert command.said in ("", "Interrupted.\n")
        assert not Path(env["FLYWHEEL_DATA_DIR"]).exists()


@pytest.fixture(scope="module", params=[False, True], ids=["no Redis", "Redis"])
def filled(
    request: pytest.FixtureRequest,
    exported: dict[bool, Path],
    worker_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, str], int]:
    """A store of many sessions, which exports leave as it is."""
    env = clean_env(tmp_path_factory.mktemp("filled"), worker_redis.url, f"test-{uuid.uuid4().hex[:12]}")
    if not request.param:
        del env["REDIS_URL"]
    env = with_temporary(env)
    to_its_end(env, "import", str(exported[request.param]))
    return env, COUNT[request.param]


@each_signal
def test_mid_export(name: str, filled: tuple[dict[str, str], int], tmp_path: Path):
    env, count = filled
    target, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    for _ in range(TRIES):
        with begun(env, "export", str(target), cold=name == COLD) as command:
            some = lambda: part.exists() and part.stat().st_size > 5000  # noqa: E731
            wait_until(lambda: command.process.poll() is not None or some(), what="some to be written")  # noqa: B023
            if command.end_unless_done(name) and not target.exists():
                break
        target.unlink()  # it was done before we came to it
    else:
        raise AssertionError("it was always done before it could be ended")
    if name in ALONE:
        assert command.said == f"What was written is in {part}: run the same again to go on.\nInterrupted.\n"
    to_its_end(env, "export", str(target))
    assert len({json.loads(line)["id"] for line in target.read_text("utf-8").splitlines()}) == count
    assert {path.name for path in tmp_path.glob("out*")} == {"out.jsonl"}


@each_signal_alone
@with_and_without
def test_mid_demo(name: str, env: dict[str, str], redis: RedisServer):
    with begun(env, "demo", cold=name == COLD) as command:
        assert command.process.stdout
        assert command.process.stdout.readline().startswith(b"1 "), "its server runs"
        command.end(name)
        assert command.said == "Interrupted.\n"
    assert not [key for key in redis.all_keys(f"{redis.prefix}:*") if ":session:" in key]


@pytest.mark.parametrize("with_redis", [True], ids=["Redis"])
def test_mid_demo_that_cannot_clean_up(env: dict[str, str], own_redis: RedisServer):
    own_redis.start()
    with begun(env | {"REDIS_URL": own_redis.url, "FLYWHEEL_TIMEOUT_SECONDS": "20"}, "demo") as command:
        said = command.process.stdout
        assert said
        wait_until(lambda: said.readline().startswith(b"2 "), what="its session in Redis")
        own_redis.freeze()
        command.end("SIGTERM alone (Gemini CLI)")


@each_signal_alone
@pytest.mark.parametrize("with_redis", [True], ids=["Redis"])
def test_a_command_that_waits_for_a_redis_that_does_not_answer(name: str, env: dict[str, str], own_redis: RedisServer):
    own_redis.start().freeze()
    env = env | AS_USUAL | {"REDIS_URL": own_redis.url}
    with begun(env, "sessions", "list", cold=name == COLD) as command:
        wait_until(lambda: children(command.process.pid), what="its child")
        command.end(name)
        assert command.said in ("", "Interrupted.\n")


@each_signal_alone
@pytest.mark.parametrize("with_redis", [False], ids=["no Redis"])
def test_a_signal_during_the_imports(name: str, env: dict[str, str], tmp_path: Path):
    here, late = tmp_path / "here", tmp_path / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import sys, signal\n"
        "class Late:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'agentic_flywheel.settings':\n"
        f"            sys.meta_path.remove(self); open({str(here)!r}, 'w').close(); signal.pause()\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    path = os.pathsep.join([str(late), *filter(None, [env.get("PYTHONPATH")])])  # `tests.mutations` sets one
    with begun(env | {"PYTHONPATH": path}, "sessions", "list") as command:
        wait_until(here.exists, what="the imports")
        command.end(name, left=False)
        assert command.said == ""


# a program of somebody else's

PROGRAM = """
import asyncio, json, os
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager

async def main():
    manager = RedisSessionManager(key_prefix=os.environ["FLYWHEEL_KEY_PREFIX"])
    session = UniversalSession(id="s", backend=BackendType.CUSTOM, history=[{"role": "user", "content": "a"}])
    print(json.dumps(await manager.save_session(session)), flush=True)
    WAIT

asyncio.run(main())
"""
BUSY = "while await manager.save_session(session): pass"
IDLE = "await asyncio.Event().wait()"


@each_signal
@pytest.mark.parametrize("journal", ["true", "false"], ids=["journal", "no journal"])
@pytest.mark.parametrize("wait", [IDLE, BUSY], ids=["between two awaits", "in mid-save"])
@pytest.mark.parametrize("with_redis", [True], ids=["Redis"])
def test_a_program_leaves_no_child(name: str, wait: str, journal: str, env: dict[str, str], redis: RedisServer):
    command = preloaded.program(PROGRAM.replace("WAIT", wait))
    env |= {"FLYWHEEL_JOURNAL": journal, "FLYWHEEL_TIMEOUT_SECONDS": "10"}
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert json.loads(process.stdout.readline()) is True
            below = children(process.pid)
            assert below
            ENDINGS[name].does(process)
            process.wait(EXIT_WITHIN)
        finally:
            kill(process.pid)
        wait_gone(below, within=EXIT_WITHIN)
    assert redis.get(redis.session_key("s"))
    assert journal == "false" or list(Path(env["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("command", ["demo", "config show", "sessions"])
def test_a_command_whose_reader_has_read_enough_ends_without_a_word(command: str, disabled_env: dict[str, str]):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "agentic_flywheel", *command.split()],
            env=disabled_env,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.stderr == ""

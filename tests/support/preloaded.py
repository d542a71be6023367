"""Starts our two programs by forking a process that has imported them: 0.05 s of a processor instead of a second.

`install` replaces `subprocess.Popen` in the process that runs the tests; all that starts processes in Python goes
through that (`asyncio`, `anyio`, the SDK's client). `python -m agentic_flywheel`, and our child, are then forked by a
*stem*, which imported both programs, and had the SDK read the signatures of our tools. What is started is a process
like any other: its own pid, pipes, environment, folder and session, and a child of whoever started it. Everything else
is started as always, and so are our programs inside of `cold()`, on a terminal, with variables that an interpreter
looks at when it starts, and where there is no Linux.
"""

import atexit
import ctypes
import gc
import importlib
import importlib.util
import json
import logging
import os
import pkgutil
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

PACKAGE = "agentic_flywheel"
SCRIPT = "agentic-flywheel-state"
SET_CHILD_SUBREAPER = 36  # a number of prctl
LOOKED_AT_ON_START = re.compile(r"PYTHON|LC_|LD_|(LANG|LANGUAGE|TZ)$")
GIVEN_TO_OUR_CHILD = ("PYTHONUSERBASE", "PYTHONIOENCODING")  # it says nothing there that the stem does not know
IMPORTED_WHEN_NEEDED = ("calls", "redis_client", "cluster", "sdk_server", "trace_tools")  # of our child
OF_LIBRARIES = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "rich.console",
    "rich.logging",
)  # beside a framework not all are there
SYSTEM = ("PATH", "HOME", "PYTHONPATH")  # what the stem itself is given
MAX_REQUEST = 2**20

cold_starts = 0
"""How many `cold` blocks are open."""

_noted: ContextVar[list[int] | None] = ContextVar("_noted", default=None)


class Order(NamedTuple):
    """A process to start."""

    args: list[str]
    env: dict[str, str]
    cwd: str
    new_session: bool


class Popen(subprocess.Popen):
    """A process, forked where it is one of our programs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if (pids := _noted.get()) is not None:
            pids.append(self.pid)

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *others: Any) -> None:
        _close_fds, _pass_fds, cwd, env, _startupinfo, _flags, shell, *fds = others[:13]
        order = Order(
            [str(arg) for arg in args], dict(os.environ if env is None else env), str(cwd or "."), bool(others[-2])
        )
        ends = [end if end >= 0 else standard for standard, end in enumerate((fds[0], fds[3], fds[5]))]
        if shell or executable or preexec_fn or not self.can_fork(order, ends):
            super()._execute_child(args, executable, preexec_fn, *others)  # type: ignore[misc]
            return
        self.pid = self.fork(order, ends)
        self._child_created = True
        self._close_pipe_fds(*fds)  # type: ignore[attr-defined]

    @staticmethod
    def fork(order: Order, ends: Sequence[int]) -> int:
        """The pid of a process that the stem forks."""
        return _stems[0].fork(order, ends)

    @staticmethod
    def can_fork(order: Order, ends: Sequence[int]) -> bool:
        """Whether it is one of our programs, and the stem knows all that it would look at."""
        return bool(_stems) and _can_fork(order, ends)


def install() -> None:
    """Start our programs by forking from here on."""
    subprocess.Popen = Popen
    if sys.platform == "linux":
        _stems.append(Stem())


@contextmanager
def noted_pids() -> Iterator[list[int]]:
    """The processes that this task starts inside."""
    pids: list[int] = []
    token = _noted.set(pids)
    try:
        yield pids
    finally:
        _noted.reset(token)


@contextmanager
def cold() -> Iterator[None]:
    """Programs that are started inside are started as always."""
    global cold_starts  # no context variable: asyncio may start processes in another context
    cold_starts += 1
    try:
        yield
    finally:
        cold_starts -= 1


def _can_fork(order: Order, ends: Sequence[int]) -> bool:
    looked_at = [name for name in order.env if LOOKED_AT_ON_START.match(name) and name not in GIVEN_TO_OUR_CHILD]
    return (
        not cold_starts
        and _program(order.args) is not None
        and all(order.env[name] == os.environ.get(name) for name in looked_at)
        and Path(order.cwd).is_dir()
        and not any(os.isatty(end) for end in ends)
    )


def program(code: str) -> list[str]:
    """The command of a test's own program, to be forked: it looks at nothing of how an interpreter starts."""
    _own.add(code)
    return [sys.executable, "-c", code]


_own: set[str] = set()
"""The programs of tests."""


def _program(args: Sequence[str]) -> str | None:
    """Which of our programs a command line starts: "server", "child", a test's "own" or none."""
    if list(args[:3]) == [sys.executable, "-m", PACKAGE]:
        return "server"
    if list(args[:2]) == [sys.executable, "-c"] and args[2] in _own:
        return "own"
    return "child" if list(args) == [sys.executable, "-P", str(_child_folder())] else None


def _child_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "coaia" / "child"


# in the process that runs the tests


class Stem:
    """The process that imports our programs and is forked. It ends when `close` is called, or with us."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._socket, its = socket.socketpair()
        env = {name: os.environ[name] for name in SYSTEM if name in os.environ}
        command = [sys.executable, "-P", __file__, str(its.fileno())]
        with its:
            self._process = subprocess.Popen(
                command, env=env, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def fork(self, order: Order, ends: Sequence[int]) -> int:
        """The pid of a process that does what was ordered, whose standard input, output and error are `ends`."""
        with self._one_at_a_time:
            _adopt_orphans(on=True)  # what the stem lets go becomes our child, and nothing else does
            socket.send_fds(self._socket, [json.dumps(order).encode()], list(ends))
            pid = int(self._socket.recv(20))
            _adopt_orphans(on=False)
            return pid

    def close(self) -> None:
        """End it; what it started goes on."""
        self._socket.close()
        self._process.wait(60)


def _adopt_orphans(*, on: bool) -> None:
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


_stems: list[Stem] = []
"""The stem, once there is one."""


def end_stem() -> None:
    """End the stem, if there is one."""
    while _stems:
        _stems.pop().close()


# in the stem, and in what it forks


def _serve(requests: socket.socket) -> None:
    """Fork for each order until there are no more."""
    while True:
        data, ends, _flags, _address = socket.recv_fds(requests, MAX_REQUEST, 3)
        if not data:
            return
        order = Order(*json.loads(data))
        read, write = os.pipe()
        between = os.fork()  # so that what it forks is nobody's child, that is, the child of the process above the stem
        if between:
            os.waitpid(between, 0)
            requests.send(os.read(read, 20))
            for fd in (*ends, read, write):
                os.close(fd)
            continue
        above = os.getpid()
        if pid := os.fork():
            os.write(write, str(pid).encode())
            os._exit(0)
        while os.getppid() == above:
            os.sched_yield()
        requests.detach()
        _become(order, ends)
        return


def _become(order: Order, ends: Sequence[int]) -> None:
    """Be the process that was ordered, until its program ends."""
    if order.new_session:
        os.setsid()
    for standard, end in enumerate(ends):
        os.dup2(end, standard)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    signal.set_wakeup_fd(-1)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler if ending == signal.SIGINT else signal.SIG_DFL)
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    sys.argv = [sys.argv[0], *order.args[3:]]
    subprocess.Popen = PopenInside
    name = _program(order.args)
    try:
        code = _programs()[name]() if name else _run(order.args[2])
    except SystemExit as end:
        code = end.code
    _end(code)


def _run(code: str) -> None:
    """Run a test's own program."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    sys.argv[0] = "-c"
    sys.path.insert(0, "")
    exec(code, vars(main))  # noqa: S102


def _end(code: str | int | None) -> NoReturn:
    """End as an interpreter does, but for a thousand modules, whose end was most of a short command's time."""
    if isinstance(code, str):
        sys.exit(code)
    threading._shutdown()  # type: ignore[attr-defined]  waits for those that are no daemons
    atexit._run_exitfuncs()
    gc.collect()  # what is told of when it goes, such as a coroutine that nobody awaited
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


class PopenInside(Popen):
    """What a server starts that a stem forked: our child is forked by the server itself."""

    @staticmethod
    def fork(order: Order, ends: Sequence[int]) -> int:
        """The pid of the child."""
        if pid := os.fork():
            return pid
        order = order._replace(args=_by_module(order.args))
        try:
            Context().run(_become, order, ends)  # not in that of the server's event loop
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException:  # noqa: BLE001  it is told, and nothing may go on in what is a copy of a server
            traceback.print_exc()
        os._exit(1)

    @staticmethod
    def can_fork(order: Order, ends: Sequence[int]) -> bool:
        """Whether it is one of our programs, by whatever name a command starts it."""
        return _can_fork(order._replace(args=_by_module(order.args)), ends)


def _by_module(args: Sequence[str]) -> list[str]:
    """The same command where it is a command of ours that starts the program: in its own way, or by the script."""
    for beginning in ([sys.executable, "-P", "-m", PACKAGE], [str(Path(sys.executable).with_name(SCRIPT))]):
        if list(args[: len(beginning)]) == beginning:
            return [sys.executable, "-m", PACKAGE, *args[len(beginning) :]]
    return [*args]


@cache
def _programs() -> dict[str, Callable[[], int | None]]:
    """What runs each of our programs, with all that they import imported."""
    package = importlib.import_module(PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        # Of the integrations most import a framework; the cipher needs an extra.
        if not re.search(
            r"\.coaia\.child|\.integrations\.(?!flows|redis_state)|\.journal\.cipher$|__main__$", module.name
        ):
            importlib.import_module(module.name)
    sys.path.insert(0, str(_child_folder()))
    spec = importlib.util.spec_from_file_location("coaia_child", _child_folder() / "__main__.py")
    assert spec
    assert spec.loader
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    for one in IMPORTED_WHEN_NEEDED:
        importlib.import_module(one)
    for one in OF_LIBRARIES:
        with suppress(ModuleNotFoundError):
            importlib.import_module(one)
    del sys.path[0]
    return {"server": importlib.import_module(f"{PACKAGE}.__main__").main, "child": child.main}


def _make_tools() -> None:
    """Have the SDK make of our tools what it makes of them in each server, which is half of a start.

    The first server of a process takes what was made; another one in it has its own made.
    """
    from mcp.server.mcpserver.tools import Tool

    from agentic_flywheel.server.app import build_server
    from agentic_flywheel.sessions.wiring import open_store
    from agentic_flywheel.settings import Settings

    make = Tool.from_function
    asked: dict[str, tuple[Any, ...]] = {}
    made: dict[str, Tool] = {}

    def noted(fn: Any, *args: Any, **options: Any) -> Tool:
        asked[str((fn.__qualname__, args, options))] = (fn, args, options)
        return make(fn, *args, **options)

    def taken(fn: Any, *args: Any, **options: Any) -> Tool:
        if tool := made.pop(str((fn.__qualname__, args, options)), None):
            tool.fn = fn
            return tool
        return make(fn, *args, **options)

    Tool.from_function = noted
    logging.root.addHandler(none := logging.NullHandler())  # or the SDK has all that follow log in its way
    for ask in ("auto", "never"):
        settings = Settings.from_env({"HOME": "/nowhere", "FLYWHEEL_ASK": ask})
        build_server(settings, *open_store(settings))
    logging.root.removeHandler(none)
    made.update({key: make(fn, *args, **options) for key, (fn, args, options) in asked.items()})
    Tool.from_function = taken


if __name__ == "__main__":
    _programs()
    _make_tools()
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))

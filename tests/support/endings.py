"""How clients end a server or a command, each ending as that client does it, and what may be left then."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .processes import kill, wait_gone

EXIT_WITHIN = 20.0
"""Seconds, those included for which closing drains (two on a machine that has nothing else to do)."""

KEPT = re.compile(r"journal\.sqlite3(\.lock)?|(journal|words)\.sqlite3(-wal|-shm|-journal)?|child(/home(/env)?)?")
"""What the data folder has in it whenever it was used."""

NOISE = ("Traceback", "KeyboardInterrupt", "CancelledError", "Exception ignored", "never retrieved", "BrokenPipe")


@dataclass(frozen=True)
class Ending:
    """What a client does to a process, and the exit codes that are right then."""

    does: Callable[["subprocess.Popen[bytes]"], None]
    codes: frozenset[int]
    asks: bool = True
    """Whether the process can see it coming; -9 alone comes from nowhere."""
    silent: bool = False
    """Whether it is no signal: who does not look at its input or output does not notice."""


def client_waits(seconds: float) -> None:
    """Let the time pass that this client leaves between two signals: it is a part of the ending."""
    time.sleep(seconds)


def _signals(*steps: signal.Signals | float) -> Callable[["subprocess.Popen[bytes]"], None]:
    def end(process: "subprocess.Popen[bytes]") -> None:
        for step in steps:
            if isinstance(step, float):
                client_waits(step)
            elif process.poll() is None:
                kill(process.pid, step)

    return end


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()


def _close_output(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout
    process.stdout.close()


def _coded(*numbers: signal.Signals) -> frozenset[int]:
    """Ended by one of these signals, in order or at once."""
    return frozenset(code for number in numbers for code in (128 + number, -number))


ENDINGS = {
    "SIGINT, SIGTERM, SIGKILL (Claude Code)": Ending(
        _signals(signal.SIGINT, 0.1, signal.SIGTERM, 0.4, signal.SIGKILL),
        _coded(signal.SIGINT, signal.SIGTERM) | {-signal.SIGKILL},
    ),
    "SIGTERM, SIGKILL (Codex)": Ending(
        _signals(signal.SIGTERM, 0.05, signal.SIGKILL), _coded(signal.SIGTERM) | {-signal.SIGKILL}
    ),
    "SIGTERM alone (Gemini CLI)": Ending(_signals(signal.SIGTERM), _coded(signal.SIGTERM)),
    "SIGINT alone": Ending(_signals(signal.SIGINT), _coded(signal.SIGINT)),
    "SIGHUP": Ending(_signals(signal.SIGHUP), _coded(signal.SIGHUP)),
    "EOF": Ending(_close_input, frozenset({0}), silent=True),
    "stdout closed": Ending(_close_output, frozenset({0}), silent=True),
    "SIGKILL": Ending(_signals(signal.SIGKILL), frozenset({-signal.SIGKILL}), asks=False),
}


def with_temporary(env: Mapping[str, str]) -> dict[str, str]:
    """The same environment with a temporary folder of its own, in which all that is left is seen."""
    temporary = Path(env["HOME"]) / "temporary"
    temporary.mkdir()
    return {**env, "TMPDIR": str(temporary)}


def nothing_is_left(env: Mapping[str, str], below: list[int], stderr: str) -> None:
    """No process, no file but those that are always there, and nothing said that is not for people."""
    wait_gone(below, within=EXIT_WITHIN)
    assert not [word for word in NOISE if word in stderr], stderr
    assert list(Path(env["TMPDIR"]).rglob("*")) == []
    data = Path(env["FLYWHEEL_DATA_DIR"])
    there = [str(path.relative_to(data)) for path in data.rglob("*")]
    assert [name for name in there if not KEPT.fullmatch(name)] == [], there
    home = [path.name for path in Path(env["HOME"]).iterdir()]
    assert [name for name in home if name != "temporary" and not name.startswith("stderr-")] == []

"""A coaia child in a bad mood: our real one, started by a wrapper that does as a file says."""

import json
import shlex
import sys
from pathlib import Path

import agentic_flywheel

PROGRAM = Path(agentic_flywheel.__file__).parent / "coaia" / "child"

# The mood is read at the start and again for each frame that the real child writes, so that a child can get well.
WRAPPER = r"""
import json, os, runpy, signal, sys, threading, time

folder, program = sys.argv[1:3]

def mood():
    with open(folder + "/mood") as file:
        return file.read()

def note_bad_deed():
    with open(folder + "/deeds", "a") as deeds:
        deeds.write(".")

with open(folder + "/starts", "a") as starts:
    starts.write(f"{os.getpid()}\n")
with open(folder + "/starts") as starts:
    count = len(starts.readlines())

name, _, detail = mood().partition(" ")
if name == "exit" and count < int(detail or 10**9):
    print("first line\nNo Redis library here.", file=sys.stderr)
    sys.exit(3)
if name == "deaf" and count < int(detail or 10**9):
    note_bad_deed()
    signal.pause()

JUNK = b'warning: a stray print\n\n{"some": "json"}\n[1, 2]\nnull\n\x00\xff\n' + b"x" * 300_000 + b"\n" + \
    b'{"jsonrpc": "2.0", "id": 424242, "result": {}}\n{"jsonrpc": "2.0", "method": "notifications/what"}\n'

def spoilt(line):
    name, _, detail = mood().partition(" ")
    if name == "junk":
        return JUNK + line + JUNK
    if name == "flood":
        for _ in range(10):
            os.write(2, b"conversation " * 80_000)  # 10 MB
    if name in ("initialize", "tools/list", "call"):
        frame = json.loads(line)
        result = frame.get("result", {})
        kind = "initialize" if "serverInfo" in result else "tools/list" if "tools" in result else "call"
        if kind == name:
            note_bad_deed()
            if detail.startswith("raw "):
                return detail[4:].encode() + b"\n"
            text = {"content": [{"type": "text", "text": detail[5:]}], "isError": False}
            frame["result"] = text if detail.startswith("text ") else json.loads(detail)
            return json.dumps(frame).encode() + b"\n"
    return line

def pump(source, out):
    for line in open(source, "rb"):
        data = spoilt(line)
        while data:
            data = data[os.write(out, data):]

source, sink = os.pipe()
real = os.dup(1)
os.dup2(sink, 1)
threading.Thread(target=pump, args=(source, real), daemon=True).start()
sys.argv = [program]
runpy.run_path(program, run_name="__main__")
"""


class Moody:
    """The child's command for `FLYWHEEL_COAIA_COMMAND`, its mood, and what was started so far."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._wrapper = folder / "wrapper.py"
        self._wrapper.write_text(WRAPPER)
        self._starts = folder / "starts"
        self._starts.touch()
        self._deeds = folder / "deeds"
        self.mood("well")

    @property
    def command(self) -> str:
        return shlex.join([sys.executable, "-P", str(self._wrapper), str(self._folder), str(PROGRAM)])

    @property
    def pids(self) -> list[int]:
        """The processes that were started, the newest last."""
        return [int(line) for line in self._starts.read_text().splitlines()]

    @property
    def was_bad(self) -> bool:
        """Whether one of them was deaf or answered nonsense."""
        return self._deeds.exists()

    def mood(self, mood: str) -> None:
        """Be in this mood from the next frame or start on.

        `well`; `exit [n]` or `deaf [n]`: at every start (until the nth); `junk`, `flood`: around each frame;
        `initialize|tools/list|call` and what to answer to that: a result's JSON, `text` in a result, or a `raw` line.
        """
        new = self._folder / "mood.new"
        new.write_text(mood)
        new.replace(self._folder / "mood")


def success(**fields: object) -> str:
    """A mood in which every call is answered with success and these fields."""
    return "call text " + json.dumps({"success": True, **fields})

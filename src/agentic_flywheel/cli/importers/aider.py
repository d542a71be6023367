"""Reads the talks of aider (0.86.2): `.aider.chat.history.md` in the folder that was worked in, all in one file.

`# aider chat started at <local time>` begins a talk: its session is told by that time and the folder's name. Lines of
the person begin with `#### `, those of the program with `> `; both end in two blanks, which tells them from headings
and quotations of an answer. Of several lines that the program says at once only the first is marked so. All else is the
answer, with a blank line before and behind it; thoughts are in `<thinking-content-…>`. Nothing else has an id or a
time: turns are told by their place. What the person types as a command of the program is none of their words, but for
those that carry a question; nor are questions of the program with the answer that holds for all (`[Yes]: a`).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import apart, spoken, thought
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BOM, MAX_ENTRY_BYTES, BadEntry
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.json_text import JSONObject

BEGINS = b"# aider chat started at "
"""How the first line that is not blank begins."""

_STARTED = re.compile(r"# aider chat started at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s*")
_THOUGHT = re.compile(r"<(thinking-content-\w{1,64})>")
_MODEL = re.compile(r"> (?:Main m|M)odel: (\S+)")
_VERSION = re.compile(r"> Aider v(\S+)")
_ASKS = re.compile(r"/(?:ask|code|architect|help|context)\s+\S")
_PRINTS = re.compile(
    r"/(?:git|settings|map|models?|editor-model|weak-model|chat-mode|help|reasoning-effort|think-tokens)\b"
)
"""Commands at which the program prints, blank lines too, and no model is asked."""

_LINTS = "> # Fix any errors below"
"""How it prints what /lint found, in several paragraphs; behind them it asks whether the model is to mend that."""

_CONFIRMS = "(Y)es/(N)o"
"""What stands in its questions to the person."""

_CONFIRMED = re.compile(rf".*{re.escape(_CONFIRMS)}.*\]: ?\w*")
"""Such a question with the answer that the person gave for all."""

_BREAK = "  "
_LONGEST_LINE = 1_000_000


def conversations(file: IO[bytes], beside: Beside, limit: int = MAX_ENTRY_BYTES) -> Iterator[Imported | BadEntry]:
    """The talks in the order of the file; those in which nothing was said are none.

    Of a talk of more than `limit` characters the rest is left out, and told.
    """
    folder = beside.path.absolute().parent if beside.path else None
    chat: _Chat | None = None
    for number, line in enumerate(_lines(file), 1):
        if started := _STARTED.fullmatch(line):
            if chat:
                yield from chat.imported_so_far()
            chat = _Chat(started[1], number, folder.name if folder else beside.folder, str(folder or ""), limit)
        elif chat:
            chat.add(line)
    if chat:
        yield from chat.imported_so_far(beside.changed_at)


def _lines(file: IO[bytes]) -> Iterable[str]:
    while raw := file.readline(_LONGEST_LINE):
        yield raw.removeprefix(BOM).decode(errors="replace").rstrip("\r\n")


class _Chat:
    """A talk as it is after some of its lines."""

    def __init__(self, started: str, line: int, folder: str, cwd: str, limit: int) -> None:
        self._own = "-".join(filter(None, (re.sub(r"[ :]", "-", started), folder)))
        self._talk = Messages("aider")
        self._talk.known["cwd"] = cwd
        self._line = line
        try:
            self._began = datetime.fromisoformat(started).astimezone()
        except (ValueError, OverflowError, OSError):
            self._began = None
        self._role = ""
        self._run = ""
        """Who speaks in the lines since the last blank one."""
        self._run_began = 0
        """Where those of an answer begin in `_said`."""
        self._asks = False
        """Whether the last that the person typed is no command."""
        self._prints = False
        """Whether the program prints, and no model answers, up to the next line of the person or question to them."""
        self._lines: list[str] = []
        self._said: list[str] = []
        self._number = 0
        self._limit = self._room = limit

    def add(self, line: str) -> None:
        """Take in the next line, if there is room for it."""
        self._room -= len(line) + 1
        if self._room >= 0:
            self._lines.append(line)

    def _read(self, line: str, mark: str) -> None:
        """Read a line; `mark` is what those of the person and of the program end in."""
        if not line.strip():
            self._run = ""
            if self._role == "user":
                self._turn_to("assistant")
            elif self._role == "assistant":
                self._said.append(line)
            return
        # Of an answer, which has blank lines around it; only answers stand behind one behind what a person asks.
        is_inside = self._run == "assistant" or (self._role == "assistant" and self._asks and not self._said)
        if line.startswith("#### ") and line.endswith(mark) and not is_inside:
            self._turn_to("user")
            self._said.append(line[5:].rstrip())
        elif self._is_program(line, mark) and not (is_inside and self._is_answer(line)):
            self._turn_to("program")
            self._prints = (self._prints or line.startswith(_LINTS)) and _CONFIRMS not in line
            for name, pattern in (("model", _MODEL), ("program_version", _VERSION)):
                if found := pattern.match(line):
                    self._talk.known[name] = found[1]
        elif self._run in ("user", "program") or self._prints:
            self._turn_to("program")
        else:
            self._turn_to("assistant")
            self._run_began = self._run_began if self._run else len(self._said)
            self._said.append(line)
        self._run = self._role

    @staticmethod
    def _is_program(line: str, mark: str) -> bool:
        return line.startswith(_LINTS) or (line.startswith("> ") and line.endswith(mark))

    def _is_answer(self, line: str) -> bool:
        """Whether the lines before belong to an answer, and are not what the program asks about in this one."""
        if _CONFIRMS not in line or not self._run or not self._said[self._run_began].startswith("> "):
            return True
        del self._said[self._run_began :]
        return False

    def _turn_to(self, role: str) -> None:
        if role == self._role:
            return
        said = "\n".join(self._said).strip()
        self._said = []
        if self._role == "user":
            self._asks = not _is_command(said)
            self._prints = not self._asks and _PRINTS.match(said) is not None
        # What the program says between does not end an answer that goes on behind it, but a new line of the talk.
        if self._role in ("user", "assistant") and said:
            self._number += 1
            own = f"{self._own}:{self._number}"
            self._talk.say(self._line, own, *self._spoken(said))
        self._role = role

    def _spoken(self, said: str) -> tuple[str, list[JSONObject]]:
        if self._role == "assistant":
            tag = found[1] if (found := _THOUGHT.search(said)) else "thinking-content"
            thoughts, said = apart(said, f"<{tag}>", f"</{tag}>")
            return "assistant", [block for each in thoughts for block in thought(each.strip())] + spoken(said.strip())
        if said == "<blank>" or _CONFIRMED.fullmatch(said):
            return "user", []
        return "system" if _is_command(said) else "user", spoken(said)

    def imported_so_far(self, changed_at: datetime | None = None) -> Iterator[Imported | BadEntry]:
        """The talk as it is; `changed_at`: when its file was written last."""
        marked = any(line.startswith("#### ") and line.endswith(_BREAK) for line in self._lines)
        for line in self._lines:  # an editor may have taken the blanks away
            self._read(line, _BREAK if marked else "")
        self._turn_to("")
        ended = max(self._began, changed_at) if self._began and changed_at else self._began
        yield from self._talk.imported(self._own, created_at=self._began, updated_at=ended)
        if self._room < 0:
            yield BadEntry(self._line, f"is a talk of more than {self._limit:,} characters: the rest is left out",
                           talk=f"aider-{self._own}", is_message=True)  # fmt: skip


def _is_command(said: str) -> bool:
    """Whether what the person typed is a command that asks no model."""
    return said.startswith(("/", "!")) and not _ASKS.match(said)

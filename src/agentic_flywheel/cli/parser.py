"""Parses a command line: its errors are one line that names what is nearest."""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from agentic_flywheel.plain_text import ellipsis, one_line, quoted

PROGRAM, SHORT = "agentic-flywheel-state", "flywheel"

SHOWN = 60
"""Characters of a wrong argument that are repeated."""

_CHOICE = re.compile(r"argument (?:COMMAND|VERB): invalid choice: ['\"](.*?)['\"] \(choose", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names what is nearest, and quote nothing that a terminal would obey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)
        self.set_defaults(parser=self)
        self._names: list[str] = []

    def commands(self, dest: str, *, required: bool = False) -> None:
        """Let it have commands of its own; the one that is given is the option `dest`."""
        self._commands = self.add_subparsers(dest=dest, metavar=dest.upper(), required=required)

    def command(self, name: str, what: str, example: str = "", codes: str = "") -> "Parser":
        """A command, with what its help ends with: an example, and what the exit codes mean beside 2."""
        self._names.append(name)
        epilog = (
            f"Example:  %(prog)s{' ' if example else ''}{example}\nExit:     {codes}, 2 wrong arguments or no storage"
        )
        return self._commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=epilog if codes else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def hidden_command(self, name: str) -> "Parser":
        """A command that no list shows."""
        return self._commands.add_parser(name)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end the program with 2."""
        if wrong := _CHOICE.match(message):
            message = f"there is no command {_short(wrong[1])} of {self.prog}{_nearest(wrong[1], self._names)}"
        if message.endswith((": VERB", ": COMMAND")):
            message = f"name what to do: {', '.join(self._names)}"
        stop = "" if message.endswith("?") else "."
        self.exit(2, f"{PROGRAM}: {one_line(message).rstrip('.')}{stop} See {self.prog} --help.\n")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Say that nothing takes these arguments, and which option is nearest."""
        word = unknown[0].partition("=")[0]
        options = [name for action in self._actions for name in action.option_strings]
        kind = "option" if word.startswith("-") else "argument"
        near = _nearest(word, options) if kind == "option" else ""
        self.error(f"{self.prog} takes no {kind} {_short(word)}{near}")


def number(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number within these limits, however long the text is."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{_short(text)} is no whole number from {low} to {high}")
        return int(text)

    return read


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word[:SHOWN], known, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _short(text: str) -> str:
    return quoted(ellipsis(text, SHOWN))

"""Every regular expression of the package, and every reader, takes time in proportion to its text."""

import ast
import dataclasses
import importlib
import io
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentic_flywheel
from agentic_flywheel.cli.hints import _HINTS
from agentic_flywheel.cli.importers.json_entries import array, lines
from agentic_flywheel.cli.terminal import shown
from agentic_flywheel.redis_url import url_problem, without_password

from .frameworks.lineup import LINEUP

PACKAGE = Path(agentic_flywheel.__file__).parent

SIZES = [1_562, 3_125, 6_250, 12_500, 25_000, 50_000, 100_000, 200_000, 400_000]
"""Characters of a text."""

GROWTH = 2.6
"""The most by which the time for a text that is twice as long may grow: twice, and what two busy cores add."""

NOISE = 0.003
"""Seconds: what takes less is not compared."""

RUNS = 5

pytestmark = pytest.mark.slow

PIECES = ("a", "A", "0", " ", "-", ".", "_", "/", ":", "=", "&", "\\", '"', "'", "é", "a.", "a-", "a b ", "a=", "pass",
          "://", "{[", '"a",', "\\n", "a: ", "\n", "@a")  # fmt: skip
"""Each text is one of these again and again."""

WAYS = {"match", "fullmatch", "search", "finditer", "findall", "sub", "split"}

Asking = Callable[[str], object]


def asking(pattern: re.Pattern[Any], way: str) -> Asking:
    """Ask a pattern about all of a text."""

    def ask(text: str) -> None:
        given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        if way in ("match", "fullmatch"):
            getattr(pattern, way)(given)
        elif way == "search":
            pattern.search(given)
        else:
            for _ in pattern.finditer(given):
                pass

    return ask


def patterns(value: Any) -> Iterator[re.Pattern[Any]]:
    """The patterns in a value, and in what it is made of."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns([*value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from patterns(each)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from patterns([getattr(value, field.name) for field in dataclasses.fields(value)])


def of_module(name: str, path: Path) -> Iterator[tuple[str, Asking]]:
    """What a module has compiled, asked in the ways of that module, and what it writes where it asks."""
    source = path.read_text()
    for variable, value in vars(importlib.import_module(name)).items():
        asked = {*re.findall(rf"\b{variable}\.(\w+)\(", source)} & WAYS or {"match", "search"}
        if not isinstance(value, type | re.Pattern | dict | list | tuple | set | frozenset) or isinstance(value, type):
            continue
        for number, pattern in enumerate(patterns(value)):
            yield from ((f"{name}.{variable}[{number}].{way}", asking(pattern, way)) for way in asked)
    for call in ast.walk(ast.parse(source)):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=way),
                args=[ast.Constant(value=str() | bytes() as text), *_],
            ) if way in WAYS:
                yield f"{name}:{call.lineno}", asking(re.compile(text), way)


ADAPTERS = tuple(f"agentic_flywheel.integrations.{framework.name}" for framework in LINEUP)


def all_there_are() -> dict[str, Asking]:
    """Every expression and reader, by name."""
    found: dict[str, Asking] = {}
    for path in sorted((PACKAGE / "coaia" / "child").glob("*.py")):
        if not path.name.startswith("__"):
            found |= of_module(path.stem, path)  # the child's files import each other plainly
    for module in pkgutil.walk_packages([str(PACKAGE)], "agentic_flywheel."):
        if module.name.startswith(ADAPTERS):  # each imports a framework; they have no expressions
            continue
        if ".coaia.child" not in module.name and not module.name.endswith("__main__"):
            path = Path(str(importlib.import_module(module.name).__file__))
            found |= of_module(module.name, path)
    found |= {f"hint {hint.pattern}": asking(re.compile(hint.pattern, re.IGNORECASE), "search") for hint in _HINTS}
    found |= {
        "a line": lambda text: list(lines(io.BytesIO(text.encode()))),
        "an array": lambda text: list(array(io.BytesIO(f"[{text}".encode()))),
        "a string of an array": lambda text: list(array(io.BytesIO(f'["{text}'.encode()))),
        "shown": shown,
        "url_problem": lambda text: url_problem(f"redis://h?{text}"),
        "without_password, options": lambda text: without_password(f"redis://h/0?{text}"),
        "without_password, all": without_password,
    }
    return found


THERE = all_there_are()


def seconds(ask: Asking, text: str) -> float:
    began = time.thread_time()  # others who use the processor are not counted
    ask(text)
    return time.thread_time() - began


def grows(ask: Asking, piece: str) -> float:
    """By how much the time grows when the text is doubled, twice in a row: once, more memory may be all it needs."""
    before, grown = 0.0, 0.0
    for size in SIZES:
        text = piece * (size // len(piece))
        now = seconds(ask, text)
        if before > NOISE and now > GROWTH * before:
            before = min(seconds(ask, text[: len(text) // 2]) for _ in range(RUNS))
            now = min(seconds(ask, text) for _ in range(RUNS))
        factor = now / before if before > NOISE else 0.0
        if min(grown, factor) > GROWTH:
            return factor
        before, grown = now, factor
    return 0.0


def test_all_expressions_are_found():
    assert len(THERE) > 80
    for name in ("_TO_THE_NEXT_BRACKET", "redaction.formats._BLOCK", "refusal._TOKEN", "cluster._REDIRECTION"):
        assert any(name in each for each in THERE), name


@pytest.mark.parametrize("name", THERE)
def test_twice_the_text_takes_about_twice_the_time(name: str):
    grown = {piece: round(grows(THERE[name], piece), 1) for piece in PIECES}
    assert {piece: factor for piece, factor in grown.items() if factor} == {}


def test_what_is_quadratic_is_seen():
    assert grows(asking(re.compile("a+b"), "search"), "a") > GROWTH

"""Every regular expression of the package, and every reader, takes time in proportion to its text."""

import ast
import dataclasses
import importlib
import io
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

SIZES = [1_562, 3_125, 6_250, 12_500, 25_000]
"""Characters of a text. At the last one, steps that grow with the square take tenths of a second: far above `NOISE`."""

LARGER = [*SIZES, 50_000, 100_000, 200_000, 400_000]
"""Those for readers, which take a text in pieces of their own."""

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


def all_modules() -> dict[str, Path]:
    """The files that may have expressions, by the names that they are imported by; nothing is imported yet."""
    child = PACKAGE / "coaia" / "child"
    found = {path.stem: path for path in sorted(child.glob("*.py")) if not path.name.startswith("__")}
    for path in sorted(PACKAGE.rglob("*.py")):  # the child's files import each other plainly
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        # Each adapter imports a framework; they have no expressions.
        if child not in path.parents and path.stem != "__main__" and not name.startswith(ADAPTERS):
            found[name] = path
    return found


MODULES = all_modules()

READERS: dict[str, Asking] = {
    "a line": lambda text: list(lines(io.BytesIO(text.encode()))),
    "an array": lambda text: list(array(io.BytesIO(f"[{text}".encode()))),
    "a string of an array": lambda text: list(array(io.BytesIO(f'["{text}'.encode()))),
    "shown": shown,
    "url_problem": lambda text: url_problem(f"redis://h?{text}"),
    "without_password, options": lambda text: without_password(f"redis://h/0?{text}"),
    "without_password, all": without_password,
}

HINTS = {f"hint {hint.pattern}": asking(re.compile(hint.pattern, re.IGNORECASE), "search") for hint in _HINTS}


def seconds(ask: Asking, text: str) -> float:
    began = time.thread_time()  # others who use the processor are not counted
    ask(text)
    return time.thread_time() - began


def grows(ask: Asking, piece: str, sizes: list[int] = SIZES) -> float:
    """By how much the time grows when the text is doubled, twice in a row: once, more memory may be all it needs."""
    before, grown = 0.0, 0.0
    for size in sizes:
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
    found = [each for name, path in MODULES.items() for each, _ in of_module(name, path)]
    assert len({*found, *READERS, *HINTS}) > 80
    for name in ("_TO_THE_NEXT_BRACKET", "redaction.formats._BLOCK", "refusal._TOKEN", "cluster._REDIRECTION"):
        assert any(name in each for each in found), name


@pytest.mark.parametrize("name", [*MODULES, *READERS, *HINTS])
def test_twice_the_text_takes_about_twice_the_time(name: str):
    alone = READERS | HINTS
    asked = {name: alone[name]} if name in alone else dict(of_module(name, MODULES[name]))
    sizes = LARGER if name in READERS else SIZES
    grown = {f"{each} {piece!r}": round(grows(ask, piece, sizes), 1) for each, ask in asked.items() for piece in PIECES}
    assert {what: factor for what, factor in grown.items() if factor} == {}


def test_what_is_quadratic_is_seen():
    assert grows(asking(re.compile("a+b"), "search"), "a") > GROWTH

"""Free prose that every Python installation carries, in passages: its documentation, its docstrings, its comments."""

import ast
import functools
import importlib
import inspect
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from types import ModuleType

LONGEST = 1_000  # characters of a passage, so that the turns of a talk are of a length that people read

NOT_EVERYWHERE = {"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "distutils", "ensurepip", "_pyrepl"}
"""Folders that some installations lack, or that a later Python has not."""

INSTALLED = {"site-packages", "dist-packages", "__pycache__"}

COMPILED = (
    "array",
    "binascii",
    "builtins",
    "datetime",
    "errno",
    "gc",
    "io",
    "itertools",
    "marshal",
    "math",
    "operator",
    "re",
    "select",
    "socket",
    "sqlite3",
    "struct",
    "time",
    "unicodedata",
    "zlib",
)
"""Modules whose docstrings are not, or not all, in a Python file; without `sys`, whose hooks a test runner replaces."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Prose of at most about `LONGEST` characters on one line: `name` is what it describes, within its `source`."""

    source: str
    name: str
    text: str


@functools.cache
def passages() -> tuple[Passage, ...]:
    """All passages, each text once; what describes neighbouring things stands together."""
    found: dict[str, Passage] = {}
    for source, name, text in _texts():
        for passage in _cut(text):
            found.setdefault(passage, Passage(source, name, passage))
    return tuple(found.values())


def _texts() -> Iterator[tuple[str, str, str]]:
    for label in sorted(topics):
        yield label, label.replace("-", " "), topics[label]
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if not {*parts} & (NOT_EVERYWHERE | INSTALLED):
            yield from _of_file(".".join(parts).removesuffix(".__init__"), path)
    for module in COMPILED:
        yield from _of_object(module, module, importlib.import_module(module))


def _of_file(source: str, path: Path) -> Iterator[tuple[str, str, str]]:
    code = path.read_text("utf-8", errors="replace")
    comments = (
        (code.count("\n", 0, found.start()) + 1, "", re.sub(r"(?m)^ *# ?", "", found[0]))
        for found in re.finditer(r"(?m)(^ *#.*\n){2,}", code)
    )
    for _, name, text in sorted([*_docstrings(ast.parse(code), ""), *comments]):
        yield source, name, text


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[int, str, str]]:
    """The docstrings of what is defined here, with the line and the name of each."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        name = f"{name}.{node.name}".lstrip(".")
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and (text := ast.get_docstring(node)):
        yield node.body[0].lineno, name, text
    if isinstance(node, ast.stmt | ast.Module):
        for child in ast.iter_child_nodes(node):
            yield from _docstrings(child, name)


def _of_object(source: str, name: str, thing: object) -> Iterator[tuple[str, str, str]]:
    yield source, name, inspect.cleandoc(thing.__doc__ or "")
    if inspect.isclass(thing) or isinstance(thing, ModuleType):
        for key, value in sorted(vars(thing).items()):
            if not key.startswith("_") and (
                inspect.isroutine(value) or inspect.isdatadescriptor(value) or inspect.isclass(value)
            ):
                yield from _of_object(source, key if name == source else f"{name}.{key}", value)


def _cut(text: str) -> Iterator[str]:
    passage = ""
    for paragraph in map(" ".join, map(str.split, re.split(r"\n\s*\n", text))):
        if not _is_prose(paragraph):
            continue
        for part in re.findall(rf".{{1,{LONGEST}}}(?: |$)", paragraph):
            if passage and len(passage) + len(part) > LONGEST:
                yield passage
                passage = ""
            passage = f"{passage} {part}".strip()
    if passage:
        yield passage


def _is_prose(paragraph: str) -> bool:
    letters = sum(each.isalpha() or each == " " for each in paragraph)
    return paragraph.count(" ") >= 5 and letters > 0.8 * len(paragraph)

"""The specifications in `rispecs/` and the tests name each other: no promise without a test, no test without one."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPECIFICATIONS = sorted((ROOT / "rispecs").rglob("*.md"))

# A row of a table of promises: | **RS-01** | promise | held by |
PROMISE = re.compile(r"^\|\s*\*\*([A-Z]{2}-\d{2})\*\*\s*\|([^|]+)\|([^|]+)\|\s*$", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def promises() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(id, promise, [(file, test)]) of every specification."""
    rows = (row for path in SPECIFICATIONS for row in PROMISE.findall(path.read_text(encoding="utf-8")))
    return [(name, promise.strip(), NAMED_TEST.findall(held_by)) for name, promise, held_by in rows]


@cache
def names_of_tests_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_promise_has_an_id_of_its_own_and_names_a_test():
    assert promises()
    assert [name for name, times in Counter(name for name, _, _ in promises()).items() if times > 1] == []
    assert [name for name, promise, tests in promises() if not promise or not tests] == []


def test_every_named_test_exists():
    named = {test for path in SPECIFICATIONS for test in NAMED_TEST.findall(path.read_text(encoding="utf-8"))}
    there = {(file, name) for file, _ in named if (ROOT / file).exists() for name in names_of_tests_in(ROOT / file)}
    assert sorted(named - there) == []


def test_every_test_of_the_library_holds_a_promise():
    held = {test for _, _, tests in promises() for test in tests}
    files = sorted((ROOT / "tests").glob("test_redis_state*.py"))
    assert files
    there = {(f"tests/{path.name}", name) for path in files for name in names_of_tests_in(path)}
    assert sorted(there - held) == []


def test_every_test_that_the_page_on_reliability_names_exists():
    page = (ROOT / "rispecs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)", page))
    assert len(named) > 20
    folder = ROOT / "tests" / "tutorial"
    assert sorted(named - {(file, name) for file, _ in named for name in names_of_tests_in(folder / file)}) == []


@pytest.mark.parametrize("path", SPECIFICATIONS, ids=lambda path: path.name)
def test_every_link_of_a_specification_leads_somewhere(path: Path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []

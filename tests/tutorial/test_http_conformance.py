"""The protocol's own conformance suite over HTTP, in both revisions: what fails lacks a fixture of the suite's own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..support.http import http_server

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NODE = "node@22"  # the suite needs one that is newer than many systems have

PASS = {
    "2025-11-25": {
        "server-initialize",
        "ping",
        "completion-complete",
        "tools-list",
        "server-sse-multiple-streams",
        "resources-list",
        "resources-subscribe",
        "resources-unsubscribe",
        "prompts-list",
        "dns-rebinding-protection",
        "server-session-lifecycle",
        "server-sse-polling",
    },
    "2026-07-28": {
        "caching",
        "completion-complete",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-ignore-extra-params",
        "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods",
        "input-required-result-validate-input",
        "prompts-list",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "tasks-status-notifications",
        "tools-list",
    },
}
"""What asks for nothing but the protocol."""

FIXTURES = re.compile(
    r"tools-call-|prompts-get-|resources-read-|resources-templates-read|elicitation-sep|input-required-result-"
    r"|json-schema-2020-12|http-custom-header|tasks-|logging-set-level|server-stateless"
)
"""What asks for a tool, a prompt, a resource, tasks or a log that only the suite's own server has."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("npx") is None, reason="npx is not on PATH")
def test_every_generic_scenario_passes_in_both_revisions(request: pytest.FixtureRequest, disabled_env: dict[str, str]):
    """One test, since the suite and its Node are fetched once by it, and twice by two at the same time."""
    assert request.config.cache
    npm = {
        "npm_config_cache": str(request.config.cache.mkdir("npm")),
        "npm_config_userconfig": str(Path.home() / ".npmrc"),
    }
    with http_server(disabled_env, "--rate", "0") as server:
        url = server.url.replace("127.0.0.1", "localhost")
        for revision, passes in PASS.items():
            found, said = scenarios(f"--url {url} --requirements {revision}", npm, Path(disabled_env["HOME"]))
            assert found, said
            assert {name for name, passed in found.items() if passed} >= passes, revision
            failed = [name for name, passed in found.items() if not passed]
            assert [name for name in failed if not FIXTURES.match(name)] == [], revision


def scenarios(options: str, npm: dict[str, str], folder: Path) -> tuple[dict[str, bool], str]:
    """Which scenarios of the suite there were, whether each passed, and the end of what it said."""
    suite = f"conformance server {options} --timeout 15000"
    done = subprocess.run(
        ["npx", "-y", "-p", SUITE, "-p", NODE, "-c", suite],  # noqa: S607
        env=os.environ | npm,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    found = {name: mark == "✓" for mark, name in re.findall(r"^([✓✗]) ([\w-]+):", done.stdout, re.MULTILINE)}
    return found, done.stdout[-2000:] + done.stderr[-2000:]

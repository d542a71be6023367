"""Asks for known vulnerabilities of all that CI installs, and says in words what could not be asked.

    python -m tests.audit            # pip-audit must be on PATH: pip install --require-hashes -r constraints/audit.txt

Exit code 1 for an advisory that is not among those below; 0 else, also where the advisory service cannot be reached:
it is no part of a package index, and a machine without it must still be able to test. Not collected by pytest.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIST = Path(__file__).parent.parent / "constraints" / "ci.txt"

KNOWN = {
    "CVE-2023-32681": "requests, by the upper pin of coaiapy: no HTTP is spoken, the child never calls it",
    "CVE-2024-35195": "requests, the same",
    "CVE-2024-47081": "requests, the same",
    "CVE-2025-50181": "urllib3, below requests, the same",
    "CVE-2025-66418": "urllib3, the same",
    "CVE-2025-66471": "urllib3, the same",
    "CVE-2023-28859": "redis, in its asyncio client; the child uses the synchronous one",
}
"""Advisories that do not reach what this program does, and why; everything else ends the step."""


def judged(report: dict[str, Any]) -> tuple[list[str], list[str], int]:
    """Of a report of pip-audit: the advisories to act on, the packages nobody could tell of, and how many there are."""
    bad: list[str] = []
    unasked: list[str] = []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unasked.append(package["name"])
        for advisory in package.get("vulns", ()):
            if KNOWN.keys().isdisjoint({advisory["id"], *advisory.get("aliases", ())}):
                fixed = ", ".join(advisory.get("fix_versions", ())) or "no version"
                bad.append(f"{package['name']} {package['version']}: {advisory['id']}, mended in {fixed}")
    return bad, unasked, len(report["dependencies"])


def main() -> int:
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        command = ["pip-audit", "--requirement", str(LIST), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        report = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        sys.stdout.write(
            "The advisory service could not be asked: nothing is known of any package. This fails nothing.\n"
        )
        return 0
    bad, unasked, count = judged(report)
    sys.stdout.write("".join(f"{line}\n" for line in bad))
    if unasked:
        sys.stdout.write(f"The advisory service could not tell of {len(unasked)} of {count} packages.\n")
    sys.stdout.write(f"{len(bad)} advisories to act on; {len(KNOWN)} are known not to reach this program.\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

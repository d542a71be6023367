"""Shows a change of a file as a unified diff, without the passwords that stand in it."""

import re

from agentic_flywheel.cli.clients.changes import Change
from agentic_flywheel.cli.terminal import say_text
from agentic_flywheel.redis_url import without_password
from agentic_flywheel.sessions.redaction.text import without_credentials

CONTEXT = 3
"""Lines before and behind, as in every such diff."""

LONGEST = 2000
"""Characters of a line that are shown."""

_NAMED = re.compile(r'((?:PASSWORD|SECRET|TOKEN|KEY|SEAL)"?\s*[:=]\s*)"(?:\\.|[^"\\])*"', re.IGNORECASE)
_URL = re.compile(r"rediss?://[^\s\"'<>]+")


def show(change: Change) -> None:
    """Print the diff of a change."""
    say_text("\n".join(diff(change)))


def diff(change: Change) -> list[str]:
    """The lines of the diff; it is one piece, since one piece is changed."""
    old, new = _lines(change.before), _lines(change.after)
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    tail = 0
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    begin, behind = max(same - CONTEXT, 0), max(tail - CONTEXT, 0)
    kept, follows = old[begin:same], old[len(old) - tail : len(old) - behind]
    gone, come = old[same : len(old) - tail], new[same : len(new) - tail]
    counts = (len(kept) + len(gone) + len(follows), len(kept) + len(come) + len(follows))
    return [
        f"--- {change.path if change.before is not None else '/dev/null'}",
        f"+++ {change.path if change.after is not None else '/dev/null'}",
        f"@@ -{_span(begin, counts[0])} +{_span(begin, counts[1])} @@",
        *(f" {_harmless(line)}" for line in kept),
        *(f"-{_harmless(line)}" for line in gone),
        *(f"+{_harmless(line)}" for line in come),
        *(f" {_harmless(line)}" for line in follows),
    ]


def _span(begin: int, count: int) -> str:
    return f"{begin + 1 if count else begin},{count}"


def _lines(content: bytes | None) -> list[str]:
    """The lines; the last one says if its end is missing."""
    if not content:
        return []
    lines = content.decode("utf-8-sig", "replace").split("\n")
    if not lines[-1]:
        return lines[:-1]
    return [*lines[:-1], lines[-1] + "\n\\ No newline at end of file"]


def _harmless(line: str) -> str:
    shown = _URL.sub(lambda match: without_password(match[0]), line.replace("\r", ""))
    shown = _NAMED.sub(r'\1"***"', shown)  # however short it is
    return without_credentials(shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…")[0]

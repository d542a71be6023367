"""Replaces, or only names, the values that look like credentials in what a caller sends, as `FLYWHEEL_SECRETS` says."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import anyio

from agentic_flywheel.json_text import JSONObject

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding

NAMED = 20
"""Places named in one answer: a talk full of keys must not fill it."""


AT_ONCE = 200
"""Turns, or other items, up to which they are searched at once, while everybody else waits some milliseconds."""

LONG_TEXT = 10_000
"""Characters that count as one item more."""


class Credentials:
    """The setting `FLYWHEEL_SECRETS`, applied to what the tools are given."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def prepare(self) -> None:
        """Compile the patterns, so that the first save need not."""
        self.redact({"nothing": "nothing"})

    async def redact_in_time(self, sent: Mapping[str, Any]) -> "tuple[dict[str, Any], list[Finding]]":
        """The same arguments as they may be kept, and where in them there were values that look like credentials."""
        if self._setting != "off" and _are_many([*sent.values()]):
            return await anyio.to_thread.run_sync(self.redact, sent)
        return self.redact(sent)

    def redact(self, sent: Mapping[str, Any]) -> "tuple[dict[str, Any], list[Finding]]":
        """The same, without a thread."""
        kept, findings = dict(sent), list["Finding"]()
        if self._setting == "off":
            return kept, findings
        # Imported late: its patterns take as long to compile as a save does.
        from agentic_flywheel.sessions.redaction.values import redacted

        for name, value in sent.items():
            if value:
                clean, found = redacted(value, name)
                findings += found
                if self._setting == "redact":
                    kept[name] = clean
        return kept, findings

    @property
    def looks(self) -> bool:
        """Whether they are looked for."""
        return self._setting != "off"

    @property
    def replaces(self) -> bool:
        """Whether they are replaced, not only named."""
        return self._setting == "redact"

    def in_ids(self, **ids: str) -> "list[Finding]":
        """Which of these ids look like credentials; nothing in an id can be replaced."""
        if self._setting == "off":
            return []
        return [found for name, value in ids.items() if value and (found := _in_id(name, value))]

    def report(self, findings: "list[Finding]") -> tuple[list[JSONObject] | None, str]:
        """Places and kinds for an answer, and a sentence; never the values."""
        if not findings:
            return None, ""
        places = [{"path": finding.path, "kind": finding.kind} for finding in findings[:NAMED]]
        one = len(findings) == 1
        count = "1 value that looks like a credential was" if one else f"{len(findings)} values like credentials were"
        where = ", ".join(finding.path for finding in findings[:3]) + (" …" if len(findings) > 3 else "")
        done = (
            f"replaced before {'it was' if one else 'they were'} kept" if self._setting == "redact" else "kept as sent"
        )
        first = f"; the first {NAMED} are named" if len(findings) > NAMED else ""
        return places, f"{count} {done} ({where}{first}; see FLYWHEEL_REDACTION)."


@lru_cache(256)  # most saves are of an id that was saved before
def _in_id(name: str, value: str) -> "Finding | None":
    from agentic_flywheel.sessions.redaction.values import redacted

    return next(iter(redacted(value, name)[1]), None)


def _are_many(stack: list[object]) -> bool:
    """Whether there are more items to look through than are at once, without looking at all of them."""
    left = AT_ONCE
    while stack and left >= 0:
        value = stack.pop()
        if isinstance(value, str):
            left -= len(value) // LONG_TEXT
        elif isinstance(value, dict):
            left -= len(cast("JSONObject", value))
            stack.extend(cast("JSONObject", value).values())
        elif isinstance(value, list):
            left -= len(cast("list[object]", value))
            stack.extend(cast("list[object]", value) if left >= 0 else ())
    return left < 0

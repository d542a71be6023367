"""What a caller sends, without the values that look like credentials: they are replaced or only named, as it is set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentic_flywheel.jsontext import JSONObject

if TYPE_CHECKING:
    from agentic_flywheel.redaction import Finding

NAMED = 20
"""Places named in one answer: a talk full of keys must not fill it."""


class Credentials:
    """The setting `FLYWHEEL_SECRETS`, applied to what the tools are given."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def without(self, sent: Mapping[str, Any]) -> "tuple[dict[str, Any], list[Finding]]":
        """The same arguments as they may be kept, and where in them there were values that look like credentials."""
        kept, found = dict(sent), list["Finding"]()
        if self._setting == "off":
            return kept, found
        from agentic_flywheel.redaction import redacted  # its patterns take as long to compile as a save does

        for name, value in sent.items():
            if value:
                clean, here = redacted(value, name)
                found += here
                if self._setting == "redact":
                    kept[name] = clean
        return kept, found

    def told(self, found: "list[Finding]") -> tuple[list[JSONObject] | None, str]:
        """Places and kinds for an answer, and a sentence; never the values."""
        if not found:
            return None, ""
        places = [{"path": finding.path, "kind": finding.kind} for finding in found[:NAMED]]
        one = "1 value that looks like a credential was"
        count = one if len(found) == 1 else f"{len(found)} values that look like credentials were"
        where = ", ".join(finding.path for finding in found[:3]) + (" …" if len(found) > 3 else "")
        done = "replaced before it was kept" if self._setting == "redact" else "kept as sent"
        return places, f"{count} {done} ({where}; see FLYWHEEL_SECRETS)."

"""Says at the start of a session what there is to say: that talks are not kept, and what was talked of here before.

The programs read the same JSON: `systemMessage` is for the person, `additionalContext` for the model. What cannot be
said in time is not said.
"""

import json
import os
import sys
import time

from agentic_flywheel.cli.capture import notes, small_files

STALE_SECONDS = 600.0
"""A note that has waited for so long waits for something that does not come."""


def greet(place: str, cwd: str, event: str, *, recalls: bool) -> None:
    """Write what there is to say to standard output; nothing if there is nothing."""
    line = trouble(place)
    earlier = ""
    if recalls and cwd:
        from agentic_flywheel.cli.capture.recall import earlier_talks

        earlier = earlier_talks(cwd)
    said: dict[str, object] = {"systemMessage": line} if line else {}
    if earlier:
        said["hookSpecificOutput"] = {"hookEventName": event, "additionalContext": earlier}
    if said:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def trouble(place: str) -> str:
    """One line, if more talks were seen than are kept; else empty."""
    summary = small_files.read(os.path.join(place, "summary.json"))
    seen, lost = (value if isinstance(value := summary.get(name), int) else 0 for name in ("seen", "lost"))
    now = time.time()
    stale = sum(notes.age(place, base, now) > STALE_SECONDS for base in notes.waiting(place))
    if not lost + stale:
        return ""
    cause = summary.get("cause")
    why = f" ({cause[:150]})" if lost and isinstance(cause, str) and cause else ""
    return (
        f"agentic-flywheel-state: of {max(seen, lost) + stale} talks seen, {lost + stale} are not kept{why}."
        " agentic-flywheel-state capture status says more."
    )

"""Waits a moment until what hooks have noted is in the store: who looks right after an answer is to find it."""

import time
from pathlib import Path

LONGEST_SECONDS = 3.0
"""A drainer needs one to begin, and a tenth for a talk."""

YOUNG_SECONDS = 10.0
"""What has waited for longer is refused for now, and nobody waits for it."""

LOOK_SECONDS = 0.02


def settle(data_dir: Path) -> None:
    """Have a drainer take in what was noted just now, and wait for it."""
    place = str(data_dir / "capture")
    if not (data_dir / "capture" / "notes").is_dir():
        return
    from agentic_flywheel.cli.capture import notes
    from agentic_flywheel.cli.capture.start_drainer import start

    end = time.monotonic() + LONGEST_SECONDS
    young = [base for base in notes.waiting(place) if notes.age(place, base, time.time()) < YOUNG_SECONDS]
    if young:
        start(place)
    while young and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        young = [base for base in young if base in set(notes.waiting(place))]

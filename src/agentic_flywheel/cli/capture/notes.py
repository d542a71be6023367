"""Keeps what hooks leave for the drainer: one note a transcript, and a second name of the transcript itself.

A note says which file has grown. The second name (a hard link) costs no byte and no time, and keeps what the file holds
if its program deletes it before it was read, as Gemini CLI does with talks that were resumed; it goes when the drainer
has read the file. Where a link cannot be made (another disk), or the file may hold what was said off the record, the
note alone is kept.

    capture/notes/<digest>.json     the newest note of a transcript
    capture/notes/<digest>.taking   the one that the drainer works on; a killed drainer leaves it, the next goes on
    capture/notes/<digest>.kept     the second name
"""

import os
import time
from collections.abc import Iterator

from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.cli.capture.small_files import Values

LEFT, LEFT_SECONDS = ".new", 3600.0
"""What is left of a note whose hook was killed while it wrote, and after what time nobody writes it any more."""


def digest(program: str, path: str) -> str:
    """What a transcript's files here are called."""
    from _blake2 import blake2b  # hashlib would load OpenSSL

    return blake2b(f"{program} {path}".encode(errors="surrogateescape"), digest_size=16).hexdigest()


def folder_of(place: str) -> str:
    """The folder of the notes, made if it is not there."""
    folder = os.path.join(place, "notes")
    if not os.path.isdir(folder):
        os.makedirs(place, 0o700, exist_ok=True)
        os.makedirs(folder, 0o700, exist_ok=True)
    return folder


def leave(place: str, note: Values, *, holds: bool = True) -> None:
    """Leave a note for the drainer, on the disk before this returns; `holds`: with a second name of the transcript.

    Raises:
        OSError: it cannot be written.

    """
    base = os.path.join(folder_of(place), digest(note["program"], note["path"]))
    if holds:
        _hold(note["path"], f"{base}.kept")
    small_files.write(f"{base}.json", note)


def let_go(place: str, program: str, path: str) -> None:
    """Take away the second name of a transcript, which nothing of is to be kept."""
    small_files.remove(os.path.join(folder_of(place), f"{digest(program, path)}.kept"))


def waiting(place: str) -> Iterator[str]:
    """The notes that wait, by their digests, the oldest first."""
    found: dict[str, float] = {}
    for entry in os.scandir(folder_of(place)):
        base, ending = os.path.splitext(entry.name)
        if ending == LEFT and _mtime(entry.path) < time.time() - LEFT_SECONDS:
            small_files.remove(entry.path)
        if ending in (".json", ".taking"):
            try:
                found[base] = min(found.get(base, entry.stat().st_mtime), entry.stat().st_mtime)
            except FileNotFoundError:
                continue
    yield from sorted(found, key=lambda base: found[base])


def age(place: str, base: str, now: float) -> float:
    """For how many seconds a note has waited."""
    times = [_mtime(os.path.join(folder_of(place), f"{base}{ending}")) for ending in (".json", ".taking")]
    return now - min((time for time in times if time), default=now)


def take(place: str, base: str) -> Values:
    """The note, which is the drainer's from now on; empty if there is none that can be read."""
    path = os.path.join(folder_of(place), base)
    if os.path.exists(f"{path}.json"):
        os.replace(f"{path}.json", f"{path}.taking")
    return small_files.read(f"{path}.taking")


def second_name(place: str, base: str) -> str:
    """The second name of its transcript; empty if there is none."""
    path = os.path.join(folder_of(place), f"{base}.kept")
    return path if os.path.exists(path) else ""


def done(place: str, base: str) -> None:
    """Take away a note that was dealt with; one that came meanwhile stays."""
    path = os.path.join(folder_of(place), base)
    small_files.remove(f"{path}.taking")
    if not os.path.exists(f"{path}.json"):
        small_files.remove(f"{path}.kept")


def _hold(path: str, second: str) -> None:
    try:
        if os.path.exists(second):
            if os.path.samefile(path, second):
                return
            os.unlink(second)
        if not os.path.islink(path) and path.endswith(".jsonl"):  # a database is more than one file
            os.link(path, second, follow_symlinks=False)
    except OSError:
        return


def _mtime(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0

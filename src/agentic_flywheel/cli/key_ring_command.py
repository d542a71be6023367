"""`keys new`: makes a key, and puts it on top of a key file or of the system's keyring."""

import base64
import os
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from agentic_flywheel.cli.terminal import complain, say
from agentic_flywheel.errors import SettingError
from agentic_flywheel.private_files import changing, check_folder, create
from agentic_flywheel.sealing import ENTRY, NAME, SERVICE, KeyRing, new_key
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import default_path, tilde

FILE_NAME = "keys"
"""The key file, beside the settings file, where none is named."""


def new(settings: Settings, options: Namespace) -> int:
    """Make the key; the exit code. It is shown nowhere."""
    if settings.seal and not settings.seal.source and not options.keyring and not options.file:
        complain("the keys stand in a setting. Name a file with --file, or --keyring, to keep them there.")
        return 1
    if options.keyring:
        return _into_keyring(options.name, in_use=settings.seal is not None)
    path = Path(options.file).expanduser().absolute() if options.file else (settings.seal and settings.seal.source)
    path = path or _default()
    with changing(path.parent):
        known = KeyRing.read(path, "the key file") if path.exists() else None
        name = _name(options.name, known)
        before = path.read_text(encoding="utf-8") if known else ""
        check_folder(path.parent)
        _put(path, f"{_line(name)}\n{before}")
    say(f"Made the key {name} in {tilde(path)}, yours alone to read. Keep a copy elsewhere: without it nothing opens.")
    if settings.seal is None:
        say(f'To use it: agentic-flywheel-state config set seal "{path}", then agentic-flywheel-state keys seal.')
    elif known:
        say("Servers use it from now on. To seal with it what is stored already: agentic-flywheel-state keys rotate.")
    return 0


def _into_keyring(wanted: str, *, in_use: bool) -> int:
    try:
        import keyring  # pyright: ignore[reportMissingImports]  many people have none
    except ImportError:
        complain("there is no keyring here: pip install keyring, or keep the keys in a file.")
        return 1
    try:
        before = str(keyring.get_password(SERVICE, ENTRY) or "")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        known = KeyRing.parse(before, "the keyring") if before else None
        name = _name(wanted, known)
        keyring.set_password(SERVICE, ENTRY, f"{_line(name)}{',' if before else ''}{before}")  # pyright: ignore[reportUnknownMemberType]
    except SettingError:
        raise
    except Exception as exc:  # noqa: BLE001  each keyring has errors of its own
        complain(f"the keyring does not answer ({type(exc).__name__}). Without --keyring the keys are kept in a file.")
        return 1
    if in_use:  # who serves has read the keyring when it began
        then = "Start your clients and servers again, then seal what is stored: agentic-flywheel-state keys rotate."
    else:
        then = "To use it: agentic-flywheel-state config set seal keyring, then agentic-flywheel-state keys seal."
    say(f"Made the key {name} in the keyring. {then}")
    return 0


def _default() -> Path:
    settings_file = default_path()
    if settings_file is None:
        raise SettingError("There is no home to keep a key file in: set HOME, or name one with --file.")
    return settings_file.with_name(FILE_NAME)


def _name(wanted: str, known: KeyRing | None) -> str:
    """A name that no other key has: its day, where none is wanted."""
    if wanted and not NAME.fullmatch(wanted):
        raise SettingError(f"{wanted[:60]!r} is not allowed as a key's name; allowed: 1 to 64 of A-Z a-z 0-9 _ . -")
    taken = {name for name, _ in known.entries} if known else set[str]()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    names = [wanted] if wanted else [day, *(f"{day}.{number}" for number in range(2, 1000))]
    name = next((each for each in names if each not in taken), None)
    if name is None:
        raise SettingError(f"there is a key {wanted!r} already; name another.")
    return name


def _line(name: str) -> str:
    return f"{name}:{base64.b64encode(new_key()).decode()}"


def _put(path: Path, content: str) -> None:
    """Put the file in place in one step, closed to others."""
    written = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with os.fdopen(create(written), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)

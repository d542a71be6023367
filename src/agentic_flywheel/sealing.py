"""Seals texts and keys with named keys (AES-256-GCM): what is written under the newest key is opened by any of them.

A key ring is written `NAME:BASE64` (32 bytes), several of them with commas or on lines, the newest first. It stands in
a setting, in a file that only its owner can read, or in the system's keyring.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from agentic_flywheel.errors import SettingError
from agentic_flywheel.private_files import NotPrivate, read_secret

EXTRA = "agentic-flywheel-state[sealed]"

KEYRING = "keyring"
"""The setting that means the system's keyring."""

SERVICE, ENTRY = "agentic-flywheel-state", "keys"
"""Under which it has the key ring."""

LONGEST = 65_536
"""Bytes of a key file: a thousand keys."""

KEY_FILE = "journal.key"
"""The file beside a sealed journal that holds its key, sealed itself."""

MARKER = "journal.changing"
"""The file that says that a journal is just being sealed or unsealed, or that this was interrupted."""

KEY_BYTES = 32
NONCE_BYTES = 12
"""What AES-GCM takes (NIST SP 800-38D); random ones never meet twice under a data key that seals few texts."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""A key's name, which stands in clear in all that it seals."""


class WrongKey(ValueError):  # noqa: N818  it is named for what is the matter
    """What is sealed cannot be opened: it names a key that is not here, or was changed."""


class UnknownKey(WrongKey):
    """It names a key that is not here."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by name, the newest first; never shown. `source` is the file that they are of, as it was at `stamp`."""

    entries: tuple[tuple[str, bytes], ...] = field(repr=False)
    source: Path | None = None
    stamp: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, value: str, label: str) -> "KeyRing":
        """The ring that a setting means: a path, `keyring`, or the ring itself. Raises as `parse`."""
        if value.startswith("~") or Path(value).is_absolute():
            return cls.read(Path(value).expanduser(), label)
        return cls.parse(_in_keyring(label), label) if value == KEYRING else cls.parse(value, label)

    @classmethod
    def read(cls, path: Path, label: str) -> "KeyRing":
        """The ring in a file. Raises as `parse`; also where others can read the file."""
        try:
            stamp, text = _stamp(path), read_secret(path, LONGEST).decode()
        except UnicodeDecodeError:
            text, stamp = "", ()
        except OSError as exc:
            why = str(exc) if isinstance(exc, NotPrivate) else f"{path} cannot be read: {exc.strerror}."
            raise SettingError(f"{label} is not allowed: {why}") from None
        return cls(cls.parse(text, f"{label}: what is in {path}").entries, path, stamp)

    def refreshed(self) -> "KeyRing":
        """The ring as its file has it now; itself where that is as it was, or cannot be read."""
        if self.source:
            with suppress(OSError, SettingError):
                if _stamp(self.source) != self.stamp:
                    return self.read(self.source, "the key file")
        return self

    @classmethod
    def parse(cls, text: str, label: str) -> "KeyRing":
        """Read a key ring; `label` is what an error calls the setting.

        Raises:
            SettingError: it is none; the message quotes nothing of it.

        """
        keys: dict[str, bytes] = {}
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        for entry in " ".join(lines).replace(",", " ").split() or [""]:
            name, _, written = entry.partition(":")
            try:
                key = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not NAME.fullmatch(name) or len(key) != KEY_BYTES or name in keys:
                raise SettingError(
                    f"{label} is not allowed; allowed: NAME:KEY, the newest first, with commas between several, each "
                    f"KEY {KEY_BYTES} bytes in base64 (`agentic-flywheel-state keys new` makes one)."
                )
            keys[name] = key
        return cls(tuple(keys.items()))

    @property
    def newest(self) -> str:
        """The name of the key under which everything is sealed from now on."""
        return self.entries[0][0]

    @property
    def named(self) -> str:
        """The names of the keys, the newest first, as answers show them."""
        return ", ".join(name for name, _ in self.entries)

    def wrap(self, data_key: bytes, about: str) -> tuple[str, str]:
        """The name of the newest key, and the data key sealed with it (base64); it opens with the same `about` only."""
        name, key = self.entries[0]
        return name, _text(seal(key, data_key, about))

    def unwrap(self, name: str, wrapped: str, about: str) -> bytes:
        """The data key.

        Raises:
            WrongKey: the key of that name is not here, or it is another one.

        """
        if (key := dict(self.entries).get(name)) is None:
            raise UnknownKey(f"it is sealed with the key {name!r}, which is not among yours ({self.named})")
        return unseal(key, _bytes(wrapped), about, name)


def ring_given(text: Callable[[str, str], str], labels: Mapping[str, str]) -> KeyRing | None:
    """The keys with which everything is sealed, wherever a setting says that they stand. Raises as `KeyRing.parse`."""
    given = [name for name in ("FLYWHEEL_KEY", "FLYWHEEL_KEY_FILE") if text(name, "")]
    if not given:
        return None
    value, label = text(given[-1], ""), labels.get(given[-1], given[-1])
    if len(given) > 1:
        raise SettingError(f"{label} is not allowed beside FLYWHEEL_KEY: remove one of them.")
    if given == ["FLYWHEEL_KEY"]:
        return KeyRing.of(value, label)
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise SettingError(f"{label} is not allowed; allowed: an absolute path, of a file that only you can read.")
    return KeyRing.read(path, label)


def check_installed() -> None:
    """Check that what seals is installed.

    Raises:
        SettingError: it is not.

    """
    if not all(find_spec(name) for name in ("cryptography", "sqlcipher3")):
        raise SettingError(f"A key is given, and what seals is not installed: pip install '{EXTRA}'.")


def is_marked(folder: Path) -> bool:
    """Whether a folder is sealed, or just being sealed or unsealed."""
    return (folder / KEY_FILE).exists() or (folder / MARKER).exists()


def new_key() -> bytes:
    """Random bytes for a key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, data: bytes, about: str) -> bytes:
    """The data sealed: a nonce, the ciphertext and its mark."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # here: without a key it is not needed

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, about.encode())


def unseal(key: bytes, sealed: bytes, about: str, name: str = "") -> bytes:
    """The data in it.

    Raises:
        WrongKey: it was sealed with another key, about something else, or changed.

    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        which = f"the key {name!r} is another one, or " if name else ""
        raise WrongKey(f"{which}what is sealed was changed") from None


def _in_keyring(label: str) -> str:
    try:
        import keyring  # pyright: ignore[reportMissingImports]  many people have none

        text: object = keyring.get_password(SERVICE, ENTRY)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    except ImportError:
        raise SettingError(f"{label}=keyring is not allowed: pip install keyring, or name a key file.") from None
    except Exception as exc:  # noqa: BLE001  each keyring has errors of its own
        raise SettingError(f"{label}=keyring: the keyring does not answer ({type(exc).__name__}).") from None
    if not isinstance(text, str):
        raise SettingError(f"{label}=keyring: it has no entry {ENTRY!r} of {SERVICE!r}; `keys new --keyring` makes it.")
    return text


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WrongKey("what is sealed was changed") from None

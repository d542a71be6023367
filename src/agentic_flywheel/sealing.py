"""Seals texts and keys with named keys (AES-256-GCM): what is written under the newest key is opened by any of them.

A key ring is written `NAME:BASE64` (32 bytes), several of them with commas or on lines, the newest first.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field

from agentic_flywheel.errors import SettingError

KEY_BYTES = 32
NONCE_BYTES = 12
"""What AES-GCM takes (NIST SP 800-38D); random ones never meet twice under a data key that seals few texts."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class WrongKey(ValueError):  # noqa: N818  it is named for what is the matter
    """What is sealed cannot be opened: it names a key that is not here, or was changed."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by name, the newest first; never shown."""

    entries: tuple[tuple[str, bytes], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, label: str) -> "KeyRing":
        """Read a key ring; `label` is what an error calls the setting.

        Raises:
            SettingError: it is none; the message quotes nothing of it.

        """
        keys: dict[str, bytes] = {}
        for entry in re.split(r"[,\s]+", text.strip()):
            name, _, written = entry.partition(":")
            try:
                key = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not _NAME.fullmatch(name) or len(key) != KEY_BYTES or name in keys:
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

    def wrap(self, data_key: bytes, about: str) -> tuple[str, str]:
        """The name of the newest key, and the data key sealed with it, in base64; it opens with the same `about` only."""
        name, key = self.entries[0]
        return name, _text(seal(key, data_key, about))

    def unwrap(self, name: str, wrapped: str, about: str) -> bytes:
        """The data key.

        Raises:
            WrongKey: the key of that name is not here, or it is another one.

        """
        if (key := dict(self.entries).get(name)) is None:
            yours = ", ".join(name for name, _ in self.entries)
            raise WrongKey(f"it is sealed with the key {name!r}, which is not among yours ({yours})")
        return unseal(key, _bytes(wrapped), about, name)


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


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WrongKey("what is sealed was changed") from None

"""Says which Langfuse a process may write to: its address and keys, or in words why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

VARIABLES = ("LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
"""All three are needed, and they count together: keys never go to an address that was given elsewhere."""


@dataclass(frozen=True, slots=True)
class LangfuseAccess:
    """The address of a Langfuse, without a slash at its end, and the keys of a project in it, which are never shown."""

    host: str
    public_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @property
    def shown(self) -> str:
        """The address as answers name it: without a user and password in it."""
        parts = urlsplit(self.host)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def read_access(variables: Mapping[str, str]) -> LangfuseAccess | str:
    """What the three variables say; a sentence if one is missing or wrong, which never has its value."""
    host, public_key, secret_key = (variables.get(name, "").strip() for name in VARIABLES)
    missing = [name for name, text in zip(VARIABLES, (host, public_key, secret_key), strict=True) if not text]
    if missing:
        return f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not set"
    try:
        parts = urlsplit(host)
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well = False
    if not well or not host.isprintable():
        return "LANGFUSE_HOST is no address such as https://cloud.langfuse.com"
    if not all(key.isascii() and key.isprintable() for key in (public_key, secret_key)):
        return "a key of Langfuse has characters that no key has"
    return LangfuseAccess(host.rstrip("/"), public_key, secret_key)

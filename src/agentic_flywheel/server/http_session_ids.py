"""Makes the ids of the protocol's sessions, which say what an `initialize` said, and reads them again."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

SHOWN = 100
"""Characters of a client's name and version that its session's id keeps."""

_MARK = 16
"""Bytes of a signature."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What is kept of an `initialize`."""

    version: str = "2025-03-26"
    client: str = ""
    client_version: str = ""
    asks: bool = False
    """Whether the client can ask its person by a form."""

    @classmethod
    def of(cls, params: MutableMapping[str, Any]) -> "Handshake":
        """What these parameters of an `initialize` say; what makes no sense counts as absent."""
        info, capabilities = _object(params.get("clientInfo")), _object(params.get("capabilities"))
        asked = capabilities.get("elicitation")
        by_url_only = isinstance(asked, dict) and "url" in asked and "form" not in asked
        texts = (params.get("protocolVersion"), info.get("name"), info.get("version"))
        version, client, client_version = (str(each or "")[:SHOWN] for each in texts)
        return cls(version, client, client_version, asks=asked is not None and not by_url_only)

    @property
    def request(self) -> bytes:
        """The same as an `initialize`."""
        params: dict[str, Any] = {
            "protocolVersion": self.version,
            "capabilities": {"elicitation": {}} if self.asks else {},
            "clientInfo": {"name": self.client, "version": self.client_version},
        }
        return json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()


class SessionIds:
    """Makes the ids of sessions, and reads those that were made with the same key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def new(self, handshake: Handshake) -> str:
        """The id of a new session."""
        fields = [handshake.version, handshake.client, handshake.client_version, int(handshake.asks)]
        said = base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).rstrip(b"=").decode()
        begin = f"{secrets.token_urlsafe(12)}.{said}"
        return f"{begin}.{self._mark(begin)}"

    def read(self, session_id: str) -> Handshake | None:
        """What it says; `None` if it is no id of this namespace."""
        begin, _, mark = session_id.rpartition(".")
        if not hmac.compare_digest(mark.encode(errors="replace"), self._mark(begin).encode()):
            return None
        said = begin.partition(".")[2]
        version, client, client_version, asks = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        return Handshake(version, client, client_version, bool(asks))

    def _mark(self, begin: str) -> str:
        return hashlib.blake2b(begin.encode(errors="replace"), key=self._key, digest_size=_MARK).hexdigest()


def initialize_in(body: bytes) -> Handshake | None:
    """What an `initialize` says; `None` for any other message."""
    if b'"initialize"' not in body:
        return None
    try:
        message = _object(json.loads(body))
    except (ValueError, RecursionError):
        return None
    return Handshake.of(_object(message.get("params"))) if message.get("method") == "initialize" else None


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

"""Decides whose a request is, by its bearer token alone: the namespace, or nobody."""

import hashlib
import logging
from dataclasses import dataclass

from agentic_flywheel.server.http_jwt import Issuer
from agentic_flywheel.server.token_file import TokenFile, TokenFileError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """Whose a request is. `namespace` is part of key prefixes; empty where nobody needs a token."""

    namespace: str
    who: str
    """What its rate is counted by; `""`: by its address."""


OPEN = Access("", "")
"""Whoever asks, where only this machine can and there are no tokens: the store that its other programs use."""


class Gate:
    """Lets requests with a valid token in; without tokens and issuer everybody, until there is a file of tokens."""

    def __init__(self, tokens: TokenFile | None, issuer: Issuer | None) -> None:
        self._tokens = tokens
        self._issuer = issuer
        self._guarded = issuer is not None
        self._told = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token. A file of tokens ends that, also an empty one, until the server ends."""
        self._guarded = self._guarded or (self._tokens is not None and self._tokens.is_there)
        return not self._guarded

    async def access(self, headers: list[bytes]) -> Access | None:
        """Whose the request with these Authorization headers is; `None`: nobody's."""
        if self.is_open:
            return OPEN
        kind, _, token = headers[0].decode("latin-1").partition(" ") if len(headers) == 1 else ("", "", "")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return None
        if found := self._in_file(token):
            return found
        if self._issuer and token.count(".") == 2:
            subject = await self._issuer.subject_of(token)
            if subject is not None:
                name = f"jwt.{hashlib.blake2b(subject.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
                return Access(name, name)
        return None

    def _in_file(self, token: str) -> Access | None:
        if self._tokens is None:
            return None
        try:
            found = self._tokens.find(token)
        except TokenFileError as exc:  # then nobody comes in by it
            if str(exc) != self._told:
                logger.error("%s Until then no token of it is accepted.", exc)
                self._told = str(exc)
            return None
        self._told = ""
        return Access(f"ns.{found.namespace}", f"token {found.name}") if found else None

"""Checks JWTs of one issuer: audience, expiry, signature by one of its keys, which may be replaced at any time.

The keys are fetched when an unknown one is named, at most every `RETRY_SECONDS`, and again when they are old. A key's
own algorithm is the only one that counts, and none with a shared secret is allowed.
"""

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, cast

import jwt

from agentic_flywheel.server.http_options import is_safe_url

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those in which the issuer alone has what signs."""

MAX_JWT = 16_384
"""Characters of a JWT; what is longer is none."""

OLD_SECONDS = 3600.0
"""After this the keys are fetched again, so that one that was withdrawn is not trusted for ever."""

GONE_SECONDS = 24 * 3600.0
"""For so long keys are trusted while the issuer does not answer."""

RETRY_SECONDS = 10.0
"""From one fetch to the next, however many unknown keys are named."""

FETCH_SECONDS = 5.0
"""How long the issuer may take for an answer."""

FETCH_BYTES = 2**20
"""Of an issuer's answer."""

LEEWAY_SECONDS = 5
"""By how much the issuer's clock may differ from ours."""

METADATA = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class Issuer:
    """One issuer of JWTs, and the keys it signs with now."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        claim: str,
        jwks_url: str = "",
        fetch: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._audience, self._claim = issuer, audience, claim
        self._jwks_url = jwks_url
        self._fetch = fetch or fetch_json
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def subject_of(self, token: str) -> str | None:
        """What the claim of a valid token says; `None` for any other token."""
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_JWT else {}
        except jwt.PyJWTError:
            return None
        kid, algorithm = header.get("kid") or "", header.get("alg")
        if algorithm not in ALGORITHMS or not isinstance(kid, str):
            return None
        key = await self._key(kid)
        if key is None or key.algorithm_name != algorithm:
            return None
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        value = claims.get(self._claim)
        return value if isinstance(value, str) and value else None

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        now = self._clock()
        is_old = now - self._fetched > OLD_SECONDS
        if (is_old or self._named(kid) is None) and now - self._tried > RETRY_SECONDS and self._fetching is None:
            self._fetching = asyncio.create_task(self._refresh())
        if self._named(kid) is None and self._fetching:
            await asyncio.wait({self._fetching}, timeout=2 * FETCH_SECONDS)
        return self._named(kid) if self._clock() - self._fetched < GONE_SECONDS else None

    def _named(self, kid: str) -> jwt.PyJWK | None:
        if kid:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _refresh(self) -> None:
        self._tried = self._clock()
        try:
            self._keys = _keys_in(await asyncio.to_thread(self._fetch_keys))
            self._fetched = self._clock()
        except (OSError, ValueError, TypeError, KeyError, HTTPException, jwt.PyJWTError) as exc:
            logger.warning("The issuer's keys cannot be fetched (%s); those that are known go on.", type(exc).__name__)
        finally:
            self._fetching = None

    def _fetch_keys(self) -> Any:  # noqa: ANN401  JSON
        if self._jwks_url:
            return self._fetch(self._jwks_url)
        for place in METADATA:
            try:
                about = _object(self._fetch(self._issuer.rstrip("/") + place))
            except urllib.error.HTTPError:
                continue
            if about["issuer"] != self._issuer or not is_safe_url(str(about["jwks_uri"])):
                raise ValueError("the metadata is another issuer's, or its keys cannot be fetched safely")
            return self._fetch(about["jwks_uri"])
        raise ValueError("the issuer has no metadata")


def _keys_in(answer: Any) -> dict[str, jwt.PyJWK]:  # noqa: ANN401  JSON
    """The keys that may verify a signature, by their name; those of other kinds are left out."""
    keys: dict[str, jwt.PyJWK] = {}
    rows = _object(answer)["keys"]
    for row in cast("list[dict[str, Any]]", rows if isinstance(rows, list) else []):
        try:
            key = jwt.PyJWK.from_dict(_object(row))
        except (jwt.PyJWTError, TypeError):
            continue
        if key.algorithm_name in ALGORITHMS and row.get("use", "sig") == "sig":
            keys[str(row.get("kid") or "")] = key
    return keys


def _object(answer: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    if not isinstance(answer, dict):
        raise TypeError("no JSON object")
    return cast("dict[str, Any]", answer)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead inside of the network that the server stands in."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none."""


def fetch_json(url: str) -> Any:  # noqa: ANN401  JSON
    """What is there, blocking.

    Raises:
        OSError, ValueError, HTTPException: it cannot be read, is no JSON, or too long.

    """
    until = time.monotonic() + FETCH_SECONDS
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  checked: https
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=FETCH_SECONDS) as answer:
        body = b""
        while part := answer.read1(FETCH_BYTES):  # the timeout is for each part of it
            body += part
            if len(body) > FETCH_BYTES:
                raise ValueError("the answer is too long")
            if time.monotonic() > until:
                raise TimeoutError("the answer comes too slowly")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the answer nests too deep") from None

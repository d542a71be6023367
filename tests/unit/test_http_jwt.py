"""JWTs of one issuer: whose keys change, whose tokens are for us, of today, and signed by a key that only it has."""

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from agentic_flywheel.server import http_jwt
from agentic_flywheel.server.http_access import Gate
from agentic_flywheel.server.http_jwt import (
    FETCH_BYTES,
    GONE_SECONDS,
    OLD_SECONDS,
    RETRY_SECONDS,
    Issuer,
    fetch_json,
)

ISSUER, AUDIENCE = "https://login.example.org", "memory"


class Keys:
    """What the issuer signs with, and how often its keys were fetched."""

    def __init__(self) -> None:
        self.named: dict[str, Any] = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.fetched = 0
        self.down = False
        self.now = 0.0

    def fetch(self, url: str) -> Any:
        if self.down:
            raise OSError
        if "well-known" in url:
            return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        self.fetched += 1
        rows = []
        for kid, key in self.named.items():
            public = key.public_key()
            is_ec = isinstance(public, ec.EllipticCurvePublicKey)
            row = ECAlgorithm.to_jwk(public, as_dict=True) if is_ec else RSAAlgorithm.to_jwk(public, as_dict=True)
            rows.append({**row, "kid": kid, "use": "sig"})
        return {"keys": [*rows, {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}]}

    def issuer(self, **options: Any) -> Issuer:
        return Issuer(ISSUER, AUDIENCE, options.pop("claim", "sub"), fetch=self.fetch, clock=lambda: self.now)

    def token(self, kid: str = "one", *, algorithm: str = "ES256", key: Any = None, **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 60, "iat": now, **claims}
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key or self.named[kid], algorithm, headers={"kid": kid})


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def test_a_token_of_the_issuer_says_whose_it_is(keys: Keys):
    issuer = keys.issuer()
    assert await issuer.subject_of(keys.token()) == "ann"
    assert await keys.issuer(claim="team").subject_of(keys.token(team="red")) == "red"
    assert keys.fetched == 2


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example.org"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 10_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
async def test_any_other_token_is_nobodys(keys: Keys, claims: dict[str, Any]):
    try:
        token = keys.token(**claims)
    except TypeError:  # PyJWT makes no such token
        return
    assert await keys.issuer().subject_of(token) is None


async def test_another_algorithm_than_the_keys_own_is_refused(keys: Keys):
    issuer = keys.issuer()
    public = keys.named["one"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    hmac_key = pem.replace(b"-----", b"")  # PyJWT itself refuses to sign with the PEM
    assert await issuer.subject_of(keys.token(algorithm="HS256", key=hmac_key)) is None
    assert await issuer.subject_of(keys.token("shared", algorithm="HS256", key="secret" * 8)) is None
    assert await issuer.subject_of(jwt.encode({"sub": "ann"}, "", "none", headers={"kid": "one"})) is None
    keys.named["rsa"] = rsa.generate_private_key(65537, 2048)
    keys.now += RETRY_SECONDS + 1
    assert await issuer.subject_of(keys.token("rsa", algorithm="RS256")) == "ann"
    assert await issuer.subject_of(keys.token("rsa", algorithm="PS256")) is None
    assert await issuer.subject_of(keys.token("one", algorithm="RS256", key=keys.named["rsa"])) is None


async def test_a_new_key_is_fetched_but_not_for_each_wrong_name(keys: Keys):
    issuer = keys.issuer()
    assert await issuer.subject_of(keys.token())
    keys.named = {"two": ec.generate_private_key(ec.SECP256R1())}
    for _ in range(20):
        assert await issuer.subject_of(keys.token("two")) is None
    assert keys.fetched == 1
    keys.now += RETRY_SECONDS + 1
    assert await issuer.subject_of(keys.token("two")) == "ann"
    assert keys.fetched == 2


async def test_a_key_that_was_withdrawn_is_not_trusted_for_ever(keys: Keys):
    issuer = keys.issuer()
    old = keys.token()
    assert await issuer.subject_of(old)
    keys.named = {"two": ec.generate_private_key(ec.SECP256R1())}
    keys.now += OLD_SECONDS + 1
    await issuer.subject_of(keys.token("two"))
    assert await issuer.subject_of(old) is None


async def test_known_keys_go_on_for_a_day_while_the_issuer_is_away(keys: Keys):
    issuer = keys.issuer()
    token = keys.token()
    assert await issuer.subject_of(token)
    keys.down = True
    keys.now += OLD_SECONDS + 1
    assert await issuer.subject_of(token) == "ann"
    keys.now += GONE_SECONDS
    assert await issuer.subject_of(token) is None


@pytest.mark.parametrize(
    "row", [None, "key", 7, [], {}, {"kty": "EC"}, {"kty": ["EC"]}, {"kty": "EC", "x": 7}], ids=str
)
async def test_a_row_of_the_issuers_that_is_no_key_takes_none_of_its_keys_away(keys: Keys, row: Any):
    def fetch(url: str) -> Any:
        found = keys.fetch(url)
        return {"keys": [row, *found["keys"], row]} if "keys" in found else found

    issuer = Issuer(ISSUER, AUDIENCE, "sub", fetch=fetch)
    assert await issuer.subject_of(keys.token()) == "ann"


@pytest.mark.parametrize(
    "answer", [None, [], "keys", 7, {}, {"keys": None}, {"keys": "abc"}, {"keys": {"a": 1}}], ids=str
)
@pytest.mark.parametrize("place", ["well-known", "keys"])
async def test_an_answer_of_the_issuer_that_makes_no_sense_is_survived(
    keys: Keys, answer: Any, place: str, caplog: pytest.LogCaptureFixture
):
    issuer = Issuer(ISSUER, AUDIENCE, "sub", fetch=lambda url: answer if place in url else keys.fetch(url))
    assert await issuer.subject_of(keys.token()) is None
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"{", b"\xff", b"x" * (FETCH_BYTES + 1)], ids=["deep", "cut", "no text", "long"]
)
def test_what_is_no_json_of_a_size_is_said_to_be_none(body: bytes):
    with answering(body) as url, pytest.raises(ValueError):  # noqa: PT011  the promise is its kind
        fetch_json(url)


def test_an_issuer_that_sends_byte_by_byte_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_jwt, "FETCH_SECONDS", 0.3)
    with answering(b" " * 1000, pause=0.05) as url:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch_json(url)
        assert time.monotonic() - begun < 25, "half of what it would go on for"


@contextmanager
def answering(body: bytes, *, pause: float = 0) -> Iterator[str]:
    """The address of a server that answers with this body, byte by byte where there is a pause between two."""
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                for part in [body] if not pause else [body[at : at + 1] for at in range(len(body))]:
                    self.wfile.write(part)
                    if pause and done.wait(pause):
                        return

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        done.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("text", ["", "a.b.c", "..", "x" * 100_000, "é.é.é", "eyJhbGciOiJub25lIn0.e30."])
async def test_what_is_no_jwt_is_nobodys(keys: Keys, text: str):
    assert await keys.issuer().subject_of(text) is None


async def test_a_jwts_namespace_is_none_that_a_token_of_the_file_could_have(keys: Keys):
    gate = Gate(None, keys.issuer())
    access = await gate.access([f"Bearer {keys.token()}".encode()])
    assert access
    assert access.namespace.startswith("jwt.")
    assert await gate.access([b"Bearer nonsense"]) is None
    assert await gate.access([]) is None

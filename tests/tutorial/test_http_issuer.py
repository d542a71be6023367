"""JWTs at a running server: an issuer with its keys on this machine, and whose world a token opens."""

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp.shared.auth import ProtectedResourceMetadata

from agentic_flywheel.server.token_file import FILE_NAME, TokenFile
from agentic_flywheel.settings_file import PLACE

from ..support.http import bearer, headers_of, http_server, request, token_of, tool

AUDIENCE = "memory"


class LocalIssuer:
    """An issuer with one key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        answers = {"/.well-known/openid-configuration": self._about, "/keys": self._keys}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answers.get(self.path)
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found()).encode() if found else b"")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _about(self) -> dict[str, str]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def _keys(self) -> dict[str, Any]:
        return {"keys": [{**ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": "one"}]}

    def token(self, **claims: Any) -> str:
        told = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 60, **claims}
        return jwt.encode(told, self.key, "ES256", headers={"kid": "one"})


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    made = LocalIssuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_a_jwt_opens_the_world_of_its_subject_and_no_other(disabled_env: dict[str, str], issuer: LocalIssuer):
    file_token = token_of(disabled_env, "ann")
    with http_server(disabled_env, "--issuer", issuer.url, "--audience", AUDIENCE) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            for token, words in ((file_token, "beans"), (issuer.token(), "apples"), (issuer.token(sub="Ann"), "thyme")):
                turns = [{"role": "user", "content": words}]
                assert (await tool(http, server.url, "save_session", token, session_id="garden", history=turns))[
                    "saved"
                ]
            for token, words in ((file_token, "beans"), (issuer.token(), "apples"), (issuer.token(sub="Ann"), "thyme")):
                found = await tool(http, server.url, "resume_session", token)
                assert [turn["content"] for turn in found["session"]["history"]] == [words]
            stranger = ec.generate_private_key(ec.SECP256R1())
            told = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 60}
            for wrong in (
                issuer.token(exp=int(time.time()) - 60),
                issuer.token(aud="another"),
                issuer.token(iss="https://evil.example.org"),
                jwt.encode(told, stranger, "ES256", headers={"kid": "one"}),
                jwt.encode(told, "a shared secret of thirty-two bytes", "HS256", headers={"kid": "one"}),
                jwt.encode(told, "", "none", headers={"kid": "one"}),
            ):
                begun = time.perf_counter()
                answer = await http.post(
                    server.url, json=request("tools/list"), headers=headers_of("tools/list") | bearer(wrong)
                )
                assert answer.status_code == 401
                assert "evil" not in answer.text
                assert time.perf_counter() - begun < 10


@pytest.mark.parametrize(
    ("audience", "resource", "place"),
    [
        (AUDIENCE, "{root}/mcp", "{root}/.well-known/oauth-protected-resource/mcp"),
        (
            "https://memory.example.org/mcp",
            "https://memory.example.org/mcp",
            "https://memory.example.org/.well-known/oauth-protected-resource/mcp",
        ),
    ],
)
async def test_a_client_without_a_token_is_told_where_to_get_one(
    disabled_env: dict[str, str], issuer: LocalIssuer, audience: str, resource: str, place: str
):
    with http_server(disabled_env, "--issuer", issuer.url, "--audience", audience) as server:
        root = server.url.removesuffix("/mcp")
        async with httpx2.AsyncClient(timeout=30) as http:
            refused = await http.post(server.url, json=request("tools/list"), headers=headers_of("tools/list"))
            assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="{place.format(root=root)}"'
            for path in ("", "/mcp"):
                told = (await http.get(f"{root}/.well-known/oauth-protected-resource{path}")).json()
                assert told["resource"] == resource.format(root=root)
                assert told["authorization_servers"] == [issuer.url]
                ProtectedResourceMetadata.model_validate(told)
            assert (await http.get(f"{root}/.well-known/oauth-authorization-server")).status_code == 404
            strange = await http.get(
                f"{root}/.well-known/oauth-protected-resource", headers={"host": "evil.example.org"}
            )
            assert strange.status_code == 421


async def test_where_no_issuer_is_named_nothing_is_said_of_one(disabled_env: dict[str, str]):
    token_of(disabled_env, "ann")
    with http_server(disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            refused = await http.post(server.url, json=request("tools/list"), headers=headers_of("tools/list"))
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            about = await http.get(f"{server.url.removesuffix('/mcp')}/.well-known/oauth-protected-resource")
            assert about.status_code == 404


def wrong_headers(env: dict[str, str], issuer: LocalIssuer) -> dict[str, str]:
    """Authorization headers of nobody, by what is wrong with them; the file has two hundred valid tokens beside."""
    path = Path(env["HOME"]) / PLACE.parent / FILE_NAME
    file = TokenFile(path)
    good, gone, old = (file.add(name, "team") for name in ("good", "gone", "old"))
    file.revoke("gone")
    content = json.loads(path.read_text())
    for row in content["tokens"]:
        row["expires"] = 1 if row["name"] == "old" else None
    content["tokens"] += [{**content["tokens"][0], "name": f"t{number}"} for number in range(200)]
    path.write_text(json.dumps(content))
    stranger = ec.generate_private_key(ec.SECP256R1())
    told: dict[str, Any] = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 60}
    tokens = {
        "wrong": "afs_wrong",
        "long": "x" * 6_000,
        "revoked": gone,
        "expired": old,
        "JWT, expired": issuer.token(exp=int(time.time()) - 60),
        "JWT, another audience": issuer.token(aud="another"),
        "JWT, another issuer": issuer.token(iss="https://evil.example.org"),
        "JWT, another signs": jwt.encode(told, stranger, "ES256", headers={"kid": "one"}),
        "JWT, an unknown key": jwt.encode(told, stranger, "ES256", headers={"kid": "two"}),
        "JWT, another algorithm": jwt.encode(told, "x" * 32, "HS256", headers={"kid": "one"}),
        "JWT, no algorithm": jwt.encode(told, "", "none", headers={"kid": "one"}),
    }
    return {"none": "", "another kind": f"Basic {good}"} | {why: f"Bearer {each}" for why, each in tokens.items()}


def test_who_has_no_valid_token_hears_so_in_under_five_milliseconds(disabled_env: dict[str, str], issuer: LocalIssuer):
    wrong = wrong_headers(disabled_env, issuer)
    took: dict[str, list[float]] = {why: [] for why in wrong}
    body = json.dumps(request("tools/list"))
    with http_server(disabled_env, "--issuer", issuer.url, "--audience", AUDIENCE) as server:
        asked = HTTPConnection("127.0.0.1", server.port, timeout=30)
        for number, why in enumerate([*wrong] * 60):
            headers = headers_of("tools/list") | ({"authorization": wrong[why]} if wrong[why] else {})
            begun = time.perf_counter()
            asked.request("POST", "/mcp", body, headers)
            answer = asked.getresponse()
            said = answer.read()
            took[why].append(time.perf_counter() - begun)
            assert (answer.status, b"A valid bearer token is needed." in said) == (401, True), (why, number)
        asked.close()
    # Of each the fastest third: how long it takes this program, whatever else the machine does meanwhile.
    assert {why: each for why, each in took.items() if sorted(each)[20] > 0.005} == {}

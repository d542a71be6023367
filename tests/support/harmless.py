"""What looks like a credential at first sight and is none: ids, hashes, images, code, placeholders, talk about keys."""

import base64
import hashlib
import importlib
import inspect
import pydoc_data.topics
import uuid
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from .harmless_texts import CODE_BLOCKS, CODE_LINES, OBJECTS, PLACEHOLDERS, PROSE, TYPES
from .secrets import ALNUM, BASE64, DIGITS, HEX, UPPER, URL_SAFE, WORDS, Item, chars

MODULES = """
argparse ast asyncio.base_events asyncio.sslproto base64 calendar codecs configparser copy csv dataclasses
email.message enum ftplib functools getpass gzip hashlib hmac http.client http.cookiejar http.cookies
http.server imaplib inspect ipaddress json.decoder json.encoder logging logging.config mailbox netrc pathlib
pickle platform poplib random secrets shlex shutil smtplib socketserver sqlite3 ssl statistics string
subprocess tarfile tempfile textwrap tokenize token traceback typing urllib.parse urllib.request uuid
webbrowser wsgiref.handlers xmlrpc.client zipfile
"""
"""Of the standard library; those that speak of passwords, keys and tokens are among them on purpose."""

EACH = 60  # items of a generated kind in each half


def sha(random: Random, bits: str = "sha256") -> str:
    return hashlib.new(bits, random.randbytes(8), usedforsecurity=False).hexdigest()


def word(random: Random) -> str:
    return random.choice(WORDS)


def git(random: Random) -> str:
    one, other = sha(random, "sha1"), sha(random, "sha1")
    return random.choice(
        [
            f"commit {one}\nAuthor: Ana <ana@example.org>\nDate:   Thu Nov 5 12:00:00 2026\n\n    Fix the token count",
            f"{one} refs/heads/{word(random)}",
            f"It broke between {one[:12]} and {other}.",
            f"index {one[:7]}..{other[:7]} 100644\n--- a/src/auth/tokens.py\n+++ b/src/auth/tokens.py",
            f"git cherry-pick {one} && git revert {other}",
            f'"resolved_sha": "{one}", "parent": "{other}"',
        ]
    )


def ids(random: Random) -> str:
    one = uuid.UUID(int=random.getrandbits(128), version=4)
    ulid = "01J" + chars(random, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23)
    return random.choice(
        [
            f"session {one} resumed",
            f'{{"id": "{one}", "request_id": "req_{chars(random, ALNUM, 24)}"}}',
            f"https://app.example.org/o/{one}/runs/{ulid}",
            f"trace_id={one.hex} span_id={one.hex[:16]}",
            f"traceparent: 00-{one.hex}-{one.hex[16:]}-01",
            f"order {ulid} was sent as {chars(random, URL_SAFE, 21)}",
            f"key: agentic_flywheel:session:{one}",
            f"ObjectId('{chars(random, HEX, 24)}')",
            f"chatcmpl-{chars(random, ALNUM, 29)} call_{chars(random, ALNUM, 24)} toolu_01{chars(random, ALNUM, 22)}",
            f"thread_{chars(random, ALNUM, 24)}, run_{chars(random, ALNUM, 24)}, file-{chars(random, ALNUM, 22)}",
            f"cus_{chars(random, ALNUM, 14)} paid pi_3{chars(random, ALNUM, 23)} with pm_1{chars(random, ALNUM, 23)}",
            f"AC{chars(random, HEX, 32)} sent SM{chars(random, HEX, 32)}",
            f"U{chars(random, UPPER, 10)} in C{chars(random, UPPER, 9)}: ok (ts 176234.{chars(random, DIGITS, 6)})",
        ]
    )


def checksums(random: Random) -> str:
    raw = hashlib.sha512(random.randbytes(8)).digest()
    integrity = base64.b64encode(raw).decode()
    return random.choice(
        [
            f"{sha(random)}  {word(random)}-1.2.tar.gz",
            f"md5 {sha(random, 'md5')}, sha1 {sha(random, 'sha1')}",
            f'"integrity": "sha512-{integrity}",\n"dev": true',
            f"integrity sha512-{integrity}",
            f'<script src="a.js" integrity="sha384-{integrity[:64]}" crossorigin="anonymous"></script>',
            f"    --hash=sha256:{sha(random)} \\\n    --hash=sha256:{sha(random)}",
            f'{{file = "a-1.whl", hash = "sha256:{sha(random)}"}},',
            f"image: registry.example.org/app@sha256:{sha(random)}",
            f"go.sum: example.org/x v1.2.3 h1:{base64.b64encode(raw[:32]).decode()}",
            f'checksum = "{sha(random)}"',
            f'ETag: "{sha(random, "md5")}"',
        ]
    )


def binary(random: Random) -> str:
    data = base64.b64encode(random.randbytes(random.choice([60, 300, 2000]))).decode()
    return random.choice(
        [
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA" + data,
            "![chart](data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ" + data + ")",
            "data:font/woff2;base64,d09GMgABAAAAA" + data,
            '{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo'
            + data
            + '"}}',
            "\n".join(data[start : start + 76] for start in range(0, len(data), 76)),
            "-----BEGIN CERTIFICATE-----\n" + data + "\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\n" + data + "\n-----END PUBLIC KEY-----",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + chars(random, BASE64, 43) + " ana@laptop",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB" + data,
            " ".join(f"{byte:02x}" for byte in random.randbytes(24)),
        ]
    )


def identifiers(random: Random) -> str:
    some = random.sample(WORDS, 5)
    return random.choice(
        [
            "".join(part.capitalize() for part in some) + "ConfigurationFactoryBean2Impl",
            "_".join(some).upper() + "_MAX_TOKENS_PER_REQUEST=4096",
            "-".join(some) + "-7d9f8b6c5d-x2x9z",
            ".".join(some) + ".authentication.TokenizerFast",
            "/home/ana/" + "/".join(some) + "/password_reset_view.py",
            "s3://" + "-".join(some) + "/2026/11/05/part-00000-of-00128.parquet",
            "arn:aws:iam::123456789012:role/" + "-".join(some),
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:" + some[0] + "-AbCdEf",
            "projects/" + some[0] + "/secrets/db-password/versions/3",
            "vault kv get secret/" + "/".join(some[:3]),
            "kubectl get secret " + some[0] + "-tls -o yaml",
            "sk-" + "-".join(some) + " is a CSS class of this page",
            "sk-" + "".join(some),
            "hf_" + "_".join(some[:3]),
            "npm_config_" + "_".join(some[:3]),
        ]
    )


def addresses(random: Random) -> str:
    number = chars(random, DIGITS, 9)
    return random.choice(
        [
            f"{word(random)}.{word(random)}+{number}@example.org",
            f"Call +49 {number[:3]} {number[3:]} or (415) 555-{number[:4]}",
            f"https://example.org/{word(random)}?page=2&sort=-created_at&q=api+key&utm_source=news{number}#token",
            f"https://{word(random)}@example.org/repo.git",
            f"git@github.com:{word(random)}/{word(random)}.git",
            "redis://localhost:6379/0",
            f"http://{word(random)}.example.org:8080/a:b@c/{number}",
            f"DATABASE_URL=postgresql://{word(random)}@localhost/{word(random)}",
            f"IBAN DE89 3704 0044 {number[:4]} 0130 00, BIC COBADEFFXXX",
            f"0x{chars(random, HEX, 40)} and bc1q{chars(random, 'qpzry9x8gf2tvdw0s3jn54khce6mua7l', 38)}",
            "fe80::1ff:fe23:4567:890a, 00:1A:2B:3C:4D:5E, 10.0.0.1:6379",
            f"https://docs.example.org/document/d/1{chars(random, URL_SAFE, 43)}/edit?v={chars(random, URL_SAFE, 11)}",
            f"https://{word(random)}.s3.amazonaws.com/a%20b/{uuid.UUID(int=random.getrandbits(128))}.png",
        ]
    )


def lookalikes(random: Random) -> str:
    """The shape of a credential, published by its vendor as no secret, or a placeholder of the same length."""
    return random.choice(
        [
            "pk_" + "live_" + chars(random, ALNUM, 24),
            "pk_" + "test_" + chars(random, ALNUM, 24),
            "pk-" + "lf-" + str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "AKIAIOSFODNN7" + "EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
            "sk-" + "x" * random.randrange(20, 48),
            "OPENAI_API_KEY=sk-" + "." * 3,
            "sk-" + "ant-api03-" + random.choice(["...", "xxxxxxxxxxxxxxxxxxxxxxxx", "YOUR-KEY-HERE", "…"]),
            "ghp_" + random.choice(["x" * 36, "*" * 36, "YOUR_TOKEN_HERE", "your_personal_access_token_goes_here0"]),
            "Authorization: Bearer " + random.choice(["<token>", "$TOKEN", "{token}", "YOUR_ACCESS_TOKEN", "..."]),
            f"a.b.c {word(random)}.{word(random)}.{word(random)} 1.22.333",
            f"{chars(random, ALNUM, 24)}.{chars(random, ALNUM, 6)}.{chars(random, ALNUM, 8)}.js",
            f"The build is {chars(random, ALNUM, 40)} now",
            f"nonce-{chars(random, BASE64, 22)}==",
            "xoxb-" + "your-token-here",
            "AIza" + random.choice(["...", "SyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"]),
            "glpat-" + "x" * 20,
            "postgresql://user:"
            + random.choice(["password", "${DB_PASSWORD}", "****", "<password>", "pass"])
            + "@localhost/db",
        ]
    )


def beginnings(random: Random) -> str:
    """What begins as keys of vendors do: names, publishable keys, placeholders."""
    some = random.sample(WORDS, 4)
    return random.choice(
        [
            f"{random.choice(['ak', 're', 'fw', 'pat', 'rnd', 'sk', 'nfp', 'pnu', 'e2b'])}_" + "_".join(some),
            f"{random.choice(['api', 'sdk', 'key', 'pul', 'ico', 'fc', 'xai', 'pplx'])}-" + "-".join(some),
            f"{random.choice(['pat', 'sat', 'sl', 'dp.pt', 'v1.0', 'dt0c01'])}." + ".".join(some),
            "ak_" + "".join(some)[:20].ljust(20, "x"),
            "phc_" + chars(random, ALNUM, 43) + " is the project's public key",
            "pk" + ".eyJ" + chars(random, ALNUM, 60) + "." + chars(random, ALNUM, 22),
            "sb" + "_publishable_" + chars(random, ALNUM, 22) + "_" + chars(random, ALNUM, 8),
            "FLWPUBK" + "_TEST-" + chars(random, HEX, 32) + "-X",
            random.choice(["tvly-", "pplx-", "xai-", "gsk_", "nvapi-", "fw_"]) + "x" * random.randrange(20, 60),
            random.choice(["TAVILY_API_KEY=tvly-", "XAI_API_KEY=xai-"]) + "your-api-key-goes-here-123456",
            f"pip install pat-{word(random)}==1.2 sdk-{word(random)}-{word(random)}-{word(random)}",
            f"cache key-{word(random)}-{word(random)}-{random.randrange(10**9)}",
            f"EAAA{'A' * 24}{chars(random, BASE64, 20)}/{chars(random, BASE64, 60)}",
            f"cio{''.join(some)} and oy2{''.join(some)}",
        ]
    )


def minified(random: Random) -> str:
    names = [chars(random, ALNUM[:52], 2) for _ in range(6)]
    a, b, c, d, e, f = names
    return random.choice(
        [
            f"!function({a},{b}){{var {c}={a}.key||{b}.token,{d}=e.secret?t:{f};return {c}.password={d},{e}({c})}}();",
            f'const {a}=e=>e.password,{b}=t=>({{...t,apiKey:e.apiKey,token:n}}),{c}="{word(random)}";',
            f".{a}{{color:#{chars(random, HEX, 6)};background:url(/i/{chars(random, HEX, 20)}.{d}.png)}}",
            f'{{"version":3,"sources":["a.ts"],"mappings":"{chars(random, BASE64, 60)},{e};AAAA"}}',
            f'<path d="M12.1 4.{random.randrange(99)}c-3.2 1.1-4.5 2.8z" fill="#{chars(random, HEX, 6)}"/>',
            f"password:{a}.password,secret:{b}(e),accessToken:this.{c}.accessToken,clientSecret:void 0",
        ]
    )


def numbers(random: Random) -> str:
    rows = [f"{random.random():.15f}" for _ in range(6)]
    return random.choice(
        [
            "[" + ", ".join(rows) + "]",
            f"| tokens | {random.randrange(10**6)} | {rows[0]} |\n| keys | {random.randrange(10**6)} | {rows[1]} |",
            f"prompt_tokens={random.randrange(9999)}, completion_tokens: {random.randrange(9999)}, max_tokens = 20000",
            f"2026-11-05T12:00:00.{rows[0][2:8]}+00:00 INFO auth: token refreshed in {random.randrange(999)} ms",
            f"{random.getrandbits(200)}",
        ]
    )


GENERATED: dict[str, Callable[[Random], str]] = {
    "git SHAs and diffs": git,
    "UUIDs, ULIDs, ids of services": ids,
    "checksums, lockfiles, integrity": checksums,
    "base64 images, certificates, public keys": binary,
    "long identifiers, paths, names of secrets": identifiers,
    "emails, phones, URLs, addresses": addresses,
    "vendor fixtures, placeholders of a key's shape": lookalikes,
    "names and public keys that begin as vendors' keys": beginnings,
    "minified code, source maps, SVG": minified,
    "numbers, tables, logs": numbers,
}


def chunks(lines: list[str], random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        start = random.randrange(max(1, len(lines) - 12))
        text = "\n".join(lines[start : start + random.randrange(1, 13)])
        yield text or "pass"


def source(random: Random) -> Iterator[tuple[str, str, bool]]:
    """Pieces of the standard library's code and of the language reference; a module is of one half only."""
    for position, name in enumerate(MODULES.split()):
        lines = inspect.getsource(importlib.import_module(name)).splitlines()
        for text in chunks(lines, random, 10):
            yield "standard library code", text, position % 2 == 1
        # Every line that names a credential, whatever the odds of drawing it.
        telling = [line for line in lines if any(said in line.lower() for said in ("passw", "secret", "token", "auth"))]
        for line in telling[:12]:
            yield "standard library, lines that name credentials", line, position % 2 == 1
    for position, topic in enumerate(sorted(pydoc_data.topics.topics)):
        for text in chunks(pydoc_data.topics.topics[topic].splitlines(), random, 3):
            yield "documentation", text, position % 2 == 1


def harmless(seed: int) -> Iterator[Item]:
    """Every kind of harmless value, in both halves."""
    random = Random(seed)
    for held_out in (False, True):
        for kind, make in GENERATED.items():
            for _ in range(EACH):
                yield Item(kind, make(random), "", held_out)
    for kind, text, held_out in source(random):
        yield Item(kind, text, "", held_out)
    written: dict[str, Sequence[str] | Sequence[dict[str, Any]]] = {
        "talk about credentials": PROSE,
        "code that reads or describes credentials": [*CODE_LINES, *CODE_BLOCKS],
        "placeholders": PLACEHOLDERS,
        "types and schemas": TYPES,
        "objects": OBJECTS,
    }
    for kind, values in written.items():
        for position, value in enumerate(values):
            yield Item(kind, value, "", position % 2 == 1)

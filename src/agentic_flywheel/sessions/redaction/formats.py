"""Finds credentials by their shape: the formats of services, tokens, private keys, addresses with a password."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from functools import cache

from agentic_flywheel.sessions.redaction.known_formats import KNOWN, UNPREFIXED
from agentic_flywheel.sessions.redaction.names import is_random, is_stand_in

Span = tuple[int, int, str]
"""Where in a text a secret begins and ends, and its kind."""

_WORD_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
_WORDS = bytes(97 if byte in _WORD_BYTES else 32 for byte in range(256))
_LONG = b"a" * 20
"""The shortest format below, an AWS access key id, is so long. Prose has next to no such words: most texts end here."""

_BEGINNING = 2
"""Characters that are looked up first: next to no long word of a text begins as a credential does."""


def _by_beginning() -> dict[str, list[tuple[str, str]]]:
    """By how they begin, the kinds and patterns of formats."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, beginnings, rest in KNOWN:
        for beginning in beginnings.split():
            found.setdefault(beginning[:_BEGINNING], []).append((kind, re.escape(beginning) + f"(?:{rest})"))
    return found


def _alternatives(formats: Sequence[tuple[str, str]]) -> tuple[re.Pattern[str], list[str]]:
    pattern = "|".join(f"({pattern})" for _, pattern in formats)
    return re.compile(f"(?:{pattern})(?![A-Za-z0-9_])", re.ASCII), [kind for kind, _ in formats]


_BY_BEGINNING = _by_beginning()


@cache
def _beginning_with(beginning: str) -> tuple[re.Pattern[str], list[str]]:
    """The formats that begin so as one pattern, and the kind of each of its groups; compiled when it is first met."""
    return _alternatives(_BY_BEGINNING[beginning])


_OTHERS = _alternatives(UNPREFIXED)
_GLUED = re.compile(r"(?:(?:KEY|BLOCK)-----|(?<=\\)[nrt]|(?<=%)[0-9A-Fa-f]{2})?[._-]*")
"""What can stand at the beginning of a long word without being of it: `\\n`, `%20`, an ellipsis, the end of a PEM."""

_AWS_SECRET = re.compile(r"(?<![\w/+])[A-Za-z0-9/+]{40}(?![\w/+=])")
_AWS_NEAR = 120
"""Characters after an access key id in which its secret is looked for; alone it could be any hash."""

_WEBHOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]+"
    r"|discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]+/)\Z",
    re.ASCII,
)
_WEBHOOK_LENGTH = 80
"""Characters of a webhook's address before the last part of its path, which is the secret."""

_BEARER = re.compile(r"[\w.~+/=-]{20,}")


def long_words(raw: bytes) -> bytes:
    """The text with every character of a word made `a`, ready for `shapes_in`; empty if no word is long enough."""
    words = raw.translate(_WORDS)
    return words if _LONG in words else b""


def shapes_in(text: str, words: bytes) -> Iterator[Span]:
    """Formats, webhooks and bearer tokens, in a text whose long words (`long_words`) are given."""
    end = 0
    while (start := words.find(_LONG, end)) >= 0:
        end = words.find(b" ", start)
        end = len(words) if end < 0 else end
        if known := _format_at(text, start, end):
            yield known
            _, end, kind = known
            if kind == "AWS access key id" and (secret := _AWS_SECRET.search(text, end, end + _AWS_NEAR)):
                yield secret.start(), secret.end(), "AWS secret access key"
        elif text[start - 1 : start] == "/" and _WEBHOOK.search(text, max(0, start - _WEBHOOK_LENGTH), start):
            yield start, end - text[start:end].endswith("."), "webhook"
        elif text[start - 7 : start].lower() == "bearer " and (token := _BEARER.match(text, start)):
            end = token.end()
            if _is_secret(token[0]):
                yield token.start(), end, "authorization"


def _format_at(text: str, start: int, end: int) -> Span | None:
    """The secret of a published format with which the word at `start` begins."""
    glued = _GLUED.match(text, start, end)
    for first in sorted({glued.end() if glued else start, start}):  # what looks glued to it may be its own beginning
        beginning = text[first : first + _BEGINNING]
        for pattern, kinds in (_beginning_with(beginning), _OTHERS) if beginning in _BY_BEGINNING else (_OTHERS,):
            match = pattern.match(text, first)
            if match and match.lastindex and _is_genuine(kind := kinds[match.lastindex - 1], match[0]):
                return match.start(), match.end(), kind
    return None


def _is_secret(token: str) -> bool:
    return is_random(token, piece=8) and not is_stand_in(token)


def _is_genuine(kind: str, value: str) -> bool:
    if len(set(value)) < 8 or is_stand_in(value) or (value.islower() and not any(map(str.isdigit, value))):
        return False
    match kind:
        case "JWT":
            return b'"alg"' in _decoded(value.partition(".")[0])
        case "Discord bot token":
            return _decoded(value.partition(".")[0]).isdigit()
        case "Composio key":
            return not value[4:].islower() and not value[4:].isupper()
        case "OpenAI key":
            return any(map(str.isdigit, value))
        case _:
            return True


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return b""


_BLOCK = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?-----
    (                                              # lines, or what they are between quotes in code and JSON
        (?: (?: [\s"',>|] | \\+[nrt] | (?<=\s)\+(?=\s) )++
            (?: [A-Za-z0-9+/=]{16,}+ | (?:Proc-Type|DEK-Info|Version|Comment):\ [^\n\\]{0,80} ) )+
    )
    (?: (?: (?: [\s"',>|] | \\+[nrt] )++ [A-Za-z0-9+/=]{1,15}+ ){0,2}
        (?: [\s"',>|+] | \\+[nrt] )*+ -----END\ [A-Z0-9 ]{0,30}----- )?
    """,
    re.VERBOSE,
)
_BLOCK_LENGTH = 40
"""Characters of the shortest key after its first line; talk about such files has fewer."""

_ADDRESS = re.compile(r"://([^\s:/?#@\"'<>`]{0,128}+):((?:[^\s/@\"'<>`]{1,256}+@){1,3}+)(?=[\w.\[%-])")

_CURL_USER = re.compile(r"""-(?<=\s-)(?:u|-user)[ =]{1,2}["']?[^\s:"'$]{1,64}:([^\s"'$]{4,256})""")


def blocks_in(text: str) -> Iterator[Span]:
    """Private keys in PEM, whole: from the first line to the last, or to where the text was cut."""
    for match in _BLOCK.finditer(text):
        if len(match[1]) >= _BLOCK_LENGTH:
            yield match.start(), match.end(), "private key"


def addresses_in(text: str) -> Iterator[Span]:
    """The passwords of addresses."""
    for match in _ADDRESS.finditer(text):
        user, secret = match[1], match[2][:-1]
        if secret not in (user, "guest") and not is_stand_in(secret):
            yield match.start(2), match.end(2) - 1, "password"


def curl_users_in(text: str) -> Iterator[Span]:
    """The passwords of `curl -u name:password`."""
    for match in _CURL_USER.finditer(text):
        if not is_stand_in(match[1]):
            yield *match.span(1), "password"

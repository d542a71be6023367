"""Finds the credentials in one text, and takes them out of it."""

from agentic_flywheel.sessions.redaction.assignments import assignments_in
from agentic_flywheel.sessions.redaction.formats import (
    Span,
    addresses_in,
    blocks_in,
    curl_users_in,
    long_words,
    shapes_in,
)
from agentic_flywheel.sessions.redaction.names import MAX_NAME, credential_named, is_random, is_stand_in

_SHORTEST = 8
"""Characters of a text in which anything could be found: a name, a sign and a value."""

_SHORTEST_WEAK = 12
"""Characters of a credential under a name that often means something else: `token`, `auth`, `pass`."""

_MARK = "[redacted: "


def spans(text: str) -> list[Span]:
    """Where credentials are, in order and apart. Of two kinds in one place, the format of a service is named."""
    if len(text) < _SHORTEST:
        return []
    # A byte a character, so that places stay the same; credentials are ASCII. Bytes are searched several times faster,
    # and the cheapest sign of each kind is looked for before the kind is.
    raw = text.encode() if text.isascii() else text.encode("latin-1", "replace")
    folded = raw.lower()
    found: list[Span] = []
    if words := long_words(raw):
        found += shapes_in(text, words)
    found += blocks_in(text) if b"-----BEGIN" in raw else ()
    found += addresses_in(text) if b"@" in raw else ()
    found += curl_users_in(text) if b"curl " in folded else ()
    found += assignments_in(text, folded)
    return _apart(found)


def _apart(found: list[Span]) -> list[Span]:
    apart: list[Span] = []
    for start, end, kind in sorted(found, key=lambda span: span[0]):
        if apart and start < apart[-1][1]:
            first, last, known = apart.pop()
            start, end, kind = first, max(last, end), known
        apart.append((start, end, kind))
    return apart


def kind_under(name: str, value: str) -> str | None:
    """What kind of credential a whole text is because of the name (the key of an object) that it stands under."""
    credential = credential_named(name[-MAX_NAME:])
    if not credential or _MARK in name or is_stand_in(value):
        return None
    if not credential.strong and (len(value) < _SHORTEST_WEAK or not is_random(value, piece=8)):
        return None
    return credential.kind


_ROUNDS = 4
"""The first finds all but what is glued to another credential, and begins only where that one ended."""


def without_credentials(text: str) -> tuple[str, list[str]]:
    """The text with each credential replaced, and the kinds of them; the same text if there was none."""
    kinds: list[str] = []
    for _ in range(_ROUNDS):
        found = spans(text)
        if not found:
            break
        pieces: list[str] = []
        done = 0
        for start, end, kind in found:
            pieces += text[done:start], mark(kind)
            done = end
        text = "".join([*pieces, text[done:]])
        kinds += [kind for _, _, kind in found]
    return text, kinds


def mark(kind: str) -> str:
    """What stands where a credential stood."""
    return f"{_MARK}{kind}]"

"""Names things: which ids are allowed, the Redis key of each document, globs on ids.

    <prefix>:session:<session_id>                one session document
    <prefix>:execution:<execution_id>            one execution
    <prefix>:history:<session_id>:<flow_id>      the executions of a flow in a session
    <prefix>:tombstone:<rest of the dead key>    that the document under that key was deleted
    <prefix>:revision:<session_id>:<revision>    an older revision of a session
    <prefix>:index, <prefix>:index:notes         the sessions by time of their last save; one listing row each
    <prefix>:index:executions:<session_id>       the keys of a session's executions, for its deletion
    <prefix>:deletions                           the newest tombstones, as a stream
    <prefix>:epoch                               a random text: another one, or none, and Redis has lost everything
    <prefix>:ended:<digest>                      that a client over HTTP ended this session of the protocol

Ids stand in keys as they are. Only where another part follows (history and revision keys) the session id is escaped
(`%` and `:`), because only there could two pairs of ids meet in one key. The tombstone of an execution or a flow
history names it by a digest, because it outlives what was deleted.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.plain_text import first_hidden

MAX_ID_LENGTH = 512
"""Characters of an id. Redis allows far more; a listing that a person reads does not."""

PREFIX_RULE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
"""Prefixes never hold a glob character, so a prefix may stand in a pattern unescaped."""

_REVISION = re.compile(r"(.*?):(?:session|execution|history|(revision)):(.*):\d+", re.DOTALL)
"""The key of an older revision, if it has the second group; no prefix has a kind of document behind a colon."""

RESERVED = frozenset({
    "session", "execution", "history", "tombstone", "revision", "index", "deletions", "epoch",
})  # fmt: skip
"""Parts that no prefix may have after a colon: `p:session` would share keys with the ids `session:…` of `p`."""


def check_id(value: str, name: str) -> str:
    """The id itself if it is allowed.

    Raises:
        InvalidArgument: with the rule, naming the argument `name` and the offending place.

    """
    rule = f"{name} must be 1 to {MAX_ID_LENGTH} characters without control characters"
    if not value:
        raise InvalidArgument(f"{rule}; it is empty.")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidArgument(f"{rule}; it has {len(value)}.")
    for position, character in enumerate("" if value.isascii() and value.isprintable() else value):
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidArgument(f"{rule}; it has U+{ord(character):04X} at position {position}.")
    return value


def id_of(program: str, own: str) -> str:
    """The id here of what another program calls `own`: always the same, and with `own` in it where that is allowed."""
    try:
        made = check_id(f"{program}-{own}", "session_id")
        refuse_hidden(made, "session_id")
    except InvalidArgument:
        return f"{program}-{hashlib.blake2b(own.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
    return made


def question_id(answer: str) -> str:
    """The id of the turn that asked for the answer of that id, where its program does not tell its own."""
    return f"{answer}/question"


def refuse_hidden(value: str, name: str) -> None:
    """Refuse an id that is new and has a character that nobody sees.

    Raises:
        InvalidArgument: names the argument, the character and its place.

    """
    if (position := first_hidden(value)) is not None:
        raise InvalidArgument(
            f"{name} must have no character that is invisible or turns the writing direction, where it is new; it has "
            f"U+{ord(value[position]):04X} at position {position}."
        )


def other_spellings(session_id: str) -> list[str]:
    """The ids that look the same and are others: é may be one character or two."""
    forms = {unicodedata.normalize(form, session_id) for form in ("NFC", "NFD")} - {session_id}
    return sorted(form for form in forms if len(form) <= MAX_ID_LENGTH)


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one deployment, told apart from others by its prefix."""

    prefix: str

    @property
    def index(self) -> str:
        """The sessions of this prefix, by time of their last save."""
        return f"{self.prefix}:index"

    @property
    def deletions(self) -> str:
        """The newest tombstones of this prefix."""
        return f"{self.prefix}:deletions"

    @property
    def epoch(self) -> str:
        """What tells a Redis that has lost everything."""
        return f"{self.prefix}:epoch"

    @property
    def sessions(self) -> str:
        """What every session key begins with."""
        return f"{self.prefix}:session:"

    @property
    def documents(self) -> tuple[str, ...]:
        """What every document's key begins with; a longer prefix's documents are not among them."""
        return self.sessions, *(f"{self.prefix}:{kind}:" for kind in ("execution", "history", "revision"))

    def session(self, session_id: str) -> str:
        """The key of a session document."""
        return self.sessions + session_id

    def execution(self, execution_id: str) -> str:
        """The key of one execution."""
        return f"{self.prefix}:execution:{execution_id}"

    def histories(self, session_id: str) -> str:
        """What the key of every flow history of a session begins with."""
        return f"{self.prefix}:history:{escaped(session_id)}:"

    def history(self, session_id: str, flow_id: str) -> str:
        """The key of a flow's executions in a session."""
        return self.histories(session_id) + flow_id

    def revisions(self, session_id: str) -> str:
        """What the key of every older revision of a session begins with; the number follows."""
        return f"{self.prefix}:revision:{escaped(session_id)}:"

    def ended(self, protocol_session: str) -> str:
        """Where it is written that a client ended this session of the protocol."""
        return f"{self.prefix}:ended:{hashlib.blake2b(protocol_session.encode(), digest_size=16).hexdigest()}"

    def subscribed(self, protocol_session: str = "") -> str:
        """Where it is written what a session of the protocol subscribed to; without one, that one of them changed."""
        digest = hashlib.blake2b(protocol_session.encode(), digest_size=16).hexdigest()
        return f"{self.prefix}:subscribed:{digest}" if protocol_session else f"{self.prefix}:subscribed"

    def answer(self, protocol_session: str, number: int) -> str:
        """Where the answer to a question of this session of the protocol waits for the process that asks."""
        named = f"{protocol_session} {number}".encode()
        return f"{self.prefix}:answer:{hashlib.blake2b(named, digest_size=16).hexdigest()}"

    def tombstone(self, key: str) -> str:
        """Where it is written that the document under `key` was deleted; of an older revision, that its session was."""
        rest = key.removeprefix(self.prefix + ":")
        kind, _, name = rest.partition(":")
        if kind == "revision":
            rest = f"session:{_unescaped(name.rpartition(':')[0])}"
        if kind in ("execution", "history"):
            rest = f"{kind}:{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
        return f"{self.prefix}:tombstone:{rest}"


def written_under(key: str) -> str:
    """The key under which the document there was written: an older revision is a copy that Redis made of a session."""
    match = _REVISION.fullmatch(key)
    return Keys(match[1]).session(_unescaped(match[3])) if match and match[2] else key


def escaped(session_id: str) -> str:
    """A session id where another part of a key follows."""
    return session_id.replace("%", "%25").replace(":", "%3A")


def _unescaped(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%")


def glob_escape(text: str) -> str:
    """A Redis glob that matches `text` and nothing else."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


def glob(pattern: str) -> Callable[[str], bool]:
    r"""Whether a text matches a Redis glob (`*`, `?`, `[a-z]`, `[^a]`, `\x`), in time linear in the text.

    Between stars every piece has a fixed length, so taking each at its first place is always right and nothing is
    tried twice. Source: the Redis documentation of KEYS; oddities (an unclosed bracket, a reversed range) behave as
    its `stringmatchlen` does: the bracket ends with the pattern, the range is turned round.
    """
    pieces = _pieces(pattern)
    expressions = [re.compile("".join(one.expression for one in piece), re.DOTALL) for piece in pieces]
    if len(pieces) == 1:
        return lambda text: bool(expressions[0].fullmatch(text))
    (first, *middle, last), tail = expressions, len(pieces[-1])

    def matches(text: str) -> bool:
        end = len(text) - tail
        match = first.match(text)
        for expression in middle:
            match = match and expression.search(text, match.end())
        return bool(match and match.end() <= end and last.fullmatch(text, end))

    return matches


def lua_patterns(pattern: str) -> list[str]:
    r"""The same for UTF-8 in Lua 5.1: to be found one after the other, the first at the start, the last at the end.

    They match every id that the glob matches, and a few others where a bracket holds more than ASCII. `\1` stands for
    the bytes `\128-\191`, which go on with a character and cannot be sent as text. Empty: every id matches.
    """
    if pattern == "*":
        return []
    pieces = _pieces(pattern)
    if sum(map(len, pieces)) > MAX_ID_LENGTH:
        return [_NO_BYTE]
    first, *others = ["".join(one.lua for one in piece) for piece in pieces]
    return [first, *(each for each in others[:-1] if each), *others[-1:]]


class _One(NamedTuple):
    """What matches one character of a text: as a regular expression, and as a pattern of Lua."""

    expression: str
    lua: str


_NO_BYTE = "%z"
"""No id has a zero byte."""

_ANY = _One(".", "[^\1][\1]*")


def _pieces(pattern: str) -> list[list[_One]]:
    """The pattern split at its stars; each piece matches as many characters as it has parts."""
    pieces: list[list[_One]] = [[]]
    i = 0
    while i < len(pattern):
        character = pattern[i]
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(_ANY)
        elif character == "[":
            i, bracket = _bracket(pattern, i + 1)
            pieces[-1].append(bracket)
        else:
            if character == "\\" and i + 1 < len(pattern):
                i += 1
            pieces[-1].append(_One(re.escape(pattern[i]), _lua_escaped(pattern[i])))
        i += 1
    return pieces


def _bracket(pattern: str, i: int) -> tuple[int, _One]:
    """The character class that begins behind `[`: the position of its last character, and the class."""
    negated = pattern[i : i + 1] == "^"
    i += negated
    ranges: list[tuple[str, str]] = []
    while i < len(pattern) and pattern[i] != "]":
        if pattern[i] == "\\" and i + 1 < len(pattern):
            i += 1
            ranges.append((pattern[i], pattern[i]))
        elif i + 2 < len(pattern) and pattern[i + 1] == "-":
            low, high = sorted((pattern[i], pattern[i + 2]))
            ranges.append((low, high))
            i += 2
        else:
            ranges.append((pattern[i], pattern[i]))
        i += 1
    if not ranges:
        return i, _ANY if negated else _One(r"(?!)", _NO_BYTE)
    expression = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges)
    return i, _One(f"[{'^' if negated else ''}{expression}]", _lua_class(ranges, negated=negated))


def _lua_class(ranges: Sequence[tuple[str, str]], *, negated: bool) -> str:
    if not all(high.isascii() for _, high in ranges):
        return _ANY.lua
    codes = {code for low, high in ranges for code in range(ord(low), ord(high) + 1)}
    members = "".join(_lua_escaped(chr(code)) for code in sorted(codes))
    return f"[^{members}\1][\1]*" if negated else f"[{members}]"


def _lua_escaped(character: str) -> str:
    """A character that stands for itself; a control character, which no id has, may stand for others."""
    if character in ("\0", "\1"):
        return _NO_BYTE
    return f"%{character}" if character.isascii() and not character.isalnum() else character

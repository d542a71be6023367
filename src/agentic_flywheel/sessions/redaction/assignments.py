"""Finds credentials by what stands before them: `password = …`, `"api_key": "…"`, `Authorization: Bearer …`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentic_flywheel.sessions.redaction.formats import Span
from agentic_flywheel.sessions.redaction.names import Credential, credential_named, is_random, is_stand_in

ANCHORS = (b"pass", b"pwd", b"secret", b"token", b"key", b"authoriz")
"""Every name that is looked for in a text has one of these in it."""

_BEFORE = 40
"""Characters of a name before its anchor, the words of a phrase among them: `The AWS secret access key`."""

_LONGEST = 512
"""Characters after which the end of a value is no longer looked for, unless it is judged a secret."""

_JUDGED = 128
"""Characters of a value that are read to judge it, so that a hostile text costs little at each of its names."""

_MADE = ("key", "token")
"""Kinds that machines make: they have digits or signs, while a person's password may be a word."""

_NAME_BEGINS = re.compile(r".*(?:[^\w -]|\\[nrt])", re.DOTALL)
_OPERATOR = re.compile(
    r"""
    (?P<rest> [\w-]{0,24}+ )
    (?: \\*["'`]\]? | \*\* ){0,2}+
    (?: (?P<given> [ \t]{0,8}
          (?: => | := | :[ ]?[\w.\[\]|? ]{1,30}?[ ]=(?=[ ]) | :(?!:) | ={1,3} )     # the third has a type in it
          (?:\*\*)? [ \t]{0,8} )
      | (?P<tag> > (?=[^\s<>]{1,512}</) )
      | (?P<loose> [ ]is:?[ ] | (?<=["'`])[ ]?,[ ]?(?=["'`]) | [ ]\|[ ] | [ ](?:value=)?(?=["'`]) )
      | (?P<gap> [ ] )
    )
    """,
    re.VERBOSE,
)
_OPEN = re.compile(r"""[bBrRuU]?(\\*["'`])""")
_SCHEME = re.compile(r"(?:bearer|basic|token|digest|apikey)[ ]{1,4}", re.IGNORECASE)
_BARE = re.compile(r"""[^\s"'`<>,;)\]}|]*+""")
_QUERY_ENDS = re.compile(r"[&#]")
_CODE = re.compile(r"[(\[{]|->|::|&&")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(?:\??\.[A-Za-z_]\w*)+")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_PASSWORD = re.compile(
    r"[!@#$%^&*?~+](?:(?=[A-Za-z0-9])|(?<=[A-Za-z0-9].))|\A[0-9]+\Z|\A[A-Za-z]{3,}(?:-[A-Za-z]{3,})+-[0-9]{1,4}\Z"
)
"""What people make besides letters mixed with digits: a sign inside, digits alone, words and a number."""


def assignments_in(text: str, folded: bytes) -> Iterator[Span]:
    """Values that a name before them makes credentials. `folded`: the text in lower case, one byte a character."""
    for anchor in ANCHORS:
        at = folded.find(anchor)
        while at >= 0:
            span = _assigned(text, at)
            if span:
                yield span
            at = folded.find(anchor, span[1] if span else at + len(anchor))


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that announces a credential: its last word, the character before it, and the sign that follows it."""

    own: str
    lead: str
    sign: re.Match[str]
    credential: Credential

    @property
    def is_loose(self) -> bool:
        """Whether what follows is not surely its value."""
        return bool(self.sign["loose"] or (self.sign["gap"] and not self.own.startswith("--")))


def _name_at(text: str, at: int) -> _Name | None:
    """The name that has its anchor at `at`, if what follows may give it a value."""
    sign = _OPERATOR.match(text, at)
    if not sign:
        return None
    before = text[max(0, at - _BEFORE) : at]
    begins = _NAME_BEGINS.match(before)
    before = before[begins.end() :] if begins else before
    name = before + sign["rest"]
    own = name.rpartition(" ")[2]
    if sign["gap"] and not own.startswith("--") and own.lower() != "password":
        return None
    credential = credential_named(name)
    lead = text[max(0, at - len(before) - 1) : at - len(before)]
    if not credential or (sign["tag"] and lead != "<"):
        return None
    if sign["given"] == ":" == lead:  # a part of an address: `arn:…:secret:…`
        return None
    return _Name(own, lead, sign, credential)


def _assigned(text: str, at: int) -> Span | None:
    """The value after the name that has its anchor at `at`, if it is a credential."""
    name = _name_at(text, at)
    if not name:
        return None
    start, end, quoted = _value(text, name.sign.end(), in_query=name.lead in {"?", "&"})
    value = text[start : min(end, start + _JUDGED)]
    literal = quoted or bool(name.sign["tag"]) or (name.sign["given"] == "=" and _is_setting(text, name, end))
    if not _is_secret(name, value, quoted=quoted, literal=literal):
        return None
    if end - start == _LONGEST and (rest := _BARE.match(text, end)):
        end = rest.end()
    return start, end, name.credential.kind


def _is_secret(name: _Name, value: str, *, quoted: bool, literal: bool) -> bool:
    if not _is_like(name.credential, value, literal=literal, loose=name.is_loose) or is_stand_in(value):
        return False
    if not quoted and _is_code(value):
        return False
    return literal or not _is_variable(value, name.credential.kind)


def _is_code(value: str) -> bool:
    return bool(_CODE.search(value) or _ATTRIBUTE.fullmatch(value))


def _is_variable(value: str, kind: str) -> bool:
    return bool(_IDENTIFIER.fullmatch(value)) and kind in value.lower()  # `password = password2`


def _is_setting(text: str, name: _Name, end: int) -> bool:
    """Whether `name=value` is of an environment or a file of properties, where no value is a variable."""
    return name.own.isupper() or (name.lead in {"", "\n"} and text[end : end + 1] in {"", "\n"})


def _is_like(credential: Credential, value: str, *, literal: bool, loose: bool) -> bool:
    """How much a value must look like one depends on how surely it is given to the name, and is no variable."""
    if not credential.strong:
        return not loose and len(value) >= 12 and is_random(value, piece=8)
    if literal and not loose and credential.kind not in _MADE:
        return len(value) >= 4 and value == value.strip()  # or it stands between two quoted texts
    if len(value) < 6:
        return False
    return is_random(value, piece=3) or (not loose and bool(_PASSWORD.search(value)))


def _value(text: str, at: int, *, in_query: bool) -> tuple[int, int, bool]:
    """Where the value at `at` begins and ends, without quotes and scheme, and whether it is quoted."""
    opened = _OPEN.match(text, at)
    start = opened.end() if opened else at
    scheme = _SCHEME.match(text, start)
    start = scheme.end() if scheme else start
    if opened:
        mark = opened[1]
        end = text.find(mark, start, start + _LONGEST)
        while end > 0 and len(mark) == 1 and text[end - 1] == "\\":
            end = text.find(mark, end + 1, start + _LONGEST)
        if end >= 0 and "\n" not in text[start:end]:
            return start, end, True
    bare = _BARE.match(text, start, start + _LONGEST)
    end = bare.end() if bare else start
    if in_query and (cut := _QUERY_ENDS.search(text, start, end)):
        end = cut.start()
    if text[start:end].endswith(".") and not text[start:end].endswith(".."):
        end -= 1
    return start, end, False

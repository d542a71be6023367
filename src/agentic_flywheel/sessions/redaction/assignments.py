"""Credentials known by what stands before them: `password = …`, `"api_key": "…"`, `Authorization: Bearer …`."""

import re
from collections.abc import Iterator

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


def _assigned(text: str, at: int) -> Span | None:
    """The value after the name that has its anchor at `at`, if it is a credential."""
    sign = _OPERATOR.match(text, at)
    if not sign:
        return None
    before = text[max(0, at - _BEFORE) : at]
    begins = _NAME_BEGINS.match(before)
    before = before[begins.end() :] if begins else before
    name = before + sign["rest"]
    own = name.rpartition(" ")[2]
    flag = sign["gap"] and own.startswith("--")
    if sign["gap"] and not flag and own.lower() != "password":
        return None
    credential = credential_named(name)
    lead = text[max(0, at - len(before) - 1) : at - len(before)]
    if not credential or (sign["tag"] and lead != "<"):
        return None
    if sign["given"] == ":" == lead:  # a part of an address: `arn:…:secret:…`
        return None
    start, end, quoted = _value(text, sign.end(), in_query=lead in {"?", "&"})
    value = text[start : min(end, start + _JUDGED)]
    literal = bool(quoted or sign["tag"] or (sign["given"] == "=" and _is_setting(text, own, lead, end)))
    loose = bool(sign["loose"] or (sign["gap"] and not flag))
    if not _is_like(credential, value, literal=literal, loose=loose) or is_stand_in(value):
        return None
    if not quoted and (_CODE.search(value) or _ATTRIBUTE.fullmatch(value)):
        return None
    if not literal and _IDENTIFIER.fullmatch(value) and credential.kind in value.lower():
        return None  # `password = password2`
    if end - start == _LONGEST and (more := _BARE.match(text, end)):
        end = more.end()
    return start, end, credential.kind


def _is_setting(text: str, own: str, lead: str, end: int) -> bool:
    """Whether `name=value` is of an environment or a file of properties, where no value is a variable."""
    return own.isupper() or (lead in {"", "\n"} and text[end : end + 1] in {"", "\n"})


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

"""Judges words about credentials: which names announce one, and which values only stand in for one."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

MAX_NAME = 64
"""Characters of a name that are read, from its end: the last words say what it announces."""

MAX_VALUE = 4096
"""Characters of the longest value that could be a placeholder or a reference."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a name announces. `strong`: any value is one; else only a value that looks random (`is_random`)."""

    kind: str
    strong: bool


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_QUALIFIERS = _words(
    """
    b64 base64 current dev live new old plaintext prod production raw staging string value
    """
)
"""Words that may follow what a name announces: `api_key_prod`, `SecretString`."""

_ASIDE = _words(
    """
    allow ask change check disable enable forgot has hide is missing must need needs no reset show update use
    validate wrong
    """
)
"""A name that begins so asks or does something about a credential: `has_password`, `reset_password`."""

_OPENING_KEYS = _words(
    """
    access account api app auth client deploy encryption functions jwt master private secret service shared signing
    ssh storage subscription webhook
    """
)
"""Before `key`: one that opens something. A public, primary, partition or cache key opens nothing."""

_OTHER_KEYS = _words(
    """
    cache composite dedup foreign group hash host idempotency index kms lookup object order partition primary public
    publishable range redis routing row session sort unique
    """
)

_OPENING_TOKENS = _words(
    """
    access admin api app auth bearer bot deploy id oauth personal private refresh secret security service session user
    """
)

_OTHER_TOKENS = _words(
    """
    action bos change client cls continuation csrf cursor end eos first idempotency last mask max min next num pad
    page pagination request resume sep special start stop sync unk xsrf
    """
)
"""Before `token`: a piece of text, a place in a list or a mark of one request."""

_ENDINGS = {
    "password": "password passwd passphrase passcode passwort passe pwd",
    "secret": "secret",
    "key": "apikey secretkey privatekey accesskey accountkey",
    "token": "authtoken accesstoken refreshtoken",
    "authorization": "authorization",
}
_STRONG = {word: Credential(kind, strong=True) for kind, words in _ENDINGS.items() for word in words.split()}
_WEAK = {
    "pass": Credential("password", strong=False),
    "key": Credential("key", strong=False),
    "token": Credential("token", strong=False),
    "auth": Credential("authorization", strong=False),
    "credential": Credential("credential", strong=False),
    "credentials": Credential("credential", strong=False),
    "cookie": Credential("cookie", strong=False),
}
_GLUED = ("password", "passwd", "passphrase", "secret", "apikey", "accesstoken", "authtoken", "secretkey")
"""Endings that count inside a longer word too: `pgpassword`, `clientsecret`."""


@lru_cache(maxsize=4096)
def credential_named(name: str) -> Credential | None:
    """What a name announces, whatever its case and whether its words are joined by `-`, `_`, space or camelCase.

    Of several words with spaces between, all but the last may be those of a sentence. It is one table of rules, in the
    order in which they count, so it is not cut.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if words[-2:] == ["connection", "string"]:
        return Credential("connection string", strong=True)
    while words and (words[-1].isdigit() or (words[-1] in _QUALIFIERS and len(words) > 1)):
        words.pop()
    own = name.rpartition(" ")[2]
    if not words or ((first := _WORD.search(own)) and first[0].lower() in _ASIDE):
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    match last:
        case "key" if before in _OPENING_KEYS:
            return Credential("key", strong=True)
        case "key" if before in _OTHER_KEYS or not own.isupper() or not before:
            return None  # only `ACME_KEY`, as variables of the environment are written, may be one
        case "token" if before in _OTHER_TOKENS:
            return None
        case "pass" if len(_WORD.findall(own)) < 2:
            return None  # `PASS: test_north`
        case "token" if before in _OPENING_TOKENS:
            return Credential("token", strong=True)
        case _:
            return _STRONG.get(last) or _WEAK.get(last) or _STRONG.get(_glued(last))


def _glued(word: str) -> str:
    return next((ending for ending in _GLUED if word.endswith(ending)), "")


_NO_VALUE = _words(
    """
    any apikey argon2 argon2id ask base64 basic bcrypt bearer boolean bool bytes changeme char credentials
    bar default demo dev digest disabled dummy empty enabled env example expired fake false file foo guest hidden
    hs256 include int integer invalid key keyring masked md5 missing na nil no none null number oauth oauth2
    object off omit on optional pass passphrase passwd password passwort placeholder prompt redacted required
    rs256 same-origin sample scrypt secret sha1 sha256 sha512 str string tbd test text todo token true undefined
    unset unchanged utf-8 utf8 uuid uuid4 value vault xxx yes
    """
)
"""Said in place of a value, or of its kind."""

_REFERENCE = re.compile(
    r"""
    (?: \$ [A-Za-z_{(] .* | \{ .* | % [A-Za-z_(] .* | < .* > | \[ .* \] | \( .* \) | __ \w+ __      # of a template
    | [*&!] [A-Za-z] .*                                                                       # of YAML
    | (?:os|process|env|secrets|vars?|settings|config|cfg|self|this|args|data|local|module|import\.meta) \. \S+
    | [A-Za-z_][\w.:]* [(\[] .* [)\]]                                                         # a call, a subscript
    | (?:env|vault|op|file|ref|arn|keyring|ssm|secret) : \S*                                  # kept elsewhere
    | (?:min|max|len|length|size) : [0-9]+                                                    # a rule for it
    | [A-Za-z][A-Za-z0-9+.-]{0,20} :// [^@?\s]*                                               # an address
    | (?:~|\.{1,2})? / (?:[a-z0-9_.@-]+ /)+ [\w.@-]* | (?:~|\.{1,2}) / \S+ | /Users/\S+       # a path
    | [\w./-]{1,100} \. (?:pem|key|crt|p12|json|txt|env|ya?ml) )
    """,
    re.VERBOSE | re.DOTALL,
)
_FILLER = re.compile(
    r"\.\.\.|…|\*\*\*|•••|\[redacted|EXAMPLE|(?i:xxxx)"
    r"|(?i:(?<![a-z])(?:your|change|replace|insert|example|placeholder|dummy|fake|todo|redacted)(?![a-z]))"
)

_SMALL_WORDS = _words(
    """
    a an and are as at be by can contain das de del der die el for from has if ihr in is it its la le les must
    not of on or short should that the this to too un une was with your
    """
)
"""Messages have them, passphrases do not."""

_PUBLISHED = frozenset(
    {
        "0011cc25eb4320717494d2703e8cba85743e71b500283c21c8b88147992f9059",  # Azure's storage emulator
        "7f75367e7881255134e1375e723d1dea8ad5f6a4fdb79d938df1f1754a830606",  # jwt.io
        "2cafc0970149a84f3b9e62eaf169f36f59907a3b3e31f7b82e68c69cd27f7326",  # Stripe's reference
        "f2d6ca16515033e5dce14eba840b979d27b5cbae24bb3e5bf484339667f86397",  # its older one
    }
)
"""SHA-256 of keys that their vendors print for everybody to try."""

_ALNUM = re.compile(r"[^\W_]")
_SCHEME = re.compile(r"(?i:bearer|basic|token|digest|apikey|negotiate)\s+")


def is_stand_in(value: str) -> bool:
    """Whether a value is a placeholder, a reference, a type or a sentence where a credential could stand."""
    value = value.strip()
    value = value[scheme.end() :] if (scheme := _SCHEME.match(value)) else value
    folded = value.casefold()
    if folded in _NO_VALUE or len(set(folded)) < 3 or not _ALNUM.search(folded):
        return True
    if len(value) > MAX_VALUE:
        return False
    if _REFERENCE.fullmatch(value) or _FILLER.search(value):
        return True
    words = folded.rstrip(".!?:").split()
    if len(words) > 1 and not _SMALL_WORDS.isdisjoint(words):
        return True
    return _is_a_name(value) or hashlib.sha256(value.encode(errors="replace")).hexdigest() in _PUBLISHED


_ID = re.compile(r"[_-]?[Ii][Dd]\Z")


def _is_a_name(value: str) -> bool:
    return len(value) < MAX_NAME and not _DIGIT.search(value) and bool(credential_named(_ID.sub("", value)))


_JOINT = re.compile(r"[-_./:\s]")
_SENTENCE = re.compile(r"\s(?<![;,]\s)")
_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[A-Za-z]")
_MEASURE = re.compile(
    r"[0-9]+[A-Za-z%]{1,5}|(?i:aes|argon|base|ed|es|gpt|hs|http|ipv|md|oauth|p|ps|python|rs|sha|utf|v|x)[0-9]+[a-z]{0,2}"
)
"""`24h`, `12th`, `sha256`, `utf8`: letters and digits, and yet a word."""


def is_random(value: str, *, piece: int) -> bool:
    """Whether a text looks drawn by chance, in a piece of so many characters at least; a sentence never does."""
    return not _SENTENCE.search(value) and any(len(part) >= piece and _is_mixed(part) for part in _JOINT.split(value))


def _is_mixed(part: str) -> bool:
    """Letters and digits that are no measure; or so many letters whose case changes as in no name."""
    if not _LETTER.search(part):
        return False
    if not _DIGIT.search(part):
        return len(part) >= 12 and len(_WORD.findall(part)) * 3 >= len(part)
    return not _MEASURE.fullmatch(part)

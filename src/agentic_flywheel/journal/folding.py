"""Folds texts and splits them into terms, the same way for what is indexed and for what is looked for.

SQLite's own tokenizer leaves strokes, ligatures and Greek accents alone, and takes a Chinese sentence for one word. So
it is given terms: words in lower case without marks and endings, and overlapping pairs where there are no spaces.
"""

import re
import unicodedata
from functools import lru_cache

_LETTERS = str.maketrans({
    "ß": "ss", "ẞ": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l",
    "đ": "d", "Đ": "d", "ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "\u0131": "i", "ħ": "h", "Ħ": "h",
})  # fmt: skip
"""Letters that Unicode does not take apart."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3\U00020000-\U0003ffff"
)
"""What is written without spaces between words, or, as Korean, with particles at them."""

_TERM = re.compile(f"(?P<line>[{_UNSPACED}]+)|(?:(?![{_UNSPACED}])(?:[^\\W_]|[\u0900-\u0dff]))+")
"""A line without spaces, or a word; Indian vowel signs are part of one."""

_ASCII = re.compile("[a-z0-9]+")
_VOWEL = re.compile("[aeiouy]")
_PLURAL = re.compile(r"(?:(?<=[sxz])es|(?<=[cs]h)es|(?<![suia])s|(?<=[^aeiou]a)s|(?<=i)es)\Z")
_ENDING = re.compile(r"(?:(?<=[^i])ly|ing|ed|er)\Z")
_ADJECTIVE = re.compile(r"(?<=[a-z]{6})ic(?:al)?\Z")  # allergic as allergy; politics stay apart from what is polite
_LAST = re.compile(r"(?:ie|e|y|i)\Z")

_FORMS = (
    "go went gone goes going, buy bought, make made, take took taken, get got gotten, give gave given, say said, "
    "see saw seen, meet met, run ran, eat ate eaten, feel felt, leave left, begin began begun, come came, "
    "find found, keep kept, know knew known, lose lost, pay paid, sell sold, send sent, speak spoke spoken, "
    "spend spent, teach taught, think thought, win won, write wrote written, build built, bring brought, "
    "catch caught, choose chose chosen, draw drew drawn, drive drove driven, fall fell fallen, fly flew flown, "
    "forget forgot forgotten, grow grew grown, hold held, hear heard, hide hid hidden, lead led, "
    "ride rode ridden, rise rose risen, sing sang sung, swim swam swum, stand stood, steal stole stolen, "
    "throw threw thrown, understand understood, wake woke woken, wear wore worn, break broke broken, "
    "become became, sleep slept, drink drank drunk, fight fought, freeze froze frozen, shoot shot, sit sat, "
    "tear tore torn, lend lent, mean meant, dream dreamt, learn learnt, burn burnt, child children, man men, "
    "woman women, foot feet, tooth teeth, mouse mice, wife wives, life lives, knife knives, leaf leaves, "
    "person people, swear swore sworn, do did done, die dies died dying, lie lies lied lying, tie ties tied tying, "
    "try tries tried, cry cries cried, dry dries dried, fry fries fried, bite bitten, bleed bled, blow blew blown, "
    "dig dug, feed fed, hang hung, lay laid, light lit, ring rang rung, seek sought, shake shook shaken, "
    "shine shone, sink sank sunk, slide slid, spin spun, stick stuck, strike struck, sweep swept, swing swung, "
    "bend bent, deal dealt, forgive forgave forgiven, overcome overcame, withdraw withdrew withdrawn, smell smelt, "
    "spell spelt, spill spilt, spoil spoilt, half halves, shelf shelves, loaf loaves, thief thieves, wolf wolves, "
    "scarf scarves, goose geese"
)
"""English words, each with forms by which a question and its answer differ: when did she go, she went."""

_IRREGULAR = {form: line.split()[0] for line in _FORMS.split(", ") for form in line.split()[1:]}

SHORTEST_STEM = 3
"""Letters that a word must keep to lose its ending."""


def fold(text: str) -> str:
    """The text in lower case, without marks, in letters of most keyboards."""
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", plain.casefold().translate(_LETTERS))


def words(text: str) -> list[str]:
    """The words of a text, folded, with their endings; what is written without spaces as overlapping pairs.

    The last sign of such a line stands for itself too, so that every sign begins something.
    """
    if text.isascii():
        return _ASCII.findall(text.lower())
    found: list[str] = []
    for match in _TERM.finditer(fold(text)):
        if line := match["line"]:
            found += [line[at : at + 2] for at in range(len(line))]
        else:
            found.append(match[0])
    return found


@lru_cache(20_000)
def stem(word: str) -> str:
    """The word (folded) without its English ending; other words end so too, in texts and queries alike."""
    if not (word.isascii() and word.isalpha()):
        return word
    word = _IRREGULAR.get(word, word)
    single = _PLURAL.sub("", word)
    root = single if len(single) >= SHORTEST_STEM else word
    root = _without_ending(_IRREGULAR.get(root, root))
    root = _ADJECTIVE.sub("", root)
    short = root if word[-1] == "i" else _LAST.sub("", root)  # wifi is no wife, and a taxi no tax
    if short.endswith("at") and len(short) >= 6 and short != word:  # educate as education
        short = short[:-2]
    return short if len(short) >= SHORTEST_STEM else root


def _without_ending(word: str) -> str:
    if word.endswith("tion") and len(word) >= 7:
        return word[:-3]
    root = _ENDING.sub("", word)
    least = SHORTEST_STEM if word.endswith(("ing", "ed")) else SHORTEST_STEM + 1
    if root == word or len(root) < least or not _VOWEL.search(root):
        return word
    if not word.endswith("er") and len(root) > SHORTEST_STEM and root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    return root


def terms(text: str) -> list[str]:
    """The terms of a text, in their order."""
    return [stem(word) for word in words(text)]

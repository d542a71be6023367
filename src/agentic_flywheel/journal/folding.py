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
_ENDING = re.compile(r"(?:(?<=[^i])ly|ing|ed|(?<!e)er)\Z")
_ADJECTIVE = re.compile(r"(?<=[a-z]{6})ic(?:al)?\Z")  # allergic as allergy; politics stay apart from what is polite
_Y = re.compile(r"(?:ie|(?<=[^aeiou])y)\Z")  # a movie is no move, a story no store, an apple does not apply
_SHORT = re.compile(r"[^aeiouy]*(?<!q)[aeiouy][^aeiouwxy]")
"""What is another word with an e behind it: plan and plane, car and care, Tim and time."""

_FORMS = (
    "go went gone goes going, buy bought, make made, take took taken, get got gotten, give gave given, say said, "
    "see saw seen, meet met, run ran, eat ate eaten, feel felt, leave left, begin began begun, come came, "
    "find found, keep kept, know knew known, pay paid, sell sold, send sent, speak spoke spoken, "
    "spend spent, teach taught, think thought, win won, write wrote written, build built, bring brought, "
    "catch caught, draw drew drawn, drive drove driven, fall fell fallen, "
    "forget forgot forgotten, hold held, hear heard, hide hid hidden, lead led, "
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
    "scarf scarves, goose geese, use used using uses, age aged aging, agree agreed agreeing, "
    "prefer preferred preferring, bus buses, "
    "big bigger biggest, see saw seen sees seeing, luck lucky, health healthy, taste tasty, rain rainy, "
    "scare scary scared, mess messy, dirt dirty, salt salty, cloud cloudy, sun sunny, noise noisy, "
    "photograph photographer photographers photography, art artist artists artistic, music musical musician musicians, "
    "science scientist scientists, therapy therapist therapists, piano pianist, guitar guitarist, violin violinist, "
    "decide decision decisions, choose chose chosen choice choices, injure injury injuries, lose lost loss losses, "
    "succeed success successful successfully, compete competition competitions competitive competitor competitors, "
    "advise advice, believe belief beliefs, grow grew grown growth, fly flew flown flight flights, "
    "act actor actors actress, strong strength, proud pride, angry anger, safe safety, explain explanation, "
    "favorite favourite favourites, color colour coloured, neighbor neighbour neighbours, humor humour, honor honour, "
    "flavor flavour flavours, behavior behaviour, center centre centres, theater theatre, gray grey, mom mum mums, "
    "practice practise practised practising, license licence, enroll enrol, jewelry jewellery, cozy cosy, "
    "travel travelled travelling traveller traveler, cancel cancelled cancelling, organize organise organised, "
    "perform performance performances, excite excitement, improve improvement improvements, achieve achievement "
    "achievements, create creative creativity, happy happiness, accept acceptance, aware awareness, "
    "comfort comfortable, "
    "beauty beautiful, kind kindness, ill illness, sick sickness, appear appearance, inspire inspiration, "
    "realize realise realised, recognize recognise recognised"
)
"""English words, each with forms by which a question and its answer differ: when did she go, she went."""

_IRREGULAR = {form: line.split()[0] for line in _FORMS.split(", ") for form in line.split()[1:]}

_NO_FORMS = frozenset((
    "center", "corner", "counter", "evening", "flower", "former", "master", "matter", "mother", "news", "number",
    "shower",
))  # fmt: skip
"""English words that end as forms of others do, of which they are none: a shower is no show."""

SHORTEST_STEM = 3
"""Letters that a word must keep to lose its ending."""


def fold(text: str) -> str:
    """The text in lower case, without marks, in letters of most keyboards."""
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", text)
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
    if single[-1:] in ("s", "z") and single != word and _SHORT.fullmatch(single):
        single += "e"  # cases, prizes
    root = word if len(single) < SHORTEST_STEM or word in _NO_FORMS else single
    root = _IRREGULAR.get(root, root)
    if root not in _NO_FORMS:
        root = _without_ending(root)
    short = _Y.sub("i", _ADJECTIVE.sub("i", root))
    short = short[:-1] if short[-1] == "e" and not _SHORT.fullmatch(short[:-1]) else short
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
    if root.endswith("er") and len(root) > SHORTEST_STEM + 2:  # remembered as remember
        return _ENDING.sub("", root)
    return f"{root}e" if not word.endswith("ly") and _SHORT.fullmatch(root) else root


def terms(text: str) -> list[str]:
    """The terms of a text, in their order."""
    return [stem(word) for word in words(text)]

"""Makes the words of others fit to be shown: nothing invisible, nothing that a terminal obeys, no line like ours.

What is stored is never changed by it, and structured content never shown through it.
"""

import logging
import re
import unicodedata

MAX_WRONG = 40
"""Characters of a wrong number or choice that a refusal quotes."""

MAX_CAUSE = 120
"""Characters of what Redis or the child said, its quotes among them."""

# Categories Cc (but tab and line feed), Cf, Zl, Zp and Cs, and what Unicode has programs ignore where they cannot
# show it. One range of them is wider, since each more takes its time: `_is_visible` looks again.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd-\U0001d17a\U000e0000-\U000e0fff]"
)
_WIDER = re.compile("[\U000110bd-\U0001d17a]")
_PICTURE = re.compile("[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]")
_PLAIN = re.compile(
    "(?:[\t\n -~\xa0-\xac\xae-\u034e\u0370-\u05ff\u2010-\u2027\u2030-\u205f\u2070-\u3163\u3165-\ud7ff"
    "\U0001f000-\U0001faff]++"
    f"|(?<={_PICTURE.pattern})\ufe0f)*+"
)
"""What most texts are made of: that nothing else is in them is seen in a fifth of the time."""

_ASCII = {code: "?" for code in range(128) if _HIDDEN.match(chr(code))}

# Where a joiner or a variation selector is part of how people write, it is shown.
_JOINED = re.compile(  # scripts whose letters change their shape beside each other: Arabic, those of India
    "[\u0600-\u109f\u1700-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f]"
)
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_VIRAMA = 9
"""Combining class of the signs after which a joiner chooses the shape."""


def shown(text: str) -> str:
    """The text with a question mark for each character that is invisible or obeyed by terminals; lines stay lines."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if text.isascii():
        return text if text.isprintable() else text.translate(_ASCII)
    if _PLAIN.fullmatch(text):
        return text
    return _HIDDEN.sub(lambda match: match[0] if _is_visible(match) else "?", text)


def one_line(text: str) -> str:
    r"""The same on one line: a line break is shown as `\n`."""
    return shown(text).replace("\n", "\\n")


def indented(text: str) -> str:
    """The same with every line but the first one indented: none of them begins as a line of ours does."""
    return shown(text).replace("\n", "\n  ")


def quoted(text: str) -> str:
    """The same on one line between single quotes; none inside it ends them."""
    return shown("'" + repr(f'"{text}')[2:])  # a text with a double quote is always put between single ones


def columns(text: str) -> int:
    """How many columns of a terminal a line takes: signs of East Asia and most pictures two, marks on others none."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def fitting(text: str, width: int) -> str:
    """The line, or its beginning with an ellipsis, in at most so many columns."""
    if columns(text) <= width:
        return text
    end, left = 0, width - 1
    while (left := left - _columns_of(text[end])) >= 0:
        end += 1
    return text[:end] + "…"


def ellipsis(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cause(text: str) -> str:
    """What Redis or the child said, as a short quotation."""
    words = one_line(" ".join(text.split())).replace('"', "'").rstrip(".")
    return f'"{ellipsis(words, MAX_CAUSE - 2)}"'


def brief(wrong: object) -> str:
    """A number or choice that is refused, as it came; cut where it is long."""
    text = str(wrong)
    return text if len(text) <= MAX_WRONG else f"{text[:MAX_WRONG]}…"


def escaped(json_text: str) -> str:
    """The same JSON, as exact as it was, with what `shown` hides written as its number."""
    if json_text.isascii():
        return json_text.replace("\x7f", "\\u007f")
    if _PLAIN.fullmatch(json_text):
        return json_text
    return _HIDDEN.sub(lambda match: match[0] if _is_visible(match) else _number(match[0]), json_text)


def first_hidden(text: str) -> int | None:
    """The position of the first character that `shown` hides, or of a line break or tab; `None` if there is none."""
    if text.isascii() and text.isprintable():
        return None
    hidden = (match.start() for match in _HIDDEN.finditer(text) if not _is_visible(match))
    breaks = (place for sign in "\n\t" if (place := text.find(sign)) >= 0)
    return min((*hidden, *breaks), default=None)


class PlainFormatter(logging.Formatter):
    """Writes records so that none can pass for two, or do anything to the terminal that shows them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, its further lines indented."""
        return indented(super().format(record))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_visible(match: re.Match[str]) -> bool:
    """Whether what was found is none of the hidden ones, or stands where it is needed."""
    character, text, place = match[0], match.string, match.start()
    if _WIDER.match(character):
        return unicodedata.category(character) != "Cf"
    before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    if character in "\u200c\u200d":
        if unicodedata.combining(before or " ") == _VIRAMA and after:  # at the end it changes nothing that is seen
            return True
        if character == "\u200d" and _PICTURE.match(after):
            picture = text[max(0, place - 2) : place - 1] if before == "\ufe0f" else before
            return bool(_PICTURE.match(picture))
        return all(_JOINED.match(each) and not _HIDDEN.match(each) for each in (before, after))
    if character in "\ufe0e\ufe0f":
        return bool(_PICTURE.match(before)) or (before != "" and before in "#*0123456789")
    is_selector = "\ufe00" <= character <= "\ufe0d" or "\U000e0100" <= character <= "\U000e01ef"
    return is_selector and bool(_IDEOGRAPH.match(before))


def _number(character: str) -> str:
    """The character as JSON escapes it: its UTF-16 units."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

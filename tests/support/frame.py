"""Counts the lines of an answer that look like ours, and finds what in it nobody sees or a terminal obeys."""

import re
import unicodedata

OURS = re.compile(
    r"\[\d+\] |Resumed |What follows is quoted|End of the transcript|The turns before |No session resumed|"
    r"(session_id|revision|title|summary|tags|status|user_id|current_flow_id|context|updated_at): "
)
"""What a line of a transcript begins with."""

HEADINGS = re.compile(r" {0,3}(#{1,6}( |$)|```|~~~|(=+|-+)\s*$|What follows is quoted|End of the transcript)")
"""What a line of our Markdown begins with."""

IGNORED = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u3164\uffa0")
"""Letters and marks that are shown as nothing."""


def looking_like_ours(text: str, pattern: re.Pattern[str] = OURS) -> list[str]:
    """The lines, by every way in which a line may end, that begin as one of ours."""
    return [line for line in text.splitlines() if pattern.match(line)]


def hidden_in(text: str) -> list[str]:
    """Every character that is invisible or obeyed, but line feed, tab and a joiner between what it joins."""
    return [
        f"U+{ord(character):04X}"
        for place, character in enumerate(text)
        if character not in "\n\t"
        and (unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") or character in IGNORED)
        and not (character in "\u200c\u200d" and 0 < place < len(text) - 1 and not text[place - 1].isascii())
    ]

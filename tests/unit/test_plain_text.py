"""What of others' words is shown, in each way in which they are shown, and that nothing else of them is lost."""

import io
import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.keys import refuse_hidden
from agentic_flywheel.plain_text import (
    MAX_CAUSE,
    PlainFormatter,
    cause,
    columns,
    escaped,
    first_hidden,
    fitting,
    indented,
    one_line,
    quoted,
    shown,
)

from ..support.frame import IGNORED, hidden_in

HARD = st.sampled_from(
    [*"\r\n\t\x1b\x07\x85\u2028\u202e\u200b\u200d\ufe0f\U000e0041\u3164'\"\\?ab ", "👩", "🌾", "न", "्"]
)
TEXT = st.text(st.characters()) | st.lists(HARD, max_size=12).map("".join)


def test_every_character_that_is_invisible_or_obeyed_is_shown_as_a_question_mark():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        hides = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") or character in IGNORED
        if character in "\n\t":
            assert shown(f"a{character}b") == f"a{character}b"
        elif hides:
            assert shown(f"a{character}b") == "a?b", hex(code)
            assert first_hidden(f"a{character}b") == 1
        elif not (0xFE00 <= code <= 0xFE0F or 0xFFF0 <= code <= 0xFFF8 or 0xE0000 <= code <= 0xE0FFF):
            assert shown(character) == character, hex(code)


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d🌾", "👩🏽\u200d🌾", "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d⚧\ufe0f", "1\ufe0f\u20e3",
        "م\u06cc\u200cخ", "ക്\u200d ", "क्\u200dष", "葛\U000e0100", "مَرْحَبًا", "e\u0301", "a\u00a0b",
        "“quoted” — and … so on", "日本語、\U0001d4b3 𓀀 𝄞",
    ],
)  # fmt: skip
def test_what_people_write_is_shown_as_it_is(text: str):
    assert shown(text) == text
    assert first_hidden(text) is None


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("gar\u200dden", "gar?den"),
        ("1\u200d2", "1?2"),
        ("a\ufe0f\u200d👍", "a??👍"),
        ("\u200d\u200d", "??"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f?"),
        ("pay\ufe01pal", "pay?pal"),
        ("x\U000e0100", "x?"),
        ("one\r\ntwo\rthree", "one\ntwo?three"),
        ("\u094d\u200c", "\u094d?"),
    ],
)
def test_a_joiner_or_selector_that_joins_nothing_is_not(text: str, as_shown: str):
    assert shown(text) == as_shown


@given(TEXT)
def test_nothing_that_is_shown_hides_anything_and_showing_it_again_changes_nothing(text: str):
    for show in (shown, one_line, indented, quoted, cause):
        assert hidden_in(show(text)) == []
    assert shown(shown(text)) == shown(text)
    assert len(shown(text)) == len(text.replace("\r\n", "\n"))
    for show in (one_line, quoted, cause):
        assert len(show(text).splitlines()) <= 1
    assert all(line.startswith("  ") for line in indented(text).splitlines()[1:])


@given(TEXT, TEXT)
def test_a_quotation_ends_where_it_ends(text: str, other: str):
    inside = quoted(text)[1:-1].replace("\\\\", "").replace("\\'", "")
    assert (quoted(text)[0], quoted(text)[-1]) == ("'", "'")
    assert "'" not in inside
    assert '"' not in cause(text)[1:-1]
    assert len(cause(text + other)) <= MAX_CAUSE


@given(st.recursive(TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)))
def test_json_stays_exact_and_hides_nothing(value: object):
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(escaped(text)) == json.loads(text)
    assert hidden_in(escaped(text)) == []


def test_a_new_id_with_a_hidden_character_is_refused_in_a_sentence():
    refuse_hidden("garden 👩\u200d🌾", "session_id")
    for hidden in ("\u202e", "\u200b", "\ufeff", "\U000e0041", "\u00ad", "\u3164"):
        with pytest.raises(InvalidArgument, match=rf"^new_session_id must .* U\+{ord(hidden):04X} at position 3\.$"):
            refuse_hidden(f"gar{hidden}den", "new_session_id")


def test_a_record_of_the_log_cannot_pass_for_two_or_do_anything_to_a_terminal():
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    record = logging.LogRecord("n", logging.INFO, "", 0, "Redis says %s", ("\x1b[31m\u202e\nERROR all is lost",), None)
    handler.handle(record)
    assert log.getvalue() == "INFO Redis says ?[31m?\n  ERROR all is lost\n"


@given(st.text(st.sampled_from("a日👩\u0301é—"), max_size=12), st.integers(1, 12))
def test_a_line_is_cut_to_the_columns_that_there_are(text: str, width: int):
    cut = fitting(text, width)
    assert columns(cut) <= width
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))
    assert columns("日本a") == 5

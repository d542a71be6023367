"""What of a word is looked for, how else it is written, and where it stands in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.journal.tokens import BEFORE, BEHIND, MOST_WORDS, _folded, beginnings, excerpt, variants, words_in

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("  Harvest  harvest PLANS ", ["harvest", "plans"]),
        ("jardin ?", ["jardin"]),
        ("c ++", ["c"]),
        ("++ ?", ["++", "?"]),
        ("Straße", ["straße"]),
        ("", []),
    ],
)
def test_the_words_of_a_query_are_each_there_once_and_signs_alone_are_none(query: str, words: list[str]):
    assert words_in(query) == words


@pytest.mark.parametrize(
    ("word", "begins"),
    [
        ("harvesting", "harvest"), ("registries", "registr"), ("conversations", "convers"), ("conversat", "conversat"),
        ("red", "red"), ("uses", "uses"), ("plan-7", "plan-7"), ("ed", "ed"),
    ],
)  # fmt: skip
def test_an_ending_is_left_aside_where_enough_is_left(word: str, begins: str):
    assert beginnings(word) == [begins]


def test_letters_that_stand_for_two_and_lines_without_spaces_are_looked_for_in_another_way_too():
    assert beginnings("straße") == ["straß", "strasse"]
    assert beginnings("天気") == ["天気", " 天 気 "]
    assert beginnings("!?") == []
    assert variants("Die Straße, ﬁne; λόγος and plain words") == "fine\nstrasse\nλογος"  # noqa: RUF001  Greek
    assert variants("東京の天気 today") == "東 京 の 天 気"
    assert variants("plain") == ""


def test_an_excerpt_is_around_the_word_and_ends_at_spaces():
    text = "filler " * 50 + "we met the Gärtner at dawn, " + "padding " * 50
    piece = excerpt(text, ["gartner"])
    assert "we met the Gärtner at dawn" in piece
    assert piece.startswith("…filler ")
    assert piece.endswith("padding…")
    assert len(piece) <= BEFORE + BEHIND + 2
    assert excerpt("all of it", ["it"]) == "all of it"
    assert excerpt("a split fit", ["it"]) == "", "only where a word begins"
    assert excerpt("明日の天気は晴れ", ["天気"]) == "明日の天気は晴れ"
    assert excerpt("nothing", ["else"]) == ""


def test_an_excerpt_of_a_word_that_is_everywhere_is_found_at_once():
    assert excerpt("the word " * 500_000, ["the"]).startswith("the word")
    assert excerpt("xthe " * 500_000, ["the"]) == ""


@given(TEXT, st.lists(TEXT, max_size=3))
def test_an_excerpt_holds_only_what_was_said(text: str, words: list[str]):
    piece = excerpt(text, words).strip("…")
    assert piece in " ".join(text.split()) or not piece.strip()


@given(TEXT)
def test_folding_leaves_every_character_in_its_place(text: str):
    assert len(_folded(text)) == len(text)


def test_of_very_many_words_the_longest_count():
    words = [f"{'w' * (number % 40)}{number}" for number in range(1_000)]
    longest = sorted(words, key=len, reverse=True)[:MOST_WORDS]
    assert words_in(" ".join(words)) == longest
    assert words_in(" ".join(words[:MOST_WORDS])) == words[:MOST_WORDS], (
        "few stay in the order in which they were typed"
    )
    assert words_in("x " * 10**7 + "too late") == ["x"]

"""What of a word is looked for, how else it is written, and where it stands in a text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.journal.folding import terms
from agentic_flywheel.journal.question import MOST_WORDS, Question
from agentic_flywheel.journal.tokens import BEFORE, BEHIND, _folded, excerpt

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("making makes made make", "make make make make"),
        ("went going goes", "go go go"),
        ("studies studied studying", "studi studi studi"),
        ("die dies died dying", "die die die die"),
        ("shake shaken, shelf shelves", "shake shake shelf shelf"),
        ("allergic allergies historical history", "allergi allergi histori histori"),
        ("polite politics music basic", "polit politic music basic"),
        ("harvesting harvests harvester", "harvest harvest harvest"),
        ("red uses bus class", "red use bus class"),
        ("Fußgänger Łódź ø ﬁne", "fussgang lodz o fine"),
        ("λόγος ΛΟΓΟΣ", "λογοσ λογοσ"),
        ("東京の天気", "東京 京の の天 天気 気"),
        ("한국어", "한국 국어 어"),
        ("หมา", "หม มา า"),
        ("don't chat_9ec0d860", "don t chat 9ec0d860"),
        ("!?", ""),
    ],
)
def test_a_text_is_folded_and_split_into_terms(text: str, expected: str):
    assert " ".join(terms(text)) == expected


@given(TEXT)
def test_terms_are_the_same_however_a_text_is_composed(text: str):
    assert terms(unicodedata.normalize("NFC", text)) == terms(unicodedata.normalize("NFD", text))


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("What did you tell me to plant behind the shed?", ["plant", "behind", "shed"]),
        ("Wann ging Anna in die Stadt?", ["ging", "anna", "stadt"]),
        ("où est la récolte", ["recolt"]),
        ("When did he die?", ["die"]),
        ("The Who", ["the", "who"]),
        ("天気", ["天気"]),
        ("+ - *", []),
    ],
)
def test_a_question_is_about_its_words_of_content(query: str, content: list[str]):
    assert [*Question.of(query).content] == content


def test_of_very_many_words_the_longest_are_looked_for():
    assert len(Question.of(" ".join(f"{'w' * (n % 40)}{n}" for n in range(1_000))).content) == MOST_WORDS


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


def test_an_excerpt_shows_a_form_of_the_word_where_most_of_the_words_stand():
    text = "her career began; a car, a party. " + "padding " * 50 + "We went by car to the party. " + "padding " * 50
    assert "We went by car to the party" in excerpt(text, ["go", "cars", "parties"])


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

"""Which words are forms of one, and which only look so."""

import pytest

from agentic_flywheel.journal.folding import stem

FORMS = (
    "move moved moving", "movie movies", "car cars", "care cares caring", "plan planned planning", "plane planes",
    "hope hoped hoping", "hop hopped", "story stories", "store stored storing", "party parties", "part parts",
    "apple apples", "apply applied applies applying", "cook cooked cooking", "cookie cookies", "busy busier",
    "bus buses", "time times", "city cities", "study studied studying", "early earlier", "case cases", "prize prizes",
    "write writer writing wrote", "volunteer volunteers volunteered volunteering", "remember remembered remembering",
    "engineer engineering", "prefer preferred", "use used using", "happy happier happiness", "decide decision",
    "educate education", "history historical", "allergy allergic", "luck lucky", "color colour", "music musician",
    "perform performance", "show showed", "shower showers", "evening evenings",
)  # fmt: skip


@pytest.mark.parametrize("line", FORMS)
def test_forms_of_a_word_are_one(line: str):
    assert len({stem(word) for word in line.split()}) == 1


@pytest.mark.parametrize(
    "pair",
    [
        "move movie", "car care", "car career", "plan plane", "hop hope", "story store", "party part", "apple apply",
        "cook cookie", "busy bus", "time tim", "same sam", "city cite", "hat hate", "cut cute", "read ready",
        "shower show", "even evening", "new news", "place placement", "state statement", "police policy", "hand handy",
        "wifi wife", "taxi tax",
    ],
)  # fmt: skip
def test_words_that_look_so_are_no_forms_of_each_other(pair: str):
    one, other = pair.split()
    assert stem(one) != stem(other)

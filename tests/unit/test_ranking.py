"""Which of two talks comes first."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal.journal import Journal
from agentic_flywheel.journal.question import Question

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write_of(name: str, said: str | list[tuple[str, str]], saved_at: int) -> Write:
    """A talk of a greeting and of what was said, or of what each of two said."""
    history: list[dict[str, Any]] = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": said}]
    if not isinstance(said, str):
        history = [{"role": "user", "name": who, "content": text} for who, text in said]
    session = UniversalSession(id=name, backend=BackendType.CUSTOM, history=history, created_at=NOW)
    row = ListRow("p:index", name, saved_at, json.dumps({"id": name}))
    return Write(f"p:session:{name}", encode(Document(session, 1, NOW, None)), None, None, list_row=row)


def found(folder: Path, talks: dict[str, str], question: str) -> list[str]:
    journal = Journal(folder, lambda: NOW)
    journal.put_replica(*[write_of(name, said, at) for at, (name, said) in enumerate(talks.items(), 1)])
    while journal.index_new(5.0):
        pass
    matches = journal.search("p:index", Question.of(question)).found
    journal.close()
    return [match.member for match in matches]


def test_indexing_goes_on_however_little_time_there_is_for_it(tmp_path: Path):
    """To list a hundred thousand sessions takes longer than a step may: none was ever indexed then."""
    journal = Journal(tmp_path, lambda: NOW)
    journal.put_replica(*[write_of(f"talk {at}", "ferns", at) for at in range(1, 4)])
    assert [journal.index_new(0.0) for _ in range(4)] == [2, 1, 0, 0]
    assert len(journal.search("p:index", Question.of("ferns")).found) == 3
    journal.close()


def test_a_rare_word_of_the_question_says_more_than_a_frequent_one_among_function_words(tmp_path: Path):
    talks = {
        "meant": "Our churn model fell from 0.86 to 0.71 in the last month, so the",
        "small talk": "Why do you get none done?",
        **{f"errand {n}": f"I get milk and bread number {n} on Mondays, at the shop behind it." for n in range(12)},
    }
    assert found(tmp_path, talks, "why did the churn prediction get worse")[0] == "meant"


def test_who_died_is_found_by_how_he_could_die_and_who_is_allergic_by_an_allergy(tmp_path: Path):
    talks = {
        "starter": "Gandalf died in the summer.",
        "other": "Die Pumpe brummt.",
        "nuts": "The allergy test is back.",
    }
    assert found(tmp_path, talks, "How did Gandalf die?")[0] == "starter"
    assert found(tmp_path / "again", talks, "is he allergic?") == ["nuts"]


def test_a_name_is_no_form_of_another_word(tmp_path: Path):
    talks = {"meant": "Tim got a movie ticket.", **{f"other {n}": "Time to move, at the same time." for n in range(9)}}
    assert found(tmp_path, talks, "Which movie did Tim see?")[0] == "meant"


def test_a_talk_of_the_person_who_is_asked_about_comes_before_one_of_others_whoever_says_it(tmp_path: Path):
    folder = tmp_path / "talks"
    journal = Journal(folder, lambda: NOW)
    pairs = {"meant": ("Ana", "Ben"), "other": ("Cid", "Dora"), **{f"more {n}": ("Eve", "Finn") for n in range(6)}}
    writes = [
        write_of(name, [(one, "hello, how are you"), (two, said), (one, "fine"), (two, "good")], at)
        for at, (name, (one, two)) in enumerate(pairs.items(), 1)
        for said in ["The lamps are new and bright" + " and small" * (50 if name == "meant" else 0)]
    ]
    journal.put_replica(*writes)
    while journal.index_new(5.0):
        pass
    matches = journal.search("p:index", Question.of("Which new and bright lamps are of Ana?")).found
    journal.close()
    assert matches[0].member == "meant"


def test_how_many_asks_for_no_man(tmp_path: Path):
    talks = {"meant": "I bought seven lamps.", "other": "A man walked by, and he was the man of the hour."}
    assert found(tmp_path, talks, "How many lamps were there, and how much light?") == ["meant"]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("ein ganzer Tag", "Tage"),
        ("jeden kwiat", "kwiaty"),
        ("Hunde", "Hund"),
        ("die Geschäftsführerin in Köln", "Geschaeftsfuehrerin"),
        ("die Geschäftsführerin in Köln", "Koeln"),
        ("קניתי שטיח אדום", "כמה עלה השטיח"),
        ("קניתי את השטיח", "שטיח"),
        ("اشتريت سجادة", "السجادة"),
        ("اشتريت السجادة", "سجادة"),
    ],
)
def test_another_form_in_another_language_is_found(tmp_path: Path, said: str, asked: str):
    assert found(tmp_path, {"meant": said, "other": "etwas anderes"}, asked) == ["meant"]


def test_a_misspelt_word_beside_others_finds_what_it_was_meant_to_be_and_says_that_not_all_was_said(tmp_path: Path):
    talks = {
        "meant": "The wisteria is cut back in late February.",
        "other": "Which month is best, and is it best to cut costs?",
        **{f"more {n}": "Last month we cut it back." for n in range(5)},
    }
    for typed in ("wistreia", "wisterria", "wistera", "wisteriq"):
        folder = tmp_path / typed
        journal = Journal(folder, lambda: NOW)
        journal.put_replica(*[write_of(name, said, at) for at, (name, said) in enumerate(talks.items(), 1)])
        while journal.index_new(5.0):
            pass
        matches = journal.search("p:index", Question.of(f"month for cutting the {typed}")).found
        journal.close()
        assert (matches[0].member, matches[0].all_words) == ("meant", False)


def test_a_word_that_is_one_letter_from_others_is_none_of_them_where_it_is_said_or_is_asked_for_alone(tmp_path: Path):
    talks = {"one": "The carper came.", "other": "A casper was here."}
    assert found(tmp_path, talks, "was casper here?") == ["other"]
    assert found(tmp_path / "alone", talks, "cashper") == []
    assert found(tmp_path / "short", {"one": "My oven is warm.", "other": "It is hot."}, "hot ovan") == ["other"]


def test_the_month_of_may_is_asked_for_where_it_has_a_capital(tmp_path: Path):
    talks = {"meant": "We marry in May.", "other": "We marry in October.", "more": "They did not marry."}
    assert found(tmp_path, talks, "Do they marry in May?")[0] == "meant"
    assert Question.of("What May I eat?").content[-1] == "may"
    assert "may" not in Question.of("What may I eat?").content

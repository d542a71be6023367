"""That the corpus which searches are measured on is what it says: real prose, a thousand talks, always the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.prose import PAIRS, TALKS, VAGUE_TITLES, Talk, talks
from ..support.queries import QUERIES

pytestmark = pytest.mark.slow

PRINT_TALKS = "from tests.support.prose import talks; print(*map(ascii, talks()), sep=chr(10))"


def contents(talk: Talk) -> str:
    return "\n".join(turn["content"] for turn in talk.history)


def test_there_are_a_thousand_talks_and_no_two_share_an_id_or_a_history():
    assert len(talks()) == TALKS
    assert len({talk.session_id for talk in talks()}) == TALKS
    assert len({contents(talk) for talk in talks()}) == TALKS


def test_the_talks_are_the_same_in_every_process():
    command = [sys.executable, "-c", PRINT_TALKS]
    other = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True).stdout
    pairs = zip(talks(), other.splitlines(), strict=True)
    assert [talk.session_id for talk, line in pairs if ascii(talk) != line] == []


def test_a_talk_is_of_4_to_30_turns_that_ask_and_answer_in_turn():
    for talk in talks():
        roles = [turn["role"] for turn in talk.history]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert 2 <= len(roles) // 2 <= PAIRS


def test_a_talk_is_of_2_to_30_kilobytes_and_some_are_long():
    sizes = sorted(len(json.dumps(talk.history, ensure_ascii=False).encode()) for talk in talks())
    assert sizes[0] >= 2_000
    assert sizes[-1] <= 30_000
    assert sizes[-20] >= 8_000


def test_titles_summaries_and_tags_are_there_as_often_as_people_give_them():
    assert 100 <= sum(not talk.title for talk in talks()) <= 250
    assert 150 <= sum(talk.title in VAGUE_TITLES for talk in talks()) <= 300
    assert 280 <= sum(bool(talk.summary) for talk in talks()) <= 400
    assert 450 <= sum(bool(talk.tags) for talk in talks()) <= 650


def test_the_talks_are_spread_over_more_than_a_year():
    days = {talk.said_at.date() for talk in talks()}
    assert len(days) > 400
    assert (max(days) - min(days)).days > 600


def test_there_are_fifty_searches_of_two_to_six_words_and_none_twice():
    assert len({words for words, _ in QUERIES}) == 50
    assert all(2 <= len(words.split()) <= 6 for words, _ in QUERIES)
    assert sum(words.lower() in {talk.title.lower() for talk in talks()} for words, _ in QUERIES) <= 10


@pytest.mark.parametrize(("words", "meant"), QUERIES)
def test_what_a_search_means_is_there_and_has_some_of_its_words(words: str, meant: set[str]):
    assert 1 <= len(meant) <= 3
    found = {talk.session_id: talk for talk in talks() if talk.session_id in meant}
    assert found.keys() == meant
    for talk in found.values():
        text = f"{talk.session_id} {talk.title} {talk.tags} {contents(talk)}".lower()
        assert sum(word.lower() in text for word in words.split()) >= 2

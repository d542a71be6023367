"""Words that a question writes as one and a talk as two, or the other way round."""

import asyncio
from pathlib import Path

import pytest

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.journal.compounds import inside
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

AS_TWO = {
    "a": "Does our linter enforce PEP-8 in tests?",
    "b": "Siobhán O'Brien signed the lease.",
    "c": "The guests ask for the Wi-Fi password.",
    "d": "We stay with node.js in our CI/CD.",
    "e": "Marketing has a budget of $45,000 this quarter.",
    "f": "The profile_id of that user is stale.",
    "g": "Die Straßenbahn-Karte gilt zwei Stunden.",
    "h": "A brien wall and a nodal pepper of my wife.",
    "i": "The function get_stale_profile is slow.",
    "j": "An http-server of its own.",
    "k": "Our Kubernetes upgrade waits, not a kindness.",
    "l": "Internationalization of the shop.",
    "m": "Buy a tool for o11y.",
    "n": "Зимние шины лежат в гараже.",
    "o": "Δεν ξεκινά η μηχανή.",
}
AS_ONE = {
    "a": "Is pep8 enforced?",
    "b": "obrien signed it",
    "c": "the wifi is slow",
    "d": "nodejs and cicd",
}


async def _found(folder: Path, talks: dict[str, str], query: str) -> list[tuple[str, str]]:
    sessions, _ = open_store(Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder), "HOME": str(folder)}))
    async with sessions:
        for name, words in talks.items():
            turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": words}]
            await sessions.save(Save(session_id=name, history=turns, title="A talk"), CallerViews())
        listed = await sessions.list_sessions(SessionFilter(query=query))
    return [(row["id"], row["matched"]) for row in listed.sessions]


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("pep8", "a"),
        ("obrien", "b"),
        ("wifi", "c"),
        ("wifi passwords", "c"),
        ("nodejs", "d"),
        ("cicd", "d"),
        ("45000", "e"),
        ("profileId", "f"),
        ("getStaleProfile", "i"),
        ("HTTPServer", "j"),
        ("k8s", "k"),
        ("i18n", "l"),
        ("observability", "m"),
        ("шина", "n"),
        ("зимняя шина", "n"),
        ("μηχανές", "o"),
        ("Straßenbahnkarte", "g"),
    ],
)
def test_one_word_finds_the_two_that_a_talk_has_beside_each_other(tmp_path: Path, query: str, meant: str):
    assert asyncio.run(_found(tmp_path, AS_TWO, query)) == [(meant, "all words")]


@pytest.mark.parametrize(
    "query", ["fetch all", "weather client", "what was wrong with fetch all in the weather client"]
)
def test_what_capitals_divide_in_a_talk_is_found_by_its_parts(tmp_path: Path, query: str):
    talks = {"a": "WeatherClient.fetchAll is slow.", "b": "What was wrong in all of it?"}
    assert asyncio.run(_found(tmp_path, talks, query))[0][0] == "a"


def test_of_a_checksum_capitals_divide_nothing():
    assert inside("aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91IHRvZGF5PyBJIGFtIGZpbmU and getUserById, iPhone") == [
        "get",
        "user",
        "phone",
    ]


@pytest.mark.parametrize(
    ("query", "meant"),
    [("PEP-8", "a"), ("O'Brien", "b"), ("O\u2019Brien signed", "b"), ("Wi-Fi", "c"), ("node.js", "d"), ("CI/CD", "d")],
)
def test_what_is_written_with_a_sign_in_it_finds_the_word_without(tmp_path: Path, query: str, meant: str):
    found = asyncio.run(_found(tmp_path, AS_ONE, query))
    assert found[0] == (meant, "all words")


@pytest.mark.parametrize("query", ["hellotalk", "gueststhe", "brienpepper", "x" * 5_000])
def test_two_words_that_do_not_stand_together_are_not_one(tmp_path: Path, query: str):
    assert asyncio.run(_found(tmp_path, AS_TWO, query)) == []

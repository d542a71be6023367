"""A person finds last week's talk among hundreds, by what was said in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.prose import Talk, talks
from ..support.queries import QUERIES
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

ENOUGH = 50  # of the fifty searches


def ids(found: dict[str, Any]) -> list[str]:
    return [row["id"] for row in found["sessions"]]


def find(server: WireServer, query: str, **more: Any) -> list[str]:
    return ids(server.call("list_sessions", query=query, **more))


def save(server: WireServer, talk: Talk) -> None:
    given = {"title": talk.title, "summary": talk.summary, "tags": talk.tags}
    known = {name: value for name, value in given.items() if value}
    assert server.call("save_session", session_id=talk.session_id, history=talk.history, **known)["saved"] is True


@pytest.mark.timeout(300)  # a thousand saves on a slow machine
@pytest.mark.parametrize("redis_is", ["up", "switched off"])
def test_of_fifty_searches_among_a_thousand_talks_nearly_all_find_the_talk_among_the_first_five(
    redis_is: str, server_env: dict[str, str], disabled_env: dict[str, str]
):
    with WireServer(server_env if redis_is == "up" else disabled_env) as server:
        if redis_is == "up":
            server.warm()
        for talk in talks():
            save(server, talk)
        all_of_them = f"turns of the {len(talks()):,} sessions here"
        wait_until(
            lambda: server.call("list_sessions", query="harvest", within=60)["searched"].endswith(all_of_them),
            within=60,
            what="the rest to be read in the background",
        )
        missed = [words for words, meant in QUERIES if not meant & set(find(server, words)[:5])]
    print(f"found among the first five: {len(QUERIES) - len(missed)} of {len(QUERIES)}")  # noqa: T201  for `pytest -s`
    assert len(QUERIES) - len(missed) >= ENOUGH, missed


@pytest.fixture
def farm(server_env: dict[str, str]) -> Iterator[WireServer]:
    """A server with a few talks."""
    with WireServer(server_env) as server:
        server.warm()
        parts = [{"role": "user", "content": [{"type": "text", "text": "tractor"}]}]
        server.call("save_session", session_id="plan-7", title="Field", history=turns("When do we harvest?", "Monday."))
        server.call("save_session", session_id="talk-2", tags=["north"], history=turns("La récolte du blé noir"))
        server.call("save_session", session_id="odd", history=parts)
        server.call("save_session", session_id="long", history=turns(*["filler " * 50] * 40, "the tractor is broken"))
        server.call("save_session", session_id="letters", title="?", history=turns("Der Fußgänger in Łódź, ﬁne, λόγος"))
        server.call("save_session", session_id="signs", title="?", history=turns("東京の天気は晴れです。明日も晴れ。"))
        yield server


FOUND = {
    "harvest": ["plan-7"],
    "HARVESTING": ["plan-7"],  # another form of the word
    "monday   FIELD": ["plan-7"],
    "harves": ["plan-7"],  # cut anywhere
    "harvest ?": ["plan-7"],  # a sign that stands alone is no word
    "harvest\0": ["plan-7"],
    "harv": ["plan-7"],  # its beginning
    "recolte ble": ["talk-2"],  # without its accents
    "FUSSGÄNGER lodz": ["letters"],
    "Fußgänger łódź": ["letters"],
    "fine λογοσ": ["letters"],
    "天気": ["signs"],  # a word in the middle of a line without spaces
    "晴れ 東京": ["signs"],
    "気天": [],
    "récolte monday": ["plan-7", "talk-2"],  # two words, never in one talk: the shorter turn is more about its one
    "field harvest": ["plan-7"],  # one in the title, the other in a turn
    "north noir": ["talk-2"],  # a tag
    "plan-7": ["plan-7"],
    "ield": ["plan-7"],  # any part of what lists show
    "monday harvest misspelled": ["plan-7"],  # of three, one may be missing
    "monday misspelled mistaken": ["plan-7"],  # of any number, some are enough
    '"field" AND NOT (': ["plan-7"],  # signs are no operators
    "tractor": ["odd", "long"],  # the shorter talk is more about it
    "+ - *": [],
}


def test_words_are_looked_for_in_turns_and_in_what_lists_show(farm: WireServer):
    assert {query: find(farm, query) for query in FOUND} == FOUND


def test_an_answer_shows_where_the_words_stand_and_says_what_was_searched(farm: WireServer):
    answer = farm.call("list_sessions", query="tractor")
    excerpts = [row["excerpt"] for row in answer["sessions"]]
    assert excerpts[0] == "tractor"
    assert excerpts[1] == "the tractor is broken", "the turn that has it"
    assert answer["searched"] == (
        "ids, titles, summaries and tags of all sessions in Redis; turns of the 6 sessions here"
    )
    (row,) = farm.call("list_sessions", query="field")["sessions"]
    assert "excerpt" not in row
    plain = farm.call("list_sessions")
    assert "searched" not in plain
    assert not any("excerpt" in row for row in plain["sessions"])


def test_the_other_filters_hold_for_what_is_found(farm: WireServer):
    assert find(farm, "tractor", pattern="o*") == ["odd"]
    assert find(farm, "noir", tags=["north"]) == ["talk-2"]
    assert find(farm, "tractor", tags=["north"]) == []
    assert find(farm, "tractor", user_id="somebody else") == []


def test_what_is_found_comes_in_pages_each_once(farm: WireServer):
    for number in range(7):
        farm.call("save_session", session_id=f"m{number}", history=turns(f"the mill, day {number}"))
    pages, cursor = [], {}
    while True:
        page = farm.call("list_sessions", query="mill day", limit=3, **cursor)
        pages.append(ids(page))
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(name for page in pages for name in page) == [f"m{number}" for number in range(7)]
    first = farm.call("list_sessions", query="mill day", limit=3)
    farm.call("save_session", session_id="m9", history=turns("the mill, day 9"))
    second = farm.call("list_sessions", query="mill day", limit=3, cursor=first["next_cursor"])
    assert ids(second) == pages[1], "what was saved since moves nothing"
    other = "of an earlier answer to the same question"
    assert other in farm.refused("list_sessions", query="day", cursor=first["next_cursor"])
    of_a_list = farm.call("list_sessions", limit=1)["next_cursor"]
    assert other in farm.refused("list_sessions", query="mill", cursor=of_a_list)


def test_what_is_found_is_as_it_is_now(farm: WireServer):
    assert find(farm, "broken") == ["long"]
    farm.call("save_session", session_id="long", history=turns("it is repaired now"))
    assert find(farm, "repaired") == ["long"]
    farm.call("save_session", session_id="long", history=turns("all new"), mode="replace")
    assert find(farm, "repaired") == []
    farm.call("delete_session", session_id="long")
    assert find(farm, "new") == []
    farm.call("save_session", session_id="brief", history=turns("soon gone"), ttl_seconds=4)
    assert find(farm, "soon") == ["brief"]
    wait_until(lambda: find(farm, "soon") == [], what="it to expire")


def test_what_was_deleted_is_not_left_in_the_index(farm: WireServer, server_env: dict[str, str]):
    farm.call("save_session", session_id="secretive", history=turns("the xylophonist plays"))
    assert find(farm, "xylophonist") == ["secretive"]
    file = Path(server_env["FLYWHEEL_DATA_DIR"]) / "words.sqlite3"
    assert b"the xylophonist plays" in file.read_bytes()
    farm.call("delete_session", session_id="secretive")
    wait_until(lambda: b"the xylophonist plays" not in file.read_bytes(), what="its words to go")


def test_of_a_session_from_elsewhere_what_lists_show_is_found_and_once_it_was_resumed_its_turns(
    farm: WireServer, redis: RedisServer, tmp_path: Path
):
    with WireServer(clean_env(tmp_path / "elsewhere", redis.url, redis.prefix)) as elsewhere:
        elsewhere.warm()
        elsewhere.call("save_session", session_id="theirs", title="The windmill", history=turns("We oiled the gears."))
        elsewhere.call("save_session", session_id="mine", title="?", history=turns("A windmill of ours."))
        assert find(farm, "windmill") == ["theirs"]
        assert find(farm, "gears") == []
        farm.call("resume_session", session_id="theirs")
        wait_until(lambda: find(farm, "gears") == ["theirs"], what="the copy to be here")
        elsewhere.call("save_session", session_id="theirs", title="The water mill")
        (row,) = farm.call("list_sessions", query="gears")["sessions"]
        assert row["title"] == "The water mill", "shown as it is in Redis"
        elsewhere.call("delete_session", session_id="theirs")
        assert find(farm, "gears") == []


def test_without_redis_what_is_pending_is_found(lonely_env: dict[str, str]):
    with WireServer(lonely_env) as server:
        server.call("save_session", session_id="s", history=turns("kept here for now"))
        answer = server.call("list_sessions", query="kept now", within=30)
        assert ids(answer) == ["s"]
        assert answer["scope"] == "this machine"
        assert "tags of the sessions of this machine; turns of the 1 session here" in answer["searched"]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_index_is_made_anew(disabled_env: dict[str, str], content: bytes):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", title="Shown", history=turns("needle"))
        file = Path(disabled_env["FLYWHEEL_DATA_DIR"]) / "words.sqlite3"
        file.write_bytes(content)
        assert find(server, "shown") == ["s"], "what lists show is found all the same"
        assert find(server, "needle") == ["s"]


def test_without_a_journal_what_lists_show_is_found(server_env: dict[str, str]):
    with WireServer({**server_env, "FLYWHEEL_JOURNAL": "false"}) as server:
        server.warm()
        server.call("save_session", session_id="s", title="The windmill", history=turns("needle"))
        assert find(server, "windmill") == ["s"]
        assert find(server, "needle") == []


def test_a_whole_question_finds_the_talk_and_resumes_it(farm: WireServer):
    said = turns("What grows in deep shade behind the shed?", "Sword ferns and hostas; plant them in autumn.")
    farm.call("save_session", session_id="shade", title="The yard", history=said)
    farm.call(
        "save_session", session_id="desk", title="The desk", history=turns("What did you tell me to buy?", "Oak.")
    )
    answer = farm.call("list_sessions", query="what did you tell me to plant behind the shed")
    assert (ids(answer)[0], answer["sessions"][0]["matched"], answer["matched"]) == ("shade", "all words", "all words")
    assert farm.call("list_sessions", query="hostas or tulips?")["sessions"][0]["matched"] == "some words"
    resumed = farm.call("resume_session", query="When did I have to plant the hostas?")
    assert (resumed["found"], resumed["session"]["id"], resumed["matched"]) == (True, "shade", "all words")


def test_a_miss_says_what_was_searched_and_offers_near_titles(farm: WireServer):
    farm.call("save_session", session_id="wind", title="The windmill", history=turns("it turns"))
    missed = farm.call("list_sessions", query="windmlil")
    assert missed["sessions"] == []
    assert "Searched: ids, titles, summaries and tags" in missed["message"]
    assert missed["suggestions"] == [{"id": "wind", "title": "The windmill"}]
    resumed = farm.call("resume_session", query="windmlil")
    assert (resumed["found"], resumed["reason"], resumed["suggestions"]) == (False, "not_found", ["wind"])


@pytest.mark.parametrize("query", ["Vorlauftemperatur", "Heizvorlauf"])
def test_a_miss_offers_talks_that_have_a_part_of_a_compound(farm: WireServer, query: str):
    farm.call("save_session", session_id="heat", title="Haus", history=turns("Reicht der Vorlauf?", "Ja, mit 55 Grad."))
    farm.call("save_session", session_id="other", title="Garten", history=turns("Wasser und Temperament", "Laufen"))
    assert farm.call("list_sessions", query=query)["suggestions"][0] == {"id": "heat", "title": "Haus"}


def test_a_miss_offers_talks_in_which_something_was_said_that_is_spelt_nearly_so(farm: WireServer):
    farm.call("save_session", session_id="dog", title="Rex", history=turns("He is allergic to chicken.", "Try salmon."))
    missed = farm.call("list_sessions", query="chiken")
    assert (missed["sessions"], missed["suggestions"]) == ([], [{"id": "dog", "title": "Rex"}])
    assert "spelt nearly so, or a part of it, was said in: 'Rex' ('dog')" in missed["message"]
    resumed = farm.call("resume_session", query="chiken?")
    assert (resumed["found"], resumed["suggestions"]) == (False, ["dog"])
    assert resumed["message"].endswith("Next: resume_session(session_id='dog').")
    for user in ("somebody else", ""):
        assert bool(farm.call("list_sessions", query="chiken", user_id=user).get("suggestions")) is not bool(user)


def test_a_question_of_no_word_that_was_said_names_the_way_to_the_latest(farm: WireServer):
    message = farm.call("resume_session", query="how are you?")["message"]
    assert "here. Next: other words of it" in message
    assert "resume_session() for the latest" in message


def test_a_short_word_within_another_says_less_than_a_word_that_was_said(farm: WireServer):
    farm.call("save_session", session_id="breakfast", title="Servir cedo", history=turns("cafe"))
    said = "Entre maio e setembro chove menos nos Acores, e o mar esta mais quente do que em abril e em outubro."
    farm.call("save_session", session_id="islands", title="Uma viagem", history=turns(said))
    assert find(farm, "acores ir")[0] == "islands"
    assert find(farm, "servi") == ["breakfast"]


def test_a_broken_table_of_the_index_is_noticed_and_made_anew(farm: WireServer, server_env: dict[str, str]):
    assert find(farm, "harvest") == ["plan-7"]
    with closing(sqlite3.connect(Path(server_env["FLYWHEEL_DATA_DIR"]) / "words.sqlite3")) as db:
        db.execute("DROP TABLE turns")
    assert find(farm, "harvest") == ["plan-7"]

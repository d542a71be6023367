"""A person finds a talk by its words after everything that changes a talk, and by none that it no longer has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer
from .test_finding import find, ids
from .test_moving_house import run

pytestmark = pytest.mark.slow


@pytest.fixture(params=["redis", "journal alone"])
def server(request: pytest.FixtureRequest, server_env: dict[str, str], disabled_env: dict[str, str]) -> Iterator[Any]:
    """A server with a talk about a mill, and one beside it."""
    with WireServer(server_env if request.param == "redis" else disabled_env) as server:
        if request.param == "redis":
            server.warm()
        server.call("save_session", session_id="other", title="?", history=turns("we bought a plough"))
        server.call("save_session", session_id="mill", title="?", history=turns("the mill stands", "by the brook"))
        yield server


def test_after_an_append_its_turn_is_shown_and_an_undo_takes_it_away(server: WireServer):
    server.call("save_session", session_id="mill", history=turns("a heron landed on the weir"))
    (row,) = server.call("list_sessions", query="Where did the heron land?")["sessions"]
    assert (row["id"], row["excerpt"], row["matched"]) == ("mill", "a heron landed on the weir", "all words")
    server.call("restore_session", session_id="mill", revision=1)
    assert find(server, "heron") == []
    assert find(server, "brook") == ["mill"]
    server.call("restore_session", session_id="mill", revision=2)
    assert find(server, "heron") == ["mill"]


def test_after_a_replace_only_the_new_words_find_it_also_those_of_its_fields(server: WireServer):
    given = {"title": "Gears", "summary": "how wheels turn", "tags": ["iron"]}
    server.call("save_session", session_id="mill", history=turns("oil the cogs"), mode="replace", **given)
    assert [find(server, word) for word in ("mill", "brook", "cogs", "gears", "wheels", "iron")] == [
        ["mill"],  # its id
        [],
        *[["mill"]] * 4,
    ]
    server.call("save_session", session_id="mill", title="Levers", tags=["brass"])
    assert [find(server, word) for word in ("gears", "iron", "levers", "brass", "cogs")] == [[], [], *[["mill"]] * 3]


def test_a_fork_is_found_beside_its_origin_until_either_is_deleted(server: WireServer):
    forked = server.call("fork_session", session_id="mill")["session_id"]
    assert sorted(find(server, "brook")) == sorted(["mill", forked])
    server.call("save_session", session_id=forked, history=turns("the branch has a sluice"))
    assert find(server, "sluice") == [forked]
    server.call("delete_session", session_id="mill")
    assert find(server, "brook") == [forked]
    server.call("save_session", session_id="mill", history=turns("built anew"))
    assert find(server, "anew") == ["mill"]
    assert find(server, "brook") == [forked]


def test_filters_combine_with_words_and_with_each_other(server: WireServer):
    for number in range(12):
        server.call(
            "save_session",
            session_id=f"t{number:02}",
            history=turns(f"the ferry leaves at {number}"),
            status="running" if number % 2 else "completed",
            tags=["boat", *(["night"] if number % 3 == 0 else [])],
            user_id="ana" if number < 6 else "ben",
        )
    meant = {"status": "running", "tags": ["boat", "night"], "user_id": "ana"}
    assert find(server, "When does the ferry leave?", **meant) == ["t03"]
    pages: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = server.call("list_sessions", query="ferry leaves", limit=2, user_id="ben", **cursor)
        pages += ids(page)
        server.call("save_session", session_id=f"late{len(pages)}", history=turns("a ferry leaves"), user_id="ben")
        if not (cursor := {"cursor": page["next_cursor"]} if "next_cursor" in page else {}) or len(pages) > 20:
            break
    assert sorted(name for name in pages if name.startswith("t")) == [f"t{number:02}" for number in range(6, 12)]
    assert len(pages) == len(set(pages))


def test_what_was_imported_is_found_and_shown_by_its_turn(server: WireServer, tmp_path: Path):
    path = tmp_path / "talks.jsonl"
    run(server.env, "export", str(path))
    server.call("delete_session", session_id="mill")
    assert find(server, "brook") == []
    run(server.env, "import", str(path), "--bring-back-deleted")
    wait_until(lambda: find(server, "brook") == ["mill"], what="what another process imported")
    (row,) = server.call("list_sessions", query="What is by the brook?")["sessions"]
    assert row["excerpt"] == "by the brook"


@pytest.mark.parametrize("gone", ["deleted", "emptied"])
def test_an_index_that_goes_while_the_server_runs_is_made_anew(server: WireServer, gone: str):
    assert find(server, "brook") == ["mill"]
    for file in Path(server.env["FLYWHEEL_DATA_DIR"]).glob("words.sqlite3*"):
        if gone == "deleted":
            file.unlink()
        else:
            file.write_bytes(b"")
    assert find(server, "mill") == ["mill"]
    assert find(server, "brook") == ["mill"]
    server.call("save_session", session_id="mill", history=turns("a heron landed"))
    assert find(server, "heron") == ["mill"]


def test_what_redis_lost_is_found_all_the_same(server_env: dict[str, str], redis: RedisServer):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id="mill", history=turns("by the brook"))
        assert find(server, "brook") == ["mill"]
        redis.flush()
        wait_until(lambda: find(server, "brook") == ["mill"], what="it to be put back", within=30)
        server.call("save_session", session_id="mill", history=turns("a heron landed"))
        assert find(server, "heron") == ["mill"]


def test_of_two_machines_each_finds_what_the_other_changed_once_it_has_it(
    server_env: dict[str, str], redis: RedisServer, tmp_path: Path
):
    there_env = clean_env(tmp_path / "there", redis.url, redis.prefix)
    with WireServer(server_env) as here, WireServer(there_env) as there:
        here.warm()
        there.warm()
        here.call("save_session", session_id="mill", title="Mill", history=turns("by the brook"))
        assert there.call("resume_session", query="mill")["found"] is True
        there.call("save_session", session_id="mill", title="Barn", history=turns("a heron landed"))
        assert find(there, "Where did the heron land at the brook?") == ["mill"]
        assert find(here, "barn") == ["mill"]
        here.call("resume_session", session_id="mill")
        wait_until(lambda: find(here, "heron") == ["mill"], what="the copy to be indexed")
        there.call("delete_session", session_id="mill")
        assert [find(here, word) for word in ("heron", "barn", "brook")] == [[], [], []]

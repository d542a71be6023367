"""What a save does to what is there: absent means unchanged, append adds what is new, revisions keep writers apart."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place
from ..support.conversations import TALK, exact, turns, words
from ..support.frameworks import NATIVE
from ..support.wire import WireServer


def history_of(server: WireServer, session_id: str) -> list[str]:
    return words(server.call("resume_session", session_id=session_id)["session"]["history"])


def session_of(server: WireServer, session_id: str) -> dict[str, Any]:
    return server.call("resume_session", session_id=session_id)["session"]


# absent means unchanged

FIELDS = {
    "title": "T",
    "summary": "S",
    "tags": ["a", "b"],
    "status": "running",
    "backend": "langflow",
    "user_id": "ana",
    "backend_session_id": "b-1",
    "current_flow_id": "f-1",
    "context": {"k": 1},
}


def test_a_new_session_gets_the_defaults(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, title="New")
    session = session_of(server, sid)
    assert (session["backend"], session["status"], session.get("backend_session_id")) == ("custom", "pending", None)
    assert (session["history"], session["context"]) == ([], {})


def test_fields_that_are_absent_stay_as_they_are(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=TALK, **FIELDS)
    server.call("save_session", session_id=sid, history=turns("more"))
    session = session_of(server, sid)
    assert exact({name: session[name] for name in FIELDS}) == exact(FIELDS)


def test_empty_texts_stay_as_they_are(server: WireServer, sid: str):
    texts = {name: value for name, value in FIELDS.items() if isinstance(value, str)}
    server.call("save_session", session_id=sid, **FIELDS)
    empty: dict[str, Any] = dict.fromkeys(texts, "")
    server.call("save_session", session_id=sid, **empty)
    session = session_of(server, sid)
    assert {name: session[name] for name in texts} == texts


def test_tags_that_are_given_replace(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, tags=["a", "b"])
    server.call("save_session", session_id=sid, tags=["c"])
    assert session_of(server, sid)["tags"] == ["c"]


def test_context_merges_shallowly_and_null_is_a_value(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, context={"a": {"x": 1}, "b": 2, "c": 3})
    server.call("save_session", session_id=sid, context={"a": {"y": 1}, "b": None, "d": 4})
    assert exact(session_of(server, sid)["context"]) == exact({"a": {"y": 1}, "b": None, "c": 3, "d": 4})


def test_replace_makes_the_session_exactly_what_was_sent(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=TALK, **FIELDS)
    answer = server.call("save_session", session_id=sid, history=turns("only this"), title="New", mode="replace")
    assert (answer["saved"], answer["revision"], answer["turns"]) == (True, 2, 1)
    session = session_of(server, sid)
    assert words(session["history"]) == ["only this"]
    assert (session["title"], session["context"], session["tags"]) == ("New", {}, [])
    assert not session["summary"]
    assert (session["status"], session["backend"]) == ("pending", "custom")


def test_the_stored_ttl_is_used_again_and_its_clock_restarts(server: WireServer, sid: str):
    def life(answer: dict[str, Any]) -> float:
        row = next(row for row in server.call("list_sessions", pattern=sid)["sessions"])
        assert row["expires_at"] == answer["expires_at"]
        return (datetime.fromisoformat(row["expires_at"]) - datetime.fromisoformat(row["updated_at"])).total_seconds()

    first = server.call("save_session", session_id=sid, history=turns("a"), ttl_seconds=1000)
    assert life(first) == pytest.approx(1000, abs=1)
    second = server.call("save_session", session_id=sid, history=turns("b"))
    assert life(second) == pytest.approx(1000, abs=1)
    assert datetime.fromisoformat(second["expires_at"]) > datetime.fromisoformat(first["expires_at"])
    third = server.call("save_session", session_id=sid, history=turns("c"), ttl_seconds=0)
    assert third["expires_at"] is None
    assert server.call("save_session", session_id=sid, history=turns("d"))["expires_at"] is None


def test_created_at_stays_and_updated_at_moves(server: WireServer, sid: str):
    def times() -> tuple[datetime, datetime]:
        row = server.call("list_sessions", pattern=sid)["sessions"][0]
        return datetime.fromisoformat(row["created_at"]), datetime.fromisoformat(row["updated_at"])

    server.call("save_session", session_id=sid, history=turns("a"))
    created, updated = times()
    server.call("save_session", session_id=sid, history=turns("b"))
    assert times()[0] == created
    assert times()[1] > updated


# append adds what is new


@pytest.mark.parametrize(
    ("stored", "sent", "after", "added"),
    [
        pytest.param("a b", "a b c", "a b c", 1, id="the whole talk again and one more"),
        pytest.param("a b c", "b c d", "a b c d", 1, id="its tail and one more"),
        pytest.param("a b", "c d", "a b c d", 2, id="only what is new"),
        pytest.param("a b", "a b", "a b", 0, id="the whole talk again"),
        pytest.param("a b c", "c", "a b c", 0, id="its last turn again"),
        pytest.param("a b c", "a", "a b c a", 1, id="an old turn said again"),
        pytest.param("ok ok", "ok ok ok", "ok ok ok", 1, id="the same word three times"),
        pytest.param("a a b", "a b a", "a a b a", 1, id="an overlap inside a repetition"),
        pytest.param("", "a a", "a a", 2, id="twice the same at once"),
        pytest.param("a b", "", "a b", 0, id="nothing"),
        pytest.param("a b a", "b a b a", "a b a b a", 2, id="the longest overlap and no longer"),
    ],
)
def test_append_adds_what_is_new(stored: str, sent: str, after: str, added: int, server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns(*stored.split()))
    answer = server.call("save_session", session_id=sid, history=turns(*sent.split()))
    assert history_of(server, sid) == after.split()
    assert (answer["added_turns"], answer["turns"]) == (added, len(after.split()))


def test_turns_are_equal_whatever_the_order_of_their_keys(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=[{"role": "user", "content": "a", "n": {"x": 1, "y": 2}}])
    again = server.call(
        "save_session", session_id=sid, history=[{"n": {"y": 2, "x": 1}, "content": "a", "role": "user"}]
    )
    assert (again["turns"], again["added_turns"]) == (1, 0)


def test_a_turn_with_an_id_is_matched_anywhere(server: WireServer, sid: str):
    a, b, c, d = ({"id": name, "content": name} for name in "abcd")
    server.call("save_session", session_id=sid, history=[a, b, c])
    answer = server.call("save_session", session_id=sid, history=[b, d, a])
    assert answer["added_turns"] == 1
    assert history_of(server, sid) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("talk", NATIVE.values(), ids=NATIVE)
@pytest.mark.parametrize("resending", ["the whole talk", "its tail"])
def test_no_turn_of_a_framework_is_dropped_because_another_has_its_id(
    talk: list[dict[str, Any]], resending: str, server: WireServer, sid: str
):
    for end in range(2, len(talk) + 1):
        part = talk[:end] if resending == "the whole talk" else talk[max(0, end - 4) : end]
        answer = server.call("save_session", session_id=sid, history=part)
        assert answer["turns"] == end
    assert exact(session_of(server, sid)["history"]) == exact(talk)


def test_what_was_sent_again_is_counted_and_what_was_retyped_is_named(server: WireServer, sid: str):
    first = server.call("save_session", session_id=sid, history=TALK)
    assert (first["resent_turns"], "retyped_turns" in first) == (0, False)
    retyped = TALK[2] | {"content": [{"type": "text", "text": "And if it  rains?"}]}
    answer = server.call("save_session", session_id=sid, history=[*TALK[:2], retyped, TALK[3], *turns("new")])
    assert (answer["added_turns"], answer["resent_turns"], answer["retyped_turns"]) == (1, 4, [2])
    assert exact(session_of(server, sid)["history"]) == exact([*TALK, *turns("new")])


def test_what_was_taken_for_a_resend_is_said_and_how_to_add_it(server: WireServer, sid: str):
    again = turns("continue", "Done.")
    server.call("save_session", session_id=sid, history=again)
    taken = server.call("save_session", session_id=sid, history=again)
    assert (taken["turns"], taken["added_turns"], taken["resent_turns"]) == (2, 0, 2)
    assert f"expected_revision={taken['revision']}" in taken["message"]
    added = server.call("save_session", session_id=sid, history=again, expected_revision=taken["revision"])
    assert (added["turns"], added["added_turns"], added["resent_turns"]) == (4, 2, 0)


def test_a_new_process_is_sent_an_older_copy(server: WireServer, sid: str):
    talk = turns(*"abcdefgh")
    server.call("save_session", session_id=sid, history=talk)
    with WireServer(server.env) as later:
        if "REDIS_ENABLED" not in server.env:
            later.warm()
        assert later.call("save_session", session_id=sid, history=talk[:4])["added_turns"] == 0
        assert later.call("save_session", session_id=sid, history=talk[2:5])["turns"] == 8


def test_a_new_process_appends_to_what_is_stored(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a", "b", "c"))
    with WireServer(server.env) as later:
        if "REDIS_ENABLED" not in server.env:
            later.warm()
        answer = later.call("save_session", session_id=sid, history=turns("b", "c", "d"))
        assert (answer["turns"], answer["added_turns"], answer["revision"]) == (4, 1, 2)
    assert history_of(server, sid) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("resending", ["the whole talk", "its tail", "only what is new"])
def test_two_callers_may_append_at_once_and_every_turn_ends_up_in_it_once(
    resending: str, server_env: dict[str, str], tmp_path: Path, sid: str
):
    there = Place(server_env, "redis", shared=True).elsewhere(tmp_path / "there").env
    with WireServer(server_env) as ana, WireServer(there) as bo:
        ana.warm()
        bo.warm()
        ana.call("save_session", session_id=sid, history=turns("start"))
        assert history_of(bo, sid) == ["start"]
        said: dict[str, list[str]] = {"ana": ["start"], "bo": ["start"]}
        for n in range(3):
            for name, server in (("ana", ana), ("bo", bo)):
                said[name].append(f"{name} {n}")
                part = {"the whole talk": said[name], "its tail": said[name][-2:], "only what is new": said[name][-1:]}[
                    resending
                ]
                assert server.call("save_session", session_id=sid, history=turns(*part))["added_turns"] == 1
        everything = ["start"] + [f"{name} {n}" for n in range(3) for name in ("ana", "bo")]
        assert history_of(ana, sid) == everything
        assert history_of(bo, sid) == everything


def test_saves_in_flight_together_lose_nothing(server: WireServer, sid: str):
    requests = [server.send_call("save_session", {"session_id": sid, "history": turns(f"turn {n}")}) for n in range(30)]
    for request in requests:
        assert server.reply(request)["result"]["structuredContent"]["saved"] is True
    assert sorted(history_of(server, sid)) == sorted(f"turn {n}" for n in range(30))


@pytest.mark.parametrize("place", ["redis", "disabled"], indirect=True)
def test_two_processes_that_append_at_the_same_time_lose_nothing(place: Place, sid: str):
    with place.server() as one, place.server() as two:
        if place.shared:
            one.warm()
            two.warm()
        sent = [
            (server, server.send_call("save_session", {"session_id": sid, "history": turns(f"{name} {n}")}))
            for n in range(25)
            for name, server in (("one", one), ("two", two))
        ]
        for server, request in sent:
            assert server.reply(request)["result"]["structuredContent"]["saved"] is True
        said = sorted(history_of(one, sid))
    assert said == sorted(f"{name} {n}" for n in range(25) for name in ("one", "two"))


# revisions


def test_revisions_count_the_accepted_saves(server: WireServer, sid: str):
    saves = [server.call("save_session", session_id=sid, history=turns(f"{n}")) for n in range(3)]
    assert [save["revision"] for save in saves] == [1, 2, 3]
    assert server.call("resume_session", session_id=sid)["revision"] == 3
    assert server.call("list_sessions", pattern=sid)["sessions"][0]["revision"] == 3


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_save_over_somebody_elses_is_a_conflict_and_changes_nothing(mode: str, server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"), title="T")
    server.call("save_session", session_id=sid, history=turns("b"))
    refused = server.call(
        "save_session", session_id=sid, history=turns("mine"), title="Mine", mode=mode, expected_revision=1
    )
    assert (refused["saved"], refused["reason"], refused["revision"]) == (False, "conflict", 2)
    assert history_of(server, sid) == ["a", "b"]
    assert session_of(server, sid)["title"] == "T"
    taken = server.call("save_session", session_id=sid, history=turns("mine"), mode=mode, expected_revision=2)
    assert (taken["saved"], taken["revision"]) == (True, 3)


def test_a_conflict_with_another_machine_is_seen(server_env: dict[str, str], tmp_path: Path, sid: str):
    there = Place(server_env, "redis", shared=True).elsewhere(tmp_path / "there").env
    with WireServer(server_env) as ana, WireServer(there) as bo:
        ana.warm()
        bo.warm()
        revision = ana.call("save_session", session_id=sid, history=turns("a"))["revision"]
        assert bo.call("save_session", session_id=sid, history=turns("b"), expected_revision=revision)["saved"] is True
        refused = ana.call("save_session", session_id=sid, history=turns("c"), expected_revision=revision)
        assert (refused["saved"], refused["reason"], refused["revision"]) == (False, "conflict", 2)
        assert history_of(ana, sid) == ["a", "b"]


def test_with_an_expected_revision_nothing_is_dropped(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a", "b"))
    answer = server.call("save_session", session_id=sid, history=turns("a", "b", "c"), expected_revision=1)
    assert (answer["added_turns"], answer["turns"]) == (3, 5)
    assert history_of(server, sid) == ["a", "b", "a", "b", "c"]


def test_the_same_save_with_the_same_expected_revision_is_a_retry(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"))
    save = {"session_id": sid, "history": turns("b", "b"), "context": {"k": 1}, "expected_revision": 1}
    first = server.call("save_session", **save)
    again = server.call("save_session", **save)
    same = ("saved", "session_id", "revision", "turns")
    assert first["saved"] is True
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert history_of(server, sid) == ["a", "b", "b"]


def test_a_retry_by_the_next_process_is_still_a_retry(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"))
    save = {"session_id": sid, "history": turns("b"), "expected_revision": 1}
    first = server.call("save_session", **save)
    with WireServer(server.env) as later:
        if "REDIS_ENABLED" not in server.env:
            later.warm()
        again = later.call("save_session", **save)
    assert (again["saved"], again["revision"], again["turns"]) == (True, first["revision"], first["turns"])
    assert history_of(server, sid) == ["a", "b"]


def test_a_revision_that_is_not_kept_is_said_to_be_missing_and_the_current_one_is_named(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"), title="One")
    server.call("save_session", session_id=sid, history=turns("b"), title="Two")
    now = server.call("resume_session", session_id=sid, revision=2)
    assert (words(now["session"]["history"]), now["revision"]) == (["a", "b"], 2)
    before = server.call("resume_session", session_id=sid, revision=1)
    assert (words(before["session"]["history"]), before["session"]["title"], before["revision"]) == (["a"], "One", 1)
    for missing in (98, 99):
        answer = server.call("resume_session", session_id=sid, revision=missing)
        assert (answer["found"], answer["reason"], answer["revision"]) == (False, "not_found", 2)


# what a client sends again


def test_what_is_sent_again_after_a_deletion_is_a_save_like_any_other(server: WireServer, sid: str):
    first = {"session_id": sid, "history": turns("one")}
    assert server.call("save_session", **first)["revision"] == 1
    assert server.call("save_session", **first)["revision"] == 1, "a retry"
    server.call("delete_session", session_id=sid)
    again = server.call("save_session", **first)
    assert again["saved"] is True
    assert history_of(server, sid) == ["one"]
    based_on_what_was_deleted = server.call("save_session", session_id=sid, history=turns("two"), expected_revision=1)
    assert (based_on_what_was_deleted["saved"], based_on_what_was_deleted["reason"]) == (False, "conflict")


def test_a_refused_save_tells_what_is_there(server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=TALK[:1])
    saved = server.call("save_session", session_id=sid, history=TALK)
    for expected, said in ((1, "Somebody saved in between"), (7, "There is no revision 7")):
        refused = server.call("save_session", session_id=sid, history=TALK, expected_revision=expected)
        assert (refused["saved"], refused["reason"], refused["revision"]) == (False, "conflict", 2)
        assert (refused["turns"], refused["expires_at"]) == (len(TALK), saved["expires_at"])
        assert said in refused["message"]
    never = server.call("save_session", session_id=f"{sid}-never", history=TALK, expected_revision=7)
    assert (never["reason"], never["message"]) == ("conflict", "Not saved: There is no such session.")


@pytest.mark.parametrize("identified", [False, True], ids=["without an id", "with an id"])
def test_a_turn_that_was_shown_cut_may_be_sent_again_with_what_is_new(
    identified: bool,  # noqa: FBT001
    server: WireServer,
    sid: str,
):
    long = turns("word " * 3000)
    if identified:
        long[0]["id"] = "msg_1"
    server.call("save_session", session_id=sid, history=long)
    shown = server.call("resume_session", session_id=sid, max_tokens=500)
    assert shown["cut_turn"] == 0
    saved = server.call("save_session", session_id=sid, history=[*shown["session"]["history"], *turns("new")])
    assert (saved["added_turns"], saved["turns"]) == (1, 2)
    whole = server.call("resume_session", session_id=sid)["session"]["history"]
    assert exact(whole) == exact([*long, *turns("new")])


def test_a_revision_is_of_some_session(server: WireServer):
    assert "session_id" in server.refused("resume_session", revision=1)

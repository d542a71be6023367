"""Credentials that are said in a talk are not kept, unless somebody wants them to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place
from ..support.conversations import turns
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

KEY = "sk-ant-api03-" + "Zx9kQ2mVb7Lr4Tn8Wp3Yc6Hd1Jf5Gs0A" * 2 + "-AAAAAAAA"
PASSWORD = "correct-Horse7-battery"  # noqa: S105
TALK = turns(f"my key is {KEY}, please try it", "I tried it")
CONTEXT = {"db": {"host": "db.example", "password": PASSWORD}}


def save(server: WireServer, session_id: str, **more: Any) -> dict[str, Any]:
    saved = server.call("save_session", session_id=session_id, history=TALK, context=CONTEXT, **more)
    assert saved["saved"] is True
    assert KEY not in json.dumps(saved)
    assert PASSWORD not in json.dumps(saved)
    return saved


def test_they_are_replaced_before_they_are_kept_and_their_places_are_named(place: Place, sid: str):
    with place.server() as server:
        if place.shared:
            server.warm()
        saved = save(server, sid, summary=f"The key {KEY} works.", tags=["farm", KEY], current_flow_id=KEY)
        places = {"history[0].content", "context.db.password", "summary", "tags[1]", "current_flow_id"}
        assert {each["path"] for each in saved["secrets"]} == places
        assert "history[0].content" in saved["message"]
        text = json.dumps(server.call("resume_session", session_id=sid))
        assert "please try it" in text
        assert "db.example" in text
        assert KEY not in text
        assert PASSWORD not in text
        assert KEY not in server.stderr


def test_the_same_talk_sent_again_adds_nothing(place: Place, sid: str):
    with place.server() as server:
        save(server, sid)
        assert (save(server, sid)["turns"], save(server, sid)["added_turns"]) == (2, 0)


def test_neither_redis_nor_the_journal_ever_holds_them(redis: RedisServer, server_env: dict[str, str], sid: str):
    with WireServer(server_env) as server:
        server.warm()
        save(server, sid)
        kept = server.call("cache_result", execution_id=f"e-{sid}", result={"authorization": f"Bearer {KEY}"})
        assert [each["path"] for each in kept["secrets"]] == ["result.authorization"]
        with redis.client() as client:
            for key in client.scan_iter(match=f"{redis.prefix}:*", count=1000):
                assert client.type(key) != "string" or KEY not in str(client.get(key))
        journal = Path(server.call("persistence_status")["journal"]["path"])
    for file in journal.parent.glob(f"{journal.name}*"):
        assert KEY.encode() not in file.read_bytes()


def test_a_value_alone_is_replaced_too_if_the_save_before_ended_with_its_name(disabled_env: dict[str, str], sid: str):
    talk = turns("my password is", PASSWORD, "Thanks")
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id=sid, history=talk[:1])
        saved = server.call("save_session", session_id=sid, history=talk[1:2])
        assert saved["secrets"] == [{"path": "history[0].content", "kind": "password"}]
        assert server.call("save_session", session_id=sid, history=talk)["turns"] == 3
        session = server.call("resume_session", session_id=sid)["session"]
        assert session["history"] == turns("my password is", "[redacted: password]", "Thanks")


@pytest.mark.parametrize(
    ("tool", "arguments", "name"),
    [
        ("save_session", {"session_id": KEY, "history": TALK[1:]}, "session_id"),
        ("fork_session", {"session_id": "tale", "new_session_id": KEY}, "new_session_id"),
        ("cache_result", {"execution_id": KEY, "result": {"a": 1}}, "execution_id"),
        ("cache_result", {"session_id": KEY, "flow_id": "f", "result": {"a": 1}}, "session_id"),
        ("cache_result", {"session_id": "tale", "flow_id": KEY, "result": {"a": 1}}, "flow_id"),
    ],
)
def test_a_new_id_that_looks_like_one_is_refused_before_anything_is_kept(
    disabled_env: dict[str, str], tool: str, arguments: dict[str, Any], name: str
):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="tale", history=TALK[1:])
        why = server.refused(tool, **arguments)
        assert f"The id looks like a credential (Anthropic key); choose another {name}." in why
        journal = Path(server.call("persistence_status")["journal"]["path"])
    for file in journal.parent.glob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()


def test_a_session_that_has_such_an_id_already_goes_on(disabled_env: dict[str, str]):
    with WireServer(disabled_env | {"FLYWHEEL_SECRETS": "warn"}) as server:
        saved = server.call("save_session", session_id=KEY, history=TALK[1:])
        assert [each["path"] for each in saved["secrets"]] == ["session_id"]
    with WireServer(disabled_env) as server:
        assert server.call("save_session", session_id=KEY, history=turns("more"))["turns"] == 2
        assert server.call("resume_session", session_id=KEY)["found"]
        assert server.call("delete_session", session_id=KEY)["deleted"]


def test_they_are_only_named_if_that_is_wanted(disabled_env: dict[str, str], sid: str):
    with WireServer(disabled_env | {"FLYWHEEL_SECRETS": "warn"}) as server:
        saved = save(server, sid)
        assert len(saved["secrets"]) == 2
        assert "kept as sent" in saved["message"]
        assert server.call("resume_session", session_id=sid)["session"]["context"] == CONTEXT


def test_nothing_is_looked_for_if_that_is_wanted(disabled_env: dict[str, str], sid: str):
    with WireServer(disabled_env | {"FLYWHEEL_SECRETS": "off"}) as server:
        assert "secrets" not in save(server, sid)
        assert server.call("resume_session", session_id=sid)["session"]["history"] == TALK


@pytest.mark.parametrize("text", ["nothing secret here", "the password is on the desk", "sha 9f86d081884c7d65"])
def test_what_only_talks_about_them_is_left_alone(disabled_env: dict[str, str], sid: str, text: str):
    with WireServer(disabled_env) as server:
        saved = server.call("save_session", session_id=sid, history=turns(text))
        assert "secrets" not in saved
        assert server.call("resume_session", session_id=sid)["session"]["history"] == turns(text)

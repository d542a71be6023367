"""`secrets scan` finds what was kept before credentials were replaced, and replaces it, in older revisions too."""

import json
from typing import Any

import pytest

from ..conftest import Place
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.wire import WireServer
from .test_moving_house import run

KEY = "sk-ant-api03-" + "Zx9kQ2mVb7Lr4Tn8Wp3Yc6Hd1Jf5Gs0A" * 2 + "-AAAAAAAA"
PASSWORD = "correct-Horse7-battery"  # noqa: S105
MARK = "[redacted: Anthropic key]"
TALK = turns("Hello", f"my key is {KEY}", "Thanks")


def fill(env: dict[str, str]) -> None:
    """Two sessions with credentials, one of them only in older revisions, and one without."""
    with WireServer(env | {"FLYWHEEL_SECRETS": "off"}) as server:
        server.call("save_session", session_id="now", history=TALK, context={"db": {"password": PASSWORD}})
        server.call("save_session", session_id="before", history=TALK, title=f"Key {KEY}")
        server.call("save_session", session_id="before", title="Keys")  # kept as a field that differs
        server.call("save_session", session_id="before", history=turns("Hello"), mode="replace")  # kept whole
        server.call("save_session", session_id="none", history=turns("Hello", "The password is wrong."))
        server.call("persistence_status")


def resumed(server: WireServer, session_id: str, **more: Any) -> dict[str, Any]:
    return server.call("resume_session", session_id=session_id, **more)


def test_what_is_found_is_named_by_place_and_kind_and_nothing_is_changed(place: Place):
    fill(place.env)
    done = run(place.env, "secrets", "scan", code=1)
    assert set(done.stdout.splitlines()) == {
        "now: history[1].content: Anthropic key",
        "now: context.db.password: password",
        "before, revision 2: history[1].content: Anthropic key",
        "before, revision 2: revisions[1].title: Anthropic key",
        "before: revisions[1].title: Anthropic key",
    }
    assert "Looked at 3 sessions: 5 left." in done.stderr
    assert "snapshots" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    with place.server() as server:
        assert resumed(server, "now")["revision"] == 1


def test_what_is_found_is_replaced_in_a_new_revision_and_in_the_older_ones(place: Place):
    fill(place.env)
    done = run(place.env, "secrets", "scan", "--redact")
    assert "Looked at 3 sessions: 5 replaced, 0 left." in done.stderr
    assert run(place.env, "secrets", "scan").stdout == ""
    with place.server() as server:
        if place.shared:
            server.warm()
        now, before = resumed(server, "now"), resumed(server, "before")
        assert now["revision"] == 2
        assert words(now["session"]["history"]) == ["Hello", f"my key is {MARK}", "Thanks"]
        assert now["session"]["context"] == {"db": {"password": "[redacted: password]"}}
        rows = server.call("list_revisions", session_id="now")["revisions"]
        assert (rows[0]["revision"], rows[0]["note"]) == (2, "credentials replaced")
        assert words(before["session"]["history"]) == ["Hello"]
        for session_id, revision in (("now", 1), ("before", 2), ("before", 1)):
            older = resumed(server, session_id, revision=revision)
            assert older["found"]
            assert f"my key is {MARK}" in words(older["session"]["history"])
            assert KEY not in json.dumps(older)
        assert resumed(server, "before", revision=1)["session"]["title"] == f"Key {MARK}"
        assert server.call("restore_session", session_id="before", revision=2)["restored"]
        assert server.call("save_session", session_id="now", history=TALK)["turns"] == 3


def test_redis_and_this_machine_have_no_more_of_it(redis: RedisServer, server_env: dict[str, str]):
    fill(server_env)
    run(server_env, "secrets", "scan", "--redact")
    with redis.client() as client:
        for key in client.scan_iter(match=f"{redis.prefix}:*", count=1000):
            kept = {"string": client.get, "hash": client.hgetall}.get(str(client.type(key)))
            assert kept is None or KEY not in str(kept(key))
    with WireServer(server_env | {"REDIS_ENABLED": "false"}) as server:
        assert KEY not in json.dumps(resumed(server, "now"))
        assert server.call("list_sessions", query="Zx9kQ2mVb7Lr4Tn8Wp3Yc6Hd1Jf5Gs0A")["sessions"] == []


def test_an_id_that_is_one_is_named_and_left(disabled_env: dict[str, str]):
    with WireServer(disabled_env | {"FLYWHEEL_SECRETS": "off"}) as server:
        server.call("save_session", session_id=KEY, history=turns("Hello"))
    done = run(disabled_env, "secrets", "scan", "--redact", code=1)
    assert done.stdout.startswith(f"{MARK}: id: Anthropic key; an id cannot be replaced")
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["FLYWHEEL_USER", "FLYWHEEL_SECRETS"])
def test_the_sessions_of_all_users_are_looked_at_whatever_the_settings(disabled_env: dict[str, str], name: str):
    with WireServer(disabled_env | {"FLYWHEEL_SECRETS": "off"}) as server:
        server.call("save_session", session_id="s", history=TALK, user_id="ana")
    value = {"FLYWHEEL_USER": "bo", "FLYWHEEL_SECRETS": "off"}[name]
    assert "s: history[1].content" in run(disabled_env | {name: value}, "secrets", "scan", code=1).stdout


def test_an_empty_store_has_none(disabled_env: dict[str, str]):
    assert "Looked at 0 sessions: 0 left." in run(disabled_env, "secrets", "scan").stderr

"""A sealed store, from outside: no word of it can be read anywhere, and it does all that one in clear does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.files import contents
from ..support.http import called, command, http_client, http_server, token_of
from ..support.prose import talks
from ..support.queries import QUERIES
from ..support.redis_server import RedisServer
from ..support.sealed import key_line
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

QUESTIONS = Path(__file__).parents[1] / "bench" / "search" / "questions.txt"
"""Whole questions, of talks that are not here: their words are."""

MARKERS = 1_000
MARKER = "hepatica"


def sealed_env(folder: Path, redis: RedisServer, **more: str) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    own = {"FLYWHEEL_KEY": key_line("a"), "TMPDIR": str(temporary), "FLYWHEEL_LOG_LEVEL": "DEBUG"}
    return clean_env(folder, redis.url, redis.prefix) | own | more


class Planted:
    """Words that nobody else says, one after another."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"{MARKER}{self.count}x"

    def turns(self, count: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"I planted {self()} by the {self()}"} for _ in range(count)]


def places_with_markers(*folders: Path) -> list[str]:
    """Every file in which one can be read, as it is or with its characters escaped or encoded."""
    words = [MARKER.encode(), MARKER.encode("utf-16-le"), MARKER.encode().hex().encode()]
    return [str(path) for path, data in contents(*folders) if any(word in data for word in words)]


def plant(server: WireServer, planted: Planted, stored_in: str, some: str) -> None:
    """Sessions with titles, tags, context, revisions, large ones; executions and flow histories."""
    for number in range(12):
        name = f"{some}{number}"
        saved = server.call(
            "save_session", session_id=name, history=planted.turns(8), title=planted(), summary=planted(),
            tags=[planted()], context={planted(): planted()},
        )  # fmt: skip
        assert (saved["saved"], saved["stored_in"]) == (True, stored_in), saved
        assert server.call("save_session", session_id=name, history=planted.turns(4))["saved"]
        answer = server.call(
            "cache_result", session_id=name, flow_id="f", result={planted(): planted()}, input={"q": planted()}
        )
        assert answer["cached"]
    large = [{"role": "user", "content": f"{planted()} " * 9_000}]
    assert server.call("save_session", session_id=f"{some}large", history=large)["saved"]
    more = planted.turns(1)
    assert server.call("save_session", session_id=f"{some}large", history=more)["saved"]


@pytest.mark.timeout(300)
def test_of_a_thousand_planted_words_none_can_be_read_anywhere(tmp_path: Path):
    redis = RedisServer(tmp_path / "redis")
    redis.arguments = ["--appendonly", "yes", "--save", ""]
    env, planted, data = sealed_env(tmp_path, redis), Planted(), tmp_path / "data"
    looked_at = (data, tmp_path / "redis", tmp_path / "home", tmp_path / "tmp")
    try:
        redis.start()
        with WireServer(env) as server:
            server.warm()
            plant(server, planted, "redis", "s")
            for word in (f"{MARKER}7x", "planted"):
                assert server.call("list_sessions", query=word)["sessions"]
            assert server.call("resume_session", query=f"{MARKER}7x")["found"]
            assert server.call("delete_session", session_id="s3")["deleted"]
            redis.kill()
            wait_until(
                lambda: server.call("save_session", session_id="o", history=planted.turns(1))["stored_in"] == "journal"
            )
            plant(server, planted, "journal", "t")
            assert places_with_markers(*looked_at) == [], "while it runs, with changes pending"
            server.kill()
        assert places_with_markers(*looked_at) == [], "of what a killed process leaves"
        redis.start()
        with WireServer(env) as server:
            server.warm()

            def drained() -> bool:
                return server.call("persistence_status")["journal"]["pending"] == 0

            wait_until(drained, what="what was pending to be sent")
            while planted.count < MARKERS:
                assert server.call("save_session", session_id="m", history=planted.turns(20))["stored_in"] == "redis"
            assert server.call("resume_session", session_id="m", max_tokens=10**6)["total_turns"] > 20
        with redis.client() as client:
            client.save()
        export = tmp_path / "tmp" / "talks.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "agentic_flywheel", "export", str(export)],
            env=env, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert MARKER not in done.stdout + done.stderr
        assert {path.suffix for path in (tmp_path / "redis").rglob("*")} >= {".rdb", ".aof"}
        assert places_with_markers(*looked_at) == []
        with WireServer({**env, "FLYWHEEL_DATA_DIR": str(tmp_path / "elsewhere")}) as other:
            other.warm()
            assert other.call("resume_session", session_id="t4")["total_turns"] == 12
            assert places_with_markers(tmp_path / "elsewhere") == []
    finally:
        redis.kill()


@pytest.mark.timeout(400)
def test_fifty_searches_and_fifty_whole_questions_give_the_same_rows_sealed_and_not(
    tmp_path: Path, worker_redis: RedisServer
):
    corpus = talks()[:400]
    asked = [words for words, _ in QUERIES] + [
        line.partition(" ")[2] for line in QUESTIONS.read_text().splitlines()[:50]
    ]
    rows: dict[str, list[Any]] = {}
    for kind in ("clear", "sealed"):
        env = sealed_env(tmp_path / kind, worker_redis, REDIS_ENABLED="false")
        env = env if kind == "sealed" else {name: value for name, value in env.items() if name != "FLYWHEEL_KEY"}
        with WireServer(env) as server:
            for talk in corpus:
                assert server.call(
                    "save_session", session_id=talk.session_id, history=talk.history, title=talk.title or "-"
                )["saved"]
            all_of_them = f"turns of the {len(corpus):,} sessions here"
            wait_until(
                lambda server=server, end=all_of_them: server.call("list_sessions", query="harvest")[
                    "searched"
                ].endswith(end),
                within=60,
                what="all to be read",
            )
            rows[kind] = [
                [[row[name] for name in ("id", "title", "turns", "matched")] for row in found["sessions"]]
                for words in asked
                for found in (server.call("list_sessions", query=words, limit=50),)
            ]
    assert rows["clear"] == rows["sealed"]
    assert sum(map(len, rows["clear"][: len(QUERIES)])) > len(QUERIES)
    assert sum(map(bool, rows["clear"][len(QUERIES) :])) > 40, "of the questions nearly all find something"


def test_two_processes_with_the_same_key_share_a_sealed_store(tmp_path: Path, redis: RedisServer):
    env = sealed_env(tmp_path, redis)
    with WireServer(env) as one, WireServer(env) as other:
        one.warm()
        other.warm()
        for number in range(10):
            for server in (one, other):
                turns = [{"role": "user", "content": f"{number} {server.pid}"}]
                assert server.call("save_session", session_id="s", history=turns)["saved"]
        assert other.call("resume_session", session_id="s")["total_turns"] == 20


def test_what_redis_lost_comes_back_sealed(tmp_path: Path, own_redis: RedisServer):
    own_redis.start()
    env = sealed_env(tmp_path, own_redis)
    with WireServer(env) as server:
        server.warm()
        for number in range(5):
            turns = [{"role": "user", "content": MARKER}]
            assert server.call("save_session", session_id=f"s{number}", history=turns)["stored_in"] == "redis"
        with own_redis.client() as client:
            client.flushall()

            def back() -> bool:
                return len(client.keys(f"{own_redis.prefix}:session:*")) == 5

            wait_until(back, what="the sessions to be put back")
            texts = [client.get(key) for key in client.keys(f"{own_redis.prefix}:session:*")]
        assert all(text.startswith('{"schema_version":2,') and MARKER not in text for text in texts)
        assert server.call("resume_session", session_id="s3")["found"]


def test_what_was_replaced_is_had_back_also_after_a_rotation(tmp_path: Path, redis: RedisServer):
    env = sealed_env(tmp_path, redis)
    words = [f"{MARKER} {number}" for number in range(4)]

    def of(server: WireServer, revision: int) -> list[str]:
        found = server.call("resume_session", session_id="garden:1", revision=revision)
        return [turn["content"] for turn in found["session"]["history"]]

    with WireServer(env) as server:
        server.warm()
        for number in (0, 1):
            turn = {"role": "user", "content": words[number]}
            assert server.call("save_session", session_id="garden:1", history=[turn])["saved"]
        assert server.call("restore_session", session_id="garden:1", revision=1)["restored"]
        turn = {"role": "user", "content": words[2]}
        assert server.call("save_session", session_id="garden:1", history=[turn], mode="replace")["saved"]
        assert of(server, 2) == words[:2]
        rows = server.call("list_revisions", session_id="garden:1")["revisions"]
        assert [row["revision"] for row in rows] == [4, 3, 2, 1]
    newer = env | {"FLYWHEEL_KEY": f"{key_line('b')},{key_line('a')}"}
    done = command(newer, "keys", "rotate")
    assert done.returncode == 0, done.stdout + done.stderr
    with WireServer(sealed_env(tmp_path / "elsewhere", redis, FLYWHEEL_KEY=key_line("b"))) as server:
        server.warm()
        assert (of(server, 2), of(server, 3), of(server, 4)) == (words[:2], words[:1], [words[2]])
        assert server.call("fork_session", session_id="garden:1", revision=2, new_session_id="branch")["forked"]
    assert places_with_markers(tmp_path) == []


def test_another_machine_without_the_key_reads_and_overwrites_nothing(tmp_path: Path, redis: RedisServer):
    with WireServer(sealed_env(tmp_path / "one", redis)) as server:
        server.warm()
        turns = [{"role": "user", "content": MARKER}]
        assert server.call("save_session", session_id="s", history=turns, title=MARKER)["saved"]
    before = redis.get(f"{redis.prefix}:session:s")
    env = sealed_env(tmp_path / "two", redis)
    for kind, key in (("without", {}), ("another", {"FLYWHEEL_KEY": key_line("b")})):
        own = {name: value for name, value in env.items() if name != "FLYWHEEL_KEY"} | key
        with WireServer(own | {"FLYWHEEL_DATA_DIR": str(tmp_path / kind)}) as server:
            server.warm()
            resumed = server.call("resume_session", session_id="s")
            assert (resumed["found"], resumed["reason"]) == (False, "newer_schema"), resumed
            assert "'a'" in resumed["message"]
            saved = server.call("save_session", session_id="s", history=turns, mode="replace")
            assert (saved["saved"], saved["reason"]) == (False, "newer_schema"), saved
            assert server.call("save_session", session_id=f"own-{kind}", history=turns)["saved"]
            listed = server.call("list_sessions")
            assert MARKER not in str([row for row in listed["sessions"] if row["id"] == "s"])
        assert redis.get(f"{redis.prefix}:session:s") == before


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [("", "a", "is not sealed"), ("a", "b", "sealed with the key 'a'"), ("a", "", "sealed with the key 'a'")],
    ids=["in clear", "with another key", "without its key"],
)
async def test_a_server_whose_namespaces_its_keys_do_not_open_is_not_started(
    tmp_path: Path, redis: RedisServer, first: str, then: str, said: str
):
    env = sealed_env(tmp_path, redis, REDIS_ENABLED="false") | {"FLYWHEEL_KEY": key_line(first) if first else ""}
    token = token_of(env, "ann")
    with http_server(env) as server:
        async with http_client(server.url, token) as client:
            assert (await called(client, "save_session", session_id="s", history=[{"n": 1}]))["saved"]
    done = command(env | {"FLYWHEEL_KEY": key_line(then) if then else ""}, "serve", "--http", "--port", "0")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
    assert "ns.ann" in done.stderr


@pytest.mark.parametrize("keys", ["", "b"], ids=["without a key", "with another"])
def test_what_is_sealed_with_a_key_that_is_not_here_is_listed_by_its_id(tmp_path: Path, redis: RedisServer, keys: str):
    with WireServer(sealed_env(tmp_path / "one", redis)) as server:
        server.warm()
        turns = [{"role": "user", "content": MARKER}]
        assert server.call("save_session", session_id="s", history=turns, title=f"The {MARKER}")["saved"]
    env = sealed_env(tmp_path / "two", redis, FLYWHEEL_KEY=key_line(keys) if keys else "")
    with WireServer(env) as server:
        server.warm()
        (row,) = server.call("list_sessions")["sessions"]
        assert (row["id"], row["title"]) == ("s", "sealed: the key 'a' is not given here")
        assert (server.call("resume_session")["found"], server.call("resume_session")["reason"]) == (
            False,
            "newer_schema",
        )
        assert server.call("list_sessions", query=MARKER)["sessions"] == []
        (resource,) = server.request("resources/list", {})["resources"]
        assert resource["uri"] == "session://s"
        assert "turn" not in resource["description"]
    assert "sealed: the key 'a'" in command(env, "sessions").stdout
    examined = command(env, "doctor").stdout
    assert "sessions in Redis need the key 'a', not given here" in examined
    assert "All well" not in examined
    exported = command(env, "export", "-")
    assert (exported.returncode, exported.stdout) == (1, "")
    assert "'a'" in exported.stderr
    if keys:  # what was seen without it must not be in the way once it is there
        with WireServer(env | {"FLYWHEEL_KEY": f"{key_line('b')},{key_line('a')}"}) as server:
            server.warm()
            (found,) = server.call("list_sessions", query=f"the {MARKER}")["sessions"]
            assert (found["id"], found["title"]) == ("s", f"The {MARKER}")


def test_a_wrong_key_ends_the_start_with_one_line_and_changes_no_byte(tmp_path: Path, redis: RedisServer):
    env = sealed_env(tmp_path, redis, REDIS_ENABLED="false")
    with WireServer(env) as server:
        assert server.call("save_session", session_id="s", history=[{"role": "user", "content": MARKER}])["saved"]
    data = tmp_path / "data"
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    for key in (key_line("b"), "a:" + key_line("b")[2:], ""):
        for verb in ((), ("sessions",), ("doctor",), ("export", "-")):
            done = subprocess.run(
                [sys.executable, "-m", "agentic_flywheel", *verb],
                env={**env, "FLYWHEEL_KEY": key}, capture_output=True, text=True, timeout=30, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
            assert "'a'" in done.stderr
            assert os.fsencode(key.partition(":")[2] or "-" * 99) not in os.fsencode(done.stderr)
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == before

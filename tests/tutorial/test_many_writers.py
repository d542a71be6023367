"""Many clients, one session: whoever saves, however often and however at once, each turn is in it once."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Place, clean_env
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

MACHINES, SENTENCES = 8, 50
SAME_ANSWER = ("saved", "session_id", "revision", "turns", "added_turns")


@dataclass(frozen=True)
class Writer:
    """A server of its own, whose client sends its whole talk at each save, or only what is new."""

    server: WireServer
    name: str
    whole: bool

    def talk(self, sentences: int) -> list[str]:
        return [f"{self.name}-{n}" for n in range(sentences)]

    def say(self, session_id: str, sentences: int, ready: threading.Barrier) -> list[dict[str, Any]]:
        """The answers of one save per sentence, each sent when the one before is answered."""
        talk = self.talk(sentences)
        ready.wait(60)
        return [
            self.server.call(
                "save_session", session_id=session_id, history=turns(*talk[0 if self.whole else n : n + 1])
            )
            for n in range(sentences)
        ]


@contextmanager
def writers(machines: list[Place]) -> Iterator[list[Writer]]:
    """A warm server on each machine, started side by side; every other one sends its whole talk each time."""
    with ExitStack() as stack, ThreadPoolExecutor(len(machines)) as pool:
        servers = [machine.server() for machine in machines]
        for server in servers:
            stack.callback(server.close)
            server.spawn()
        list(pool.map(WireServer.initialize, servers))
        list(pool.map(WireServer.warm, servers))
        yield [Writer(server, f"w{i}", whole=i % 2 == 0) for i, server in enumerate(servers)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> Place:
    """The worker's Redis under a prefix of this module's own."""
    env = clean_env(tmp_path_factory.mktemp("here"), worker_redis.url, f"writers-{uuid.uuid4().hex[:12]}")
    return Place(env, "redis", shared=True)


@pytest.fixture(scope="module")
def fleet(here: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Writer]]:
    """Servers with a data folder each and one Redis, shared by tests that keep apart by session id."""
    folder = tmp_path_factory.mktemp("fleet")
    with writers([here.elsewhere(folder / str(i)) for i in range(MACHINES)]) as running:
        yield running


def save_at_once(all_writers: list[Writer], session_id: str, sentences: int) -> list[dict[str, Any]]:
    """What each save of each writer was answered."""
    ready = threading.Barrier(len(all_writers))
    with ThreadPoolExecutor(len(all_writers)) as pool:
        answers = pool.map(lambda writer: writer.say(session_id, sentences, ready), all_writers)
        return [answer for each in answers for answer in each]


def stored(redis: RedisServer, env: dict[str, str], session_id: str) -> str | None:
    """The document that Redis holds."""
    return redis.get(f"{env['FLYWHEEL_KEY_PREFIX']}:session:{session_id}")


def in_redis(redis: RedisServer, env: dict[str, str], session_id: str) -> list[str]:
    """The words of the session that Redis holds."""
    text = stored(redis, env, session_id)
    return words(json.loads(text)["history"]) if text else []


def wait_until_drained(server: WireServer) -> None:
    wait_until(
        lambda: server.call("persistence_status")["journal"]["pending"] == 0,
        what="what was pending to be sent",
    )


def check_each_turn_is_there_once(
    redis: RedisServer, all_writers: list[Writer], session_id: str, sentences: int
) -> None:
    for writer in all_writers:
        wait_until_drained(writer.server)
    said = in_redis(redis, all_writers[0].server.env, session_id)
    talks = [writer.talk(sentences) for writer in all_writers]
    assert sorted(said) == sorted(sentence for talk in talks for sentence in talk)
    for talk in talks:
        assert [sentence for sentence in said if sentence in set(talk)] == talk, "each in its own order"


def answers_of(server: WireServer, requests: list[int]) -> list[dict[str, Any]]:
    return [server.reply(request)["result"]["structuredContent"] for request in requests]


# at once


def test_each_turn_of_eight_machines_is_there_once_and_every_save_was_acknowledged(
    fleet: list[Writer], worker_redis: RedisServer, sid: str
):
    answers = save_at_once(fleet, sid, SENTENCES)
    assert [answer["saved"] for answer in answers] == [True] * (MACHINES * SENTENCES)
    assert sum(answer["added_turns"] for answer in answers) == MACHINES * SENTENCES
    check_each_turn_is_there_once(worker_redis, fleet, sid, SENTENCES)
    for writer in fleet:
        resumed = writer.server.call("resume_session", session_id=sid, max_tokens=10**6)
        assert words(resumed["session"]["history"]) == in_redis(worker_redis, writer.server.env, sid)


def test_each_turn_of_processes_that_share_a_data_folder_is_there_once(
    here: Place, worker_redis: RedisServer, sid: str
):
    with writers([here] * 3) as processes:
        answers = save_at_once(processes, sid, 20)
        assert {answer["saved"] for answer in answers} == {True}
        check_each_turn_is_there_once(worker_redis, processes, sid, 20)


def test_each_turn_is_there_once_though_redis_freezes_while_all_save(
    own_redis: RedisServer, here: Place, tmp_path: Path, sid: str
):
    env = here.env | {"REDIS_URL": own_redis.start().url, "FLYWHEEL_TIMEOUT_SECONDS": "0.3"}
    place = Place(env, "redis", shared=True)
    with writers([place.elsewhere(tmp_path / name) for name in ("ana", "bo")]) as both, ThreadPoolExecutor(1) as pool:
        for attempt in range(20):  # all may be saved before we come to freeze it
            session_id = f"{sid}-{attempt}"
            saving = pool.submit(save_at_once, both, session_id, 12)
            wait_until(lambda: len(in_redis(own_redis, env, session_id)) > 3, what="the first turns")  # noqa: B023
            own_redis.freeze()
            try:
                answers = saving.result(60)
            finally:
                own_redis.thaw()
            assert {answer["saved"] for answer in answers} == {True}
            check_each_turn_is_there_once(own_redis, both, session_id, 12)
            if "journal" in {answer["stored_in"] for answer in answers}:
                return
        raise AssertionError("it was never frozen while they saved")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_saves_of_one_client_at_once_are_taken_in_the_order_they_were_sent(fleet: list[Writer], mode: str, sid: str):
    server = fleet[0].server
    saves = [{"session_id": sid, "history": turns(f"t{i}"), "mode": mode} for i in range(20)]
    answers = answers_of(server, [server.send_call("save_session", save) for save in saves])
    assert {answer["saved"] for answer in answers} == {True}
    assert [answer["revision"] for answer in answers] == list(range(1, 21))
    said = words(server.call("resume_session", session_id=sid)["session"]["history"])
    assert said == ([f"t{i}" for i in range(20)] if mode == "append" else ["t19"])


def test_only_one_of_many_clients_that_expect_the_same_revision_is_taken(
    fleet: list[Writer], worker_redis: RedisServer, sid: str
):
    fleet[0].server.call("save_session", session_id=sid, history=turns("begun"))
    save = {"session_id": sid, "expected_revision": 1}
    requests = [w.server.send_call("save_session", save | {"history": turns(w.name)}) for w in fleet]
    answers = [answers_of(writer.server, [request])[0] for writer, request in zip(fleet, requests, strict=True)]
    assert sorted(answer["saved"] for answer in answers) == [False] * (MACHINES - 1) + [True]
    assert {(a["reason"], a["revision"]) for a in answers if not a["saved"]} == {("conflict", 2)}
    (taken,) = [writer for writer, answer in zip(fleet, answers, strict=True) if answer["saved"]]
    assert in_redis(worker_redis, taken.server.env, sid) == ["begun", taken.name]


# retries


def same(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in SAME_ANSWER}


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_retry_after_somebody_else_saved_has_the_first_answer_and_changes_nothing(
    mode: str, fleet: list[Writer], worker_redis: RedisServer, sid: str
):
    ana, bo, cleo = (writer.server for writer in fleet[:3])
    ana.call("save_session", session_id=sid, history=turns("a"))
    save = {"session_id": sid, "history": turns("b", "b"), "mode": mode, "expected_revision": 1, "title": "Mine"}
    first = ana.call("save_session", **save)
    bo.call("save_session", session_id=sid, history=turns("c"), title="Theirs", ttl_seconds=0)
    held = stored(worker_redis, ana.env, sid)
    for server in (ana, bo, cleo):
        assert same(server.call("save_session", **save)) == same(first)
    assert stored(worker_redis, ana.env, sid) == held


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_a_save_first_answered_by_the_journal_and_retried_once_redis_is_back_is_there_once(
    outage: str, own_redis: RedisServer, server_env: dict[str, str], sid: str
):
    env = server_env | {"REDIS_URL": own_redis.start().url, "FLYWHEEL_TIMEOUT_SECONDS": "0.5"}
    with_ids = [{"id": word, "content": word} for word in ("b", "c")]
    saves = [
        {"session_id": f"{sid}-revision", "history": turns("b", "c"), "expected_revision": 1},
        {"session_id": f"{sid}-ids", "history": with_ids},
    ]
    with WireServer(env) as server:
        server.warm()
        for save in saves:
            begun = server.call("save_session", session_id=save["session_id"], history=turns("a"))
            assert begun["stored_in"] == "redis"
        own_redis.freeze() if outage == "frozen" else own_redis.kill()
        firsts = [server.call("save_session", **save) for save in saves]
        meanwhile = [server.call("save_session", **save) for save in saves]
        own_redis.thaw() if outage == "frozen" else own_redis.start()
        again = [server.call("save_session", **save) for save in saves]
        wait_until_drained(server)
        later = [server.call("save_session", **save) for save in saves]
        for first in firsts:
            assert (first["saved"], first["stored_in"], first["revision"]) == (True, "journal", 2)
        for by_revision, by_ids in (meanwhile, again, later):
            assert same(by_revision) == same(firsts[0])
            assert (by_ids["saved"], by_ids["turns"], by_ids["added_turns"]) == (True, 3, 0)
        for save in saves:
            assert in_redis(own_redis, env, save["session_id"]) == ["a", "b", "c"]


Moment = Callable[[WireServer, int, Callable[[], bool]], object]
MOMENTS: dict[str, Moment] = {
    "at once": lambda _server, _request, _arrived: None,
    "when it arrived": lambda _server, _request, arrived: wait_until(arrived, what="the save to arrive"),
    "when it was answered": lambda server, request, _arrived: server.reply(request),
}


@pytest.mark.parametrize("place", ["redis", "disabled"], indirect=True)
def test_a_save_retried_by_the_next_process_after_its_server_was_killed_is_there_once(place: Place, sid: str):
    talk: list[dict[str, Any]] = []
    with place.server() as other, ExitStack() as stack:
        server = stack.enter_context(place.server())
        for others_turns, (moment, wait_for) in enumerate(MOMENTS.items()):
            talk.append({"id": moment, "role": "user", "content": "the last turn before a kill"})
            save = {"session_id": sid, "history": talk}
            total = len(talk) + others_turns
            request = server.send_call("save_session", save)
            wait_for(server, request, lambda: other.call("resume_session", session_id=sid)["total_turns"] == total)  # noqa: B023
            server.kill()
            other.call("save_session", session_id=sid, history=turns(f"somebody else, killed {moment}"))
            server = stack.enter_context(place.server())
            again = server.call("save_session", **save)
            assert (again["saved"], again["turns"]) == (True, total + 1), moment
        history = server.call("resume_session", session_id=sid)["session"]["history"]
        assert [turn for turn in history if "id" in turn] == talk
        assert len(history) == 2 * len(MOMENTS)

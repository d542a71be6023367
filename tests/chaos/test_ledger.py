"""The ledger tells what is lost, has a hole, came back or is doubled, and excuses only what nobody holds any more."""

import json
import time

import pytest

from .ledger import Fate, Ledger, Session


def turn(number: int) -> str:
    return json.dumps({"content": f"alder c-{number}. word", "role": "user"})


def kinds(session: Session, *stored: int) -> list[str]:
    """The kinds of what is wrong when these turns are stored."""
    return [kind for kind, _, _ in session.judge([turn(number) for number in stored])]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def session(ledger: Ledger) -> Session:
    """A session with three turns that Redis A and machine m0 hold."""
    session = ledger.session("A", "s", "c")
    for number in (1, 2, 3):
        session.turns[turn(number)] = Fate("c", turn(number))
    ledger.saved(session, "m0", session.turns.values(), "redis")
    return session


def test_what_is_as_it_was_acknowledged_is_right(session: Session):
    assert kinds(session, 1, 2, 3) == []


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ((1, 2), ["lost"]),
        ((1, 3), ["holes"]),
        ((), ["lost", "lost", "lost"]),
        ((1, 2, 2, 3), ["duplicated"]),
        ((1, 3, 2), ["torn"]),
        ((1, 2, 3, 4), ["torn"]),
    ],
)
def test_what_is_not_is_named(stored: tuple[int, ...], found: list[str], session: Session):
    assert kinds(session, *stored) == found


def test_a_turn_of_another_destination_has_crossed(session: Session):
    foreign = json.dumps({"content": "birch c-9. word", "role": "user"})
    assert [kind for kind, _, _ in session.judge([*map(turn, (1, 2, 3)), foreign])] == ["crossed"]


def test_what_redis_lost_must_come_back_while_a_machine_holds_it(ledger: Ledger, session: Session):
    ledger.forget("A", float("-inf"))
    assert kinds(session, 1) == ["lost", "lost"]


def test_what_nobody_holds_any_more_may_be_lost_and_no_sooner(ledger: Ledger, session: Session):
    now = time.monotonic()
    session.turns[turn(4)] = Fate("c", turn(4))
    ledger.saved(session, "m0", [session.turns[turn(4)]], "redis")
    ledger.forget("m0", now)
    assert kinds(session, 1, 2, 3) == ["lost"], "Redis has it"
    ledger.forget("A", now)
    assert kinds(session, 1, 2, 3) == []
    assert kinds(session, 1, 2) == ["lost"], "this one was held before"


def test_what_is_sent_and_acknowledged_again_may_not_be_lost_again(ledger: Ledger, session: Session):
    ledger.forget("m0", float("-inf"))
    ledger.forget("A", float("-inf"))
    assert kinds(session) == []
    ledger.saved(session, "m0", session.turns.values(), "journal")
    assert kinds(session, 1, 3) == ["holes"]


def test_what_a_journal_had_to_send_is_in_redis_once_nothing_waits(ledger: Ledger, session: Session):
    session.turns[turn(4)] = Fate("c", turn(4))
    ledger.saved(session, "m0", [session.turns[turn(4)]], "journal")
    ledger.drained("A", "m0", time.monotonic())
    ledger.forget("m0", float("-inf"))
    assert kinds(session, 1, 2, 3) == ["lost"]


def test_what_a_replace_took_away_may_not_come_back(ledger: Ledger, session: Session):
    old = list(session.turns.values())
    session.turns[turn(4)] = Fate("c", turn(4))
    ledger.saved(session, "m0", [session.turns[turn(4)]], "redis")
    ledger.replaced(session, "m0", old, Fate("c", ""), "redis")
    assert kinds(session, 4) == []
    assert kinds(session, 1, 4) == ["resurrected"]


def test_what_was_deleted_may_not_come_back_while_the_deletion_is_known(ledger: Ledger, session: Session):
    session.deletion = Fate("c", "")
    session.deletion.acknowledged("m0")
    assert kinds(session, 1) == ["resurrected"]
    assert session.judge(None) == []
    ledger.forget("m0", float("-inf"))
    assert kinds(session, 1) == []


def test_a_killed_server_may_have_missed_its_last_copies(ledger: Ledger, session: Session):
    ledger.killed("m0")
    ledger.forget("A", float("-inf"))
    assert kinds(session) == []


def test_of_a_redis_that_evicts_a_save_learns_nothing_until_the_session_is_seen_there(ledger: Ledger, session: Session):
    ledger.evicts("A")
    ledger.saved(session, "m1", [session.turns[turn(3)]], "redis", time.monotonic())
    assert session.known_to("m1") == [turn(3)]
    ledger.has_room("A")
    ledger.confirmed(session, [])
    ledger.saved(session, "m1", [session.turns[turn(3)]], "redis", time.monotonic())
    assert session.known_to("m1") == [turn(1), turn(2), turn(3)]

"""Append: a caller may resend the whole talk, its tail or only what is new, and every turn ends up in it once."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.jsontext import canonical
from agentic_flywheel.merge import REMEMBERED_SESSIONS, Memory, Seen, fingerprint, new_turns, view

from ..support.conversations import turns, words
from ..support.frameworks import NATIVE

Turn = dict[str, Any]
LETTERS = st.text("ab", max_size=8).map(list)


def naive(seen: list[str], sent: list[str]) -> list[str]:
    """The rule as the contract words it: without the longest prefix of `sent` that is a suffix of `seen`."""
    return next(sent[n:] for n in range(len(sent), -1, -1) if sent[:n] == seen[len(seen) - n :] and n <= len(seen))


@settings(max_examples=600)
@given(LETTERS, LETTERS)
@example(list("aab"), list("aabaab"))
@example(list("abab"), list("babab"))
@example(list("a"), list("aaaa"))
@example(list("aaaa"), list("a"))
def test_without_memory_the_stored_history_is_what_was_seen(stored: list[str], sent: list[str]):
    assert words(new_turns(turns(*stored), turns(*sent), None)) == naive(stored, sent)


@settings(max_examples=600)
@given(LETTERS, LETTERS, LETTERS)
def test_with_memory_what_was_seen_counts_or_the_whole_of_what_is_stored(
    stored: list[str], seen: list[str], sent: list[str]
):
    whole = sent[len(stored) :] if sent[: len(stored)] == stored else sent
    added = words(new_turns(turns(*stored), turns(*sent), [view(turns(*seen))]))
    assert added == min(naive(seen, sent), whole, key=len)


def test_the_whole_talk_is_known_again_by_who_was_shown_an_older_state_of_it():
    """A server that starts over an older journal, Redis being slow, shows a replaced history."""
    seen = Seen()
    seen.resumed(turns("old one", "old two"))
    assert words(new_turns(turns("a", "b"), turns("a", "b", "c"), seen.views)) == ["c"]


@given(LETTERS, LETTERS, LETTERS)
def test_of_several_views_the_one_that_knows_most_counts(one: list[str], other: list[str], sent: list[str]):
    added = words(new_turns([], turns(*sent), [view(turns(*one)), view(turns(*other))]))
    assert added == min(naive(one, sent), naive(other, sent), key=len)


@given(LETTERS, LETTERS)
def test_with_nothing_seen_nothing_is_dropped(stored: list[str], sent: list[str]):
    assert words(new_turns(turns(*stored), turns(*sent), ())) == sent


IDS: list[Any] = [0, 1, "1", 2, "x", True, 1.0, None, "", "__fake_id__", ["lc", "HumanMessage"], {"n": 1}]
TURNS = st.builds(lambda identity, text: {"id": identity, "text": text}, st.sampled_from(IDS), st.sampled_from("abc"))
PLAIN = st.builds(lambda text: {"text": text}, st.sampled_from("abc"))
TALKS = st.lists(TURNS | PLAIN, max_size=12)


def has_id(turn: Turn) -> bool:
    """Whether its id is one: a text or a whole number."""
    return type(turn.get("id")) in (str, int) and turn["id"] != ""


@settings(max_examples=600)
@given(TALKS, TALKS)
@example([{"id": 1, "text": "a"}], [{"id": 1, "text": "b"}])
@example([{"id": ["lc", "HumanMessage"], "text": "a"}], [{"id": ["lc", "HumanMessage"], "text": "b"}])
def test_every_turn_that_differs_from_all_that_is_stored_is_added_and_the_order_is_kept(
    stored: list[Turn], sent: list[Turn]
):
    added = new_turns(stored, sent, None)
    there = {canonical(turn) for turn in stored}
    differs = [turn for turn in sent if canonical(turn) not in there]
    assert [turn for turn in added if canonical(turn) not in there] == differs
    place = iter(sent)
    assert all(any(turn is other for other in place) for turn in added), "what was added stands in the order sent"


@settings(max_examples=300)
@given(TALKS, st.integers(0, 12))
def test_nothing_that_is_the_same_is_doubled_by_the_whole_talk_or_its_tail(talk: list[Turn], skipped: int):
    """However many of its turns have ids, and however often they are the same."""
    for have, sent in ((talk[: len(talk) // 2], talk), (talk, talk[skipped:]), (talk, talk)):
        assert [*have, *new_turns(have, sent, None)] == talk


@given(st.lists(TURNS.filter(has_id), max_size=6), st.lists(TURNS.filter(has_id), max_size=6))
def test_a_turn_with_an_id_is_known_anywhere_by_its_id_and_its_words(stored: list[Turn], sent: list[Turn]):
    added = new_turns(stored, sent, ())
    for turn in sent:
        count = [canonical(each) for each in sent].count(canonical(turn))
        there = [canonical(each) for each in stored].count(canonical(turn))
        assert [canonical(each) for each in added].count(canonical(turn)) == max(0, count - there)


@pytest.mark.parametrize("talk", NATIVE.values(), ids=NATIVE)
@pytest.mark.parametrize("remembers", [True, False], ids=["one caller", "a new one each time"])
def test_what_frameworks_send_is_kept_whole_however_it_is_cut_up(talk: list[Turn], remembers: bool):  # noqa: FBT001
    for first in range(1, len(talk)):
        for begin in (0, first - 1, first):  # the whole talk, its tail, only what is new
            caller = Caller("A")
            stored: list[Turn] = []
            for sent in (talk[:first], talk[begin:], talk):
                added = new_turns(stored, sent, caller.seen.views if remembers else None)
                afterwards = [*stored, *added]
                caller.seen.saved(sent, afterwards, afresh=not stored)
                stored = afterwards
            assert stored == talk


def test_an_edited_turn_is_added_beside_what_it_was():
    stored = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    sent = [{"id": 1, "text": "A"}, {"id": 2, "text": "b"}]
    assert new_turns(stored, sent, None) == [{"id": 1, "text": "A"}]
    assert new_turns([*stored, sent[0]], sent, None) == []


def test_comparing_costs_in_proportion_to_the_turns():
    def seconds(count: int) -> float:
        talk = [{"id": f"m{i}" if i % 2 else None, "content": f"turn {i}"} for i in range(count)]
        times: list[float] = []
        for _ in range(3):
            began = time.process_time()
            assert new_turns(talk[:-1], talk, None) == talk[-1:]
            times.append(time.process_time() - began)
        return min(times)

    assert seconds(20_000) < 8 * seconds(5_000), "four times as many; sixteen times as long if it were quadratic"


def test_turns_with_and_without_ids_are_matched_each_in_their_way():
    stored: list[Turn] = [{"id": 1}, *turns("a", "b"), {"id": 2}]
    sent = [*turns("b"), {"id": 2}, *turns("c"), {"id": 3}, {"id": 1}]
    assert new_turns(stored, sent, None) == [*turns("c"), {"id": 3}]


def test_an_empty_id_is_no_id():
    stored: list[Turn] = [{"id": "", "text": "a"}, {"id": None, "text": "b"}]
    assert new_turns(stored, stored, None) == []
    assert new_turns(stored, [{"id": "", "text": "c"}, {"id": None, "text": "d"}], None) == [
        {"id": "", "text": "c"},
        {"id": None, "text": "d"},
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, False),
        ({"a": "é"}, {"a": "e\u0301"}, False),
        ({"a": []}, {"a": {}}, False),
    ],
)
def test_turns_are_equal_when_their_canonical_json_is(one: Turn, other: Turn, same: bool):  # noqa: FBT001
    assert (fingerprint(one) == fingerprint(other)) is same
    assert (new_turns([one], [other], None) == []) is same


class Caller:
    """A caller with a talk of its own and the memory that the server keeps of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen = Seen()
        self.talk: list[Turn] = []
        self.unsent = 0
        self.said = 0

    def say(self, *, with_id: bool) -> None:
        self.said += 1
        text = f"{self.name}{self.said}"
        self.talk.append({"id": text} if with_id else {"content": text})
        self.unsent += 1

    def send(self, stored: list[Turn], back: int) -> list[Turn]:
        """Send what is new and `back` turns before it; the stored history afterwards."""
        sent = self.talk[max(0, len(self.talk) - self.unsent - back) :]
        added = new_turns(stored, sent, self.seen.views)
        afterwards = [*stored, *added]
        self.seen.saved(sent, afterwards, afresh=len(added) == len(afterwards))
        self.unsent = 0
        return afterwards

    def resume(self, stored: list[Turn]) -> None:
        """Go on from what is stored."""
        self.seen.resumed(stored)
        self.talk = list(stored)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("send"), st.integers(0, 2), st.sampled_from([0, 0, 1, 2, 5, 99])),
        st.tuples(st.just("resume"), st.integers(0, 2), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=500)
@given(STEPS)
@example([("say", 0, 0), ("send", 0, 0), ("say", 1, 0), ("send", 1, 0), ("say", 0, 0), ("send", 0, 99)])
def test_every_turn_ends_up_in_the_history_once_whoever_resends_what(steps: list[tuple[str, int, int]]):
    stored: list[Turn] = []
    callers = [Caller(name) for name in "ABC"]
    for what, who, number in steps:
        caller = callers[who]
        if what == "say":
            caller.say(with_id=number == 0)
        elif what == "send":
            stored = caller.send(stored, number)
        elif not caller.unsent:
            caller.resume(stored)
    for caller in callers:
        stored = caller.send(stored, 99)
    said = [f"{caller.name}{n + 1}" for caller in callers for n in range(caller.said)]
    kept = [turn.get("id") or turn["content"] for turn in stored]
    assert sorted(kept) == sorted(said)
    for caller in callers:
        assert [k for k in kept if k[0] == caller.name] == [s for s in said if s[0] == caller.name]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=12))
def test_who_only_looks_goes_on_with_a_talk_of_its_own(steps: list[tuple[bool, int]]):
    stored: list[Turn] = []
    mine, other = Caller("A"), Caller("B")
    for looks, back in steps:
        other.say(with_id=False)
        stored = other.send(stored, 0)
        if looks:
            mine.seen.resumed(stored)
        mine.say(with_id=False)
        stored = mine.send(stored, back)
    assert [k["content"] for k in stored if k["content"][0] == "A"] == [f"A{i + 1}" for i in range(mine.said)]


def test_a_caller_who_repeats_itself_on_purpose_sends_only_what_is_new():
    caller, stored = Caller("A"), list[Turn]()
    for word in ("yes", "yes", "no"):
        caller.talk.append({"content": word})
        caller.unsent = 1
        stored = caller.send(stored, 99)
    assert [turn["content"] for turn in stored] == ["yes", "yes", "no"]


def test_the_memory_of_a_caller_is_per_session_and_bounded():
    memory = Memory()
    memory.of("kept").resumed(turns("a"))
    for i in range(REMEMBERED_SESSIONS):
        memory.of("kept")
        memory.of(f"other {i}").resumed(turns("b"))
    assert set(memory.of("kept").views or ()) == {view(turns("a"))}
    assert memory.of("other 0").views is None


def test_what_a_save_under_way_will_add_to_is_not_forgotten_for_others():
    memory = Memory()
    with memory.used("saved") as seen:
        for i in range(2 * REMEMBERED_SESSIONS):
            memory.of(f"other {i}")
        seen.resumed(turns("a"))
    assert memory.of("saved").views
    for i in range(2 * REMEMBERED_SESSIONS):
        memory.of(f"other {i}")
    assert memory.of("saved").views is None, "afterwards it may go like any other"


def test_a_copy_of_a_memory_goes_its_own_way():
    memory = Memory()
    memory.of("s").resumed(turns("a"))
    copy = memory.copy()
    copy.of("s").saved(turns("a", "b"), turns("a", "b"), afresh=True)
    assert set(memory.of("s").views or ()) == {view(turns("a"))}
    assert set(copy.of("s").views or ()) == {view(turns("a", "b"))}


def test_a_forgotten_session_is_a_stranger():
    memory = Memory()
    memory.of("s").resumed(turns("a"))
    memory.forget("s")
    memory.forget("never known")
    assert memory.of("s").views is None


@given(st.lists(LETTERS, max_size=6), st.lists(st.booleans(), min_size=12, max_size=12))
async def test_views_taken_later_are_those_taken_at_once(saves: list[list[str]], looks: list[bool]):
    """Whatever is done in between, and whenever nobody waits."""
    later, now = Seen(), Seen(at_once=True)
    history: list[Turn] = []
    for number, letters in enumerate(saves):
        if looks[2 * number]:
            for seen in (later, now):
                seen.resumed(history)
        history = [*history, *turns(*letters)]
        for seen in (later, now):
            seen.saved(turns(*letters), history, afresh=number == 0, exactly=False)
        if looks[2 * number + 1]:
            await later.look_closer()
    assert later.views == now.views


async def test_once_views_are_taken_no_turn_is_held():
    seen = Seen()
    talk = turns(*"abc" * 200)
    seen.resumed(talk)
    await seen.look_closer()
    assert seen.known == seen.shown == view(talk)

"""Append: a caller may resend the whole talk, its tail or only what is new, and every turn ends up in it once."""

import gc
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.append import fingerprint, view
from agentic_flywheel.documents.appended import appended
from agentic_flywheel.documents.same_words import WordIndex
from agentic_flywheel.json_text import canonical
from agentic_flywheel.sessions import caller_view
from agentic_flywheel.sessions.caller_view import REMEMBERED_SESSIONS, CallerView, CallerViews

from ..support.conversations import turns, words
from ..support.frameworks import NATIVE
from ..support.resending import Case
from ..support.waiting import eventually

Turn = dict[str, Any]


def added_of(*given: Any, **more: Any) -> list[Turn]:
    """What `appended` says is new."""
    return appended(*given, **more).added


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
    """Or it was seen further up; then it cannot be told from a repetition, and that is said."""
    found = appended(turns(*stored), turns(*sent), None)
    added = words(found.added)
    assert len(added) <= len(naive(stored, sent))
    assert added == naive(stored, sent) or found.unsure == len(sent) - len(added)


@settings(max_examples=600)
@given(LETTERS, LETTERS, LETTERS)
def test_with_memory_what_was_seen_counts_or_what_nobody_says_again_by_chance(
    stored: list[str], seen: list[str], sent: list[str]
):
    whole = sent[len(stored) :] if sent[: len(stored)] == stored else sent
    found = appended(turns(*stored), turns(*sent), [view(turns(*seen))])
    least = min(naive(seen, sent), whole, key=len)
    assert words(found.added) == least or (len(found.added) < len(least) and found.unsure > 0)


def test_the_whole_talk_is_known_again_by_who_was_shown_an_older_state_of_it():
    """A server that starts over an older journal, Redis being slow, shows a replaced history."""
    seen = CallerView()
    seen.resumed(turns("old one", "old two"))
    assert words(added_of(turns("a", "b"), turns("a", "b", "c"), seen.views)) == ["c"]


@given(LETTERS, LETTERS, LETTERS)
def test_of_several_views_the_one_that_knows_most_counts(one: list[str], other: list[str], sent: list[str]):
    added = words(added_of([], turns(*sent), [view(turns(*one)), view(turns(*other))]))
    assert added == min(naive(one, sent), naive(other, sent), key=len)


@given(LETTERS, LETTERS)
def test_with_nothing_seen_nothing_is_dropped(stored: list[str], sent: list[str]):
    assert words(added_of(turns(*stored), turns(*sent), ())) == sent


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
    added = added_of(stored, sent, None)
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
        assert [*have, *added_of(have, sent, None)] == talk


@given(st.lists(TURNS.filter(has_id), max_size=6), st.lists(TURNS.filter(has_id), max_size=6))
def test_a_turn_with_an_id_is_known_anywhere_by_its_id_and_its_words(stored: list[Turn], sent: list[Turn]):
    added = added_of(stored, sent, ())
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
                added = added_of(stored, sent, caller.seen.views if remembers else None)
                afterwards = [*stored, *added]
                caller.seen.saved(sent, afterwards, afresh=not stored)
                stored = afterwards
            assert stored == talk


def test_an_edited_turn_is_added_beside_what_it_was():
    stored = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    sent = [{"id": 1, "text": "A"}, {"id": 2, "text": "b"}]
    assert added_of(stored, sent, None) == [{"id": 1, "text": "A"}]
    assert added_of([*stored, sent[0]], sent, None) == []


@pytest.mark.slow
def test_comparing_costs_in_proportion_to_the_turns():
    def seconds(count: int) -> float:
        talk = [{"id": f"m{i}" if i % 2 else None, "content": f"turn {i}"} for i in range(count)]
        times: list[float] = []
        for _ in range(3):
            began = time.process_time()
            assert added_of(talk[:-1], talk, None) == talk[-1:]
            times.append(time.process_time() - began)
        return min(times)

    gc.freeze()  # what other tests left behind would be looked through again and again
    assert seconds(20_000) < 8 * seconds(5_000), "four times as many; sixteen times as long if it were quadratic"


def test_turns_with_and_without_ids_are_matched_each_in_their_way():
    stored: list[Turn] = [{"id": 1}, *turns("a", "b"), {"id": 2}]
    sent = [*turns("b"), {"id": 2}, *turns("c"), {"id": 3}, {"id": 1}]
    assert added_of(stored, sent, None) == [*turns("c"), {"id": 3}]


def test_an_empty_id_is_no_id():
    stored: list[Turn] = [{"id": "", "text": "a"}, {"id": None, "text": "b"}]
    assert added_of(stored, stored, None) == []
    assert added_of(stored, [{"id": "", "text": "c"}, {"id": None, "text": "d"}], None) == [
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
    assert (added_of([one], [other], None) == []) is same


class Caller:
    """A caller with a talk of its own and the memory that the server keeps of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen = CallerView()
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
        added = added_of(stored, sent, self.seen.views)
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


@pytest.mark.slow
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
    memory = CallerViews()
    memory.of("kept").resumed(turns("a"))
    for i in range(REMEMBERED_SESSIONS):
        memory.of("kept")
        memory.of(f"other {i}").resumed(turns("b"))
    assert set(memory.of("kept").views or ()) == {view(turns("a"))}
    assert memory.of("other 0").views is None


def test_what_a_save_under_way_will_add_to_is_not_forgotten_for_others():
    memory = CallerViews()
    with memory.used("saved") as seen:
        for i in range(2 * REMEMBERED_SESSIONS):
            memory.of(f"other {i}")
        seen.resumed(turns("a"))
    assert memory.of("saved").views
    for i in range(2 * REMEMBERED_SESSIONS):
        memory.of(f"other {i}")
    assert memory.of("saved").views is None, "afterwards it may go like any other"


def test_a_copy_of_a_memory_goes_its_own_way():
    memory = CallerViews()
    memory.of("s").resumed(turns("a"))
    copy = memory.copy()
    copy.of("s").saved(turns("a", "b"), turns("a", "b"), afresh=True)
    assert set(memory.of("s").views or ()) == {view(turns("a"))}
    assert set(copy.of("s").views or ()) == {view(turns("a", "b"))}


def test_a_forgotten_session_is_a_stranger():
    memory = CallerViews()
    memory.of("s").resumed(turns("a"))
    memory.forget("s")
    memory.forget("never known")
    assert memory.of("s").views is None


@given(st.lists(LETTERS, max_size=6), st.lists(st.booleans(), min_size=12, max_size=12))
async def test_views_taken_later_are_those_taken_at_once(saves: list[list[str]], looks: list[bool]):
    """Whatever is done in between, and whenever nobody waits."""
    later, now = CallerView(), CallerView(at_once=True)
    history: list[Turn] = []
    for number, letters in enumerate(saves):
        if looks[2 * number]:
            for seen in (later, now):
                seen.resumed(history)
        history = [*history, *turns(*letters)]
        for seen in (later, now):
            seen.saved(turns(*letters), history, afresh=number == 0, exactly=False)
        if looks[2 * number + 1]:
            await looked(later)
    assert later.views == now.views


async def looked(seen: CallerView) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(caller_view, "IDLE_SECONDS", 0)
        seen.look_later()
    await eventually(lambda: seen.is_taken, what="the fingerprints")


async def test_once_views_are_taken_no_turn_is_held():
    seen = CallerView()
    talk = turns(*"abc" * 200)
    seen.resumed(talk)
    await looked(seen)
    assert seen.known == seen.shown == view(talk)


A, B, C, D = turns(
    "What grows in deep shade behind the shed?", "Sword ferns and hostas.", "And in the sun?", "Lavender."
)
RETYPED = {
    "a blank more": "What grows in deep  shade behind the shed? ",
    "blocks": [{"type": "text", "text": "What grows in deep shade behind the shed?"}],
    "cut with a mark": "What grows in deep shade…",
    "cut without one": "What grows in deep shade beh",
}


@pytest.mark.parametrize("text", RETYPED.values(), ids=RETYPED)
@pytest.mark.parametrize("remembers", [True, False], ids=["one caller", "a new one each time"])
def test_a_turn_that_says_the_same_is_not_added_and_is_named(text: Any, remembers: bool):  # noqa: FBT001
    views = [view([A, B, C, D])] if remembers else None
    found = appended([A, B, C, D], [A | {"content": text}, B, C, D, *turns("new")], views)
    assert (found.added, found.retyped) == (turns("new"), (0,))


def test_unicode_forms_are_the_same():
    found = appended(turns("Crème brûlée"), turns("Cre\u0300me bru\u0302le\u0301e", "new"), None)
    assert (found.added, found.retyped) == (turns("new"), (0,))


def test_what_has_more_words_than_the_stored_turn_is_new():
    longer = A | {"content": A["content"] + " I have no sun there."}
    assert appended([A, B], [longer, B, C], None).added == [longer, C]
    assert appended([A, B, longer, C], [longer, B, C], None).added == []


@pytest.mark.parametrize(("begin", "end"), [(0, 4), (2, 6), (4, 8), (0, 8)])
def test_an_older_or_shorter_copy_adds_nothing(begin: int, end: int):
    talk = turns(*"abcdefgh")
    assert appended(talk, talk[begin:end], None).added == []
    assert appended([*talk, *turns("x", "y")], talk[begin:end], [view(talk)]).added == []


def test_with_nothing_remembered_two_turns_of_an_older_copy_add_nothing():
    assert appended(turns(*"abcdefgh"), turns("c", "d"), None).added == []


def test_turns_of_others_in_between_do_not_hide_a_resend():
    others = turns("first of others", "second of others")
    stored = [A, others[0], B, C, others[1], D]
    assert appended(stored, [A, B, C, D, *turns("new")], None).added == turns("new")
    assert appended(stored, [C, D, *turns("new")], None).added == turns("new")


def test_an_edited_turn_does_not_hide_those_behind_it():
    edited = B | {"content": "Something else altogether."}
    assert appended([A, B, C, D], [A, edited, C, D, *turns("new")], None).added == [edited, *turns("new")]


@pytest.mark.parametrize("field", ["id", "ts", "tool_calls"])
def test_the_same_words_with_another_id_or_time_or_call_are_new(field: str):
    one, other = ({"role": "assistant", "content": "Done.", field: [n] if field == "tool_calls" else n} for n in (1, 2))
    assert appended([A, one], [other], None).added == [other]


@pytest.mark.parametrize("remembers", [True, False], ids=["one caller", "a new one each time"])
def test_what_cannot_be_told_from_a_repetition_is_said(remembers: bool):  # noqa: FBT001
    again = turns("continue", "Done.")
    found = appended(again, again, [view(again)] if remembers else None)
    assert (found.added, found.unsure) == ([], 2)


def test_a_prompt_that_is_repeated_before_a_new_answer_is_new():
    """A job that runs each hour, with a process of its own: the question is not where any save ended."""
    prompt = turns("Look at the mail of the last hour and tell me what is urgent.")[0]
    stored = [prompt, *turns("Nothing is."), *turns("x")]
    again = [prompt, *turns("The water bill is.")]
    assert appended(stored, again, None, ends=(2, 3)).added == again


MISSED = range(21_982, 21_983)
"""A whole talk, one turn of it cut, beside those of others: known by where its caller saw it end."""


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [*(range(50 * n, 50 * n + 50) for n in range(4)), MISSED], ids=str)
async def test_nothing_is_lost_and_nothing_doubled_however_talks_are_sent(seeds: range):
    """`python -m tests.append_model` runs ten thousand of these."""
    assert [fault for seed in seeds for fault in await Case(seed).run()] == []


def in_a_form(text: str) -> st.SearchStrategy[Turn]:
    """A turn with this text, plain or in a block."""
    plain, block = {"role": "user", "content": text}, {"role": "user", "content": [{"type": "text", "text": text}]}
    return st.sampled_from([plain, block])


@given(
    st.lists(st.sampled_from(["yes", " yes", "\n\tno", "é", "e\u0301t", "", "Y"]).flatmap(in_a_form), max_size=9),
    st.data(),
)
def test_what_is_looked_for_by_its_first_character_is_found_as_among_all(stored: list[Turn], data: st.DataObject):
    sent = data.draw(st.lists(st.sampled_from([*stored, {"role": "user", "content": "other"}]), min_size=1, max_size=2))
    near, whole = WordIndex(stored, -3, sent), WordIndex(stored)
    assert [near.places(turn) for turn in sent] == [whole.places(turn) for turn in sent]
    assert [near.whole(turn) for turn in sent] == [whole.whole(turn) for turn in sent]


FERNS = {"role": "assistant", "content": "Sword ferns and hostas, if the soil stays moist"}


def test_a_turn_with_an_id_that_is_sent_again_cut_is_known():
    stored, more = [FERNS | {"id": 1}], {"role": "user", "content": "And in the sun?"}
    cut = FERNS | {"id": 1, "content": FERNS["content"][:30]}
    told = appended(stored, [cut, more], [()])
    assert told.added == [more]
    assert told.retyped == (0,)

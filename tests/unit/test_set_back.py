"""A store that was set back (an older dump, a backup), and callers who remember more: what they send again is kept."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.append import view
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.store import SessionStore

from ..support.conversations import turns, words
from ..support.shelf import Shelf
from .conftest import Clock

KEYS = Keys("p")


def process(shelf: Shelf, clock: Clock) -> SessionStore:
    """A process that keeps its sessions there."""
    repository = Repository(shelf, None, KEYS, clock)
    return SessionStore(
        repository, KEYS, session_ttl_seconds=0, max_bytes=1_000_000, revisions=10, user="", clock=clock
    )  # fmt: skip


class Caller:
    """A client of a process: it has a talk of its own, and sends it or a part of it."""

    def __init__(self, name: str, store: SessionStore) -> None:
        self.name, self.store, self.memory = name, store, CallerViews()
        self.talk: list[dict[str, Any]] = []
        self.said = self.unsent = 0

    def say(self) -> None:
        self.said += 1
        self.unsent += 1
        self.talk += turns(f"{self.name}{self.said}")

    async def send(self, back: int = 99) -> None:
        """Send what is new, and `back` turns before it."""
        part = self.talk[max(0, len(self.talk) - self.unsent - back) :]
        assert (await self.store.save(Save(session_id="s", history=part, title="talk"), self.memory)).saved
        self.unsent = 0

    async def resume(self) -> None:
        """Go on from what is stored."""
        found = await self.store.resume(self.memory, "s", max_tokens=10**6)
        self.talk = list(found.session["history"]) if found.session else []


CALLERS = "ABCD"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("send"), st.integers(0, 3), st.sampled_from([0, 0, 1, 2, 99])),
        st.tuples(st.just("resume"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("dump"), st.just(0), st.just(0)),
        st.tuples(st.just("set back"), st.integers(0, 5), st.just(0)),
    ),
    max_size=40,
)


def steps(text: str) -> list[tuple[str, int, int]]:
    """`A` says and sends something, `a` sends all of its talk again, `.` is a dump, `!` a start with the newest one."""
    told: list[tuple[str, int, int]] = []
    for letter in text:
        if letter in CALLERS:
            told += [("say", CALLERS.index(letter), 0), ("send", CALLERS.index(letter), 0)]
        elif letter.upper() in CALLERS:
            told += [("send", CALLERS.index(letter.upper()), 99)]
        else:
            told += [("dump", 0, 0) if letter == "." else ("set back", 0, 0)]
    return told


@settings(max_examples=300)
@given(STEPS)
@example(steps("AAA.AAA!a"))
@example(steps("AAAA!AAa"))  # with nothing at all
@example(steps("A.AAA!AAa"))  # what is new first, the whole talk later
@example(steps("AB.AB!AAAAAb"))  # another caller of the process has saved more often than was lost
@example(steps("AC.AC!CCCCCa"))  # another process has
@example(steps("A.A!A.A!Aa"))  # twice
async def test_whatever_is_sent_again_after_a_store_was_set_back_is_there_once(told: list[tuple[str, int, int]]):
    shelf, clock = Shelf(), Clock()
    stores = [process(shelf, clock) for _ in range(2)]
    callers = [Caller(name, stores[n // 2]) for n, name in enumerate(CALLERS)]
    dumps: list[dict[str, Write]] = [{}]
    for what, number, back in told:
        if what == "dump":
            dumps.append(dict(shelf.kept))
        elif what == "set back":
            shelf.kept = dict(dumps[-1 - number % len(dumps)])
        elif what == "say":
            callers[number].say()
        elif what == "send":
            await callers[number].send(back)
        elif not callers[number].unsent:
            await callers[number].resume()
    for caller in callers:
        await caller.send()
    found = await stores[0].resume(CallerViews(), "s", max_tokens=10**6)
    assert found.session
    kept = words(found.session["history"])
    for caller in callers:
        for word in words(caller.talk):
            assert kept.count(word) == 1, (word, kept)


async def test_what_somebody_took_away_on_purpose_does_not_come_back_with_a_resend(clock: Clock):
    store = process(Shelf(), clock)
    mine, theirs = CallerViews(), CallerViews()
    await store.save(Save(session_id="s", history=turns("a", "secret", "b")), mine)
    await store.save(Save(session_id="s", history=turns("a", "b"), mode="replace"), theirs)
    await store.save(Save(session_id="s", history=turns("a", "secret", "b", "c")), mine)
    found = await store.resume(CallerViews(), "s")
    assert found.session
    assert words(found.session["history"]) == ["a", "b", "c"]


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_another_revision_of_the_expected_number_is_a_conflict(mode: Any, clock: Clock):
    shelf = Shelf()
    store = process(shelf, clock)
    mine, theirs = CallerViews(), CallerViews()
    await store.save(Save(session_id="s", history=turns("a")), mine)
    dump = dict(shelf.kept)
    told = await store.save(Save(session_id="s", history=turns("a", "b")), mine)
    shelf.kept = dump
    clock.now += timedelta(seconds=1)
    assert (await store.save(Save(session_id="s", history=turns("x")), theirs)).revision == told.revision
    refused = await store.save(
        Save(session_id="s", history=turns("c"), mode=mode, expected_revision=told.revision), mine
    )
    assert (refused.saved, refused.reason, refused.revision) == (False, "conflict", told.revision)
    assert "set back" in refused.message
    resumed = await store.resume(mine, "s")
    assert resumed.revision == told.revision
    assert (
        await store.save(Save(session_id="s", history=turns("c"), mode=mode, expected_revision=told.revision), mine)
    ).saved


def test_what_was_sent_to_an_older_copy_is_compared_again_with_what_the_shared_store_holds(clock: Clock):
    """The journal was put back from a backup while the shared store, which is newer, could not be asked."""
    writer = Writer()

    def save(*said: str, **more: Any) -> SaveCommand:
        given = {"default_ttl_seconds": 0, "max_bytes": 10_000, "operation": writer.next(), **more}
        return SaveCommand(key="k", session_id="s", index="i", history=turns(*said), **given)

    def text(change: SaveCommand, base: str | None) -> str:
        step = change.apply(base, clock())
        assert step.write
        return step.write.text

    first, second = save("1", "2", "3"), save("10")
    older = text(first, None)
    newer = text(second, older)
    told = (first.operation, second.operation)
    again = save("1", "2", "3", "10", "11", told=told, views=(view(turns("1", "2", "3", "10")),))
    step = again.apply(older, clock())
    assert words(step.answer.history) == ["1", "2", "3", "10", "11"]
    assert isinstance(step.queued, SaveCommand)
    assert words(step.queued.apply(newer, clock()).answer.history) == ["1", "2", "3", "10", "11"]


@pytest.mark.parametrize("theirs", [[], ["x"]])
@pytest.mark.parametrize("replaced", [False, True])
def test_what_a_new_process_sends_again_to_an_older_copy_is_not_added_twice(
    clock: Clock, theirs: list[str], *, replaced: bool
):
    """The same, by a client whose server was started again since: nobody remembers what it had sent."""
    writer = Writer()

    def save(*said: str, mode: Any = "append") -> SaveCommand:
        return SaveCommand(
            key="k", session_id="s", index="i", history=turns(*said), default_ttl_seconds=0, max_bytes=10_000,
            operation=writer.next(), mode=mode,
        )  # fmt: skip

    def text(change: SaveCommand, base: str | None) -> str:
        step = change.apply(base, clock())
        assert step.write
        return step.write.text

    older = text(save("1", "2"), None)
    before = [] if replaced else ["1", "2"]
    newer = text(save(*before, *theirs, "3", "3", mode="replace" if replaced else "append"), older)
    again = save(*before, "3", "3", "4").apply(older, clock())
    assert words(again.answer.history) == ["1", "2", "3", "3", "4"]
    assert isinstance(again.queued, SaveCommand)
    sent = again.queued.apply(newer, clock()).answer.history
    assert words(sent) == [*before, *theirs, "3", "3", "4"]
    alone = again.queued.apply(older, clock()).answer.history
    assert words(alone) == ["1", "2", "3", "3", "4"]


@pytest.mark.parametrize("seen_here", [False, True])
def test_what_was_shown_of_an_older_copy_tells_nothing_of_what_the_shared_store_holds(clock: Clock, *, seen_here: bool):
    given: dict[str, Any] = {"key": "k", "session_id": "s", "index": "i", "default_ttl_seconds": 0, "max_bytes": 9999}
    older = SaveCommand(history=turns("1"), operation="aa.1", **given).apply(None, clock())
    assert older.write
    newer = SaveCommand(history=turns("2"), mode="replace", operation="aa.2", **given).apply(older.write.text, clock())
    assert newer.write
    shown: dict[str, Any] = {"views": (view(turns("1")),), "seen_here": seen_here}
    step = SaveCommand(history=turns("2", "3"), operation="bb.1", **shown, **given).apply(older.write.text, clock())
    assert isinstance(step.queued, SaveCommand)
    history = step.queued.apply(newer.write.text, clock()).answer.history
    assert words(history) == (["2", "3"] if seen_here else ["2", "2", "3"])


def test_a_turn_that_names_itself_is_not_added_twice_by_what_was_sent_to_an_older_copy(clock: Clock):
    known, new = ({"id": name, "role": "user", "content": name} for name in "ab")
    memory: dict[str, Any] = {"key": "k", "session_id": "s", "index": "i", "default_ttl_seconds": 0, "max_bytes": 9999}
    older = SaveCommand(history=turns("1"), operation="aa.1", **memory).apply(None, clock())
    assert older.write
    newer = SaveCommand(history=[known, *turns("x")], operation="aa.2", **memory).apply(older.write.text, clock())
    assert newer.write
    change = SaveCommand(history=[known, *turns("x"), new], operation="bb.1", views=(view(turns("1")),), **memory)
    step = change.apply(older.write.text, clock())
    assert isinstance(step.queued, SaveCommand)
    history = step.queued.apply(newer.write.text, clock()).answer.history
    assert [turn["content"] for turn in history] == ["1", "a", "x", "x", "b"]

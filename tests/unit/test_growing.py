"""A file that grows, is rewritten or is read by a run that is killed: what comes in is what a whole reading brings."""

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.cli import growing
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.conversations import words
from ..support.taken_in import Outcome, take_in
from ..support.transcripts import Transcript
from .test_importers import jsonl
from .test_importers_claude_code import line
from .test_importers_codex import BEGUN, SHADE, answered, asked, called, output, rollout
from .test_importers_qwen_code import line as qwen
from .test_importers_qwen_code import system as qwen_system
from .test_importers_qwen_code import text as qwen_text

FERNS = "claude-code-ferns"


def settings_in(folder: Path, **more: str) -> Settings:
    return Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder), "HOME": str(folder), **more})


def steps(folder: Path, data: Sequence[bytes | Callable[[Path], None]], **env: str) -> tuple[list[Outcome], Any]:
    """What each state of the file comes to, and the session in the end."""
    config, path = settings_in(folder, **env), folder / "ferns.jsonl"

    async def run() -> tuple[list[Outcome], Any]:
        outcomes = list[Outcome]()
        sessions, _ = open_store(config)
        async with sessions:
            for each in data:
                if callable(each):
                    each(path)
                else:
                    with path.open("r+b" if path.exists() else "wb") as file:
                        file.write(each)
                        file.truncate()
                outcomes.append(await take_in(sessions, config, path))
            stored, _ = await sessions.load(FERNS)
        return outcomes, stored

    return asyncio.run(run())


def shown(stored: Any) -> Any:
    if not isinstance(stored, Document):
        return None
    return stored.title, stored.summary, stored.session.history


@pytest.fixture
def talk() -> Transcript:
    made = Transcript()
    made.says("Which ferns like shade?")
    made.answers("Lady ferns do.", thinks=True)
    made.calls("Let me count them.")
    made.answers("There are three.")
    made.notes()
    return made


SAID = st.sampled_from(["a fern", "a stone", "moss", "rain and wind"])
VERBS: dict[str, Any] = {
    "says": st.tuples(st.just("says"), SAID),
    "answers": st.tuples(st.just("answers"), SAID),
    "calls": st.tuples(st.just("calls"), SAID),
    "two tools": st.tuples(st.just("two"), SAID),
    "takes back": st.tuples(st.just("takes_back"), SAID),
    "notes": st.tuples(st.just("notes"), SAID),
    "title": st.tuples(st.just("is_titled"), SAID),
    "compaction": st.tuples(st.just("is_compacted"), SAID),
}


@st.composite
def scripts(draw: st.DrawFn) -> list[bytes]:
    """The states of a talk's file as it grows, cut anywhere."""
    made = Transcript()
    made.says("Which ferns like shade?")
    for number, (verb, said) in enumerate(draw(st.lists(st.one_of(*VERBS.values()), min_size=1, max_size=12))):
        if verb == "notes":
            made.notes()
        elif verb == "two":
            made.calls(f"{number}: {said}", tools=2)
        else:
            getattr(made, verb)(f"{number}: {said}")
    made.answers("That is all.")
    cuts = draw(st.lists(st.integers(0, len(made.data)), max_size=6))
    whole_lines = draw(st.booleans())
    if whole_lines:
        cuts = [made.data.rfind(b"\n", 0, cut) + 1 for cut in cuts]
    return [*(made.data[:cut] for cut in sorted(cuts)), made.data]


@pytest.mark.slow
@given(scripts())
def test_a_file_that_grew_in_steps_is_what_it_is_when_read_at_once(states: list[bytes]):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        outcomes, grown = steps(Path(one), states)
        _, whole = steps(Path(other), states[-1:])
        assert shown(grown) == shown(whole)
        assert not [each for each in outcomes if each.what == "refused" and b"\n" in states[0]]
        assert steps(Path(one), states[-1:])[0][0].what == "nothing new"


@pytest.mark.slow
@given(scripts(), st.lists(st.booleans(), max_size=8))
@settings(max_examples=40)
def test_a_run_that_is_killed_before_it_notes_how_far_it_was_costs_nothing(states: list[bytes], killed: list[bool]):
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        pytest.MonkeyPatch.context() as m,
    ):
        note, ends = growing.Marks.note, iter(killed)

        async def perhaps(self: Any, *arguments: Any) -> None:
            if not next(ends, False):
                await note(self, *arguments)

        m.setattr(growing.Marks, "note", perhaps)
        _, grown = steps(Path(one), states)
        _, whole = steps(Path(other), states[-1:])
        assert shown(grown) == shown(whole)


@pytest.mark.slow
@given(scripts(), st.data())
@settings(max_examples=60)
def test_whatever_stands_in_a_line_there_is_an_outcome(states: list[bytes], data: st.DataObject):
    """Bytes changed and taken out anywhere, and a file that goes on behind them."""
    whole = bytearray(states[-1])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(
            st.sampled_from([b"", b"\n", b"\xff", b'"', b"{", b"null", b"[" * 200, b'"\\ud83d"', b"1e999"])
        )
        whole[at : at + data.draw(st.integers(0, 20))] = piece
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        outcomes, _ = steps(Path(folder), [bytes(whole[:cut]), bytes(whole), bytes(whole) + states[-1]])
        assert all("\n" not in str(each) and "Traceback" not in str(each) for each in outcomes)


def test_appended_lines_are_read_once_and_nothing_else_of_the_file(tmp_path: Path, talk: Transcript):
    """A day of hooks reads little more than the file in the end has."""
    states = [talk.data]
    for number in range(60):
        talk.says(f"{number}: and in autumn?")
        talk.calls(f"{number}: I look.", tools=1 + number % 2)
        talk.answers(f"{number}: They rest. " * 20)
        talk.notes()
        states.append(talk.data)
    outcomes, stored = steps(tmp_path, states)
    assert sum(each.bytes_read for each in outcomes) <= 1.2 * len(talk.data)
    assert {str(each) for each in outcomes[1:]} >= {"4 turns at revision 2"}
    assert len({turn["id"] for turn in stored.session.history}) == len(stored.session.history)


def rewritten(path: Path, data: bytes) -> Path:
    """As programs do that write a file anew: another one takes its place."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    return other.replace(path)


@pytest.mark.parametrize("how", ["in another file", "in place", "longer", "at the same time"])
def test_a_file_that_was_written_anew_is_read_whole(tmp_path: Path, talk: Transcript, how: str):
    before, other = talk.data, Transcript(first=1_000)
    other.says("Which mosses like shade?")
    other.answers("Nearly all of them.")
    if how == "longer":
        other.calls("I look.", result="moss " * 1_000)
    after = other.data
    if how == "at the same time":
        after = after.ljust(len(before), b" ")[: len(before)]

    def change(path: Path) -> None:
        was = path.stat()
        if how == "in another file":
            rewritten(path, after)
        else:
            path.write_bytes(after)
        if how == "at the same time":
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    outcomes, stored = steps(tmp_path, [before, change])
    assert outcomes[1].bytes_read == len(after)
    assert "Which mosses like shade?" in words(stored.session.history)


def test_a_file_that_was_cut_takes_nothing_away(tmp_path: Path, talk: Transcript):
    outcomes, stored = steps(tmp_path, [talk.data, talk.data[: len(talk.data) // 2], talk.data])
    assert [each.what for each in outcomes] == ["taken in", "nothing new", "nothing new"]
    assert (stored.revision, len(stored.session.history)) == (1, 5)


def test_what_the_person_took_back_is_an_older_revision(tmp_path: Path, talk: Transcript):
    states = [talk.data]
    talk.takes_back("Which ferns like sun?")
    talk.answers("Few.")
    _, stored = steps(tmp_path, [*states, talk.data])
    assert words(stored.session.history) == ["Which ferns like sun?", "Few."]
    assert [(past.revision, past.turns) for past in stored.past] == [(1, 5)]


def save_in(folder: Path, **fields: Any) -> Callable[[Path], None]:
    """Somebody here saves something in the session, as a client does."""

    def save(_: Path) -> None:
        async def run() -> None:
            sessions, _ = open_store(settings_in(folder))
            async with sessions:
                assert (await sessions.save(Save(session_id=FERNS, **fields), CallerViews())).saved

        _in_thread(run)

    return save


def _in_thread(run: Callable[[], Any]) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_where_somebody_else_wrote_too_the_new_branch_is_added_and_nothing_replaced(tmp_path: Path, talk: Transcript):
    states = [talk.data]
    talk.takes_back("Which ferns like sun?")
    talk.answers("Few.")
    mine = {"role": "user", "content": "a word of mine"}
    _, stored = steps(tmp_path, [*states, save_in(tmp_path, history=[mine]), talk.data])
    said = words(stored.session.history)
    assert said[0] == "Which ferns like shade?"
    assert said[-3:] == ["a word of mine", "Which ferns like sun?", "Few."]


def test_a_title_and_a_summary_that_came_later_arrive_unless_somebody_changed_them_here(
    tmp_path: Path, talk: Transcript
):
    states = [talk.data]
    talk.is_titled("Ferns of the north")
    states.append(talk.data)
    _, stored = steps(tmp_path, states)
    assert stored.title == "Ferns of the north"

    talk.is_titled("Ferns again")
    _, stored = steps(tmp_path, [save_in(tmp_path, title="My ferns"), talk.data])
    assert stored.title == "My ferns"


def test_a_title_follows_also_where_somebody_only_added_a_turn(tmp_path: Path, talk: Transcript):
    states = [talk.data]
    talk.is_titled("Ferns of the north")
    mine = {"role": "user", "content": "a word of mine"}
    _, stored = steps(tmp_path, [*states, save_in(tmp_path, history=[mine]), talk.data])
    assert stored.title == "Ferns of the north"


def test_an_answer_that_goes_on_under_its_id_is_replaced_by_the_whole(tmp_path: Path):
    talk = Transcript()
    talk.says("Which ferns like shade?")
    talk.part("m9", {"type": "text", "text": "Lady ferns do."})
    states = [talk.data]
    talk.part("m9", {"type": "text", "text": "So do male ferns."})
    _, stored = steps(tmp_path, [*states, talk.data])
    said = " ".join(words(stored.session.history))
    assert said.count("Lady ferns do.") == said.count("So do male ferns.") == 1


def test_too_large_a_talk_comes_in_with_its_oldest_results_shortened(tmp_path: Path, talk: Transcript):
    states = []
    for number in range(40):
        talk.says(f"{number}: how many?")
        talk.calls(f"{number}: I count", result=f"{number} " + "fern " * 1_000)
        talk.answers(f"{number}: that many")
        states.append(talk.data)
    outcomes, stored = steps(tmp_path, states[9::10], FLYWHEEL_MAX_SESSION_BYTES="150000")
    assert {each.what for each in outcomes} == {"taken in"}
    history = stored.session.history
    assert [turn["content"] for turn in history if turn["role"] == "user" and "how many" in str(turn)][
        -1
    ] == "39: how many?"
    results = [str(turn["content"]) for turn in history if turn["role"] == "tool"]
    assert "more characters were left out at import" in results[1]  # the first is short
    assert "more characters were left out at import" not in results[-1]


def test_a_deleted_session_stays_so_and_nothing_names_it(tmp_path: Path, talk: Transcript):
    config = settings_in(tmp_path)

    def delete(_: Path) -> None:
        async def run() -> None:
            sessions, _ = open_store(config)
            async with sessions:
                assert (await sessions.delete(FERNS, CallerViews())).deleted
                assert not sessions.repository.journal.readings()

        _in_thread(run)

    outcomes, _ = steps(tmp_path, [talk.data, delete])
    assert (outcomes[1].what, outcomes[1].cause) == ("refused", "was deleted here, and stays so")


def test_two_at_once_bring_everything_in_once(tmp_path: Path, talk: Transcript):
    path, config = tmp_path / "ferns.jsonl", settings_in(tmp_path)
    path.write_bytes(talk.data)

    async def run() -> Any:
        stores = [open_store(config)[0] for _ in range(3)]
        for each in stores:
            await each.__aenter__()
        await asyncio.gather(*(take_in(each, config, path) for each in stores))
        talk.says("And in autumn?")
        path.write_bytes(talk.data)
        made = await asyncio.gather(*(take_in(each, config, path) for each in stores))
        stored, _ = await stores[0].load(FERNS)
        for each in stores:
            await each.__aexit__()
        return made, stored

    made, stored = asyncio.run(run())
    ids = [turn["id"] for turn in stored.session.history]
    assert len(ids) == len(set(ids)) == 6
    assert "refused" not in {each.what for each in made}


def test_trouble_with_a_file_is_an_outcome_and_no_error(tmp_path: Path):
    def foreign(path: Path) -> None:
        path.write_text('{"nothing": "of ours"}\n')

    outcomes, _ = steps(tmp_path, [lambda _: None, foreign])
    assert [each.what for each in outcomes] == ["refused", "refused"]
    assert "cannot be read" in outcomes[0].cause


def test_an_answer_that_goes_on_is_replaced_in_its_place_also_where_somebody_else_wrote_too(tmp_path: Path):
    talk = Transcript()
    talk.says("Which ferns like shade?")
    talk.part("m9", {"type": "text", "text": "Lady ferns do."})
    states = [talk.data]
    talk.part("m9", {"type": "text", "text": "So do male ferns."})
    mine = {"role": "user", "content": "a word of mine"}
    _, stored = steps(tmp_path, [*states, save_in(tmp_path, history=[mine]), talk.data])
    said = words(stored.session.history)
    assert said[1:] == ["Lady ferns do.\n\nSo do male ferns.", "a word of mine"]


# --- Exports, which are written whole each time


def exported(*said: tuple[str, str, str], title: str | None = "Ferns") -> Callable[[Path], None]:
    """An export of ChatGPT with one talk: id, parent and words of each message, the last one current."""
    began = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()
    mapping = {
        own: {
            "parent": parent,
            "message": {
                "id": own,
                "author": {"role": "user" if own.startswith("q") else "assistant"},
                "create_time": began + 60 * number,
                "content": {"content_type": "text", "parts": [text]},
            },
        }
        for number, (own, parent, text) in enumerate(said)
    }
    talk = {"conversation_id": "ferns", "title": title, "mapping": mapping, "current_node": said[-1][0]}
    return lambda path: rewritten(path, json.dumps([talk]).encode()) and None


def session_of(folder: Path, *exports: Callable[[Path], None]) -> Any:
    """What the exports come to, each in the place of the one before."""
    config, path = settings_in(folder), folder / "conversations.json"

    async def run() -> Any:
        sessions, _ = open_store(config)
        async with sessions:
            for export in exports:
                export(path)
                assert (await take_in(sessions, config, path)).what != "refused"
            return (await sessions.load("chatgpt-ferns"))[0]

    return asyncio.run(run())


ASKED, HALF, WHOLE = ("q1", "", "Which ferns like shade?"), ("a1", "q1", "Lady f"), ("a1", "q1", "Lady ferns do.")
REGENERATED = ("b1", "q1", "Nearly all of them."), ("q2", "b1", "Name one."), ("a2", "q2", "The male fern.")


STOPPED = {
    "claude-code": [line("1", None, words="Wait."), line("2", "1", words="[Request interrupted by user]")],
    "codex": rollout(BEGUN, *asked("q1", "Wait."), ("event_msg", {"type": "turn_aborted", "reason": "interrupted"})),
    "qwen-code": [
        qwen("1", None, "user", qwen_text("Wait.")),
        qwen_system("2", "1", "slash_command", phase="invocation", rawCommand="/stats"),
    ],
}


@pytest.mark.parametrize("lines", STOPPED.values(), ids=STOPPED)
def test_an_interruption_comes_in_though_nothing_was_said_behind_it(tmp_path: Path, lines: list[Any]):
    """Each line is read as soon as it is there, as by a hook that is told of it."""
    states = [jsonl(*lines[:ended]).encode() for ended in range(1, len(lines) + 1)]
    grown, whole = steps_of(tmp_path / "a", states), steps_of(tmp_path / "b", states[-1:])
    [only] = whole.values()
    assert [turn["role"] for turn in only] == ["user", "system"]
    assert grown == whole


def test_a_prompt_that_was_lost_in_the_queue_comes_in_once_however_often_the_file_is_read(tmp_path: Path):
    talk = Transcript()
    talk.says("Which ferns like shade?")
    talk.answers("Lady ferns do.")
    for number, words_of_it in enumerate(("Name one.", "Name two.")):
        time = f"2026-05-06T07:10:{number:02}Z"
        talk.beside(type="queue-operation", operation="enqueue", timestamp=time, content=words_of_it)
        talk.beside(type="queue-operation", operation="dequeue", timestamp=time)
    talk.says("Name two.")
    talk.answers("Lady and male fern.")
    states = [b"".join(talk.lines[:ended]) for ended in range(1, len(talk.lines) + 1)]
    outcomes, stored = steps(tmp_path, states)
    assert words(stored.session.history) == [
        "Which ferns like shade?", "Lady ferns do.", "Name one.", "Name two.", "Lady and male fern.",
    ]  # fmt: skip
    assert outcomes[-1].bytes_read < len(talk.data)


TASK_ENDED = ("event_msg", {"type": "task_complete"})


def test_what_codex_notes_only_as_the_model_is_given_it_comes_in_as_the_file_grows(tmp_path: Path):
    lines = list[Any]()
    states = list[bytes]()
    for n in range(3):
        said = [*asked(f"q{n}", f"Fern {n}?"), *answered(f"m{n}", f"Yes, {n}.")]
        lines += [BEGUN, *(each for each in said if each[0] == "response_item"), TASK_ENDED]
        states.append(jsonl(*rollout(*lines)).encode())
    [history] = steps_of(tmp_path, states).values()
    assert words(history) == ["Fern 0?", "Yes, 0.", "Fern 1?", "Yes, 1.", "Fern 2?", "Yes, 2."]


def test_calls_of_one_id_in_two_tasks_of_a_growing_file_lose_no_turn_between_them(tmp_path: Path):
    first = [called("call_0", cmd="pwd"), output("call_0", "/garden")]
    first = [BEGUN, *asked("q1", "Where?"), *first, *answered("m1", "There."), TASK_ENDED]
    begun = [*first, BEGUN, *asked("q2", "What?"), called("call_0", cmd="ls"), output("call_0", "ferns.txt")]
    ended = [*begun, *answered("m2", "Ferns."), TASK_ENDED]
    [history] = steps_of(tmp_path, [jsonl(*rollout(*each)).encode() for each in (first, begun, ended)]).values()
    assert [turn["role"] for turn in history] == ["user", "assistant", "tool", "assistant"] * 2


def test_a_prompt_that_was_read_before_codex_noted_it_as_seen_comes_in_once(tmp_path: Path):
    """It stands in two lines: as the model is given it, and as the person saw it."""
    lines = rollout(
        *SHADE, ("event_msg", {"type": "task_complete"}), BEGUN, *asked("q2", "Sun?"), *answered("m2", "No.")
    )
    for number, each in enumerate(lines):
        each["timestamp"] = f"2026-11-28T22:49:45.{number:03}Z"
    states = [jsonl(*lines[:ended]).encode() for ended in range(1, len(lines) + 1)]
    [history] = steps_of(tmp_path, states).values()
    assert words(history)[::2] == ["Shade?", "Sun?"]
    assert len(history) == 4


def test_a_file_that_copies_another_ones_lines_has_here_what_is_its_own_though_each_was_told_of_by_itself(
    tmp_path: Path,
):
    """Earlier versions of Claude Code resumed so: the lines again, under another sessionId."""
    first = Transcript()
    first.says("Which ferns like shade?")
    first.answers("Lady ferns do.")
    again = first.data.replace(b'"sessionId": "ferns"', b'"sessionId": "more"')
    first.session = "more"
    first.says("Name one.")
    first.answers("The male fern.")
    own = b"".join(first.lines[2:])
    config = settings_in(tmp_path)
    (tmp_path / "ferns.jsonl").write_bytes(b"".join(first.lines[:2]))

    async def run() -> list[Any]:
        sessions, _ = open_store(config)
        async with sessions:
            await take_in(sessions, config, tmp_path / "ferns.jsonl")
            for data in (again + own[: len(own) // 2], again + own, again + own):
                (tmp_path / "more.jsonl").write_bytes(data)
                await take_in(sessions, config, tmp_path / "more.jsonl")
            return [(await sessions.load(each))[0] for each in (FERNS, "claude-code-more")]

    ferns, more = asyncio.run(run())
    assert words(ferns.session.history) == ["Which ferns like shade?", "Lady ferns do."]
    assert words(more.session.history) == ["Name one.", "The male fern."]
    assert more.session.context["parent_session"] == FERNS


def steps_of(folder: Path, states: Sequence[bytes], *, anew: bool = False) -> dict[str, Any]:
    """What the sessions have that a file became, after each of its states was taken in."""
    folder.mkdir(exist_ok=True)
    config, path = settings_in(folder), folder / "talk.jsonl"

    async def run() -> dict[str, Any]:
        sessions, _ = open_store(config)
        async with sessions:
            ids = set[str]()
            for each in states:
                other = folder / "talk.part" if anew else path
                other.write_bytes(each)
                other.replace(path)
                ids.add((await take_in(sessions, config, path)).session_id)
            found = {own: (await sessions.load(own))[0] for own in ids if own}
        return {own: each.session.history for own, each in found.items() if isinstance(each, Document)}

    return asyncio.run(run())


def test_an_answer_that_was_not_whole_when_it_was_exported_becomes_whole(tmp_path: Path):
    stored = session_of(tmp_path, exported(ASKED, HALF), exported(ASKED, WHOLE), exported(ASKED, HALF))
    assert words(stored.session.history) == ["Which ferns like shade?", "Lady ferns do."]


def test_an_answer_that_was_asked_for_again_makes_another_branch_and_an_older_export_does_not_undo_it(tmp_path: Path):
    """Expected: the talk as the person sees it; the branch before is an older revision."""
    first, second = exported(ASKED, WHOLE), exported(ASKED, WHOLE, *REGENERATED)
    stored = session_of(tmp_path, first, second, first)
    assert words(stored.session.history) == [ASKED[2], *(text for _, _, text in REGENERATED)]
    assert [past.turns for past in stored.past] == [2]


def test_a_title_that_a_later_export_has_arrives(tmp_path: Path):
    stored = session_of(tmp_path, exported(ASKED, WHOLE, title="New chat"), exported(ASKED, WHOLE, title="Shade"))
    assert stored.title == "Shade"


def test_an_older_copy_of_a_talk_does_not_bring_its_title_back(tmp_path: Path):
    """As in a folder that two machines share, where one of them is behind."""
    older, newer = exported(ASKED, title="Shade?"), exported(ASKED, WHOLE, title="Ferns for shade")
    stored = session_of(tmp_path, older, newer, older)
    assert (stored.title, words(stored.session.history)) == ("Ferns for shade", [ASKED[2], WHOLE[2]])


@pytest.mark.parametrize("titles", [("Ferns for shade", None), (None, "Ferns for shade")])
def test_a_copy_without_a_title_leaves_the_one_that_the_talk_has(tmp_path: Path, titles: tuple[str | None, ...]):
    """As the file in which an older version of a program kept the same talk."""
    copies = (exported(ASKED, WHOLE, title=title) for title in titles)
    assert session_of(tmp_path, *copies).title == "Ferns for shade"


def test_what_was_taken_back_within_what_was_appended_does_not_come_in(tmp_path: Path):
    talk = Transcript()
    talk.says("Which ferns like shade?")
    talk.answers("Lady ferns do.")
    states = [talk.data]
    talk.says("Name one.")
    talk.takes_back("Name two.")
    _, stored = steps(tmp_path, [*states, talk.data])
    assert words(stored.session.history)[2:] == ["Name two."]


BACK = ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
GEMINI = {"sessionId": "ferns", "projectHash": "a1", "startTime": "2026-05-06T07:08:09Z", "kind": "main"}


def gemini(own: str, kind: str, said: str) -> dict[str, Any]:
    return {"id": own, "timestamp": f"2026-05-06T07:09:{len(own):02}Z", "type": kind, "content": said}


def in_steps(*parts: Sequence[dict[str, Any]]) -> list[bytes]:
    return ["".join(jsonl(*part) for part in parts[: n + 1]).encode() for n in range(len(parts))]


TAKEN_BACK: dict[str, list[bytes]] = {
    "codex": in_steps(
        rollout(*asked("u1", "Which ferns like shade?"), *answered("a1", "Lady ferns do.")),
        rollout(*asked("u2", "Name one."), *answered("a2", "Athyrium."), first=9)[1:],
        rollout(BACK, first=20)[1:],
    ),
    "gemini": in_steps(
        [GEMINI, gemini("u", "user", "Which ferns like shade?"), gemini("aa", "gemini", "Lady ferns do.")],
        [gemini("uuu", "user", "Name one."), gemini("aaaa", "gemini", "Athyrium.")],
        [{"$rewindTo": "uuu"}],
    ),
    "qwen": in_steps(
        [
            qwen("u", None, "user", qwen_text("Which ferns like shade?")),
            qwen("a", "u", "assistant", qwen_text("Lady ferns do.")),
        ],
        [qwen("v", "a", "user", qwen_text("Name one.")), qwen("b", "v", "assistant", qwen_text("Athyrium."))],
        [qwen_system("w", "a", "rewind")],
    ),
}


@pytest.mark.parametrize("anew", [False, True], ids=["appended", "put there anew"])
@pytest.mark.parametrize("name", TAKEN_BACK)
def test_what_was_taken_back_last_goes_without_another_word(tmp_path: Path, name: str, *, anew: bool):
    """Expected: not taken for an older copy of the talk, as the file only grew."""
    (history,) = steps_of(tmp_path, TAKEN_BACK[name], anew=anew).values()
    assert words(history) == ["Which ferns like shade?", "Lady ferns do."]


def test_an_older_copy_that_grows_up_to_the_talk_brings_nothing_twice(tmp_path: Path, talk: Transcript):
    """As in a folder that another machine sends line by line, where this one had the newer talk."""
    states = [talk.data]
    for number in range(3):
        talk.says(f"And {number}?")
        talk.answers(f"So {number}.")
        states.append(talk.data)
    config, copy, newer = settings_in(tmp_path), tmp_path / "copy" / "ferns.jsonl", tmp_path / "ferns.jsonl"
    copy.parent.mkdir()
    newer.write_bytes(talk.data)

    async def run() -> Any:
        sessions, _ = open_store(config)
        async with sessions:
            await take_in(sessions, config, newer)
            outcomes = list[str]()
            for data in states:
                with copy.open("ab") as file:
                    file.write(data[file.tell() :])
                outcomes.append(str(await take_in(sessions, config, copy)))
            talk.says("Last?")
            copy.write_bytes(talk.data)
            outcomes.append(str(await take_in(sessions, config, copy)))
            return outcomes, (await sessions.load(FERNS))[0]

    outcomes, stored = asyncio.run(run())
    assert outcomes == ["nothing new"] * len(states) + ["1 turn at revision 2"]
    assert len(stored.session.history) == len({turn["id"] for turn in stored.session.history})
    assert words(stored.session.history)[-3:] == ["And 2?", "So 2.", "Last?"]

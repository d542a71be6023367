"""Many transcripts are read in another process: the same comes in, whatever becomes of that process."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentic_flywheel.cli import reading_process
from agentic_flywheel.cli.growing import Growing
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read
from agentic_flywheel.cli.importers.following import read_whole
from agentic_flywheel.cli.reading_ahead import WORTH_BYTES, WORTH_FILES, Ahead, ReadAhead, ReadingProcess
from agentic_flywheel.cli.reading_marks import Stat
from agentic_flywheel.journal.threads import in_thread, without_threads
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

LIMIT = 2**26
MORE_THAN_A_PIPE = 500_000
SECRET = "".join(("AKIA", "QZ7LK2VN5RT4XW6Y"))
NOISE = {"type": "api-request-blob", "blob": "x" * (2 * WORTH_BYTES // WORTH_FILES)}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    made = [tmp_path / f"talk-{number}.jsonl" for number in range(WORTH_FILES)]
    for path in made:
        said = {"role": "user", "content": f"Which fern is {path.stem}? \ud83d" + "." * MORE_THAN_A_PIPE}
        line = {"type": "user", "uuid": path.stem, "parentUuid": None, "sessionId": path.stem, "message": said}
        path.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in (NOISE, line)))
    return made


def talks(folder: Path) -> Path:
    """An export of ChatGPT, in one line."""
    folder.mkdir()
    path = folder / "conversations.json"
    path.write_text(json.dumps([talk(f"talk-{number}") for number in range(20)]))
    return path


def talk(name: str) -> dict[str, Any]:
    said = {"content_type": "text", "parts": [f"Which fern is {name}? " + "." * MORE_THAN_A_PIPE]}
    message = {"id": f"{name}-1", "author": {"role": "user"}, "content": said, "create_time": 1.79e9}
    node = {"id": f"{name}-1", "message": message, "parent": None, "children": list[str]()}
    return {
        "id": name,
        "title": name,
        "create_time": 1.79e9,
        "mapping": {f"{name}-1": node},
        "current_node": f"{name}-1",
    }


def test_what_another_process_reads_is_what_would_be_read_here(files: list[Path]):
    with ReadAhead(files, LIMIT) as ahead:
        for path in files:
            answer = ahead.take(path)
            assert answer == Ahead(Stat.of(path), "claude-code", read_whole(path, "claude-code", LIMIT))
            assert answer
            assert answer.grown
            [talk] = answer.grown.entries
            assert isinstance(talk, Imported)
            assert talk.halves == 1, "half a character is mended, and told"


def test_what_was_looked_through_there_is_told_and_a_credential_is_found_wherever_it_is_looked_for(tmp_path: Path):
    clean, _, leaks = made = [talk(f"talk-{number}") for number in range(3)]
    leaks["mapping"]["talk-2-1"]["message"]["content"]["parts"] = [f"The key is {SECRET}."]
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(made))
    answers = reading_process._Answers()
    entries = [*read(path, "chatgpt", LIMIT)]
    assert not any(each.is_clean for each in map(answers._looked_through, entries) if isinstance(each, Imported))
    answers._waited = True  # there is time for it
    looked = [each for each in map(answers._looked_through, entries) if isinstance(each, Imported)]
    assert [each.is_clean for each in looked] == [True, True, False]
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)})

    async def stored(each: Imported) -> str:
        sessions, _ = open_store(settings)
        async with sessions:
            await Growing(sessions, settings)._importer.add(each)
            return str((await sessions.load(each.session_id))[0])

    assert clean["title"] in asyncio.run(stored(looked[0]))
    for each in (looked[2], entries[2]):
        assert isinstance(each, Imported)
        assert SECRET not in asyncio.run(stored(replace(each, session_id=f"{each.session_id}-{each.is_clean}")))


def test_a_file_that_is_no_file_of_lines_comes_entry_by_entry(files: list[Path], tmp_path: Path):
    path = talks(tmp_path / "export")
    with ReadingProcess() as process, ReadAhead([path, files[0]], LIMIT, process) as ahead:
        answer = ahead.take(path)
        assert answer
        assert answer.entries
        assert (answer.kind, answer.grown) == ("chatgpt", None)
        assert [*answer.entries] == [*read(path, "chatgpt", LIMIT)]
        assert ahead.take(files[0])


def test_what_was_not_read_to_its_end_is_passed_over(files: list[Path], tmp_path: Path):
    path = talks(tmp_path / "export")
    with ReadingProcess() as process, ReadAhead([path, *files], LIMIT, process) as ahead:
        answer = ahead.take(path)
        assert answer
        assert answer.entries
        next(answer.entries)
        del answer
        assert ahead.take(files[0])


def test_a_reader_that_was_killed_in_the_middle_of_a_file_leaves_the_rest_of_it_to_the_caller(tmp_path: Path):
    path = talks(tmp_path / "export")
    with ReadingProcess() as process, ReadAhead([path], LIMIT, process) as ahead:
        answer = ahead.take(path)
        assert answer
        assert answer.entries
        first = [next(answer.entries), next(answer.entries)]
        os.kill(process.pid, signal.SIGKILL)
        assert [*first, *answer.entries] == [*read(path, "chatgpt", LIMIT)]


def test_a_file_that_was_passed_over_or_is_gone_is_left_to_the_caller(files: list[Path]):
    with ReadAhead(files, LIMIT) as ahead:
        files[2].unlink()
        assert ahead.take(files[1])
        assert ahead.take(files[0]) is None, "its turn is over"
        assert ahead.take(files[2]) is None
        assert ahead.take(files[3])


def test_a_reader_that_was_killed_leaves_the_rest_to_the_caller(files: list[Path]):
    with ReadingProcess() as process, ReadAhead(files, LIMIT, process) as ahead:
        assert ahead.take(files[0])
        os.kill(process.pid, signal.SIGKILL)
        left = [ahead.take(path) for path in files[1:]]
    assert left[-1] is None, "but for what was in the pipe"


def test_few_files_start_no_process(files: list[Path]):
    with ReadAhead(files[1:], LIMIT) as ahead:
        assert ahead.take(files[1]) is None


def test_a_command_alone_waits_for_the_journal_itself():
    import threading

    async def run() -> None:
        with without_threads():
            assert await in_thread(threading.get_ident) == threading.get_ident()
        assert await in_thread(threading.get_ident) != threading.get_ident()

    anyio.run(run)

"""Many transcripts are read in another process: the same comes in, whatever becomes of that process."""

import json
from pathlib import Path

import anyio
import pytest

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.following import read_whole
from agentic_flywheel.cli.reading_ahead import WORTH_BYTES, WORTH_FILES, Ahead
from agentic_flywheel.cli.reading_marks import Stat
from agentic_flywheel.journal.threads import in_thread, without_threads

LIMIT = 2**26
MORE_THAN_A_PIPE = 500_000
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


def test_what_another_process_reads_is_what_would_be_read_here(files: list[Path]):
    async def run() -> None:
        with Ahead(files, LIMIT) as ahead:
            for path in files:
                answer = await ahead.take(path)
                assert answer == (Stat.of(path), read_whole(path, "claude-code", LIMIT))
                assert answer
                [talk] = answer[1].entries
                assert isinstance(talk, Imported)
                assert talk.halves == 1, "half a character is mended, and told"

    anyio.run(run)


def test_a_file_that_was_passed_over_or_is_gone_is_left_to_the_caller(files: list[Path]):
    async def run() -> None:
        with Ahead(files, LIMIT) as ahead:
            files[2].unlink()
            assert await ahead.take(files[1])
            assert await ahead.take(files[0]) is None, "its turn is over"
            assert await ahead.take(files[2]) is None
            assert await ahead.take(files[3])

    anyio.run(run)


def test_a_reader_that_was_killed_leaves_the_rest_to_the_caller(files: list[Path]):
    async def run() -> None:
        with Ahead(files, LIMIT) as ahead:
            assert await ahead.take(files[0])
            process = ahead._process
            assert process
            process.kill()
            process.wait()
            left = [await ahead.take(path) for path in files[1:]]
        assert left == [None] * len(left)

    anyio.run(run)


def test_few_files_start_no_process(files: list[Path]):
    async def run() -> None:
        with Ahead(files[1:], LIMIT) as ahead:
            assert await ahead.take(files[1]) is None
            assert ahead._process is None

    anyio.run(run)


def test_a_command_alone_waits_for_the_journal_itself():
    import threading

    async def run() -> None:
        with without_threads():
            assert await in_thread(threading.get_ident) == threading.get_ident()
        assert await in_thread(threading.get_ident) != threading.get_ident()

    anyio.run(run)

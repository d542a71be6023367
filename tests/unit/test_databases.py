"""Other programs' SQLite files: read with their logs, never written, and each trouble said in a plain sentence."""

import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from agentic_flywheel.cli.importers import databases
from agentic_flywheel.cli.importers.files import is_stray, read, recognise
from agentic_flywheel.cli.importers.found_files import Stream, sources

from .test_importers import bad, conversations
from .test_opencode import TALK, add, database


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def test_what_lies_in_the_log_of_a_program_that_runs_is_read_and_nothing_is_written(tmp_path: Path):
    made = database(tmp_path / "opencode.db")
    add(made, "ses_1", 0, TALK)
    assert (tmp_path / "opencode.db-wal").stat().st_size
    before = contents(tmp_path)
    [talk] = conversations(tmp_path / "opencode.db")
    assert len(talk.history) == 4
    assert contents(tmp_path) == before
    made.close()


def test_beside_a_database_that_is_not_open_no_file_is_made(tmp_path: Path):
    with database(tmp_path / "opencode.db") as made:
        add(made, "ses_1", 0, TALK)
    made.close()
    before = contents(tmp_path)
    assert conversations(tmp_path / "opencode.db")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["opencode.db"]


def test_a_locked_a_damaged_and_a_strangers_database_are_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(databases, "WAIT_SECONDS", 0.01)
    path = tmp_path / "opencode.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE session (id)")
    made.execute("BEGIN EXCLUSIVE")
    [told] = bad(path)
    assert told.reason.startswith("is locked by the program")
    made.rollback()
    [told] = bad(path)
    assert told.is_foreign
    made.close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000)
    assert recognise(path) is None
    [told] = bad(path)
    assert told.reason.startswith("is a damaged SQLite database")


def test_a_database_in_an_archive_or_on_standard_input_is_read_with_its_log(tmp_path: Path):
    made = database(tmp_path / "opencode.db")
    add(made, "ses_1", 0, TALK)
    archive = tmp_path / "talks.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("opencode.db", "opencode.db-wal"):
            packed.write(tmp_path / name, f"data/{name}")
    made.close()
    [whole] = conversations(tmp_path / "opencode.db")
    with sources(archive) as found:
        [member] = found.files
        assert not bad(member)
        assert conversations(member) == [whole]
    with (tmp_path / "opencode.db").open("rb") as file:
        assert list(read(Stream(file, "standard input"))) == [whole]


def test_of_an_archive_strangers_are_left_without_a_word_and_what_is_damaged_is_not(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "strange.db")) as made, made:
        made.execute("CREATE TABLE lines (text)")
    strange = (tmp_path / "strange.db").read_bytes()
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("mine/logs.db", strange)
        packed.writestr("broken/logs.db", strange[:100] + b"\xff" * 999)
        packed.writestr("mine/0badcafe-0000-4000-8000-000000000001.json", '{"name": "no talk"}')
    with sources(archive) as found:
        assert [str(each) for each in found.files] == [f"{archive}/broken/logs.db"]


def test_of_a_folder_strangers_are_left_without_a_word_and_what_is_damaged_is_not(tmp_path: Path):
    for name in ("mine/logs.db", "broken/logs.db"):
        (tmp_path / name).parent.mkdir()
        with closing(sqlite3.connect(tmp_path / name)) as made, made:
            made.execute("CREATE TABLE lines (text)")
    (tmp_path / "broken" / "logs.db").write_bytes((tmp_path / "mine" / "logs.db").read_bytes()[:100] + b"\xff" * 999)
    uuid = "0badcafe-0000-4000-8000-000000000001.json"
    (tmp_path / "mine" / uuid).write_text('{"name": "no talk"}')
    (tmp_path / "mine" / "history.jsonl").write_text('{"display": "x", "project": "y"}\n')
    (tmp_path / "mine" / "events.jsonl").write_text('{"seq": 1, "ts": "", "type": "message_append", "payload": {}}\n')
    (tmp_path / "mine" / "cut.jsonl").write_text('{"type": "user", "sess')
    with sources(tmp_path) as found:
        left = [each for each in found.files if not is_stray(each)]
        assert left == [tmp_path / "broken" / "logs.db", tmp_path / "mine" / "cut.jsonl"]

"""A data folder or a file of another user: the server goes on without its journal, and every answer says why."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ..support.conversations import turns
from ..support.moods import data_folder
from ..support.wire import WireServer
from ..test_demo_and_doctor import run

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users' files")


def of_another(env: dict[str, str], what: str) -> Path:
    """Something of another user where the journal should be."""
    folder = data_folder(env)
    folder.mkdir(parents=True)
    path = folder if what == "folder" else folder / "journal.sqlite3"
    if what == "file":
        path.touch(0o666)
    os.chown(path, NOBODY, NOBODY)
    return path


@pytest.mark.parametrize("what", ["folder", "file"])
def test_with_redis_all_goes_on_and_the_status_says_why_nothing_is_kept_here(what: str, server_env: dict[str, str]):
    path = of_another(server_env, what)
    with WireServer(server_env) as server:
        assert server.warm().call("save_session", session_id="s", history=turns("a"))["stored_in"] == "redis"
        assert server.call("resume_session", session_id="s")["source"] == "redis"
        status = server.call("persistence_status")
        assert f"{path} belongs to nobody, not to root" in status["journal"]["error"]
        assert f"{path} belongs to nobody" in status["reason"]
    assert [file.stat().st_size for file in data_folder(server_env).iterdir() if file.is_file()] in ([], [0])


@pytest.mark.parametrize("what", ["folder", "file"])
def test_without_redis_nothing_is_said_to_be_kept_and_the_answer_says_why(what: str, disabled_env: dict[str, str]):
    path = of_another(disabled_env, what)
    with WireServer(disabled_env) as server:
        saved = server.call("save_session", session_id="s", history=turns("a"))
        assert (saved["saved"], saved["stored_in"], saved["reason"]) == (False, "none", "unavailable")
        assert f"{path} belongs to nobody, not to root" in saved["message"]
    done = run(disabled_env, "doctor")
    assert done.returncode == 1
    assert f"{path} belongs to nobody, not to root" in done.stdout
    assert "FLYWHEEL_DATA_DIR" in done.stdout


@pytest.mark.parametrize("command", [("export", "-"), ("purge",), ("sessions", "list"), ("sessions", "show", "s")])
def test_every_command_says_whose_folder_it_is_and_ends_with_an_error(
    command: tuple[str, ...], disabled_env: dict[str, str]
):
    path = of_another(disabled_env, "folder")
    done = run(disabled_env, *command)
    assert done.returncode != 0, done.stdout
    assert f"{path} belongs to nobody, not to root" in done.stderr


def test_what_others_could_read_is_closed_and_the_doctor_says_so_once(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=turns("a"))
    journal = data_folder(disabled_env) / "journal.sqlite3"
    journal.chmod(0o644)
    assert (
        "! Files         others could read journal.sqlite3; nobody else can now." in run(disabled_env, "doctor").stdout
    )
    assert journal.stat().st_mode & 0o777 == 0o600
    assert "others could read" not in run(disabled_env, "doctor").stdout
    journal.chmod(0o640)
    with WireServer(disabled_env) as server:
        assert server.call("persistence_status")["journal"]["made_private"] == ["journal.sqlite3"]
        assert "Others could read journal.sqlite3" in server.stderr


def test_the_database_of_another_program_stays_as_it_is(disabled_env: dict[str, str]):
    folder = data_folder(disabled_env)
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as db:
        db.execute("CREATE TABLE entries (day TEXT, mood TEXT)")
    before = (folder / "journal.sqlite3").read_bytes()
    with WireServer(disabled_env) as server:
        saved = server.call("save_session", session_id="s", history=turns("a"))
        assert (saved["saved"], "is another program's" in saved["message"]) == (False, True)
    assert (folder / "journal.sqlite3").read_bytes() == before
    assert {path.name for path in folder.iterdir() if path.is_file()} <= {"journal.sqlite3", "journal.sqlite3.lock"}

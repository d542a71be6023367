"""Moving house: every session leaves one store and comes into another equal, and so do talks that others exported."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..conftest import NOBODY_LISTENS, Place, clean_env
from ..support import preloaded
from ..support.conversations import CONTEXT, TALK, turns, words
from ..support.processes import children, wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "unit" / "samples"
COUNT = 30


def run(env: dict[str, str], *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command of the console script, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "agentic_flywheel", *arguments],
        env=env,
        cwd=env["HOME"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        input=stdin,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def fill(server: WireServer) -> None:
    for number in range(COUNT):
        server.call(
            "save_session", session_id=f"s {number}/é", history=turns(f"{number} 🌾", "x"), title=f"Talk {number}"
        )
    server.call(
        "save_session", session_id="full", history=TALK, context=CONTEXT, summary="All.", tags=["a"], ttl_seconds=0
    )
    server.call("save_session", session_id="full", history=turns("more"), status="completed", user_id="ana")


def exported(path: Path) -> dict[str, Any]:
    return {document["id"]: document for document in map(json.loads, path.read_text("utf-8").splitlines())}


def write_export(path: Path, documents: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), "utf-8")
    return path


def many(count: int) -> list[dict[str, Any]]:
    """As many documents of an export."""
    saved = {"saved_at": "2026-01-02T03:04:05.000006+00:00", "kept_until": None, "ttl_seconds": 0}
    return [
        {"schema_version": 1, "id": f"s{number:05}", "revision": 1, "history": turns(f"turn {number}")} | saved
        for number in range(count)
    ]


def claude_talk(*said: str, title: str = "Theirs", ids: bool = True) -> list[dict[str, Any]]:
    """Claude's export of one conversation in which that was said."""
    messages = [
        {"sender": "human", "text": text} | ({"uuid": f"m{number}"} if ids else {}) for number, text in enumerate(said)
    ]
    times = {"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-03T03:04:05Z"}
    return [{"uuid": "u", "name": title, "chat_messages": messages} | times]


def kill_once(
    env: dict[str, str],
    *arguments: str,
    when: Callable[[], object],
    done: Callable[[], bool],
    undo: Callable[[], object],
) -> None:
    """Begin a command, and kill it in the middle of its work; one that was `done` before we came to it is undone."""
    command = [sys.executable, "-m", "agentic_flywheel", *arguments]
    for _ in range(10):
        with preloaded.cold(), subprocess.Popen(command, env=env, cwd=env["HOME"], stderr=subprocess.PIPE) as process:
            wait_until(lambda: process.poll() is not None or when(), what="the command to begin its work")
            below = children(process.pid)
            process.kill()
        wait_gone(below)  # its child still writes what it was sent
        if process.returncode == -signal.SIGKILL and not done():
            return
        undo()
    raise AssertionError("it was always done before it could be killed")


def elsewhere(env: dict[str, str], folder: Path, prefix: str) -> dict[str, str]:
    """An empty store: another prefix, another machine."""
    (folder / "home").mkdir(parents=True)
    more = {"HOME": str(folder / "home"), "FLYWHEEL_DATA_DIR": str(folder / "data"), "FLYWHEEL_KEY_PREFIX": prefix}
    return env | more


def test_what_is_exported_comes_into_an_empty_store_equal(place: Place, tmp_path: Path, redis: RedisServer):
    with place.server() as server:
        if place.shared:
            server.warm()
        fill(server)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    whole = int(place.env.get("REDIS_URL") == NOBODY_LISTENS and not place.env.get("REDIS_ENABLED"))  # 1: Redis is away
    assert f"Exported {COUNT + 1} sessions" in run(place.env, "export", str(first), code=whole).stderr
    assert not first.with_name("first.jsonl.part").exists()
    new = elsewhere(place.env, tmp_path / "new", f"{redis.prefix}-new")
    assert f"Took in {COUNT + 1} sessions; 0 were there already, 0 could not" in run(new, "import", str(first)).stderr
    run(new, "export", str(second), code=whole)
    assert exported(second) == exported(first)
    with WireServer(new) as server:
        found = server.call("resume_session", session_id="full")
        assert (words(found["session"]["history"])[-1], found["revision"]) == ("more", 2)
        assert server.call("resume_session", session_id="full", revision=1)["total_turns"] == len(TALK)
        server.call("save_session", session_id="s 1/é", history=turns("changed"))
    again = run(new, "import", str(first), code=1).stderr
    assert f"Took in 0 sessions; {COUNT} were there already, 1 could not" in again
    assert "there is another session 's 1/é' here; it stays as it is" in again
    if place.shared:
        with redis.client() as client:
            for key in client.scan_iter(match=f"{redis.prefix}-new:*", count=1000):
                client.delete(key)


def test_an_export_that_was_interrupted_is_continued(disabled_env: dict[str, str], tmp_path: Path):
    with WireServer(disabled_env) as server:
        fill(server)
    whole, target = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(disabled_env, "export", str(whole))
    some = whole.read_text("utf-8").splitlines(keepends=True)[:5]
    target.with_name("out.jsonl.part").write_text("".join(some) + some[0][:40], "utf-8")
    run(disabled_env, "export", str(target))
    assert exported(target) == exported(whole)
    assert len(target.read_text("utf-8").splitlines()) == COUNT + 1


def test_an_export_to_standard_output_is_lines_of_json(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=TALK)
    (line,) = run(disabled_env, "export").stdout.splitlines()
    assert json.loads(line)["history"] == TALK


@pytest.mark.parametrize("sample", ["claude.json", "chatgpt.json", "claude_code.jsonl", "flywheel.jsonl"])
def test_a_vendors_file_comes_in_but_for_what_is_malformed_in_it(
    disabled_env: dict[str, str], tmp_path: Path, sample: str
):
    file = tmp_path / ("conversations.json" if sample.endswith(".json") else sample)
    file.write_bytes((SAMPLES / sample).read_bytes())
    told = run(disabled_env, "import", str(tmp_path), code=1).stderr
    assert f"{file}, line " in told
    assert "Took in 0" not in told
    with WireServer(disabled_env) as server:
        rows = server.call("list_sessions", pattern="?*")["sessions"]
        assert rows
        for row in rows:
            found = server.call("resume_session", session_id=row["id"])
            assert found["total_turns"] == row["turns"]
    again = run(disabled_env, "import", str(tmp_path), code=1).stderr
    assert f"Took in 0 sessions; {len(rows)} were there already" in again


@pytest.mark.parametrize("source", ["nothing.jsonl", "."])
def test_what_cannot_be_imported_is_named(disabled_env: dict[str, str], source: str):
    Path(disabled_env["HOME"], "empty").mkdir()
    told = run(disabled_env, "import", str(Path(disabled_env["HOME"], "empty", source)), code=2).stderr
    assert told.startswith("agentic-flywheel-state: ")


def test_without_redis_it_is_about_this_machine_and_says_so(lonely_env: dict[str, str], tmp_path: Path):
    with WireServer(lonely_env) as server:
        server.call("save_session", session_id="s", history=TALK)
    told = run(lonely_env, "export", str(tmp_path / "out.jsonl"), code=1).stderr
    assert "Redis cannot be reached" in told
    assert "s" in exported(tmp_path / "out.jsonl")
    (tmp_path / "earlier.jsonl").write_bytes((tmp_path / "out.jsonl").read_bytes() * 2)
    assert "stays as it was" in run(lonely_env, "export", str(tmp_path / "earlier.jsonl"), code=1).stderr
    assert (tmp_path / "earlier.jsonl").stat().st_size == 2 * (tmp_path / "out.jsonl").stat().st_size


def test_an_export_takes_the_place_of_nothing_else(disabled_env: dict[str, str], tmp_path: Path):
    mine, earlier = tmp_path / "mine.json", tmp_path / "earlier.jsonl"
    mine.write_text("notes of my own\n")
    assert "no export of this program" in run(disabled_env, "export", str(mine), code=2).stderr
    assert mine.read_text() == "notes of my own\n"
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="s", history=TALK)
        run(disabled_env, "export", str(earlier))
        server.call("delete_session", session_id="s")
    kept = earlier.read_bytes()
    assert "there is no session to export" in run(disabled_env, "export", str(earlier), code=1).stderr
    assert earlier.read_bytes() == kept


def test_an_import_that_was_killed_is_run_again_and_all_is_there_once(
    server_env: dict[str, str], tmp_path: Path, redis: RedisServer
):
    file, back = write_export(tmp_path / "many.jsonl", many(400)), tmp_path / "back.jsonl"
    with redis.client() as client:

        def arrived() -> int:
            return len(list(client.scan_iter(match=f"{redis.prefix}:session:*", count=1000)))

        kill_once(
            server_env,
            "import",
            str(file),
            when=lambda: arrived() > 5,
            done=lambda: arrived() == 400,
            undo=lambda: [redis.forget(), shutil.rmtree(server_env["FLYWHEEL_DATA_DIR"])],
        )
        begun = arrived()
    assert 0 < begun < 400
    told = run(server_env, "import", str(file)).stderr
    assert f"Took in {400 - begun} sessions; {begun} were there already, 0 could not be taken in." in told
    run(server_env, "export", str(back))
    assert {name: document["history"] for name, document in exported(back).items()} == {
        document["id"]: document["history"] for document in many(400)
    }


def test_an_export_that_was_killed_is_continued(disabled_env: dict[str, str], tmp_path: Path):
    target = tmp_path / "out.jsonl"
    part = tmp_path / "out.jsonl.part"
    run(disabled_env, "import", str(write_export(tmp_path / "many.jsonl", many(1500))))
    kill_once(
        disabled_env,
        "export",
        str(target),
        when=lambda: part.exists() and part.stat().st_size > 5000,
        done=target.exists,
        undo=target.unlink,
    )
    assert not target.exists()
    begun, _, rest = part.read_bytes().partition(b"\n")
    part.write_bytes(begun + b" \n" + rest)  # as nobody writes it anew
    run(disabled_env, "export", str(target))
    assert target.read_bytes().startswith(begun + b" \n")
    assert len(exported(target)) == len(target.read_text("utf-8").splitlines()) == 1500
    assert {path.name for path in tmp_path.glob("out*")} == {"out.jsonl"}


def test_a_continued_export_has_what_is_stored_now(disabled_env: dict[str, str], tmp_path: Path):
    target = tmp_path / "out.jsonl"
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="grows", history=turns("one"))
        server.call("save_session", session_id="goes", history=turns("one"))
        run(disabled_env, "export", str(target))
        target.rename(tmp_path / "out.jsonl.part")
        server.call("save_session", session_id="grows", history=turns("two"))
        server.call("delete_session", session_id="goes")
    run(disabled_env, "export", str(target))
    (line,) = target.read_text("utf-8").splitlines()
    assert words(json.loads(line)["history"]) == ["one", "two"]


def test_standard_input_and_an_archive_are_read_like_a_file(disabled_env: dict[str, str], tmp_path: Path):
    file = write_export(tmp_path / "ours.jsonl", many(3))
    archive = tmp_path / "ours.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(file, "backup/ours.jsonl")
    told = run(disabled_env, "import", "-", stdin=file.read_text("utf-8") + "{no\n", code=1).stderr
    assert "standard input, line 4: is not JSON" in told
    assert "Took in 3 sessions; 0 were there already, 1 could not" in told
    assert "Took in 0 sessions; 3 were there already, 0 could not" in run(disabled_env, "import", str(archive)).stderr


def test_a_line_that_json_cannot_carry_costs_only_itself(disabled_env: dict[str, str], tmp_path: Path):
    file = tmp_path / "odd.jsonl"
    odd = ['"context": {"n": NaN}', '"title": 5', '"context": {"n": 1e999}', '"history": 5']
    start = '{"schema_version": 1, "id": "s", "revision": 1, '
    deep = '"context": {"n": ' + "[" * 500 + "]" * 500 + "}"
    file.write_text("".join(start + field + "}\n" for field in [*odd, deep]) + json.dumps(many(1)[0]) + "\n", "utf-8")
    told = run(disabled_env, "import", str(file), code=1).stderr
    assert [f"line {number}, s: is no session: " in told for number in range(1, 7)] == [True] * 5 + [False]
    assert "Took in 1 session; 0 were there already, 5 could not" in told


def test_a_session_that_was_resumed_since_is_still_the_same(disabled_env: dict[str, str], tmp_path: Path):
    soon = (datetime.now().astimezone() + timedelta(days=5)).isoformat()
    file = write_export(tmp_path / "one.jsonl", [many(1)[0] | {"kept_until": soon, "ttl_seconds": 2_592_000}])
    run(disabled_env, "import", str(file))
    with WireServer(disabled_env) as server:
        server.call("resume_session", session_id="s00000")

        def renewed() -> bool:
            return str(server.call("list_sessions")["sessions"][0]["expires_at"]) > soon

        wait_until(renewed, what="the expiry to be renewed")
    assert "1 were there already, 0 could not" in run(disabled_env, "import", str(file)).stderr


def test_a_credential_in_a_talk_from_elsewhere_is_replaced_and_its_place_named(
    disabled_env: dict[str, str], tmp_path: Path
):
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(claude_talk("hello", f"my key is {secret}")), "utf-8")
    told = run(disabled_env, "import", str(file)).stderr
    assert "history[1].content" in told
    assert secret not in told + run(disabled_env, "sessions", "show", "claude-u", "--json").stdout
    assert "Took in 0 sessions; 1 were there already" in run(disabled_env, "import", str(file)).stderr
    open_env = elsewhere(disabled_env, tmp_path / "open", "x") | {"FLYWHEEL_SECRETS": "off"}
    run(open_env, "import", str(file))
    assert secret in run(open_env, "sessions", "show", "claude-u", "--json").stdout


def test_a_credential_in_an_export_of_ours_is_replaced_as_one_from_elsewhere(
    disabled_env: dict[str, str], tmp_path: Path
):
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5 + "-AAAA_AA"
    open_env, file = disabled_env | {"FLYWHEEL_SECRETS": "off"}, tmp_path / "ours.jsonl"
    with WireServer(open_env) as server:
        said = turns("hello", f"my key is {secret}")
        server.call("save_session", session_id="s", history=said, title=f"Key {secret}", context={"n": 1})
        server.call("save_session", session_id="s", title="Keys")
        server.call("save_session", session_id=secret, history=turns("hello"))
    run(open_env, "export", str(file))
    env = elsewhere(disabled_env, tmp_path / "there", "x")
    told = run(env, "import", str(file), code=1).stderr
    assert "history[1].content" in told
    assert "The id looks like a credential" in told
    assert secret not in told + run(env, "sessions", "list", "--json").stdout
    run(env, "export", str(tmp_path / "again.jsonl"))
    assert secret not in (tmp_path / "again.jsonl").read_text("utf-8")  # nor in the title of the revision before
    assert "Took in 0 sessions; 1 were there already" in run(env, "import", str(file), code=1).stderr
    assert "Took in 0 sessions; 2 were there already, 0 could not" in run(disabled_env, "import", str(file)).stderr
    as_it_is = elsewhere(open_env, tmp_path / "as it is", "y")
    run(as_it_is, "import", str(file))
    run(as_it_is, "export", str(tmp_path / "third.jsonl"))
    assert (tmp_path / "third.jsonl").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("told_by", ["id", "content"])
def test_a_talk_that_went_on_here_and_there_gets_what_is_new_and_keeps_what_was_changed(
    disabled_env: dict[str, str], tmp_path: Path, told_by: str
):
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(claude_talk("a", "b", ids=told_by == "id")), "utf-8")
    run(disabled_env, "import", str(file))
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="claude-u", history=turns("here"), title="Mine", summary="Mine too")
        assert "1 were there already" in run(disabled_env, "import", str(file)).stderr
        file.write_text(json.dumps(claude_talk("a", "b", "a", title="Theirs, changed", ids=told_by == "id")), "utf-8")
        for said in ("Took in 0 sessions, added to 1 session; 0 were", "Took in 0 sessions; 1 were there already"):
            assert said in run(disabled_env, "import", str(file)).stderr
        found = server.call("resume_session", session_id="claude-u")
        session = found["session"]
        assert (session["title"], session["summary"], found["revision"]) == ("Mine", "Mine too", 3)
        assert words(session["history"]) == ["a", "b", "here", "a"]
        assert session["created_at"] == "2026-01-02T03:04:05.000000+00:00"
        server.call("delete_session", session_id="claude-u")
    assert "was deleted here, and stays so" in run(disabled_env, "import", str(file), code=1).stderr


def test_what_was_imported_without_redis_is_set_aside_where_redis_has_another(own_redis: RedisServer, tmp_path: Path):
    env = clean_env(tmp_path / "here", own_redis.url, "p")
    file = write_export(tmp_path / "two.jsonl", many(2))
    assert "Redis cannot be reached" in run(env, "import", str(file)).stderr
    own_redis.start()
    with WireServer(clean_env(tmp_path / "there", own_redis.url, "p")) as there:
        there.warm().call("save_session", session_id="s00000", history=turns("theirs"))
        with WireServer(env) as here:
            journal = wait_until(
                lambda: (
                    state
                    if (state := here.call("persistence_status")["journal"])["set_aside"] and not state["pending"]
                    else None
                ),
                what="what is pending to be sent",
            )
            (aside,) = journal["set_aside"]
            assert "s00000" in json.dumps(aside)
            for server in (here, there):
                for session_id, said in (("s00000", "theirs"), ("s00001", "turn 1")):
                    found = server.call("resume_session", session_id=session_id)
                    assert words(found["session"]["history"]) == [said]


def test_a_person_sees_a_bar_and_a_program_does_not(disabled_env: dict[str, str], tmp_path: Path):
    file = write_export(tmp_path / "many.jsonl", many(5))
    for arguments in (("import", str(file)), ("export", str(tmp_path / "out.jsonl"))):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "agentic_flywheel", *arguments]
        process = subprocess.Popen(command, env=disabled_env, stderr=theirs, cwd=tmp_path)
        assert process.wait(60) == 0
        os.close(theirs)
        told = os.read(ours, 100_000).decode()
        os.close(ours)
        assert "[##################------------] 3 of 5" in told
        assert "\r\x1b[K" in told
    assert "[" not in run(disabled_env, "import", str(file)).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "no/such/folder/out.jsonl"), "no such file or folder"),
        (("export", "."), "is a folder"),
        (("export", "else.jsonl"), "else.jsonl.part is no export that was begun"),
        (("sessions", "list", "--limit", "0"), "no whole number from 1 to 1000"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(disabled_env: dict[str, str], arguments: tuple[str, ...], said: str):
    Path(disabled_env["HOME"], "else.jsonl.part").write_text('{"somebody": "else\'s"}\n', "utf-8")
    told = run(disabled_env, *arguments, code=2).stderr
    assert told.startswith("agentic-flywheel-state: ")
    assert said in told
    assert [path.name for path in Path(disabled_env["HOME"]).glob("else*")] == ["else.jsonl.part"]


def test_where_nothing_is_kept_nothing_is_exported(
    disabled_env: dict[str, str], lonely_env: dict[str, str], tmp_path: Path
):
    for env in (disabled_env, lonely_env):
        told = run(env | {"FLYWHEEL_JOURNAL": "false"}, "export", str(tmp_path / "out.jsonl"), code=2).stderr
        assert told.startswith("agentic-flywheel-state: ")
    assert not (tmp_path / "out.jsonl").exists()


def test_whose_sessions_are_exported_is_said(disabled_env: dict[str, str], tmp_path: Path):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="hers", history=TALK, user_id="ana")
        server.call("save_session", session_id="his", history=TALK, user_id="bo")
    told = run(disabled_env | {"FLYWHEEL_USER": "ana"}, "export", str(tmp_path / "out.jsonl")).stderr
    assert "Exported 1 session of ana (FLYWHEEL_USER)" in told
    assert exported(tmp_path / "out.jsonl").keys() == {"hers"}


def test_a_reader_that_has_read_enough_is_no_fault(disabled_env: dict[str, str], tmp_path: Path):
    run(disabled_env, "import", str(write_export(tmp_path / "many.jsonl", many(800))))
    process = subprocess.Popen(
        [sys.executable, "-m", "agentic_flywheel", "export"],
        env=disabled_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    assert json.loads(process.stdout.readline())["id"] == "s00799"
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), told) == (1, b"")


def test_the_name_of_a_file_is_not_obeyed_by_the_terminal(disabled_env: dict[str, str], tmp_path: Path):
    file = tmp_path / "\x1b[31mred.jsonl"
    file.write_text(json.dumps(many(1)[0] | {"id": "\x1b[2J"}) + "\n{no\n", "utf-8")
    assert "\x1b" not in run(disabled_env, "import", str(file), code=1).stderr


def test_a_session_without_a_time_is_read_once_for_the_search(disabled_env: dict[str, str], tmp_path: Path):
    lines = tmp_path / "timeless.jsonl"
    said = {"schema_version": 1, "revision": 1, "history": turns("ferns")}
    lines.write_text("".join(json.dumps(said | {"id": name}) + "\n" for name in "ab"), "utf-8")
    run(disabled_env, "import", str(lines))
    with WireServer(disabled_env) as server:

        def all_read() -> bool:
            return "turns of the 2 sessions here" in server.call("list_sessions", query="a lighthouse")["searched"]

        wait_until(all_read, what="both to be counted")
        assert {row["id"] for row in server.call("list_sessions", query="ferns")["sessions"]} == {"a", "b"}


def test_fields_that_this_version_does_not_know_move_too(disabled_env: dict[str, str], tmp_path: Path):
    unknown = {"mood": {"of": ["the", {"day": None}]}, "count": 2**70, "tags": ["ä", "b"], "began": 3, "revision": 7}
    given = many(1)[0] | unknown
    run(disabled_env, "import", str(write_export(tmp_path / "in.jsonl", [given])))
    run(disabled_env, "export", str(tmp_path / "out.jsonl"))
    (line,) = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert given.items() <= json.loads(line).items()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_an_import_of_standard_input_that_is_ended_leaves_no_file_behind(
    ending: signal.Signals, disabled_env: dict[str, str], tmp_path: Path
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "agentic_flywheel", "import", "-"]
    env = disabled_env | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=env, cwd=env["HOME"], stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"x" * 3_000_000)  # more than a pipe holds: some of it was read, and written
        process.send_signal(ending)
        assert process.wait(60) in (128 + ending, -ending)
    assert list(temporary.rglob("*")) == []

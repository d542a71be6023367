"""What a person types: sessions named as people name them, and every command with wrong input."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from agentic_flywheel.plain_text import columns

from .conftest import NOBODY_LISTENS, clean_env
from .support.conversations import TALK, turns
from .support.wire import WireServer
from .tutorial.test_moving_house import run

pytestmark = pytest.mark.slow

HUGE = "9" * 5_000
EVIL = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe"


@pytest.fixture
def filled(disabled_env: dict[str, str]) -> dict[str, str]:
    return fill(disabled_env)


@pytest.fixture(scope="module")
def as_filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("as-filled")
    return fill(clean_env(folder, NOBODY_LISTENS, "agentic_flywheel") | {"REDIS_ENABLED": "false"})


def fill(env: dict[str, str]) -> dict[str, str]:
    with WireServer(env) as server:
        server.call("save_session", session_id="harvest-1", history=TALK, title="The harvest of May", tags=["farm"])
        server.call("save_session", session_id="harvest-2", history=turns("two"), title="Twins")
        server.call("save_session", session_id="winter", history=turns("one"), title="Winter")
        server.call("save_session", session_id="winter", history=turns("frost"), title="Winter", mode="replace")
        server.call("save_session", session_id="other", history=turns("three"), title="Twins")
        server.call("save_session", session_id="gone", history=turns("four"))
        server.call("delete_session", session_id="gone")
    return env


def listed(env: dict[str, str]) -> list[str]:
    return [row["id"] for row in json.loads(run(env, "sessions", "list", "--json").stdout)]


# a session is named as people name it


@pytest.mark.parametrize("name", ["winter", "win", "WINTER", "Winter", "harvest-1", "the  harvest of may", "The harv"])
def test_a_session_is_shown_by_id_beginning_or_title(as_filled: dict[str, str], name: str):
    expected = "winter" if name.casefold().startswith("win") else "harvest-1"
    assert json.loads(run(as_filled, "sessions", "show", name, "--json").stdout)["id"] == expected


def test_the_latest_is_the_one_saved_last(filled: dict[str, str]):
    assert json.loads(run(filled, "sessions", "show", "latest", "--json").stdout)["id"] == "other"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("harvest", "could be 'harvest-2' ('Twins'), 'harvest-1' ('The harvest of May')"),
        ("twins", "could be 'other' ('Twins'), 'harvest-2' ('Twins')"),
        ("wintr", "Did you mean 'winter' ('Winter')?"),
        ("nothing like it", "not found"),
        ("gone", "deleted before"),
    ],
)
@pytest.mark.parametrize(
    "verb", [("show",), ("revisions",), ("restore", 1), ("fork",), ("rename", "x"), ("delete", "--yes")]
)
def test_one_that_is_not_clear_is_named_and_nothing_is_done(
    as_filled: dict[str, str], name: str, said: str, verb: tuple[object, ...]
):
    first, *others = map(str, verb)
    done = run(as_filled, "sessions", first, name, *others, code=1)
    assert (done.stdout, said in done.stderr, done.stderr.count("\n")) == ("", True, 1), done.stderr
    assert listed(as_filled) == ["other", "winter", "harvest-2", "harvest-1"]


def test_without_a_question_only_a_whole_id_is_deleted(filled: dict[str, str]):
    refused = run(filled, "sessions", "delete", "wint", "--yes", code=1)
    assert "name it whole: 'winter'" in refused.stderr
    assert "winter" in listed(filled)
    run(filled, "sessions", "delete", "winter", "--yes")
    assert "winter" not in listed(filled)


# the verbs


def test_bare_sessions_is_the_list(filled: dict[str, str]):
    assert run(filled, "sessions").stdout.split()[:2] == ["ID", "TITLE"]
    assert len(json.loads(run(filled, "sessions", "--json", "--limit", "1").stdout)) == 1
    assert "takes no option '--jsn'; did you mean --json?" in run(filled, "sessions", "--jsn", code=2).stderr
    assert "VERB" in run(filled, "sessions", "--help").stdout


def test_columns_stand_below_each_other_whatever_the_titles(filled: dict[str, str]):
    for number, title in enumerate(("日本語の庭" * 9, "e\u0301te\u0301", "plain", "👩 garden")):
        run(filled, "sessions", "save", "--id", f"t{number}", "--title", title, stdin="Ferns.")
    lines = run(filled, "sessions").stdout.splitlines()
    places = {columns(line[: line.index("in 1 year")]) for line in lines if "in 1 year" in line}
    assert places == {columns(lines[0][: lines[0].index("EXPIRES")])}
    assert any("日本語の庭日" in line and "…" in line for line in lines)


def test_words_are_searched_for(as_filled: dict[str, str]):
    assert run(as_filled, "sessions", "search", "frost").stdout.splitlines()[1].startswith("winter")
    none = run(as_filled, "sessions", "search", "volcano", code=1)
    assert none.stdout.startswith("Nothing has a word of the question. Searched: ids, titles")
    assert none.stderr == ""


def test_revisions_are_listed_shown_and_restored(filled: dict[str, str]):
    head, *rows = run(filled, "sessions", "revisions", "win").stdout.splitlines()
    assert (head.split(), [row.split()[0] for row in rows]) == (["REVISION", "SAVED", "TURNS", "WHAT"], ["2", "1"])
    assert "one" in run(filled, "sessions", "show", "winter", "--revision", "1").stdout
    assert "not kept" in run(filled, "sessions", "show", "winter", "--revision", "9", code=1).stderr
    assert "revision 3 now" in run(filled, "sessions", "restore", "winter", "1").stdout


def test_one_is_forked_and_renamed(filled: dict[str, str]):
    assert (
        "Began 'spring' with revision 1 of 'winter'"
        in run(filled, "sessions", "fork", "win", "spring", "--revision", "1").stdout
    )
    assert "there already" in run(filled, "sessions", "fork", "win", "harvest-1", code=1).stderr
    run(filled, "sessions", "rename", "spring", "The spring")
    kept = json.loads(run(filled, "sessions", "show", "The spring", "--json").stdout)
    assert (kept["id"], kept["title"], kept["history"]) == ("spring", "The spring", turns("one"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(TALK), TALK),
        (json.dumps({"model": "x", "messages": TALK}, indent=2), TALK),
        (json.dumps(TALK[0]), TALK[:1]),
        ("\ufeffBuy bread.\nAnd milk.\n", [{"role": "user", "content": "Buy bread.\nAnd milk."}]),
    ],
)
@pytest.mark.parametrize("by", ["file", "standard input"])
def test_turns_are_saved(disabled_env: dict[str, str], tmp_path: Path, text: str, expected: list[object], by: str):
    (tmp_path / "talk").write_text(text, encoding="utf-8")
    source = [str(tmp_path / "talk")] if by == "file" else []
    save = ("sessions", "save", *source, "--id", "s", "--title", "A talk", "--tags", "a, b", "--tags", "c")
    said = run(disabled_env, *save, stdin="" if source else text).stdout
    assert f"in 's': {len(expected)} in all, kept on this machine" in said
    kept = json.loads(run(disabled_env, "sessions", "show", "s", "--json").stdout)
    assert (kept["history"], kept["title"], kept["tags"]) == (expected, "A talk", ["a", "b", "c"])
    assert "Saved 0 new turns" in run(disabled_env, *save, stdin="" if source else text).stdout


def test_a_credential_in_what_is_saved_or_in_a_title_is_replaced(filled: dict[str, str]):
    secret = "sk-ant-api03-" + "Zq8xW2" * 16 + "AA"
    saved = run(filled, "sessions", "save", "--id", "s", stdin=f"my key is {secret}")
    assert "replaced before it was kept" in saved.stderr
    run(filled, "sessions", "rename", "s", f"with {secret}")
    for text in (run(filled, "sessions", "show", "s", "--json").stdout, saved.stdout, saved.stderr):
        assert secret not in text


@pytest.mark.parametrize("name", ["turns.json", "messages.json"])
def test_a_list_of_turns_is_imported_and_grows(disabled_env: dict[str, str], tmp_path: Path, name: str):
    file = tmp_path / name
    for history in (TALK[:2], TALK, TALK):
        value = history if name == "turns.json" else {"messages": history}
        file.write_text(json.dumps(value, indent=1), encoding="utf-8")
        done = run(disabled_env, "import", str(file))
        assert "0 could not be taken in" in done.stderr
    (session_id,) = listed(disabled_env)
    assert json.loads(run(disabled_env, "sessions", "show", session_id, "--json").stdout)["history"] == TALK


# wrong input: one sentence, the right exit code, and nothing is started or written

WRONG: list[tuple[tuple[str, ...], str, int, str]] = [
    (("sesions",), "", 2, "did you mean sessions?"),
    (("purg",), "", 2, "there is no command 'purg'"),
    ((EVIL,), "", 2, "there is no command"),
    (("--vrsion",), "", 2, "did you mean --version?"),
    (("sessions", "lst"), "", 2, "did you mean list?"),
    (("sessions", "delete", "x", "--yess"), "", 2, "did you mean --yes?"),
    (("sessions", "list", "--limit", HUGE), "", 2, "no whole number from 1 to 1000"),
    (("sessions", "list", "--limit", "0"), "", 2, "no whole number from 1 to 1000"),
    (("sessions", "list", "extra"), "", 2, "takes no argument 'extra'"),
    (
        (
            "sessions",
            "search",
        ),
        "",
        2,
        "required: WORDS",
    ),
    (("sessions", "show"), "", 2, "required: SESSION"),
    (("sessions", "show", ""), "", 2, "it is empty"),
    (("sessions", "show", EVIL), "", 2, "without control characters"),
    (("sessions", "show", "x" * 513), "", 2, "it has 513"),
    (("sessions", "show", "x", "--revision", "one"), "", 2, "no whole number"),
    (("sessions", "show", "x"), "", 1, "No session is kept yet"),
    (("sessions", "revisions", EVIL), "", 2, "without control characters"),
    (("sessions", "revisions", "latest"), "", 1, "No session is kept yet"),
    (("sessions", "restore", "x", HUGE), "", 2, "no whole number"),
    (("sessions", "restore", "x", "-1"), "", 2, "-1"),
    (("sessions", "restore", "x", "1"), "", 1, "No session is kept yet"),
    (("sessions", "fork", "x", EVIL), "", 2, "without control characters"),
    (("sessions", "fork", "latest"), "", 1, "No session is kept yet"),
    (("sessions", "rename", "x"), "", 2, "required: TITLE"),
    (
        (
            "sessions",
            "delete",
        ),
        "",
        2,
        "name one session, or --all",
    ),
    (("sessions", "delete", "x", "--all"), "", 2, "name one session, or --all"),
    (("sessions", "delete", EVIL, "--yes"), "", 2, "without control characters"),
    (("sessions", "save", "/no/such/file"), "", 2, "there is no such file or folder: /no/such/file"),
    (("sessions", "save", "/"), "", 2, "is a folder"),
    (("sessions", "save"), "", 2, "nothing to keep"),
    (("sessions", "save"), "[]", 2, "has no turns"),
    (("sessions", "save"), '["a"]', 2, "item 1 of standard input is no turn"),
    (("sessions", "save"), '{"foo": 1}', 2, 'has no turns in it. A turn is such as {"role": "user", "content": "…"}'),
    (("sessions", "save", "--id", "latest"), "x", 2, "'latest': that word names the newest session. Choose another"),
    (("sessions", "fork", "winter", "latest"), "", 2, "NEW cannot be 'latest'"),
    (("sessions", "save"), '{"role": "user"', 2, "is not JSON: it breaks at line 1"),
    (("sessions", "save"), "[" * 100_000, 2, "cannot be kept"),
    (("sessions", "save"), f'[{{"n": {HUGE}}}]', 2, "giant number"),
    (("sessions", "save"), "a\0b", 2, "zero bytes"),
    (("sessions", "save", "--id", EVIL), "x", 2, "without control characters"),
    (("import",), "", 2, "required: source"),
    (("import", "/no/such/file"), "", 2, "there is no such file or folder: /no/such/file"),
    (("export", "/"), "", 2, "is a folder"),
    (("demo", "--transcript", "/no/such/file"), "", 2, "there is no such file or folder: /no/such/file"),
    (("doctor", "--verbos"), "", 2, "did you mean --verbose?"),
    (("dead-letters", "drop", HUGE), "", 2, "no whole number"),
    (("dead-letters", "drop", "x"), "", 2, "no whole number"),
    (("dead-letters", "lst"), "", 2, "did you mean list?"),
    (("secrets",), "", 2, "name what to do: scan"),
    (("forget-copies", "--expird"), "", 2, "did you mean --expired?"),
    (("completion", "powershell"), "", 2, "powershell"),
    (("serve", "--port", "8080"), "", 2, "--port needs --http"),
    (("serve", "--port", "8765"), "", 2, "--port needs --http"),
    (("serve", "--host", "127.0.0.1"), "", 2, "--host needs --http"),
    (("tokens", "add", "a b"), "", 2, "'a b' is not allowed as a name"),
    (("tokens", "add", "a", "--namespace", "-"), "", 2, "'-' is not allowed as a namespace"),
    (("serve", "--tls-cert", "x"), "", 2, "--tls-cert needs --http"),
]


@pytest.mark.parametrize(("arguments", "stdin", "code", "said"), WRONG, ids=[" ".join(w[0])[:40] for w in WRONG])
def test_wrong_input_is_answered_in_a_line_before_anything_is_started(
    disabled_env: dict[str, str], arguments: tuple[str, ...], stdin: str, code: int, said: str
):
    done = run(disabled_env, *arguments, code=code, stdin=stdin)
    told = done.stdout + done.stderr
    assert said in told, told
    assert told.count("\n") == 1, told
    assert not set(told) & set("\x1b\x07\u202e\r")
    assert len(told) < 400
    assert "Errno" not in told
    assert not Path(disabled_env["FLYWHEEL_DATA_DIR"]).exists(), "nothing was begun"
    assert list(Path(disabled_env["HOME"]).iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("sessions",), ("sessions", "list", "--tag", "x"), ("dead-letters",), ("forget-copies",), ("purge",)],
)
def test_where_nothing_is_kept_that_is_said_and_nothing_made(disabled_env: dict[str, str], arguments: tuple[str, ...]):
    done = run(disabled_env, *arguments)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert not Path(disabled_env["FLYWHEEL_DATA_DIR"]).exists()


@pytest.mark.parametrize("arguments", [("sessions",), ("sessions", "list", "--limit", "3")])
def test_where_all_was_deleted_that_nothing_is_kept_is_said_too(
    disabled_env: dict[str, str], arguments: tuple[str, ...]
):
    run(disabled_env, "sessions", "save", "--id", "garden", stdin="ferns")
    run(disabled_env, "sessions", "delete", "--all", "--yes")
    assert "No session is kept yet" in run(disabled_env, *arguments).stdout
    assert "No session matches" in run(disabled_env, *arguments[:1], "list", "--tag", "x").stdout


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("arguments", [("sessions", "save"), ("import", "-"), ("sessions", "delete", "winter")])
def test_closed_standard_input_is_said(filled: dict[str, str], arguments: tuple[str, ...]):
    command = [sys.executable, "-m", "agentic_flywheel", *arguments]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
        env=filled,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "standard input is closed" in done.stderr or "--yes" in done.stderr


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("arguments", ["sessions show winter", "--help"])
@pytest.mark.parametrize("closing", ['exec "$@" >&-', '"$@" | true', 'exec "$@" >/dev/full'])
def test_an_output_that_nobody_reads_is_no_traceback(as_filled: dict[str, str], arguments: str, closing: str):
    command = [sys.executable, "-m", "agentic_flywheel"]
    done = subprocess.run(
        ["/bin/sh", "-c", closing, "sh", *command, *arguments.split()],
        env=as_filled, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert "Errno" not in done.stderr


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("arguments", [("rename", "x", "t" * 100_001), ("save", "--title", "t" * 100_001)])
def test_a_title_beyond_reason_is_refused(disabled_env: dict[str, str], arguments: tuple[str, ...]):
    told = run(disabled_env, "sessions", *arguments, code=2, stdin="x").stderr
    assert (told.count("\n"), len(told) < 400, "at most 100,000 characters" in told) == (1, True, True)
    assert not Path(disabled_env["FLYWHEEL_DATA_DIR"]).exists()


@pytest.mark.usefixtures("cold")
def test_an_argument_that_is_no_text_is_said(disabled_env: dict[str, str]):
    done = run(disabled_env, "sessions", "list", "--query", os.fsdecode(b"\xff\xfe"), code=2)
    assert "QUERY is not text in UTF-8" in done.stderr


# at a terminal


def typed(env: dict[str, str], *arguments: str, until: str, then: bytes = b"") -> tuple[int, str]:
    """Start a command at a terminal, wait for its words, type, see a result, press Ctrl-C; its exit code and words."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "agentic_flywheel", *arguments],
        env=env, cwd=env["HOME"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        while until.encode() not in said:
            assert select.select([ours], [], [], 30)[0], said
            said += os.read(ours, 4096)
        if then:
            os.write(ours, then)
            while b"result" not in said:
                assert select.select([ours], [], [], 30)[0], said
                said += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while select.select([ours], [], [], 30)[0]:
                said += os.read(ours, 4096)
        except OSError:
            pass  # the other end was closed
        try:
            code = process.wait(60)
        finally:
            process.kill()
    echoes = termios.tcgetattr(ours)[3] & termios.ECHO
    os.close(ours)
    assert echoes, "the terminal shows no longer what is typed"
    assert b"Traceback" not in said
    return code, said.decode()


def test_ctrl_c_at_a_question_ends_the_command_at_once(filled: dict[str, str]):
    code, said = typed(filled, "sessions", "delete", "winter", until="[y/N]")
    assert (code, "Interrupted" in said) == (130, True), said
    assert "winter" in listed(filled)


def test_ctrl_c_ends_the_reading_of_turns_at_once(disabled_env: dict[str, str]):
    code, said = typed(disabled_env, "sessions", "save", until="Ctrl-D")
    assert (code, "Interrupted" in said) == (130, True), said


def test_ctrl_c_at_a_hidden_value_leaves_a_terminal_that_shows_what_is_typed(disabled_env: dict[str, str]):
    code, said = typed(disabled_env, "config", "set", "REDIS_URL", "-", until="REDIS_URL:")
    assert (code, "Interrupted" in said) == (130, True), said


def test_a_bare_start_at_a_terminal_says_what_it_is_and_serves_on(disabled_env: dict[str, str]):
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    code, said = typed(disabled_env, until="sessions", then=json.dumps(hello).encode() + b"\n")
    assert "This is an MCP server" in said
    assert '"result"' in said
    assert code in (0, 130, -signal.SIGINT), code

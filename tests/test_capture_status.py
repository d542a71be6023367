"""`capture status` names what keeps talks from being kept, and nothing where all is well."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .support.hooked_talks import Transcript
from .support.machine import unprivileged
from .test_capture import data, drained, hook, status
from .tutorial.test_moving_house import run

pytestmark = pytest.mark.slow

LONG_AGO = time.time() - 3 * 3600


@pytest.fixture
def env(disabled_env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in disabled_env.items() if name != "REDIS_URL"}


@pytest.fixture
def talk(env: dict[str, str]) -> Transcript:
    """A talk that is kept, with the hooks of two programs in."""
    home = Path(env["HOME"])
    (home / ".codex").mkdir()
    run(env, "capture", "install", "claude-code", "codex", "opencode")
    made = Transcript(home)
    made.ask("Where do ferns grow?", "In the shade.")
    hook(env, made.hook())
    drained(env)
    return made


@dataclass(frozen=True)
class At:
    """Where something goes wrong."""

    env: dict[str, str]
    talk: Transcript

    @property
    def home(self) -> Path:
        return Path(self.env["HOME"])


def _settings(at: At) -> Path:
    return at.home / ".claude" / "settings.json"


def _later(path: Path, seconds: float = LONG_AGO) -> None:
    os.utime(path, (seconds, seconds))


def _outcome(at: At, /, **changed: object) -> None:
    (path,) = (data(at.env) / "capture" / "outcomes").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def _not_kept(at: At) -> None:
    at.talk.ask("Not", "kept")
    _later(at.talk.path)


def _format_changed(at: At) -> None:
    at.talk.path.write_text('{"what": "is this"}\n')
    run(at.env, "capture", "backfill", code=1)


def _half_written(at: At, code: int = 0) -> None:
    with at.talk.path.open("a") as file:
        file.write('{"type": "user", "uuid": "x", "mess\n')
    run(at.env, "capture", "backfill", code=code)


def _gone_and_not_understood(at: At) -> None:
    _format_changed(at)
    at.talk.path.unlink()


def _vanished_before(at: At) -> None:
    (path,) = (data(at.env) / "capture" / "outcomes").iterdir()
    lost = {"path": "/srv/gone.jsonl", "outcome": "vanished", "cause": "it was deleted before it was read"}
    before = {"at": time.time() - 60}
    (path.parent / "0.json").write_text(json.dumps(json.loads(path.read_text()) | lost | before))


def _both_half_written(at: At) -> None:
    Transcript(at.home, "6e1d").path.write_text('{"type": "user", "uuid"\n')
    _half_written(at, code=1)


def _stale_note(at: At) -> None:
    path = data(at.env) / "capture" / "notes" / "00.json"
    path.write_text("{}")
    _later(path)


def _due(at: At) -> None:
    at.talk.ask("Not", "kept")
    _later(at.talk.path, time.time() - 26 * 86_400)
    _outcome(at, at=1.0)


def _journal_damaged(at: At) -> None:
    for path in data(at.env).glob("journal.sqlite3-*"):
        path.unlink()
    (data(at.env) / "journal.sqlite3").write_bytes(b"no database at all" * 100)


def _codex_of_its_own(at: At) -> None:
    (at.home / ".codex" / "config.toml").write_text('notify = ["bell"]\n')


def _write(path: str, text: str) -> Callable[[At], object]:
    return lambda at: (at.home / path).write_text(text)


FAULTS: dict[str, tuple[Callable[[At], object], str]] = {
    "format changed": (_format_changed, "is not kept: line 1 is the beginning of no export"),
    "path moved": (lambda at: (at.home / ".claude").rename(at.home / "moved"), "is not there"),
    "hook unregistered": (lambda at: _settings(at).write_text("{}"), "hooks are not in"),
    "settings gone": (lambda at: _settings(at).unlink(), "hooks are not in"),
    "settings damaged": (lambda at: _settings(at).write_text("{"), "is no JSON"),
    "settings a link": (
        lambda at: (_settings(at).rename(at.home / "s"), _settings(at).symlink_to(at.home / "s")),
        "is a link",
    ),
    "hooks switched off": (
        lambda at: _settings(at).write_text(_settings(at).read_text().replace("{", '{"disableAllHooks": true,', 1)),
        "switch all hooks off",
    ),
    "not kept": (_not_kept, "are not kept though its hooks are in"),
    "due": (_due, "are deleted by it within 7 days"),
    "half written": (_half_written, "lines of"),
    "two half written": (_both_half_written, "is not kept"),
    "note waits": (_stale_note, "notes of hooks wait"),
    "vanished": (
        lambda at: (at.talk.path.unlink(), _outcome(at, outcome="vanished", cause="it was deleted before it was read")),
        "deleted before",
    ),
    "deleted though not understood": (_gone_and_not_understood, "is not kept: line 1"),
    "vanished, and others kept since": (_vanished_before, "deleted before"),
    "disk full": (lambda at: _outcome(at, outcome="refused", cause="the disk is full"), "the disk is full"),
    "diary damaged": (
        lambda at: (data(at.env) / "capture" / "off.json").write_text("{"),
        "cannot be read, so all is off",
    ),
    "journal damaged": (_journal_damaged, "journal"),
    "plugin gone": (
        lambda at: (at.home / ".config/opencode/plugins/agentic-flywheel-state.js").unlink(),
        "our plugin",
    ),
    "another notify": (_codex_of_its_own, "its notify is another program's"),
    "codex damaged": (_write(".codex/config.toml", "no toml"), "is no TOML"),
    "program gone": (lambda at: _command_gone(at), "which is not there any more"),
    "nothing is kept": (lambda at: at.env.update(FLYWHEEL_JOURNAL="false"), "nothing is kept"),
    "drainer failed": (
        lambda at: (data(at.env) / "capture/drainer-failure.json").write_text('{"cause": "REDIS_URL is wrong"}'),
        "REDIS_URL is wrong",
    ),
    "hook failed": (
        lambda at: (data(at.env) / "capture" / "hook-failure.json").write_text('{"client": "codex", "cause": "X"}'),
        "a hook of codex failed",
    ),
}


def _command_gone(at: At) -> None:
    path = data(at.env) / "capture" / "installed.json"
    known = json.loads(path.read_text())
    known["codex"]["command"][0] = "/nowhere/agentic-flywheel-state"
    path.write_text(json.dumps(known))


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_nothing_else(env: dict[str, str], talk: Transcript, name: str):
    assert status(env)["faults"] == [], "all is well before"
    cause, said = FAULTS[name]
    cause(At(env, talk))
    found = status(env, code=1)["faults"]
    assert any(said in each["what"] for each in found), found
    assert len(found) <= 2, found
    assert run(env, "capture", "status", code=1).stdout.count("✗") == len(found)


@pytest.mark.usefixtures("talk")
def test_clean_sessions_have_no_fault_and_doctor_counts_them(env: dict[str, str]):
    for number in range(40):
        other = Transcript(Path(env["HOME"]), f"s-{number}")
        for turn in range(number % 4):
            other.ask(f"prompt {turn}", "answer")
        other.path.touch()
    run(env, "capture", "backfill")
    stands = status(env)
    assert (stands["faults"], stands["programs"][0]["kept"]) == ([], 41)
    assert "Claude Code: 41 talks kept, 0 not yet" in run(env, "doctor", "--verbose").stdout


def test_what_is_off_the_record_and_what_is_not_yet_kept_is_said(env: dict[str, str], talk: Transcript):
    talk.ask("And moss?", "There too.")
    run(env, "capture", "pause", "--session", "garden")
    run(env, "capture", "pause")
    said = run(env, "capture", "status").stdout
    assert "Off the record: session garden.\nOff the record: all talks.\n" in said
    run(env, "capture", "resume")
    said = run(env, "capture", "status").stdout
    assert "all talks" not in said
    assert "capture backfill" in said
    assert "capture backfill claude-code" in run(env, "capture", "install", "claude-code").stdout
    run(env, "capture", "backfill")
    assert "capture backfill" not in run(env, "capture", "status").stdout


def test_a_backfill_of_a_machine_without_any_talks_says_so_and_is_no_failure(env: dict[str, str]):
    assert "Looked at 0 transcripts" in run(env, "capture", "backfill").stdout


@pytest.mark.usefixtures("talk")
def test_talks_in_files_of_earlier_versions_are_counted_and_kept(env: dict[str, str]):
    chats = Path(env["HOME"], ".gemini", "tmp", "9dad", "chats")
    chats.mkdir(parents=True)
    said = {"id": "1", "timestamp": "2026-11-30T18:11:45Z", "type": "user", "content": "Which ferns?"}
    older = {"sessionId": "9c69", "projectHash": "9dad", "startTime": said["timestamp"], "messages": [said]}
    (chats / "session-2026-11-30T18-11-9c69.json").write_text(json.dumps(older, indent=2))
    run(env, "capture", "backfill")
    gemini = next(each for each in status(env)["programs"] if each["program"] == "gemini-cli")
    assert (gemini["kept"], gemini["not_yet"]) == (1, [])


@pytest.mark.parametrize("mode", [0, 0o400, 0o600])
def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_looked_at(
    env: dict[str, str], talk: Transcript, mode: int
):
    other = Path(env["HOME"], ".claude", "projects", "-srv-other", "6e1d.jsonl")
    other.parent.mkdir()
    other.write_text(talk.path.read_text().replace("5d0c", "6e1d"))
    talk.path.parent.chmod(mode)
    try:
        said = as_user(env, "capture", "status", "--json")
        taken = as_user(env, "capture", "backfill")
    finally:
        talk.path.parent.chmod(0o700)
    (fault,) = json.loads(said.stdout)["faults"]
    assert fault["what"].startswith(f"{talk.path.parent} cannot be read")
    assert (taken.returncode, taken.stderr) == (1, f"{talk.path.parent} cannot be read: you have no right to it.\n")
    assert "1 kept" in taken.stdout


def test_settings_that_cannot_be_reached_stop_no_other_program(env: dict[str, str], talk: Transcript):
    del talk
    folder = Path(env["HOME"], ".claude")
    folder.chmod(0)
    try:
        done = as_user(env, "capture", "install", "--all")
        said = as_user(env, "capture", "status", "--json")
    finally:
        folder.chmod(0o700)
    assert "cannot be read" in done.stderr
    assert "Codex: hooks are in" in done.stdout
    assert any("cannot be read" in each["what"] for each in json.loads(said.stdout)["faults"])


def as_user(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to which the modes of files and folders apply, even if root runs it."""
    return subprocess.run(
        [*unprivileged(), *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )

"""Of two changes of one small file at once, neither is lost: tokens, keys, settings, what was installed."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentic_flywheel.cli.clients import record
from agentic_flywheel.server.token_file import TokenFile
from agentic_flywheel.settings_file import PLACE

AT_ONCE = 8


def at_once(do: Callable[[int], object], times: int = 5) -> None:
    """Do it from several threads, each `times` times, all beginning together."""
    together = threading.Barrier(AT_ONCE)

    def each(number: int) -> None:
        together.wait(30)
        for more in range(times):
            do(number * times + more)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(each, number) for number in range(AT_ONCE)]:
            done.result(60)


def test_every_token_that_was_printed_is_one(tmp_path: Path):
    path, printed = tmp_path / "settings" / "tokens.json", dict[int, str]()

    def add(number: int) -> None:
        printed[number] = TokenFile(path).add(f"n{number}", "team")

    at_once(add)
    file = TokenFile(path)
    assert {number for number, token in printed.items() if file.find(token)} == set(range(AT_ONCE * 5))


def test_a_token_that_is_revoked_does_not_come_back_with_another(tmp_path: Path):
    path = tmp_path / "tokens.json"
    for number in range(AT_ONCE * 5):
        TokenFile(path).add(f"old{number}", "team")

    def change(number: int) -> None:
        assert TokenFile(path).revoke(f"old{number}")
        TokenFile(path).add(f"new{number}", "team")

    at_once(change)
    assert {each.name for each in TokenFile(path).tokens()} == {f"new{number}" for number in range(AT_ONCE * 5)}


def test_what_was_put_into_each_client_is_noted(tmp_path: Path):
    at_once(lambda number: record.note(tmp_path, record.Installed(f"/{number}", "us", "a", "b")))
    assert all(record.find(tmp_path, Path(f"/{number}"), "us") for number in range(AT_ONCE * 5))
    at_once(lambda number: record.forget(tmp_path, Path(f"/{number}"), "us"))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_commands_at_once_lose_no_setting_and_no_key(tmp_path: Path):
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    settings = {"flywheel_user": "ana", "redis_db": "3", "flywheel_revisions": "7", "flywheel_tools": "conversations"}
    commands = [["config", "set", *each] for each in settings.items()] + [["keys", "new"]] * 6
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "agentic_flywheel", *each],
            env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for each in commands
    ]  # fmt: skip
    said = [each.communicate(timeout=60)[1] for each in started]
    assert [each.returncode for each in started] == [0] * len(commands), said
    file = tmp_path / PLACE
    written = {line.split(" = ")[0]: line.split(" = ")[1].strip('"') for line in file.read_text().splitlines()}
    assert written == settings
    assert len(file.with_name("keys").read_text().splitlines()) == 6

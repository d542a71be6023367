"""What an export writes is its owner's alone, and goes through no link that lies in the way."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.conversations import turns
from ..support.wire import WireServer
from ..test_demo_and_doctor import run
from .test_moving_house import exported

LETTER = "a letter of somebody"


def ready(path: Path) -> None:
    path.write_text("")
    path.chmod(0o644)


def link(path: Path) -> None:
    path.symlink_to(path.with_name("letter"))


@pytest.fixture
def begun(disabled_env: dict[str, str], tmp_path: Path) -> Path:
    """Where an export was begun: a session is in the part that is there."""
    with WireServer(disabled_env) as server:
        for name in ("one", "two"):
            server.call("save_session", session_id=name, history=turns(name))
    target = tmp_path / "out" / "e.jsonl"
    target.parent.mkdir()
    (target.parent / "letter").write_text(LETTER)
    (target.parent / "letter").chmod(0o644)
    run(disabled_env, "export", str(target))
    part = target.with_name("e.jsonl.part")
    target.rename(part)
    part.write_text(part.read_text().splitlines(keepends=True)[0])
    part.chmod(0o644)
    return target


def is_left(folder: Path) -> bool:
    letter = folder / "letter"
    return (letter.read_text(), stat.S_IMODE(letter.stat().st_mode)) == (LETTER, 0o644)


@pytest.mark.parametrize("in_the_way", [link, ready])
@pytest.mark.parametrize("name", ["e.jsonl.part-sieved", "e.jsonl"])
def test_it_ends_as_a_file_of_its_own_whatever_lies_at_its_other_names(
    name: str, in_the_way: Callable[[Path], None], begun: Path, disabled_env: dict[str, str]
):
    in_the_way(begun.with_name(name))
    assert run(disabled_env, "export", str(begun)).returncode == 0
    assert not begun.is_symlink()
    assert stat.S_IMODE(begun.stat().st_mode) == 0o600
    assert exported(begun).keys() == {"one", "two"}
    assert is_left(begun.parent)
    assert {path.name for path in begun.parent.iterdir()} == {"e.jsonl", "letter"}


def test_a_link_instead_of_what_was_begun_is_refused(begun: Path, disabled_env: dict[str, str]):
    begun.with_name("e.jsonl.part").unlink()
    link(begun.with_name("e.jsonl.part"))
    done = run(disabled_env, "export", str(begun))
    assert (done.returncode, "is a link, and links are not followed" in done.stderr) == (2, True)
    assert is_left(begun.parent)


def test_what_an_export_that_was_killed_left_without_its_part_is_not_taken_for_it(
    begun: Path, disabled_env: dict[str, str]
):
    begun.with_name("e.jsonl.part").rename(begun.with_name("e.jsonl.part-sieved"))
    assert run(disabled_env, "export", str(begun)).returncode == 0
    assert exported(begun).keys() == {"one", "two"}
    assert stat.S_IMODE(begun.stat().st_mode) == 0o600

"""An import of what did not change is answered without reading, in the words in which reading would answer."""

import subprocess
import sys
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from agentic_flywheel.cli import import_command, unchanged
from agentic_flywheel.settings import Settings

from ..support.transcripts import Transcript

NOTHING_NEW = "Took in 0 sessions; 3 were there already, 0 could not be taken in.\n"


def talk(name: str) -> Transcript:
    made = Transcript(f"talk-{name}", first=100 * ord(name))  # ids go by it
    made.says(f"What grows in the shade, {name}?")
    made.answers("Ferns.")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three talks, one of them in a folder in the folder."""
    made = tmp_path / "projects"
    made.joinpath("garden").mkdir(parents=True)
    for name, place in (("a", made), ("b", made), ("c", made / "garden")):
        place.joinpath(f"talk-{name}.jsonl").write_bytes(talk(name).data)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)})


def given(source: Path | str) -> Namespace:
    return Namespace(source=str(source), file="", url="", api_key="", flow=[], bring_back_deleted=False)


def test_nothing_is_read_where_nothing_changed(
    folder: Path, config: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert unchanged.import_as_told(config, given(folder)) == 0
    assert "Took in 3 sessions; 0 were there already" in capsys.readouterr().err
    assert import_command.import_as_told(config, given(folder)) == 0
    assert capsys.readouterr().err == NOTHING_NEW
    with monkeypatch.context() as patched:
        patched.delattr(import_command, "import_as_told")
        assert unchanged.import_as_told(config, given(folder)) == 0
        assert capsys.readouterr().err == NOTHING_NEW
        assert unchanged.import_as_told(config, given(folder / "talk-a.jsonl")) == 0
        assert capsys.readouterr().err == NOTHING_NEW.replace("3", "1")


def grown(folder: Path) -> None:
    with folder.joinpath("talk-a.jsonl").open("ab") as file:
        more = talk("a")
        begun = len(more.data)
        more.says("And in the sun?")
        file.write(more.data[begun:])


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "talks.ZIP", "w") as archive:
        archive.writestr("talk-d.jsonl", talk("d").data)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a new file": (lambda folder: folder.joinpath("talk-d.jsonl").write_bytes(talk("d").data), "Took in 1 session;"),
    "one that grew": (grown, "added to 1 session;"),
    "one that was written anew": (
        lambda folder: folder.joinpath("talk-a.jsonl").write_bytes(talk("e").data), "Took in 1 session;",
    ),
    "one that is gone": (lambda folder: folder.joinpath("talk-a.jsonl").unlink(), "; 2 were there already"),
    "a link": (lambda folder: folder.joinpath("talk-d.jsonl").symlink_to("talk-a.jsonl"), "is a link, and is left"),
    "an archive": (zipped, "Took in 1 session;"),
    "a damaged one": (
        lambda folder: folder.joinpath("talk-d.jsonl").write_bytes(talk("d").data + b'{"type": "us\n'), "line",
    ),
    "one without talks": (lambda folder: folder.joinpath("notes.jsonl").write_text('{"a": 1}\n'), "Left 1 of 4 files"),
    "nothing left": (lambda folder: [each.unlink() for each in folder.rglob("*.jsonl")], "no file with talks in it"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_read(what: str, folder: Path, config: Settings, capsys: pytest.CaptureFixture[str]):
    unchanged.import_as_told(config, given(folder))
    change, said = CHANGES[what]
    change(folder)
    capsys.readouterr()
    unchanged.import_as_told(config, given(folder))
    assert said in capsys.readouterr().err


def test_what_did_not_all_come_in_is_told_again(folder: Path, config: Settings, capsys: pytest.CaptureFixture[str]):
    CHANGES["a damaged one"][0](folder)
    first = unchanged.import_as_told(config, given(folder))
    capsys.readouterr()
    assert (unchanged.import_as_told(config, given(folder)), first) == (1, 1)
    assert "talk-d.jsonl, line" in capsys.readouterr().err


def test_neither_a_reader_nor_pydantic_is_imported(folder: Path, config: Settings, tmp_path: Path):
    unchanged.import_as_told(config, given(folder))
    program = (
        "import sys; from agentic_flywheel.cli.main import main; main(['import', sys.argv[1]]);"
        " print([each for each in sys.modules if each in ('asyncio', 'pydantic') or 'importers.claude' in each])"
    )
    env = {"FLYWHEEL_DATA_DIR": str(config.data_dir), "HOME": str(tmp_path), "REDIS_ENABLED": "false"}
    command = [sys.executable, "-P", "-c", program, str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stderr, done.stdout) == (NOTHING_NEW, "[]\n")

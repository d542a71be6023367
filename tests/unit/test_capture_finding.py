"""Talks are found by a pattern, and folders that cannot be read are named."""

from pathlib import Path

import pytest

from agentic_flywheel.cli.capture import finding


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / ".claude" / "projects" / "-srv-garden" / "5d0c.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    return path


def test_files_are_found_by_name_and_no_link_is(tmp_path: Path, talk: Path):
    (talk.parent / "4a.jsonl").write_text("")
    (talk.parent / "link.jsonl").symlink_to(talk)
    (talk.parent / "folder.jsonl").mkdir()
    unreadable: list[Path] = []
    found = list(finding.files(tmp_path / ".claude", "projects/*/*.jsonl", unreadable))
    assert (found, unreadable) == ([talk.parent / "4a.jsonl", talk], [])
    assert list(finding.files(tmp_path / "nowhere", "*/*", unreadable)) == []

"""Files, folders and archives with conversations: what is in them, entry by entry, up to what is damaged."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers import BadEntry, Imported, Member, read, recognise, sources
from agentic_flywheel.cli.importers.json_entries import JsonEntry, array, lines
from agentic_flywheel.errors import InvalidArgument

from .test_importers import CHATGPT, CLAUDE, CLAUDE_CODE, JSON, OURS, bad, claude, conversations, written

# --- Entries, one at a time


def cut(data: bytes, limit: int = 1000) -> list[JsonEntry | BadEntry]:
    return list(array(io.BytesIO(data), limit))


class Dribble(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, _: int | None = -1) -> bytes:
        return super().read(self._size)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5),
    st.sampled_from([{}, {"indent": 1}, {"ensure_ascii": False}]),
    st.sampled_from([1, 2, 7, 1024]),
)
def test_an_array_is_cut_into_its_objects_wherever_its_chunks_end(values: list[Any], style: dict[str, Any], size: int):
    data = json.dumps(values, **style).encode()
    # As text: no number that is none equals itself.
    entries = array(Dribble(data, size))
    found = [repr(each.value if isinstance(each, JsonEntry) else each) for each in entries]
    assert found == [repr(each) for each in json.loads(data)]


def test_entries_of_an_array_have_the_lines_on_which_they_begin():
    data = b'\xef\xbb\xbf\n[\n\n {"a":\n1},\n{"b": "[,{\\"\\\\"}, {"c": 1}\n, 7 \n]\n\n'
    assert cut(data) == [
        JsonEntry(4, {"a": 1}),
        JsonEntry(6, {"b": '[,{"\\'}),
        JsonEntry(6, {"c": 1}),
        BadEntry(7, "is not a JSON object"),
    ]


def test_of_an_array_that_was_cut_anywhere_all_before_the_cut_comes_in():
    whole = b'[{"n": 1},\n{"n": [2, "]"]},\n{"n": 3}]'
    ends = [whole.index(b"}") + 1, whole.index(b"}", 12) + 1, whole.rindex(b"}") + 1]
    for length in range(1, len(whole)):
        got = cut(whole[:length])
        complete = sum(end <= length for end in ends)
        assert [each for each in got if isinstance(each, JsonEntry)] == cut(whole)[:complete]
        assert isinstance(got[-1], BadEntry)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", BadEntry(1, "is not the beginning of a JSON array")),
        (b'{"a": []}', BadEntry(1, "is not the beginning of a JSON array")),
        (b"\n\n[{}]\n\n x", BadEntry(5, "stands behind the end of the array")),
        (b"[{},\n,{}]", BadEntry(2, "is not JSON: it breaks at its character 1")),
        (b'[{},\n{"a": [1, {}, \n{}]', BadEntry(2, "begins an entry that has no end in this file")),
        (b'[{},\n{"a": "' + b"x" * 1000 + b'"},{}]', BadEntry(2, "is longer than 1,000 bytes")),
    ],
)
def test_what_is_wrong_with_an_array_is_told_with_its_line(data: bytes, told: BadEntry):
    assert [each for each in cut(data) if isinstance(each, BadEntry)] == [told]


def test_a_line_that_is_too_long_costs_only_itself():
    data = b'{"a":1}\n{"b":"' + b"x" * 3000 + b'"}\n\n{"c":3}'
    assert list(lines(io.BytesIO(data), 1000)) == [
        JsonEntry(1, {"a": 1}),
        BadEntry(2, "is longer than 1,000 bytes"),
        JsonEntry(4, {"c": 3}),
    ]


# --- Which files, and what they are


def test_a_file_is_recognised_by_what_is_in_it(tmp_path: Path):
    assert [recognise(path) for path in (CLAUDE, CHATGPT, CLAUDE_CODE, OURS)] == [
        "claude", "chatgpt", "claude-code", "flywheel",
    ]  # fmt: skip
    assert recognise(written(tmp_path, b'[7, {"x": 1}, {"mapping": {}}]')) == "chatgpt"
    assert recognise(written(tmp_path, b'\xef\xbb\xbfnonsense\n{"schema_version":2}\n')) == "flywheel"
    assert recognise(written(tmp_path, b"\xef\xbb\xbf" + CLAUDE.read_bytes())) == "claude"
    for nothing in (b"", b"[]", b"{}", b'{"schema_version": true}', b"\x89PNG\r\n"):
        path = written(tmp_path, nothing)
        assert recognise(path) is None
        assert [each.line for each in bad(path)] == [1]


def test_our_own_export_is_not_read_as_anothers():
    assert [each.line for each in bad(OURS)] == [1]
    assert conversations(OURS) == []


def test_a_kind_that_there_is_not_is_an_error():
    with pytest.raises(InvalidArgument, match="claude, chatgpt, claude-code, flywheel"):
        list(read(CLAUDE, "gemini"))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "nothing.json"))


def test_an_archive_and_a_folder_give_their_conversations_and_nothing_else(tmp_path: Path):
    names = [
        "chat.html", "conversations-000.json", "conversations-001.json", "projects/-home/s.jsonl", "user.json",
        "__MACOSX/._s.jsonl", "conversations.json.index", "sub/conversations.json",
    ]  # fmt: skip
    archive, folder = tmp_path / "export.zip", tmp_path / "folder"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            made.writestr(name, CLAUDE.read_bytes())
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(CLAUDE.read_bytes())
    expected = [names[1], names[2], names[3], names[7]]
    assert list(sources(archive)) == [Member(archive, name) for name in expected]
    assert list(sources(folder)) == [folder / name for name in expected]
    assert list(sources(CLAUDE)) == [CLAUDE]
    assert str(next(sources(archive))) == f"{archive}/conversations-000.json"


@pytest.mark.parametrize("path", [CLAUDE, CHATGPT, CLAUDE_CODE], ids=lambda path: path.name)
def test_a_file_in_an_archive_reads_as_it_does_outside(tmp_path: Path, path: Path):
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.write(path, "deep/conversations.json" if path.suffix == ".json" else f"deep/{path.name}")
    [member] = sources(archive)
    assert recognise(member) == recognise(path)
    assert list(read(member)) == list(read(path))


def test_an_archive_that_is_damaged_gives_what_is_before_the_damage(tmp_path: Path):
    archive = tmp_path / "export.zip"
    many = json.dumps([claude(uuid=f"{n}", name="x" * 20_000) for n in range(200)]).replace('{"uuid"', '\n{"uuid"')
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("conversations.json", many)
    raw = bytearray(archive.read_bytes())
    raw[3_000_000] ^= 1  # stored, not packed: a wrong checksum at its end
    archive.write_bytes(raw)
    *before, last = read(next(sources(archive)))
    assert len([each for each in before if isinstance(each, Imported)]) > 100
    assert last == BadEntry(before[-1].line, "is the last that can be read: the archive is damaged behind it")


def test_archives_and_folders_without_conversations_are_errors(tmp_path: Path):
    with pytest.raises(InvalidArgument, match=r"has no conversations\.json"):
        list(sources(tmp_path))
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("user.json", "{}")
    with pytest.raises(InvalidArgument, match=r"has no conversations\.json"):
        list(sources(archive))
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("conversations.json", "[]")
    raw = archive.read_bytes()
    directory = raw.index(b"PK\x01\x02")
    archive.write_bytes(raw[: directory + 8] + b"\x01" + raw[directory + 9 :])
    with pytest.raises(InvalidArgument, match="has a password"):
        list(sources(archive))

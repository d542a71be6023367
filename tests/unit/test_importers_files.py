"""Files, folders and archives with conversations: what is in them, entry by entry, up to what is damaged."""

import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers import archives, files
from agentic_flywheel.cli.importers.conversation import Imported, mended
from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.found_files import Stream, sources
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry, array, lines
from agentic_flywheel.cli.importers.quick_array import QuickArray
from agentic_flywheel.cli.importers.related import in_order
from agentic_flywheel.errors import InvalidArgument

from .test_importers import CHATGPT, CLAUDE, CLAUDE_CODE, JSON, OURS, bad, claude, conversations, event, jsonl, written

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


@pytest.mark.parametrize("size", [100, 5000, 2**20])
def test_every_talk_of_a_good_export_is_cut_out_on_every_python(size: int):
    draw = random.Random(7)  # Python before 3.11.5 took 2 of 300 for whole
    said = ['a "quoted" word \\ and\n' * draw.randrange(300) for _ in range(300)]
    talks = [claude(uuid=f"{number}", name=text) for number, text in enumerate(said)]
    found = array(Dribble(json.dumps(talks).encode(), size))
    assert [each.value for each in found if isinstance(each, JsonEntry)] == talks


@given(
    st.lists(st.dictionaries(st.text("aé🌱\ud83c\n,\\"), JSON, max_size=3) | st.integers(), max_size=6),
    st.sampled_from([{}, {"indent": 1}, {"ensure_ascii": False}]),
    st.sampled_from([5, 64, 1024]),
    st.integers(0, 300),
    st.sampled_from([b"", b"}", b'"', b",", b"\xff", b"\n"]),
)
def test_the_quick_reader_of_arrays_gives_what_the_slow_one_does(
    values: list[Any], style: dict[str, Any], size: int, at: int, odd: bytes
):
    data = json.dumps(values, **style).encode(errors="surrogatepass")
    data = data[:at] + odd + data[at:]
    quick = list(array(Dribble(data, size)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickArray, "entries", lambda _: iter(()))
        slow = list(array(Dribble(data, size)))
    told = [repr(each).replace("is_whole=True", "is_whole=False") for each in (quick, slow)]
    assert told[0] == told[1]
    for entry in [*quick, *slow]:
        if isinstance(entry, JsonEntry) and entry.is_whole:
            assert mended(entry.value) == (entry.value, 0) or "nan" in repr(entry) or "inf" in repr(entry)


# --- Which files, and what they are


def test_a_file_is_recognised_by_what_is_in_it(tmp_path: Path):
    assert [recognise(path) for path in (CLAUDE, CHATGPT, CLAUDE_CODE, OURS)] == [
        "claude", "chatgpt", "claude-code", "flywheel",
    ]  # fmt: skip
    assert recognise(written(tmp_path, b'[7, {"x": 1}, {"mapping": {}}]')) == "chatgpt"
    assert recognise(written(tmp_path, b'\xef\xbb\xbfnonsense\n{"schema_version":2}\n')) == "flywheel"
    assert recognise(written(tmp_path, b"\xef\xbb\xbf" + CLAUDE.read_bytes())) == "claude"
    for nothing in (b"", b"{}", b'{"schema_version": true}', b"\x89PNG\r\n"):
        path = written(tmp_path, nothing)
        assert recognise(path) is None
        assert [each.line for each in bad(path)] == [1]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (b'{"info": {}, "messages": [{"info": {}}]}', "no export that can be read"),
    ],
)
def test_what_another_program_wrote_is_named_in_one_line(tmp_path: Path, lines: bytes, what: str):
    path = written(tmp_path, lines + b'{"type":"system","sessionId":"s","uuid":"u"}\n', "talk.jsonl")
    [told] = bad(path)
    assert told.reason.startswith(f"is the beginning of {what}")


def test_transcripts_come_behind_those_that_they_may_begin_with(tmp_path: Path):
    said = [event(str(number), sessionId="s") for number in range(4)]

    def file(name: str, count: int, **more: Any) -> Path:
        lines = [said_then | {"sessionId": name} | more for said_then in said[:count]]
        return written(tmp_path, jsonl(*lines), f"{name}.jsonl")

    again, first, bg = file("a", 3), file("b", 1), file("c", 2, sessionKind="bg")
    fork = written(tmp_path, jsonl(event("9", sessionId="d", requestSessionId="e")), "d.jsonl")
    its_parent, alone = (written(tmp_path, jsonl(event(n, sessionId=n)), f"{n}.jsonl") for n in "ef")
    round_and_round = [
        written(tmp_path, jsonl(event(f"g{n}", sessionId=f"g{n}", requestSessionId=f"g{1 - n}")), f"g{n}.jsonl")
        for n in (0, 1)
    ]
    ordered, related = in_order([again, first, bg, fork, its_parent, alone, *round_and_round])
    assert ordered[:6] == [first, again, bg, its_parent, fork, alone]
    assert {*ordered[6:]} == {*round_and_round}
    assert related == {again, first, bg, its_parent, fork, *round_and_round}


def test_a_fork_that_begins_with_a_compaction_comes_behind_its_origin(tmp_path: Path):
    boundary = event("1", type="system", subtype="compact_boundary", sessionId="a")
    fork = written(tmp_path, jsonl(boundary, event("2", sessionId="a", requestSessionId="z")), "a.jsonl")
    begun = written(tmp_path, jsonl(boundary | {"sessionId": "b"}, event("3", sessionId="b")), "b.jsonl")
    origin = written(tmp_path, jsonl(event("4", sessionId="z")), "z.jsonl")
    ordered, related = in_order([fork, begun, origin])
    assert ordered.index(origin) < ordered.index(fork)
    assert {fork, origin} <= related


def test_our_own_export_is_not_read_as_anothers():
    assert [each.line for each in bad(OURS)] == [1]
    assert conversations(OURS) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files on Windows")
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path):
    pipe = tmp_path / "talk.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(InvalidArgument, match="is no file but a pipe"), sources(pipe):
        pass
    with pytest.raises(OSError, match="is no file but a pipe"):
        recognise(pipe)


def test_a_kind_that_there_is_not_is_an_error():
    with pytest.raises(InvalidArgument, match="claude, chatgpt, claude-code, codex, qwen-code, flywheel"):
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
    with sources(archive) as found:
        assert [str(each) for each in found.files] == [f"{archive}/{name}" for name in expected]
    with sources(folder) as found:
        assert found.files == [folder / name for name in expected]
    with sources(CLAUDE) as found:
        assert found.files == [CLAUDE]


@pytest.mark.parametrize("path", [CLAUDE, CHATGPT, CLAUDE_CODE], ids=lambda path: path.name)
def test_a_file_in_an_archive_reads_as_it_does_outside(tmp_path: Path, path: Path):
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.write(path, "deep/conversations.json" if path.suffix == ".json" else f"deep/{path.name}")
    with sources(archive) as found:
        [member] = found.files
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
    with sources(archive) as found:
        *before, last = read(found.files[0])
    assert len([each for each in before if isinstance(each, Imported)]) > 100
    assert last == BadEntry(before[-1].line, "is the last that can be read: the archive is damaged behind it")


def refused(path: Path) -> None:
    with sources(path):
        pass


def test_archives_and_folders_without_conversations_are_errors(tmp_path: Path):
    with pytest.raises(InvalidArgument, match="has no file with talks"):
        refused(tmp_path)
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("user.json", "{}")
    with pytest.raises(InvalidArgument, match="has no file with talks"):
        refused(archive)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("conversations.json", "[]")
    raw = archive.read_bytes()
    directory = raw.index(b"PK\x01\x02")
    archive.write_bytes(raw[: directory + 8] + b"\x01" + raw[directory + 9 :])
    with pytest.raises(InvalidArgument, match="has a password"):
        refused(archive)


# --- Limits


def packed(path: Path, **contents: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in contents.items():
            made.writestr(f"{name}.jsonl", content)
    return path


def test_an_archive_of_too_many_files_is_refused_before_its_contents_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    archive = packed(tmp_path / "many.zip", **{f"m{number}": b"" for number in range(archives.MAX_MEMBERS + 1)})
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", None)  # it is not opened
        with pytest.raises(InvalidArgument, match=r"has more than 10,000 files\. If it is yours, unpack it"):
            refused(archive)


@pytest.mark.parametrize("way", ["of a large one", "of its table of contents"])
def test_the_number_of_files_is_found_however_it_is_written(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(tmp_path / "few.zip", a=b"", b=b"", c=b"")
    if way == "of a large one":
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        archive = packed(tmp_path / "large.zip", a=b"", b=b"", c=b"")
        monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    else:
        monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 100)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", None)
        with pytest.raises(InvalidArgument, match="has more than"):
            refused(archive)


def test_an_archive_that_says_less_than_it_has_is_refused_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(tmp_path / "few.zip", a=b"", b=b"", c=b"")
    raw = bytearray(archive.read_bytes())
    at = raw.rindex(b"PK\x05\x06")
    raw[at + 8 : at + 12] = b"\1\0\1\0"
    archive.write_bytes(raw)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with pytest.raises(InvalidArgument, match="has more than"):
        refused(archive)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blown_up = packed(tmp_path / "blown.zip", a=b"0" * 3_000_000)
    with pytest.raises(InvalidArgument, match="unpacks to more than 200 times its size, as no talks do"):
        refused(blown_up)
    large = packed(tmp_path / "large.zip", a=random.Random(1).randbytes(2000), b=random.Random(2).randbytes(2000))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing is unpacked
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 3999)
    with pytest.raises(InvalidArgument, match="unpacks to more than"):
        refused(large)
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 4000)
    refused(large)


def test_what_files_of_an_archive_share_counts_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 1000)
    archive = packed(
        tmp_path / "shared.zip", **{f"m{n}": b"ab" * 400 + random.Random(n).randbytes(9) for n in range(9)}
    )
    refused(archive)
    monkeypatch.setattr(archives, "MAX_RATIO", 5)
    with pytest.raises(InvalidArgument, match="times its size"):
        refused(archive)


def test_an_archive_is_opened_once_however_many_files_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(tmp_path / "some.zip", **{f"m{number}": CLAUDE_CODE.read_bytes() for number in range(20)})
    opened: list[object] = []
    real = zipfile.ZipFile.__init__

    def counting(self: zipfile.ZipFile, file: Any, *args: Any, **options: Any) -> None:
        opened.append(file)
        real(self, file, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "__init__", counting)
    with sources(archive) as found:
        assert len(found.files) == 20
        assert all(recognise(each) == "claude-code" and list(read(each)) for each in found.files)
    assert len(opened) == 1


def test_links_in_a_folder_are_named_and_left(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("elsewhere/a.jsonl", "folder/b.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CLAUDE_CODE.read_bytes())
    folder = tmp_path / "folder"
    (folder / "a.jsonl").symlink_to(tmp_path / "elsewhere" / "a.jsonl")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "notes.txt").symlink_to(tmp_path / "nothing")
    with sources(folder) as found:
        assert found.files == [folder / "b.jsonl"]
        assert found.links == [folder / "a.jsonl", folder / "circle", folder / "more"]
    (folder / "b.jsonl").unlink()
    with pytest.raises(InvalidArgument, match=r"no file with talks in it\. .*Links in it are left: .*a\.jsonl"):
        refused(folder)


@pytest.mark.parametrize("kind", ["array", "lines"])
def test_an_entry_over_the_limit_is_refused_by_every_reader(kind: str, tmp_path: Path):
    talks = [claude(uuid=f"{n}", name="x" * 3000 * (n == 1)) for n in range(3)]
    path = written(tmp_path, json.dumps(talks).encode())
    if kind == "lines":
        path = tmp_path / "export.jsonl"
        path.write_text("".join(json.dumps({"schema_version": 1} | talk) + "\n" for talk in talks))
    found = list(files.exported(path, 2000) if kind == "lines" else read(path, limit=2000))
    assert [each for each in found if isinstance(each, BadEntry)] == [
        BadEntry(2 if kind == "lines" else 1, "is longer than 2,000 bytes")
    ]
    assert len(found) == 3


def test_a_file_without_a_name_reads_as_one_with(tmp_path: Path):
    archive = packed(tmp_path / "export.zip", talk=CLAUDE_CODE.read_bytes())
    for path in (CLAUDE, archive):
        with path.open("rb") as file, sources(Stream(file, "standard input")) as found, sources(path) as named:
            assert [list(read(each)) for each in found.files] == [list(read(each)) for each in named.files]
            assert str(found.files[0]).startswith("standard input")

"""However an account export is wrapped, its talks come in; what is missing or made to harm is said in a line."""

import contextlib
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers import archives
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.enclosed_array import enclosed
from agentic_flywheel.cli.importers.files import is_stray, read, recognise
from agentic_flywheel.cli.importers.found_files import Stream, sources
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.errors import InvalidArgument

from .test_importers import JSON, bad, chatgpt, claude, conversations, jsonl, written


def zipped(files: dict[str, Any], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files: bytes, or a value as JSON."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packed) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return made.getvalue()


def found(given: Path | Stream) -> list[Imported | BadEntry]:
    with sources(given) as files:
        return [each for source in files.files for each in read(source)]


def ids(given: Path | Stream) -> list[str]:
    return [each.session_id for each in found(given) if isinstance(each, Imported)]


def reasons(given: Path | Stream) -> list[str]:
    return [each.reason for each in found(given) if isinstance(each, BadEntry)]


def gpt(own: str) -> dict[str, Any]:
    return chatgpt("Ferns?", conversation_id=own)


# --- Archives in archives, and in folders


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_in_an_archive_gives_its_talks(tmp_path: Path, packed: int):
    parts = {
        f"User Online Activity/Conversations_x-chatgpt-000{n}.zip": zipped({"conversations.json": [gpt(f"{n}")]})
        for n in (1, 2)
    }
    path = written(
        tmp_path, zipped({"report.html": b"", "media.zip": zipped({"a.png": b"P"}), **parts}, packed), "x.zip"
    )
    assert ids(path) == ["chatgpt-1", "chatgpt-2"]
    assert not reasons(path)
    with path.open("rb") as file:
        assert ids(Stream(file, "standard input")) == ["chatgpt-1", "chatgpt-2"]


def test_a_folder_with_the_parts_of_an_export_gives_their_talks(tmp_path: Path):
    named = {"export_files": [{"path": f"conversations-00{n}.json"} for n in range(4)] + [{"path": "chat.html"}]}
    written(tmp_path, zipped({"conversations-000.json": [gpt("0")], "export_manifest.json": named}), "part1.zip")
    written(tmp_path, zipped({"inner.zip": zipped({"conversations-001.json": [gpt("1")]})}), "part2.ZIP")
    written(tmp_path, zipped({"conversations-002.json": [gpt("2")]})[:-9], "part3.zip")
    written(tmp_path, zipped({"song.mp3": b"la"}), "music.zip")
    written(tmp_path, b"PK and no archive", "odd.zip")
    (tmp_path / "link.zip").symlink_to(tmp_path / "part1.zip")
    written(tmp_path, [gpt("3")], "conversations-003.json")
    assert sorted(ids(tmp_path)) == ["chatgpt-0", "chatgpt-1", "chatgpt-3"]
    with sources(tmp_path) as files:
        [missing] = [source for source in files.files if "'conversations-002.json'" in str(source)]
    [told] = read(missing)
    assert isinstance(told, BadEntry)
    assert told.reason.startswith("is a file of the export")


def test_a_part_that_the_list_of_an_export_names_and_is_not_there_is_told(tmp_path: Path):
    files = {"conversations-000.json": [gpt("0")], "export_manifest.json": {"export_files": [
        {"path": "conversations-000.json"}, {"path": "conversations-001.json"}, {"path": 7}, 8]}}  # fmt: skip
    path = written(tmp_path, zipped(files), "x.zip")
    assert ids(path) == ["chatgpt-0"]
    [told] = reasons(path)
    assert "put all files of the export into one folder" in told
    for odd in (b"{", [], {"export_files": 7}):
        assert not reasons(written(tmp_path, zipped(files | {"export_manifest.json": odd}), "x.zip"))


def test_what_lies_deeper_than_an_archive_in_an_archive_is_left_and_named(tmp_path: Path):
    deepest = zipped({"conversations.json": [gpt("3")]})
    path = written(tmp_path, zipped({"a.zip": zipped({"b.zip": deepest, "conversations.json": [gpt("2")]})}), "x.zip")
    assert ids(path) == ["chatgpt-2"]
    assert reasons(path) == [archives.TOO_DEEP]


@pytest.mark.parametrize("name", ["../conversations.json", "a/../../conversations.json", "/etc/conversations.json",
                                  "..\\conversations.json", "C:\\conversations.json", "..", "x/.."])  # fmt: skip
@pytest.mark.parametrize("inside", [False, True])
def test_a_name_that_leads_out_of_the_archive_is_refused_with_a_sentence(tmp_path: Path, name: str, *, inside: bool):
    data = zipped({name: [gpt("1")], "conversations.json": [gpt("2")]})
    path = written(tmp_path, zipped({"in.zip": data}) if inside else data, "x.zip")
    with pytest.raises(InvalidArgument, match=r"has a file that would lie outside of it, '.*', as no export does\."):
        found(path)
    assert reasons(tmp_path)[0].startswith("in.zip has a file that" if inside else "has a file that would lie")
    assert [*tmp_path.iterdir()] == [path]


def test_what_an_inner_archive_unpacks_to_counts_against_the_outer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    twice = zipped({"conversations.json": b"[" + b" " * 30_000_000 + b"]"})  # 1,000 times, and again when packed
    for files in ({"a.zip": twice}, {f"{n}.zip": twice for n in range(9)}):
        with pytest.raises(InvalidArgument, match="times its size, as no talks do"):
            found(written(tmp_path, zipped(files), "x.zip"))
    small = {f"{n}.zip": zipped({"conversations.json": b"[" + b" " * 900 + b"]"}) for n in range(9)}
    path = written(tmp_path, zipped(small), "x.zip")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "RATIO_COUNTS_FROM", 1000)  # none is too large, all together are
        patch.setattr(archives, "MAX_RATIO", 1)
        with pytest.raises(InvalidArgument, match="times its size, as no talks do"):
            found(path)
    noise = {f"{n}.zip": zipped({"conversations.json": random.Random(n).randbytes(5000)}) for n in range(3)}
    path = written(tmp_path, zipped(noise), "x.zip")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_UNPACKED_BYTES", 25_000)  # the archives and what is in them
        with pytest.raises(InvalidArgument, match="unpacks to more than"):
            found(path)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_MEMBERS", 5)
        with pytest.raises(InvalidArgument, match="has more than 5 files"):
            found(path)
    found(path)


def test_one_archive_of_a_folder_that_is_refused_stops_no_other(tmp_path: Path):
    written(tmp_path, zipped({"conversations.json": b"[" + b" " * 30_000_000 + b"]"}), "a.zip")
    written(tmp_path, zipped({"conversations.json": [gpt("2")]}), "b.zip")
    assert ids(tmp_path) == ["chatgpt-2"]
    assert "times its size" in reasons(tmp_path)[0]


# --- Objects around talks


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"conversations": [gpt("1"), gpt("2")]}, ["chatgpt-1", "chatgpt-2"]),
        ({"version": 1, "meta": {"a": ["]"]}, "conversations": [claude()], "more": 7}, ["claude-c"]),
        (gpt("1"), ["chatgpt-1"]),
        (claude(), ["claude-c"]),
    ],
)
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"ensure_ascii": False}])
def test_talks_come_in_however_they_are_wrapped(
    tmp_path: Path, value: dict[str, Any], expected: list[str], style: dict[str, Any]
):
    path = written(tmp_path, "\ufeff\n" + json.dumps(value, **style))
    assert [each.session_id for each in conversations(path)] == expected
    assert not bad(path)


def test_a_talk_a_line_comes_in(tmp_path: Path):
    path = written(tmp_path, jsonl(gpt("1"), claude(), gpt("2")), "talks.jsonl")
    assert recognise(path) == "chatgpt"
    assert [each.session_id for each in conversations(path)] == ["chatgpt-1", "chatgpt-2"]
    assert [each.reason for each in bad(path)] == ["has no conversation_id"]


def test_of_an_object_around_talks_that_was_cut_those_before_the_cut_come_in(tmp_path: Path):
    whole = json.dumps({"conversations": [gpt("1"), gpt("2")]})
    path = written(tmp_path, whole[: len(whole) - 30])
    assert [each.session_id for each in conversations(path)] == ["chatgpt-1"]
    assert len(bad(path)) == 1


def test_lists_of_files_are_answered_with_what_to_do(tmp_path: Path):
    address = "https://storage.example/a/conversations-000.json?sig=x"
    for value in (
        {"files": [{"name": "conversations-000.json", "url": address}, {"name": "projects-000.zip", "url": "u"}]},
        {"export_files": [{"path": "conversations-000.json"}]},
        {"urls": {"a": address}},
    ):
        [told] = bad(written(tmp_path, value, "manifest-1.json"))
        assert "download those it names ('conversations-000.json'" in told.reason
        assert "sig=x" not in told.reason


def test_lines_of_messages_are_a_talk_each(tmp_path: Path):
    talks = [
        {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": f"{n}"}]} for n in "ab"
    ]
    path = written(tmp_path, jsonl(*talks), "tuning.jsonl")
    assert recognise(path) == "turns"
    first, second = conversations(path)
    assert [turn["content"] for turn in second.history] == ["Be short.", "b"]
    assert first.session_id != second.session_id
    assert [each.session_id for each in conversations(written(tmp_path, jsonl(talks[0]), "tuning.jsonl"))] == [
        first.session_id
    ]
    path = written(tmp_path, jsonl(*talks, {"messages": [7, {"role": "user", "content": "c"}]}), "tuning.jsonl")
    assert [each.session_id for each in conversations(path)][:2] == [first.session_id, second.session_id]
    assert [each.line for each in bad(path)] == [3]


def test_files_of_lines_without_talks_are_no_loss_and_damaged_ones_are(tmp_path: Path):
    history = written(tmp_path, jsonl({"display": "ls", "timestamp": 1}), "history.jsonl")
    assert is_stray(history)
    assert is_stray(written(tmp_path, b"", "empty.jsonl"))
    assert not is_stray(written(tmp_path, b"\x00\xffnothing", "broken.jsonl"))
    assert not is_stray(written(tmp_path, jsonl({"type": "session_meta", "payload": {}}), "rollout.jsonl"))
    assert not is_stray(written(tmp_path, jsonl({"x": 1}), "conversations.json"))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=3), st.lists(JSON, max_size=3), st.integers(0, 400))
def test_no_object_around_talks_makes_reading_fail(before: dict[str, Any], values: list[Any], cut: int):
    data = json.dumps(before | {"conversations": values}).encode()
    list(enclosed(io.BytesIO(data[:cut]), 1000))
    entries = list(enclosed(io.BytesIO(data)))
    assert len(entries) == len(values)


@given(st.binary(max_size=40), st.integers(0, 2000), st.integers(0, 2000))
def test_no_damage_to_an_archive_is_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, bytes_: bytes, at: int, cut: int
):
    data = zipped({"in.zip": zipped({"conversations.json": [chatgpt("a")]}), "conversations.json": [claude()]})
    data = (data[:at] + bytes_ + data[at + len(bytes_) :])[: max(cut, 22)]
    path = written(tmp_path_factory.mktemp("zip"), data, "x.zip")
    with contextlib.suppress(InvalidArgument):
        found(path)


@pytest.mark.parametrize("head", ["<html>\n<head>", "\ufeff<!DOCTYPE html>\n<html><head>"])
def test_the_page_that_shows_an_export_has_its_talks(tmp_path: Path, head: str):
    talks = [chatgpt("Ferns?", "</script> is a word", conversation_id="a"), chatgpt("Moss?", conversation_id="b")]
    data = json.dumps(talks).replace("</", "<\\/")
    page = f"{head}<style>#root {{}}</style><script>\nvar jsonData = {data};\nvar assetsJson = {{}};</script></html>"
    path = written(tmp_path, page, "chat.html")
    assert [each.session_id for each in conversations(path)] == ["chatgpt-a", "chatgpt-b"]
    assert conversations(path)[0].history[1]["content"] == "</script> is a word"
    assert bad(path) == []


@pytest.mark.parametrize(
    "page", ["<html></html>", "<html><script>var jsonData = {}</script>", "<html>" + "<script " * 9999]
)
def test_another_page_is_no_export(tmp_path: Path, page: str):
    path = written(tmp_path, page, "chat.html")
    assert recognise(path) is None
    assert [each.is_foreign for each in bad(path)] == [True]

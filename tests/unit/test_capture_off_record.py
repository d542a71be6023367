"""What is off the record, since when and until when."""

import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.capture import off_record
from agentic_flywheel.cli.capture.on_record import on_the_record, without
from agentic_flywheel.cli.capture.pausing import quick_lexists
from agentic_flywheel.cli.importers.conversation import Imported


def talk(*times: int | None, **more: Any) -> Imported:
    history: list[dict[str, Any]] = [
        {"id": str(number), "role": "user", "content": f"word {number}"}
        | ({} if at is None else {"created_at": datetime.fromtimestamp(at, UTC).isoformat()})
        for number, at in enumerate(times)
    ]
    fields: dict[str, Any] = {"line": 1, "session_id": "claude-code-s", "title": "word 1", "summary": "all of it",
                              "tags": (), "created_at": None, "updated_at": None, "history": history,
                              "context": {"cwd": "/srv/garden"}}  # fmt: skip
    return Imported(**(fields | more))


def test_a_folder_a_session_or_all(tmp_path: Path):
    place = str(tmp_path)
    inside, sessions = str(tmp_path / "a" / "b"), ("claude-code-s", "s")
    assert not off_record.is_off(place, inside, sessions)
    for about, other in (
        ({"folder": str(tmp_path / "a")}, (str(tmp_path / "ab"), sessions)),
        ({"session": "s"}, (inside, ("claude-code-r",))),
        ({"session": "claude-code-s"}, (inside, ())),
        ({off_record.ALL: True}, None),
    ):
        assert off_record.begin(place, about)
        assert not off_record.begin(place, about), "it is"
        assert off_record.is_off(place, inside, sessions)
        assert other is None or not off_record.is_off(place, *other)
        assert off_record.end(place, about) == 1
        assert not off_record.is_off(place, inside, sessions)
        assert off_record.gaps(place, inside, sessions)


@pytest.mark.parametrize("refused", [False, True])
def test_a_switch_is_seen_whatever_it_is_and_where_a_system_refuses_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, refused: bool
):
    if refused:
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
    switch, is_there = tmp_path / off_record.SWITCH, quick_lexists()
    assert not is_there(str(switch))
    switch.symlink_to(tmp_path / "nowhere")
    assert is_there(str(switch))
    assert not is_there(str(switch / "deeper"))


def test_a_file_switches_what_lies_below_it_off_and_its_time_stays(tmp_path: Path):
    folder = tmp_path / "garden" / "beds"
    folder.mkdir(parents=True)
    switch = tmp_path / "garden" / off_record.SWITCH
    switch.touch()
    os.utime(switch, (1000, 1000))
    place = str(tmp_path / "capture")
    assert off_record.is_off(place, str(folder), ())
    switch.unlink()
    assert not off_record.is_off(place, str(folder), ())
    ((since, until),) = off_record.gaps(place, str(folder), ())
    assert since == 1000
    assert until == pytest.approx((tmp_path / "garden").stat().st_mtime)


def test_a_diary_that_cannot_be_read_lets_nothing_out(tmp_path: Path):
    (tmp_path / "off.json").write_text("{")
    assert off_record.is_off(str(tmp_path), "/srv", ())


def test_what_was_said_in_a_gap_goes_and_the_gap_is_said():
    left = without(talk(1, 2, 3, 4), [(1.5, 3.5)])
    assert left
    assert [turn["role"] for turn in left.history] == ["user", "system", "user"]
    assert "Off the record" in left.history[1]["content"]
    assert (left.title, left.summary) == ("word 0", ""), "both may tell of what was said"
    assert without(talk(1, 2), [(3, 4)]) == talk(1, 2)
    assert without(talk(1, 2), [(0, 9)]) is None
    assert without(talk(None, None), [(3, 4)]) is None, "it cannot be told"
    late = without(talk(1, None, 5, None), [(0, 2)])
    assert late
    assert [turn["content"] for turn in late.history[1:]] == ["word 2", "word 3"]


def test_what_a_flow_did_in_a_gap_goes_too():
    runs = [
        {"id": str(at), "result": {"created_at": datetime.fromtimestamp(at, UTC).isoformat()}} for at in (1, 2, 3, 4)
    ]
    whole = replace(talk(1, 2, 3, 4), executions=[*runs, {"id": "5", "result": {}}])
    left = without(whole, [(1.5, 3.5)])
    assert left
    assert [each["id"] for each in left.executions] == ["1", "4"]


def test_a_helpers_talk_is_off_the_record_with_the_one_that_asked(tmp_path: Path):
    off_record.begin(str(tmp_path), {"session": "claude-code-s"})
    assert on_the_record(tmp_path, talk(1, session_id="claude-code-agent-1", parent="claude-code-s")) is None
    assert on_the_record(tmp_path, talk(1, session_id="claude-code-t"))


def test_an_answer_that_was_under_way_when_a_gap_began_is_not_kept(tmp_path: Path):
    lines = [{"uuid": "a", "message": {"id": str(number)}, "timestamp": datetime.fromtimestamp(at, UTC).isoformat()}
             for number, at in ((0, 1), (1, 2), (1, 10), (2, 20))]  # fmt: skip
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, "no object", 5]) + "{")
    off_record.begin(str(tmp_path), {off_record.ALL: True})
    off_record.end(str(tmp_path), {off_record.ALL: True})
    diary = json.loads((tmp_path / "off.json").read_text())
    diary["spans"][0] |= {"since": 5, "until": 15}
    (tmp_path / "off.json").write_text(json.dumps(diary))
    left = on_the_record(tmp_path, talk(1, 2, 20), "", file)
    assert left
    assert [turn.get("role") for turn in left.history] == ["user", "system", "user"]
    assert "word 1" not in json.dumps(left.history)


def test_what_was_said_in_a_gap_is_in_it_though_the_clock_was_put_back_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place, real, ahead = str(tmp_path), time.time, 3600.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    off_record.begin(place, {off_record.ALL: True})
    said = [time.time()]
    ahead = 0.0
    said.append(time.time())
    assert off_record.end(place, {off_record.ALL: True}) == 1
    found = off_record.gaps(place, "", ())
    assert all(any(begin <= moment <= end for begin, end in found) for moment in said), (said, found)
    others = (said[1] - 60, said[1] + 60, said[0] - 60, said[0] + 60)
    assert not any(begin <= moment <= end for begin, end in found for moment in others), (others, found)


def test_of_many_that_pause_at_once_none_is_lost(tmp_path: Path):
    def pause(number: int) -> None:
        for each in range(10):
            off_record.begin(str(tmp_path), {"session": f"talk {number} {each}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pause, range(8)))
    assert len(off_record.open_now(str(tmp_path))) == 80


def test_who_holds_the_diary_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(off_record, "LOCK_SECONDS", 0.05)
    with (tmp_path / off_record.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="unavailable"):
            off_record.begin(str(tmp_path), {off_record.ALL: True})


def test_a_session_is_resumed_by_either_of_its_names(tmp_path: Path):
    off_record.begin(str(tmp_path), {"session": "5d0c"})
    assert off_record.end(str(tmp_path), {"session": "claude-code-5d0c"}) == 1
    assert not off_record.is_off(str(tmp_path), "", ("5d0c",))


def test_what_a_file_kept_off_the_record_is_not_said_to_be_when_it_has_gone(tmp_path: Path):
    place, folder = tmp_path / "capture", tmp_path / "garden"
    folder.mkdir()
    (folder / off_record.SWITCH).touch()
    assert off_record.is_off(str(place), str(folder), ())
    (folder / off_record.SWITCH).unlink()
    assert off_record.open_now(str(place)) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_is_paused_stays_so_when_its_file_is_taken_away(tmp_path: Path, *, is_there: bool):
    place, garden = str(tmp_path / "place"), tmp_path / "garden"
    garden.mkdir()
    (garden / off_record.SWITCH).touch()
    assert off_record.is_off(place, str(garden), ())
    if not is_there:
        (garden / off_record.SWITCH).unlink()
    assert off_record.begin(place, {"folder": str(garden)}), "what the file says ends with it"
    (garden / off_record.SWITCH).unlink(missing_ok=True)
    assert off_record.is_off(place, str(garden), ())
    assert off_record.end(place, {"folder": str(garden)}) == 1
    assert not off_record.is_off(place, str(garden), ())

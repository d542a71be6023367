"""Leaves out of a talk what was said off the record, and says that there is a gap."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from agentic_flywheel.cli.capture import off_record
from agentic_flywheel.cli.importers.conversation import TIMES, Imported, instant, title
from agentic_flywheel.json_text import JSONObject

Gap = tuple[float, float]


def on_the_record(place: Path, talk: Imported, cwd: str = "", source: object = None) -> Imported | None:
    """What may be kept of a talk; `None` if nothing may: it is paused, or cannot be told from what was.

    `place` is the folder of capture, `cwd` where the talk was, if the talk itself does not say it, `source` its file.

    Raises:
        OSError: the file cannot be read.

    """
    folder = talk.context.get("cwd")
    folder = folder if isinstance(folder, str) and folder else cwd
    ids = tuple(filter(None, (talk.session_id, talk.parent)))
    if off_record.is_off(str(place), folder, ids):
        return None
    found = off_record.gaps(str(place), folder, ids)
    if not found:
        return talk
    spans = said_in(source, found) if isinstance(source, Path) and source.suffix == ".jsonl" else frozenset[str]()
    return without(talk, found, spans)


def said_in(file: Path, gaps: Sequence[Gap]) -> frozenset[str]:
    """The ids in lines of the gaps: an answer that was under way when one began has lines on both sides.

    Raises:
        OSError: the file cannot be read.

    """
    found: set[str] = set()
    with file.open("rb") as lines:
        for line in lines:
            try:
                value: object = json.loads(line)
            except (ValueError, RecursionError):
                continue
            at = instant(cast("JSONObject", value).get("timestamp")) if isinstance(value, dict) else None
            if at and any(begin <= at.timestamp() <= end for begin, end in gaps):
                levels = [cast("JSONObject", value)]
                levels += [cast("JSONObject", each) for each in levels[0].values() if isinstance(each, dict)]
                found |= {
                    each for level in levels for name in ("uuid", "id") if isinstance(each := level.get(name), str)
                }
    return frozenset(found)


def without(talk: Imported, gaps: Sequence[Gap], ids: frozenset[str] = frozenset()) -> Imported | None:
    """The talk without what was said in the gaps, or has one of these ids; a system turn stands for each gap.

    `None` if nothing is left.

    Where something is missing, the title is made of what is left and there is no summary: both may tell of it. A turn
    without a time was said when the one before was; a talk without any cannot be told from what was off the record.
    """
    kept: list[JSONObject] = []
    noted: set[Gap] = set()
    said_at: float | None = None
    for turn in talk.history:
        said_at = _time_of(turn) or said_at
        if said_at is None:
            continue
        gap = next((each for each in gaps if each[0] <= said_at <= each[1]), None)
        if gap is None and turn.get("id") in ids:
            gap = _nearest(gaps, said_at)
        if gap is None:
            kept.append(turn)
        elif gap not in noted:
            noted.add(gap)
            kept.append(_stands_for(gap))
    if len(kept) == len(talk.history) and not noted:
        return talk
    if not any(turn.get("role") != "system" for turn in kept):
        return None
    own = [turn for turn in kept if not str(turn.get("id", "")).startswith("off-the-record-")]
    executions = [each for each in talk.executions if not _is_in(gaps, instant(each["result"].get("created_at")))]
    return replace(talk, history=kept, title=title("", own), summary="", executions=executions)


def _is_in(gaps: Sequence[Gap], time: datetime | None) -> bool:
    """Whether it may have been in one of them."""
    return time is None or any(begin <= time.timestamp() <= end for begin, end in gaps)


def _nearest(gaps: Sequence[Gap], said_at: float) -> Gap:
    return min(gaps, key=lambda each: abs(each[0] - said_at))


def _stands_for(gap: Gap) -> JSONObject:
    begin, end = (datetime.fromtimestamp(each, UTC) for each in gap)
    words = f"[Off the record from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: what was said is not kept.]"
    return {"id": f"off-the-record-{int(gap[0])}", "role": "system", "content": words, "created_at": begin.isoformat()}


def _time_of(turn: JSONObject) -> float | None:
    time = next(filter(None, (instant(turn.get(name)) for name in TIMES)), None)
    return time.timestamp() if time else None

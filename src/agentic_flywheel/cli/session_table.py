"""Shows listed sessions: a table for a person, JSON for a program."""

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from agentic_flywheel.cli.terminal import say, say_json, say_table, tell
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import fitting, shown

TITLE_WIDTH = 44
"""Columns of a title in the table: it then fits most terminals beside an id."""

NOTHING_KEPT = (
    "No session is kept yet. An assistant keeps one with the tool save_session, and you with: agentic-flywheel-state"
    " sessions save FILE"
)

_AGES = ((60, "second"), (60, "minute"), (24, "hour"), (30, "day"), (12, "month"), (10**9, "year"))


def show_listed(
    sessions: Sequence[JSONObject], *, more: bool, filtered: bool, options: Namespace, missed: str = ""
) -> bool:
    """Show the rows of a list; whether there are any. `missed` says what was looked through where there are none."""
    if options.json:
        say_json(sessions)
    elif sessions:
        _table(sessions)
    elif filtered or missed:
        say(missed or "No session matches.")
    else:
        say(NOTHING_KEPT)
    if more and sessions:
        tell(f"There are more: --limit N shows N (now {options.limit}).")
    return bool(sessions)


def _table(sessions: Sequence[JSONObject]) -> None:
    now = datetime.now(UTC)
    marked = any(row.get("scope") for row in sessions)
    rows = [("ID", "TITLE", "TURNS", "SAVED", "EXPIRES", *(["WHERE"] if marked else []))]
    for row in sessions:
        title = " ".join(str(row.get("title") or row.get("summary") or "").split())
        rows.append((
            str(row["id"]),
            fitting(shown(title), TITLE_WIDTH),
            str(row.get("turns", "")),
            since(row.get("updated_at"), now),
            since(row.get("expires_at"), now) or ("never" if "expires_at" in row else ""),
            *([str(row.get("scope") or "")] if marked else []),
        ))  # fmt: skip
    say_table(rows, ["", *(str(row.get("excerpt", "")) for row in sessions)])


def since(time: object, now: datetime) -> str:
    """A time as people say it: `3 days ago`, `in 2 hours`; empty for none."""
    try:
        seconds = (now - datetime.fromisoformat(cast("str", time))).total_seconds()
    except (TypeError, ValueError):
        return ""
    amount, units = abs(seconds), iter(_AGES)
    factor, unit = next(units)
    while amount >= factor:
        amount /= factor
        factor, unit = next(units)
    count = int(amount)
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{text} ago" if seconds >= 0 else f"in {text}"

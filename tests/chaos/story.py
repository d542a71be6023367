"""The story of a violation: what was done to one session and around it, a line each."""

from collections.abc import Iterable
from typing import Any

SHOWN = ("saved", "deleted", "cached", "found", "stored_in", "source", "stale", "scope", "reason", "revision",
         "turns", "total_turns")  # fmt: skip
LONGEST = 60  # lines


def story(events: Iterable[dict[str, Any]], about: str) -> list[str]:
    """The events that have to do with the session at the head of `about`, the faults, and the violations."""
    session = about.split(" ")[0]
    lines: list[str] = []
    for event in events:
        who, what = str(event["who"]), str(event["event"])
        of_session = session in str(event.get("about", "")).split(" ")
        if who == "fault" or what.startswith("server ") or (of_session and not who.startswith("judge of")):
            lines.append(_line(event))
    return lines if len(lines) <= LONGEST else [*lines[: LONGEST // 2], "…", *lines[-LONGEST // 2 :]]


def _line(event: dict[str, Any]) -> str:
    who, what, at = event["who"], event["event"], f"{event['t']:7.2f}"
    if what == "violation":
        return f"{at} VIOLATION {str(event['kind']).upper()} {event['about']}: {event['text']}"
    if who == "fault" or "about" not in event:
        return f"{at} {'FAULT' if who == 'fault' else who} {what}{_known(event)}"
    shown = " ".join(f"{name}={event[name]}" for name in SHOWN if event.get(name) is not None)
    return f"{at} {who} {what.partition('_')[0]} {event['about'][:160]} -> {shown or 'no answer'}"


def _known(event: dict[str, Any]) -> str:
    return f" ({event['seat']})" if "seat" in event else ""

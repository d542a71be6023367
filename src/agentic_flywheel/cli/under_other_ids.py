"""Finds in a flow's talk that is imported what is stored of it under other ids, so that it is not taken in again.

A prediction names its answer and not the message that asked for it: a question that was recorded has an id made of its
answer's. Flowise's download names no message at all: there a message is told by who said it when.
"""

from agentic_flywheel.documents.turn_text import asked_in
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import question_id


def as_stored(stored: list[JSONObject], history: list[JSONObject]) -> list[JSONObject]:
    """The history, with the stored turn in the place of each that is stored under another id."""
    ids, own_ids = _ids_of(stored), _ids_of(history)
    said = _told_by_time([turn for turn in stored if turn.get("id") not in own_ids])
    known = _told_by_time([turn for turn in history if turn.get("id") not in ids])
    made = [said.get(_when(turn), turn) if known.get(_when(turn)) is turn else turn for turn in history]
    recorded = {turn["id"]: turn for turn in stored if isinstance(turn.get("id"), str) and turn.get("role") == "user"}
    taken = set[int]()
    for place, answer in enumerate(history):
        own = answer.get("id")
        question = recorded.get(question_id(own)) if isinstance(own, str) else None
        if question is not None and (asked := _asked(made, place, taken, asked_in(question))) is not None:
            made[asked] = question
            taken.add(asked)
    return made


def _ids_of(history: list[JSONObject]) -> set[object]:
    return {turn["id"] for turn in history if isinstance(turn.get("id"), str)}


def _when(turn: JSONObject) -> tuple[object, object]:
    return str(turn.get("role")), str(turn.get("created_at") or "")


def _told_by_time(turns: list[JSONObject]) -> dict[tuple[object, object], JSONObject]:
    """Those that are the only ones of their role at their time."""
    found = dict[tuple[object, object], JSONObject]()
    twice = set[tuple[object, object]]()
    for turn in turns:
        if turn.get("created_at"):
            twice |= {_when(turn)} & found.keys()
            found[_when(turn)] = turn
    return {when: turn for when, turn in found.items() if when not in twice}


def has_recorded(history: list[JSONObject]) -> bool:
    """Whether some of it was recorded together with its answer."""
    ids = [own for turn in history if isinstance(own := turn.get("id"), str)]
    return not {question_id(own) for own in ids}.isdisjoint(ids)


def _asked(history: list[JSONObject], before: int, taken: set[int], words: str) -> int | None:
    """Where the newest turn before a place stands in which the person says these words, and that is not taken."""
    for place in range(before - 1, -1, -1):
        if place not in taken and history[place].get("role") == "user" and asked_in(history[place]) == words:
            return place
    return None

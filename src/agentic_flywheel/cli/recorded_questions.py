"""Finds in a talk that is imported the questions that were recorded before, when their ids were not known yet.

A prediction names its answer and not the message that asked for it; the backend's own list of messages names both.
"""

from agentic_flywheel.documents.turn_text import asked_in
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import question_id


def as_recorded(stored: list[JSONObject], history: list[JSONObject]) -> list[JSONObject]:
    """The history, with the stored turn in the place of each question that was recorded together with its answer."""
    recorded = {turn["id"]: turn for turn in stored if isinstance(turn.get("id"), str) and turn.get("role") == "user"}
    made, taken = list(history), set[int]()
    for place, answer in enumerate(history):
        own = answer.get("id")
        question = recorded.get(question_id(own)) if isinstance(own, str) else None
        if question is not None and (asked := _asked(made, place, taken, asked_in(question))) is not None:
            made[asked] = question
            taken.add(asked)
    return made


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

"""Remembers the newest traces of this process, for whoever asks about one by its id."""

import threading
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from agentic_flywheel.json_text import JSONObject

MOST_TRACES = 100
"""That are remembered; the oldest go."""

MOST_NOTES = 200
"""Observations, and scores, that are remembered of one trace; all are sent."""


@dataclass(slots=True)
class Record:
    """One trace: what is known of it here, and who sends what belongs to it."""

    tracer: Any
    known: JSONObject
    session_id: str = ""
    observations: list[JSONObject] = field(default_factory=list[JSONObject])
    scores: list[JSONObject] = field(default_factory=list[JSONObject])

    def note(self, notes: list[JSONObject], note: JSONObject) -> None:
        """Remember an observation or a score."""
        if len(notes) < MOST_NOTES:
            notes.append(note)

    def told(self) -> JSONObject:
        """All that is known, as a copy."""
        return deepcopy(self.known | {"observations": self.observations, "scores": self.scores})


_records: "OrderedDict[str, Record]" = OrderedDict()
_lock = threading.Lock()


def remember(trace_id: str, record: Record) -> None:
    """Remember a new trace."""
    with _lock:
        _records[trace_id] = record
        while len(_records) > MOST_TRACES:
            _records.popitem(last=False)


def recall(trace_id: str) -> Record | None:
    """What is remembered of a trace."""
    return _records.get(trace_id)


def forget(trace_id: str) -> None:
    """Keep nothing of a trace that nobody will ask about."""
    with _lock:
        _records.pop(trace_id, None)

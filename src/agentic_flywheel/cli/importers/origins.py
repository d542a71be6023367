"""Tells which transcripts of Claude Code or Codex begin with what another one has, so that no turn is kept twice.

A talk that is sent to the background, forked or branched goes on in a new file under a new session id, behind a copy of
its lines: with the ids that they had, and most with another `sessionId`. A branch names its origin in `forkedFrom`, a
fork (2.1.332) in `requestSessionId`, one of the desktop in the `sessionId` of what it copied; in the background
(2.1.226) lines have `sessionKind` "bg", and nothing names the origin: the two have the same first line. Codex names it
in the first line of a fork (`forked_from_id`).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar, cast

from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.noted import Origin
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.json_text import JSONObject

LOOKED_AT = 200
"""Lines among which the first of the talk is looked for; what stands before it is what the program notes."""

_File = TypeVar("_File", bound=Hashable)


def named_parent(value: JSONObject) -> str:
    """The session that a line names as the one that it was copied from, or asked of; empty if it names none."""
    forked = value.get("forkedFrom")
    named = cast("JSONObject", forked).get("sessionId") if isinstance(forked, dict) else value.get("requestSessionId")
    return named if isinstance(named, str) and named != value.get("sessionId") else ""


def origin(entries: Iterable[JsonEntry | BadEntry], name: str, size: int) -> Origin | None:
    """The origin of the transcript of that name; `None` where no line tells it, or it is a sub-agent's.

    The first line of the talk tells it; where that is a compaction, with which a fork of Claude Code may begin, the
    first that names another session does.
    """
    found: Origin | None = None
    for entry in islice(entries, LOOKED_AT):
        value = entry.value if isinstance(entry, JsonEntry) else {}
        if value.get("type") == "session_meta":
            return _origin_of_thread(value.get("payload"), size)
        uuid, session = value.get("uuid"), value.get("sessionId")
        if isinstance(uuid, str) and uuid and isinstance(session, str) and not value.get("isSidechain"):
            parent = named_parent(value) or (session if session != name else "")
            if found is None:
                found = Origin(uuid, name, parent, value.get("sessionKind") == "bg", size)
                is_told = value.get("subtype") != "compact_boundary"
            else:
                found, is_told = replace(found, parent=parent), bool(parent)
            if is_told:
                break
    return found


def _origin_of_thread(payload: object, size: int) -> Origin | None:
    """The origin of a transcript of Codex that begins so; its talk has no lines of another one."""
    meta = as_object(payload)
    own, parent = meta.get("id"), meta.get("forked_from_id")
    if not isinstance(own, str) or "subagent_history_start_ordinal" in meta:
        return None
    return Origin(own, own, parent if isinstance(parent, str) else "", is_background=False, size=size)


def in_order(files: Sequence[_File], origins: dict[_File, Origin]) -> tuple[list[_File], set[_File]]:
    """The files, each behind those that it may begin with; and those that have to do with another."""
    sessions = {each.own: file for file, each in origins.items()}
    groups = defaultdict[str, list[_File]](list)
    for file, each in origins.items():
        groups[each.root].append(file)
    before: dict[_File, list[_File]] = {}
    for group in groups.values():
        # A copy that went on is the longer one; where both went on, either may be the first.
        group.sort(key=lambda file: (origins[file].is_background, origins[file].size, origins[file].own))
        for place, file in enumerate(group):
            parent = sessions.get(origins[file].parent)
            before[file] = ([] if parent is None or parent == file else [parent]) + group[max(place - 1, 0) : place]
    ordered: dict[_File, None] = {}
    for file in files:
        waiting, under_way = [file], set[_File]()
        while waiting:
            first = [each for each in before.get(waiting[-1], ()) if each not in ordered and each not in under_way]
            under_way.add(waiting[-1])
            if first:
                waiting += first[:1]
            else:
                ordered[waiting.pop()] = None
    related = {file for file, those in before.items() if those}
    return list(ordered), related | {each for those in before.values() for each in those}

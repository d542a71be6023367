"""What persistence says of itself: the one account that `persistence_status` and `doctor` both give."""

import platform
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from agentic_flywheel import __version__
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import HeldUp, JournalState, Waiting, in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.replication.repository import Places
from agentic_flywheel.sessions.results import StatusResult
from agentic_flywheel.settings import Settings

REPORTED_PACKAGES = ("mcp", "coaiapy-mcp")

TOLD = ("server", "redis_version", "role", "maxmemory_policy", "maxmemory", "evicted_keys")
"""What Redis says of itself that is told on, where it says it."""

OVERDUE_SECONDS = 5.0
"""A well Redis takes what is pending within this; what is pending for longer has a cause, which is named."""

HELD_UP_READ = 100
"""Pending changes that were not taken and are looked at to say of which kind they are."""

CAUSES_NAMED = 3
"""Causes for which changes wait that one sentence names."""

LARGE = 1_000_000
"""Bytes of a save whose size is named beside the cause for which it waits: it may be that size."""

_KINDS = {
    "session": "a save",
    "deletion": "a deletion",
    "renewal": "a renewal",
    "execution": "a flow result",
    "flow": "a flow history",
    "arrival": "an imported session",
}
"""Kinds of changes, in words."""

Mode = Literal["redis", "mirror", "journal", "none"]


@dataclass(frozen=True, slots=True)
class _Here:
    """What the journal says: of itself, of what is held up, whether it puts something back, and what stays here."""

    state: JournalState
    held_up: list[HeldUp] = field(default_factory=list[HeldUp])
    putting_back: bool = False
    of_this_machine: int = 0

    @property
    def overdue(self) -> bool:
        """Whether something is pending for longer than a well Redis takes."""
        return self.state.pending > 0 and self.state.pending_seconds > OVERDUE_SECONDS


async def persistence_status(places: Places, settings: Settings) -> StatusResult:
    """Where documents are kept right now, and why there; asks Redis, within the bound of an operation."""
    stash = places.stash
    redis: JSONObject = {"state": "not used", "target": settings.redis_target}
    child: JSONObject = {"state": "not used", "generation": 0, "verbs": []}
    if stash is None:
        here = await in_thread(_look, places.journal)
        mode, reasons = _without_redis(here.state)
    else:
        error = stash.breaker.last_error  # the question after it may be answered all the same
        try:
            info = await stash.status()
        except Unavailable as exc:
            here = await in_thread(_look, places.journal)
            redis |= {"state": "unreachable", "durability": "unknown", "last_error": str(exc)}
            kept = "." if here.state.path is None else "; what is saved meanwhile goes to the journal."
            mode, reasons = "journal", [f"Redis cannot be used now ({exc}){kept}"]
        else:
            here = await in_thread(_look, places.journal)  # afterwards: a slow answer was time to send something
            redis |= {"state": "answering", "durability": _durability(info), "last_error": None}
            redis |= {name: info[name] for name in TOLD if info.get(name) is not None}
            mode, reasons = _with_redis(stash, here, redis, error)
        state = stash.supervisor.state
        child = {"state": state.state, "generation": state.generation, "pid": state.pid, "verbs": list(state.verbs)}
        child["last_error"] = state.last_error
        if here.state.path is None:
            reasons.append("On this machine nothing is kept: the journal is switched off (FLYWHEEL_JOURNAL=false).")
    reasons += _of_the_journal(here)
    if here.state.error or here.state.path is None:
        mode = "none" if mode == "journal" else mode
    reason = " ".join(reasons)
    return StatusResult(
        mode=mode,
        reason=reason,
        child=child,
        redis=redis,
        journal=_journal(here, settings),
        versions={
            "agentic-flywheel-state": __version__,
            "python": platform.python_version(),
            **{name: _installed(name) for name in REPORTED_PACKAGES},
        },
        message=reason,
    )


def _look(journal: Journal) -> _Here:
    state = journal.state()
    try:
        held_up = journal.held_up(HELD_UP_READ)
        return _Here(state, held_up, bool(journal.unverified(1)), journal.of_this_machine())
    except JournalUnavailable:
        return _Here(state)


def _without_redis(state: JournalState) -> tuple[Mode, list[str]]:
    if state.path is None:
        off = "REDIS_ENABLED is false and the journal is switched off (FLYWHEEL_JOURNAL=false): nothing is kept."
        return "journal", [off]
    return "journal", ["REDIS_ENABLED is false: this machine's journal is the store."]


def _with_redis(stash: Stash, here: _Here, redis: JSONObject, error: str | None) -> tuple[Mode, list[str]]:
    """Mode and reasons where Redis answers; what is the matter is put into `redis`. `error`: the last one before."""
    mode: Mode = "redis"
    # With nothing to write, what was refused once is over: it was found to be there, or nobody wants it any more.
    wanted = here.state.pending or here.putting_back or here.state.path is None
    refusal = (stash.breaker.refuses_all or stash.breaker.unread) if wanted else None
    if refusal:
        redis |= {"state": "refusing writes", "last_error": refusal}
        kept = "." if here.state.path is None else "; they go to the journal."
        mode, reasons = "journal", [f"Redis takes no writes now ({refusal}){kept}"]
    elif stash.mirror:
        mode, reasons = "mirror", [
            "The coaia child has only coaia_tash and coaia_fetch: the journal rules (revisions, lists, "
            f"expiry) and Redis at {redis['target']} gets a copy of each document up to 4 MiB."
        ]  # fmt: skip
    elif stash.breaker.unread:
        redis["last_error"] = stash.breaker.unread
        reasons = [f"Redis at {redis['target']} refuses to be read ({stash.breaker.unread})."]
    elif here.overdue and not here.held_up:
        why = (error or stash.supervisor.state.last_error or "no attempt to send it has been answered").rstrip(".")
        redis["last_error"] = why
        reasons = [f"Redis at {redis['target']} answers, but {_changes(here.state.pending)} in the journal: {why}."]
    else:
        reasons = [f"Redis at {redis['target']} keeps the shared copy."]
    if here.held_up:
        redis["last_error"] = redis["last_error"] or here.held_up[0].cause
        reasons.append(f"{_changes(here.state.pending).capitalize()} in the journal: {_causes(here.held_up)}.")
    elif here.state.pending and stash.breaker.refused and not refusal:  # and not tried again yet
        redis["last_error"] = redis["last_error"] or next(reversed(stash.breaker.refused.values())).why
        reasons.append(
            f"{_changes(here.state.pending).capitalize()} in the journal: {redis['last_error'].rstrip('.')}."
        )
    if here.putting_back:
        reasons.append("What Redis may have lost is being compared with this machine's copies and put back.")
    if warning := _eviction(redis):
        redis["warning"] = warning
        reasons.append(warning)
    return mode, reasons


def _changes(number: int) -> str:
    return "one change waits" if number == 1 else f"{number:,} changes wait"


def _causes(held_up: list[HeldUp]) -> str:
    """Which kinds of changes were not taken, and why."""
    causes = Counter((_named(each), each.cause.rstrip(".")) for each in held_up)
    told = [
        f"{kind}{f' and {number - 1:,} more like it' if number > 1 else ''} ({cause})"
        for (kind, cause), number in causes.most_common(CAUSES_NAMED)
    ]
    return ", ".join(told) + (", and others" if len(causes) > CAUSES_NAMED else "")


def _named(change: HeldUp) -> str:
    kind = _KINDS.get(change.kind, "a change")
    return f"{kind} of {change.bytes / 1_000_000:.1f} MB" if change.bytes >= LARGE else kind


def _eviction(redis: JSONObject) -> str | None:
    """What to be warned of, where Redis may evict what is kept in it."""
    policy, evicted = redis.get("maxmemory_policy"), redis.get("evicted_keys") or 0
    warnings: list[str] = []
    if policy not in (None, "noeviction"):
        when = "" if redis.get("maxmemory") != 0 else " once its memory is limited"
        warnings.append(f"This Redis may evict sessions{when} ({policy}): set maxmemory-policy noeviction.")
    if evicted:
        keys = "1 key" if evicted == 1 else f"{evicted:,} keys"
        warnings.append(f"It has evicted {keys} since it was started; sessions may be among them.")
    return " ".join(warnings) or None


def _of_the_journal(here: _Here) -> list[str]:
    """What is to be said of the journal, whatever Redis does."""
    state, reasons = here.state, list[str]()
    if state.error:
        reasons.append(state.error)
    if here.of_this_machine:
        number = here.of_this_machine
        sessions = "1 session belongs" if number == 1 else f"{number:,} sessions belong"
        reasons.append(f"{sessions} to this machine; what is saved again moves to Redis.")
    reasons += [waits(each) for each in state.waiting]
    if state.set_aside:
        reasons.append("There are dead letters: agentic-flywheel-state dead-letters shows them.")
    if state.damaged:
        reasons.append(f"A damaged journal was moved aside: {state.damaged[-1]}; what could be read of it was kept.")
    return reasons


def waits(waiting: Waiting) -> str:
    """What waits for another Redis, and how it gets there."""
    documents = "1 document" if waiting.keys == 1 else f"{waiting.keys:,} documents"
    where = waiting.shown or "another Redis"
    waits = _changes(waiting.changes).capitalize()
    return f"{waits} for {where} ({documents}): start once with REDIS_URL set to it, and they are sent."


def _journal(here: _Here, settings: Settings) -> JSONObject:
    state = here.state
    return {
        "path": state.path,
        "pending": state.pending,
        "pending_seconds": round(state.pending_seconds, 1),
        "pending_cause": here.held_up[0].cause if here.held_up else state.pending_cause,
        "set_aside": [{"key": key, "reason": why} for key, why in state.set_aside],
        "bytes": state.bytes,
        "replica": {"documents": state.copies, "bytes": state.replica_bytes, "cap": settings.replica_bytes},
        "putting_back": here.putting_back,
        "waiting": [{"destination": each.shown, "changes": each.changes, "keys": each.keys} for each in state.waiting],
        "this_machine": here.of_this_machine,
        "moved_aside": list(state.damaged),
        "error": state.error,
    }


def _durability(info: JSONObject) -> str:
    if info.get("aof_enabled") is None:
        return "unknown"
    if info["aof_enabled"]:
        return "append-only file: acknowledged saves survive a restart of Redis"
    return "no append-only file: what was saved since its last snapshot is lost when Redis is killed"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

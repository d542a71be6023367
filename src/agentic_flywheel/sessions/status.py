"""Reports where sessions are kept and why: the one account that `persistence_status` and `doctor` both give."""

import platform
import re
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from agentic_flywheel import __version__
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import HeldUp, JournalState, Waiting
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import cause
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.results import StatusResult

PACKAGES, PACKAGES_OF_REDIS = {"mcp": "mcp"}, {"redis-py": "redis", "coaiapy-mcp": "coaiapy-mcp"}
"""Distributions whose versions are told, by the name that they are told under; one that is not installed has none."""

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

SEND = "`agentic-flywheel-state sessions send --all`"

Mode = Literal["redis", "mirror", "journal", "none"]


@dataclass(frozen=True, slots=True)
class _LocalState:
    """The state of the journal: what is held up in it, whether it puts something back, what belongs to this machine."""

    state: JournalState
    held_up: list[HeldUp] = field(default_factory=list[HeldUp])
    putting_back: bool = False
    of_this_machine: int = 0

    @property
    def overdue(self) -> bool:
        """Whether something is pending for longer than a well Redis takes."""
        return self.state.pending > 0 and self.state.pending_seconds > OVERDUE_SECONDS


async def persistence_status(repository: Repository, redis_target: str, replica_bytes: int) -> StatusResult:
    """Where documents are kept right now, and why there; asks Redis, within the deadline of an operation.

    `redis_target` is the address to show, empty where none is named; `replica_bytes` the most the replica may hold.
    """
    redis: JSONObject = {"state": "not used", "target": redis_target}
    child: JSONObject = {"state": "not used", "generation": 0, "verbs": []}
    if repository.stash is None:
        local = await in_thread(_look, repository.journal)
        mode, reasons = _without_redis(local.state, named=bool(redis_target))
    else:
        local, mode, reasons = await _ask(repository.stash, repository.journal, redis)
        child = _child(repository.stash)
    reasons += _of_the_journal(local)
    if local.state.error or local.state.path is None:
        mode = "none" if mode == "journal" else mode
    reason = " ".join(reasons)
    packages = PACKAGES | PACKAGES_OF_REDIS if redis_target else PACKAGES
    return StatusResult(
        mode=mode,
        reason=reason,
        child=child,
        redis=redis if redis_target else None,
        journal=_journal(local, replica_bytes),
        versions={
            "agentic-flywheel-state": __version__,
            "python": platform.python_version(),
            **{name: _installed(package) for name, package in packages.items()},
        },
        message=reason,
    )


async def _ask(stash: Stash, journal: Journal, redis: JSONObject) -> tuple[_LocalState, Mode, list[str]]:
    """The journal's state, the mode and its reasons; what Redis says of itself is put into `redis`."""
    error = stash.breaker.last_error  # the question after it may be answered all the same
    try:
        info = await stash.status()
    except Unavailable as exc:
        local = await in_thread(_look, journal)
        redis |= {"state": "unreachable", "durability": "unknown", "last_error": str(exc)}
        meanwhile = _elsewhere(local, "what is saved meanwhile goes")
        mode, reasons = "journal", [f"Redis cannot be used now ({exc}){meanwhile}"]
    else:
        local = await in_thread(_look, journal)  # afterwards: a slow answer was time to send something
        redis |= {"state": "answering", "durability": _durability(info), "last_error": None}
        redis |= {name: _word(info[name]) for name in TOLD if info.get(name) is not None}
        mode, reasons = _with_redis(stash, local, redis, error)
    if local.state.path is None:
        reasons.append("On this machine nothing is kept: the journal is switched off (FLYWHEEL_JOURNAL=false).")
    return local, mode, reasons


def _word(value: object) -> object:
    """A value that Redis says of itself; a text is quoted unless it is a word or two, as those are that we know."""
    if not isinstance(value, str) or re.fullmatch(r"[\w.+-]{1,30}( [\w.+-]{1,30})?", value):
        return value
    return cause(value)


def _child(stash: Stash) -> JSONObject:
    state = stash.supervisor.state
    return {
        "state": state.state,
        "generation": state.generation,
        "pid": state.pid,
        "verbs": list(state.verbs),
        "last_error": state.last_error,
    }


def _elsewhere(local: _LocalState, what: str) -> str:
    """The end of a sentence that says where `what` goes while Redis takes nothing."""
    return "." if local.state.path is None else f"; {what} to the journal."


def _look(journal: Journal) -> _LocalState:
    state = journal.state()
    try:
        held_up = journal.held_up(HELD_UP_READ)
        return _LocalState(state, held_up, bool(journal.list_unverified(1)), journal.of_this_machine())
    except JournalUnavailable:
        return _LocalState(state)


def _without_redis(state: JournalState, *, named: bool) -> tuple[Mode, list[str]]:
    why = "REDIS_ENABLED is false: this machine's journal is the store." if named else ""
    if state.path is None:
        why = "The journal is switched off (FLYWHEEL_JOURNAL=false), and there is no other store: nothing is kept."
    return "journal", [why or f"Sessions are kept on this machine, in {state.path}."]


def _with_redis(stash: Stash, local: _LocalState, redis: JSONObject, error: str | None) -> tuple[Mode, list[str]]:
    """Mode and reasons where Redis answers; what is the matter is put into `redis`. `error`: the last one before."""
    refusal = _refusal(stash, local)
    mode, reason = _main_reason(stash, local, redis, refusal=refusal, error=error)
    reasons = [reason]
    waiting = f"{_changes(local.state.pending).capitalize()} in the journal"
    if local.held_up:
        redis["last_error"] = redis["last_error"] or local.held_up[0].cause
        reasons.append(f"{waiting}: {_causes(local.held_up)}.")
    elif not refusal and local.state.pending and (refused := [*stash.breaker.refused.values()]):  # not tried again yet
        redis["last_error"] = redis["last_error"] or refused[-1].why
        reasons.append(f"{waiting}: {redis['last_error'].rstrip('.')}.")
    if local.putting_back:
        reasons.append("What Redis may have lost is being compared with this machine's copies and put back.")
    if warning := _eviction(redis):
        redis["warning"] = warning
        reasons.append(warning)
    return mode, reasons


def _refusal(stash: Stash, local: _LocalState) -> str | None:
    """Why Redis takes no writes."""
    # With nothing to write, an earlier refusal is over: what was refused is there by now, or no longer needed.
    writes = local.state.pending or local.putting_back or local.state.path is None
    return (stash.breaker.refuses_all or stash.breaker.unread) if writes else None


def _main_reason(
    stash: Stash, local: _LocalState, redis: JSONObject, *, refusal: str | None, error: str | None
) -> tuple[Mode, str]:
    if refusal:
        redis |= {"state": "refusing writes", "last_error": refusal}
        return "journal", f"Redis takes no writes now ({refusal}){_elsewhere(local, 'they go')}"
    if stash.mirror:
        return "mirror", (
            "The coaia child has only coaia_tash and coaia_fetch: the journal rules (revisions, lists, "
            f"expiry) and Redis at {redis['target']} gets a copy of each document up to 4 MiB."
        )
    if stash.breaker.unread:
        redis["last_error"] = stash.breaker.unread
        return "redis", f"Redis at {redis['target']} refuses to be read ({stash.breaker.unread})."
    if local.overdue and not local.held_up:
        why = (error or stash.supervisor.state.last_error or "no attempt to send it has been answered").rstrip(".")
        redis["last_error"] = why
        return (
            "redis",
            f"Redis at {redis['target']} answers, but {_changes(local.state.pending)} in the journal: {why}.",
        )
    return "redis", f"Redis at {redis['target']} keeps the shared copy."


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


def _of_the_journal(local: _LocalState) -> list[str]:
    """What is to be said of the journal, whatever Redis does."""
    state, reasons = local.state, list[str]()
    if state.error:
        reasons.append(state.error)
    if local.of_this_machine:
        number = local.of_this_machine
        sessions = "1 session belongs" if number == 1 else f"{number:,} sessions belong"
        reasons.append(f"{sessions} to this machine; what is saved again moves to Redis, and {SEND} sends all.")
    reasons += [waits(each) for each in state.waiting]
    if state.dead_letters:
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


def _journal(local: _LocalState, replica_bytes: int) -> JSONObject:
    state = local.state
    return {
        "path": state.path,
        "pending": state.pending,
        "pending_seconds": round(float(state.pending_seconds), 1),
        "pending_cause": local.held_up[0].cause if local.held_up else state.pending_cause,
        "set_aside": [{"key": key, "reason": why} for key, why in state.dead_letters],
        "bytes": state.bytes,
        "replica": {"documents": state.replica_documents, "bytes": state.replica_bytes, "cap": replica_bytes},
        "putting_back": local.putting_back,
        "waiting": [{"destination": each.shown, "changes": each.changes, "keys": each.keys} for each in state.waiting],
        "this_machine": local.of_this_machine,
        "moved_aside": list(state.damaged),
        "made_private": list(state.made_private),
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

"""What persistence says of itself: the one account that `persistence_status` and `doctor` both give."""

import platform
from importlib.metadata import PackageNotFoundError, version

import anyio.to_thread

from agentic_flywheel import __version__
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.jsontext import JSONObject
from agentic_flywheel.places import Places
from agentic_flywheel.results import StatusResult
from agentic_flywheel.settings import Settings

REPORTED_PACKAGES = ("mcp", "coaiapy-mcp")


async def persistence_status(places: Places, settings: Settings) -> StatusResult:
    """Where documents are kept right now, and why there; asks Redis, within the bound of an operation."""
    journal = await anyio.to_thread.run_sync(places.journal.state)
    stash = places.stash
    redis: JSONObject = {"state": "not used", "target": settings.redis_target}
    child: JSONObject = {"state": "not used", "generation": 0, "verbs": []}
    if stash is None:
        mode, reason = "journal", "REDIS_ENABLED is false: this machine's journal is the store."
    else:
        try:
            info = await stash.status()
        except Unavailable as exc:
            redis |= {"state": "unreachable", "durability": "unknown", "last_error": str(exc)}
            kept = "." if journal.path is None else "; what is saved meanwhile goes to the journal."
            mode, reason = "journal", f"Redis cannot be used now ({exc}){kept}"
        else:
            redis |= {"state": "answering", "durability": _durability(info), "last_error": stash.last_error}
            redis |= {name: info[name] for name in ("redis_version", "role", "maxmemory_policy") if info.get(name)}
            mode, reason = "redis", f"Redis at {settings.redis_target} keeps the shared copy."
            refusal = next(reversed(stash.refused.values()), "")
            if refusal:
                redis["last_error"] = refusal
                reason += f" It refused a write that stays in the journal ({refusal})."
            if stash.refuses_all:
                redis["state"] = "refusing writes"
                mode, reason = "journal", f"Redis takes no writes now ({refusal}); they go to the journal."
            elif stash.mirror:
                mode = "mirror"
                reason = (
                    "The coaia child has only coaia_tash and coaia_fetch: the journal rules (revisions, lists, "
                    f"expiry) and Redis at {settings.redis_target} gets a copy of each document up to 4 MiB."
                )
        state = stash.client.state
        child = {"state": state.state, "generation": state.generation, "pid": state.pid, "verbs": list(state.verbs)}
        child["last_error"] = state.last_error
    if journal.path is None:
        off = "the journal is switched off (FLYWHEEL_JOURNAL=false)"
        if stash is None:
            reason = f"REDIS_ENABLED is false and {off}: nothing is kept."
        else:
            reason += f" On this machine nothing is kept: {off}."
        mode = "none" if mode == "journal" else mode
    elif journal.error:
        reason += f" {journal.error}"
        mode = "none" if mode == "journal" else mode
    if journal.damaged:
        reason += f" A damaged journal was moved aside: {journal.damaged[-1]}; what could be read of it was kept."
    return StatusResult(
        mode=mode,
        reason=reason,
        child=child,
        redis=redis,
        journal={
            "path": journal.path,
            "pending": journal.pending,
            "set_aside": [{"key": key, "reason": why} for key, why in journal.set_aside],
            "bytes": journal.bytes,
            "replica": {"documents": journal.copies, "bytes": journal.replica_bytes, "cap": settings.replica_bytes},
            "moved_aside": list(journal.damaged),
            "error": journal.error,
        },
        versions={
            "agentic-flywheel-state": __version__,
            "python": platform.python_version(),
            **{name: _installed(name) for name in REPORTED_PACKAGES},
        },
        message=reason,
    )


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

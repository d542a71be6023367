"""`doctor`: says in one line each what must work, and what to do where it does not."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from agentic_flywheel.cli.doctor_as import doctor_as
from agentic_flywheel.cli.hints import hint
from agentic_flywheel.cli.terminal import say
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.journal.records import Waiting
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.redis_url import unchecked, without_password
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.results import CacheResult, StatusResult
from agentic_flywheel.sessions.status import SEND, persistence_status, waits
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

START_SECONDS = 15.0
"""How long the child may take to start before it counts as broken."""

SAVES = 5
"""Round trips whose median is shown."""

LIFE_SECONDS = 60
"""How long what the doctor saves is kept where it may not be deleted."""

NAMED_SECONDS = 5.0
"""How long the doctor waits until it is known why Redis did not take its save."""

ASKED_AGAIN_SECONDS = 0.2
"""From one look at that to the next."""

REPLICA = "slave"
"""What INFO calls the role of a replica."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """How the saves went: each round trip in seconds, where the last one is kept, and the message with it."""

    seconds: list[float]
    stored_in: str
    message: str


def doctor(settings: Settings, client: str | None = None) -> int:
    """Print the findings, or what differs for a `client`; 0 if saves are kept where they belong, else 1."""
    if client:
        return doctor_as(settings, client)
    if settings.redis_named:
        unused = "" if settings.redis_enabled else " (REDIS_ENABLED=false: not used)"
        _report("·", "Redis", f"{settings.redis_target}{unused}")
    if what := unchecked(settings.redis_url):
        text = f"the {what} is not checked (ssl_check_hostname=false in REDIS_URL): others can pose as this Redis."
        _report("!", "TLS", text)
    for name in settings.overridden:
        _report("!", name, "is set but overridden by REDIS_URL, which wins whole. Unset one of them.")
    for place, names in _places(settings).items():
        _report("·", "Settings", f"{', '.join(names)} from {place}")
    _report("·", "Keys", f"begin with {settings.key_prefix}: (FLYWHEEL_PREFIX)")
    named = " (REDIS_TTL_SECONDS)" if settings.redis_named else ""
    _report("·", "Sessions live", f"{_life(settings.session_ttl_seconds, datetime.now(UTC))}{named}")
    for place, url in _found_elsewhere(os.environ, Path.home()):
        _report("!", place, f"names a Redis, but is never read. To use it set REDIS_URL={url}")
    status, tried = asyncio.run(_examine(settings))
    if settings.redis_enabled:
        _report_redis(settings, status)
    _report_journal(settings, status)
    return _report_saves(settings, tried)


def _places(settings: Settings) -> dict[str, list[str]]:
    """The settings that are no defaults, by where they stand."""
    places: dict[str, list[str]] = {}
    for name, source in settings.sources:
        same = source == f"environment variable {name}"
        places.setdefault("the environment" if same else source, []).append(name)
    return places


async def _examine(settings: Settings) -> tuple[StatusResult, _Tried]:
    """Start everything as the server would, save a little, and ask how it went; nothing of it stays."""
    sessions, executions = open_store(settings)
    repository = sessions.repository
    async with sessions:
        if repository.stash:
            await repository.wait_for_child(START_SECONDS)
        execution_id = f"doctor_{uuid4().hex[:8]}"
        tried = await _try(executions, execution_id)
        try:
            return await _status_with_cause(repository, settings, tried), tried
        finally:
            await _clean_up(repository, executions, Keys(settings.key_prefix), execution_id)


async def _try(executions: ExecutionStore, execution_id: str) -> _Tried:
    """Save the same a few times; once is enough where it does not go where it should."""
    times: list[float] = []
    kept: CacheResult | None = None
    while kept is None or (len(times) < SAVES and kept.stored_in == "redis"):
        began = time.perf_counter()
        kept = await executions.cache_result({"from": "doctor"}, execution_id, ttl_seconds=LIFE_SECONDS)
        times.append(time.perf_counter() - began)
    return _Tried(times, kept.stored_in, kept.message)


async def _status_with_cause(repository: Repository, settings: Settings, tried: _Tried) -> StatusResult:
    """The status, once it names why Redis did not take the save, if it did not."""
    status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
    if repository.stash and tried.stored_in != "redis":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAMED_SECONDS):
                while status.redis and not status.redis["last_error"]:
                    await asyncio.sleep(ASKED_AGAIN_SECONDS)
                    status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
    return status


async def _clean_up(repository: Repository, executions: ExecutionStore, keys: Keys, execution_id: str) -> None:
    """Take away what was saved. Nobody else knows of it, so no tombstone is left either."""
    key = keys.execution(execution_id)
    with contextlib.suppress(Unavailable):
        await executions.get_result(execution_id)  # waits until this machine has its copy
        await in_thread(repository.journal.withdraw, key)
    if repository.stash:
        with contextlib.suppress(Unavailable):
            await repository.stash.drop(key, repository.stash.deadline())


def _report_redis(settings: Settings, status: StatusResult) -> None:
    child, redis = status.child, status.redis or {}
    if child["state"] == "ready":
        _report("✓", "Child", f"runs, with {', '.join(child['verbs'][:12])}")
        if not (status.versions["coaiapy-mcp"] or settings.coaia_command or settings.coaia_python):
            _report("·", "coaiapy-mcp", "is not installed, and not needed: the child's own tools do the same.")
    else:
        _report("✗", "Child", f"{child['state']}. {child['last_error'] or ''}")
        _try_this("check FLYWHEEL_COAIA_PYTHON and FLYWHEEL_COAIA_COMMAND, or install agentic-flywheel-state again.")
    role = ", a replica" if redis.get("role") == REPLICA else f", {redis['role']}" if redis.get("role") else ""
    server = f"{redis['server']}{role}: " if redis.get("server") else ""
    error = redis.get("last_error")
    if redis["state"] == "unreachable":
        _report("✗", "Redis", f"does not answer: {error}")
    elif redis["state"] != "answering":
        _report("✗", "Redis", f"{server}takes no writes: {error}")
    elif error:
        _report("!", "Redis", f"{server}answers, but not all that is sent is taken: {error}")
    else:
        _report("✓", "Redis", f"{server}answers. Durability: {redis['durability']}.")
    if error and child["state"] == "ready":
        _try_this(hint(error, settings))
    elif redis.get("role") == REPLICA:
        _report("!", "Role", "replica. REDIS_URL must name the primary: what a replica is told is lost.")
    if redis.get("warning"):
        _report("!", "Eviction", redis["warning"])


def _report_journal(settings: Settings, status: StatusResult) -> None:
    journal = status.journal
    if journal["path"] is None:
        lost = "with Redis away, nothing can be saved" if settings.redis_named else "nothing is kept"
        _report("!", "Journal", f"is switched off (FLYWHEEL_JOURNAL=false): {lost}.")
    elif journal["error"]:
        _report("✗", "Journal", journal["error"])
        _try_this("make the folder writable, or set FLYWHEEL_DATA_DIR to another one.")
    else:
        _report("✓", "Journal", f"{journal['path']} ({journal['bytes']:,} bytes, {journal['pending']} pending)")
    if journal["made_private"]:
        names = ", ".join(cast("list[str]", journal["made_private"]))
        _report("!", "Files", f"others could read {names}; nobody else can now.")
    if journal["putting_back"]:
        _report("·", "Putting back", "what Redis may have lost is compared with this machine's copies and put back.")
    if number := journal["this_machine"]:
        text = f"{number:,} of the sessions here belong to no Redis; each moves when next saved, all by {SEND}."
        _report("·", "This machine", text)
    for item in cast("list[JSONObject]", journal["waiting"]):
        _report("!", "Waiting", waits(Waiting(item["destination"], item["changes"], item["keys"])))
    for item in cast("list[JSONObject]", journal["set_aside"]):
        _report("!", "Dead letter", f"{item['key']}: {item['reason']}")
    if journal["set_aside"]:
        _try_this("agentic-flywheel-state dead-letters, which lists, retries, exports and drops them.")


def _report_saves(settings: Settings, tried: _Tried) -> int:
    if tried.stored_in == "none":
        _report("✗", "A save", f"is kept nowhere. {tried.message}".rstrip())
        return 1
    count = len(tried.seconds)
    milliseconds = sorted(tried.seconds)[count // 2] * 1000
    if settings.redis_enabled and tried.stored_in != "redis":
        _report("✗", "A save", "did not get to Redis. It is kept in the journal, and sent later.")
        return 1
    where = f"in {tried.stored_in}" if settings.redis_named else "on this machine"
    _report("✓", "A save", f"takes {milliseconds:.1f} ms (median of {count}) and is kept {where}.")
    return 0


def _life(seconds: int, now: datetime) -> str:
    if not seconds:
        return "for ever"
    long = f"{seconds:,} s" if seconds % 86_400 else f"{seconds // 86_400:,} days"
    until = (now + timedelta(seconds=seconds)).date()
    return f"{long} after their last save or resume: what is saved now, until {until.isoformat()}"


def _found_elsewhere(environ: Mapping[str, str], home: Path) -> list[tuple[str, str]]:
    """Repository where coaiapy looks for a Redis and we do not, with the URL to set (its password stays hidden)."""
    found: list[tuple[str, str]] = []
    if url := environ.get("KV_URL"):
        found.append(("KV_URL", without_password(url)))
    found += [
        (name, f"rediss://default:***@{host}:6379 (*** is the token)")
        for name in ("UPSTASH_REDIS_REST_URL", "KV_REST_API_URL")
        if (host := urlsplit(environ.get(name, "")).hostname)
    ]
    try:
        data: Any = json.loads((home / "coaia.json").read_text(encoding="utf-8"))
        redis = data["jtaleconf"]
        scheme = "rediss" if redis.get("ssl") else "redis"
        password = ":***@" if redis.get("password") else ""
        target = f"{scheme}://{password}{redis['host']}:{redis.get('port', 6379)}/{redis.get('db', 0)}"
        found.append(("~/coaia.json", target))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # there is none, or it names no Redis
    return found


def _try_this(text: str) -> None:
    _report(" ", "", f"Try: {text}")


def _report(mark: str, what: str, text: str) -> None:
    say(f"{mark} {what:<13} {text}", {"✓": 32, "✗": 31, "!": 33}.get(mark, 0), coloured=len(mark))

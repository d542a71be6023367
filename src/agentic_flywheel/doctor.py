"""What a person runs when it does not work: one line for each thing that must, with what to do about it."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from agentic_flywheel.jsontext import JSONObject
from agentic_flywheel.results import StatusResult
from agentic_flywheel.settings import Settings, without_password
from agentic_flywheel.status import persistence_status
from agentic_flywheel.store import open_store

START_SECONDS = 15.0
"""How long the child may take to start before it counts as broken."""

SAVES = 5
"""Round trips whose median is shown."""


def doctor(settings: Settings) -> int:
    """Print the findings; 0 if saves are kept somewhere, else 1."""
    _say("·", "Redis", f"{settings.redis_target}{'' if settings.redis_enabled else ' (REDIS_ENABLED=false: not used)'}")
    for name in settings.overridden:
        _say("!", name, "is set but overridden by REDIS_URL, which wins whole. Unset one of them.")
    _say("·", "Keys", f"begin with {settings.key_prefix}: (FLYWHEEL_KEY_PREFIX)")
    life = f"{settings.session_ttl_seconds} s" if settings.session_ttl_seconds else "for ever"
    _say("·", "Sessions live", f"{life} after their last save or resume (REDIS_TTL_SECONDS)")
    for place, url in _found_elsewhere(os.environ, Path.home()):
        _say("!", place, f"names a Redis, but is never read. To use it set REDIS_URL={url}")
    status, milliseconds, stored_in = asyncio.run(_examine(settings))
    return _report(settings, status, milliseconds, stored_in)


async def _examine(settings: Settings) -> tuple[StatusResult, float, str]:
    """Start everything as the server would, save a little, and ask how it went."""
    sessions, executions = open_store(settings)
    async with sessions:
        if sessions.places.stash:
            await sessions.places.wait_for_child(START_SECONDS)
        status = await persistence_status(sessions.places, settings)  # first: what is saved here is not anybody's
        times: list[float] = []
        stored_in = "none"
        execution_id = f"doctor_{uuid4().hex[:8]}"
        for _ in range(SAVES):
            began = time.perf_counter()
            kept = await executions.cache_result({"from": "doctor"}, execution_id, ttl_seconds=60)
            times.append(time.perf_counter() - began)
            stored_in = kept.stored_in
        return status, sorted(times)[SAVES // 2] * 1000, stored_in


def _report(settings: Settings, status: StatusResult, milliseconds: float, stored_in: str) -> int:
    child, redis, journal = status.child, status.redis, status.journal
    if settings.redis_enabled:
        if child["state"] == "ready":
            _say("✓", "Child", f"runs, with {', '.join(child['verbs'][:12])}")
        else:
            _say("✗", "Child", f"{child['state']}. {child['last_error'] or ''}")
            _say(" ", "", "Try: pip install coaiapy-mcp; or check FLYWHEEL_COAIA_PYTHON and FLYWHEEL_COAIA_COMMAND.")
        if redis["state"] == "answering":
            _say("✓", "Redis", f"answers. Durability: {redis['durability']}.")
        else:
            _say("✗", "Redis", f"does not answer: {redis.get('last_error')}")
            refused = any(word in str(redis.get("last_error")) for word in ("WRONGPASS", "NOAUTH", "AUTH", "password"))
            hint = "check the user and the password" if refused else "start it, or set REDIS_URL"
            _say(" ", "", f"Try: {hint}. Without a Redis set REDIS_ENABLED=false, and the journal serves.")
    if journal["path"] is None:
        _say("!", "Journal", "is switched off (FLYWHEEL_JOURNAL=false): with Redis away, nothing can be saved.")
    elif journal["error"]:
        _say(
            "✗",
            "Journal",
            f"{journal['error']} Try: make the folder writable, or set FLYWHEEL_DATA_DIR to another one.",
        )
    else:
        _say("✓", "Journal", f"{journal['path']} ({journal['bytes']:,} bytes, {journal['pending']} pending)")
    for item in cast("list[JSONObject]", journal["set_aside"]):
        _say("!", "Set aside", f"{item['key']}: {item['reason']}")
    if stored_in == "none":
        _say("✗", "A save", "is kept nowhere. See above.")
        return 1
    _say("✓", "A save", f"takes {milliseconds:.1f} ms (median of {SAVES}) and is kept in {stored_in}.")
    return 0


def _found_elsewhere(environ: Mapping[str, str], home: Path) -> list[tuple[str, str]]:
    """Places where coaiapy looks for a Redis and we do not, with the URL to set (its password stays hidden)."""
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


def _say(mark: str, what: str, text: str) -> None:
    colour = {"✓": 32, "✗": 31, "!": 33}.get(mark)
    if colour and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\x1b[{colour}m{mark}\x1b[0m"
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{mark} {what:<13} {text}\n".encode(encoding, "replace").decode(encoding))

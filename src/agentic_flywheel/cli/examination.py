"""Tries out for the doctor what a server does: a few saves in a store of their own, and a look at the real journal."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agentic_flywheel.cli.trial import own_client, own_folder, own_settings
from agentic_flywheel.coaia.envelope import Envelopes, key_of_note
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.model import micros
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import JournalUnavailable, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.schema import FILE_NAME
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.results import CacheResult, StatusResult, StoredIn
from agentic_flywheel.sessions.status import persistence_status
from agentic_flywheel.sessions.wiring import open_journal, open_store
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from agentic_flywheel.coaia.supervisor import Supervisor

START_SECONDS = 15.0
"""How long the child may take to start before it counts as broken."""

SAVES = 5
"""Round trips whose median is shown."""

LIFE_SECONDS = 60
"""How long what the doctor saves is kept where it may not be deleted."""

NAMED_SECONDS = 5.0
"""How long the doctor waits until it is known why Redis did not take its save."""

NEWEST = 50
"""Sessions of Redis that the doctor looks at, whether the keys given here open them."""

ASKED_AGAIN_SECONDS = 0.2
"""From one look at that to the next."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How the saves went: each round trip in seconds, where the last one is kept, and the message with it."""

    seconds: list[float]
    stored_in: str
    message: str
    unopened: tuple[str, ...] = ()
    """The keys, not given here, with which some of the newest sessions in Redis are sealed."""
    unlisted: str = ""
    """Why the list in Redis, which takes saves, cannot be used; empty where it can."""


async def examine(settings: Settings) -> tuple[StatusResult, Tried]:
    """Start all as a server would, save a little, and ask how it went; nothing of it stays, in Redis or in a file.

    The status is that of the trial, but for the journal, which is the real one, opened only if it is there.
    """
    with own_folder(settings.data_dir) as (folder, why):
        own = own_settings(settings, folder, "doctor")
        execution_id = "doctor"
        async with own_client(own, [Keys(own.key_prefix).execution(execution_id)]) as client:
            sessions, executions = open_store(own, client=client)
            async with sessions:
                await sessions.repository.wait_for_child(START_SECONDS)
                tried = await _try(executions, execution_id, "redis" if own.redis_enabled else "journal")
                listed = await _unlisted(client, own) if tried.stored_in == "redis" else ""
                tried = await _look_at_list(client, settings, replace(tried, unlisted=listed))
                status = await _status_with_cause(sessions.repository, own, tried)
        if settings.journal:
            status.journal = await _real_journal(settings, status.journal, why)
    return status, tried


async def _try(executions: ExecutionStore, execution_id: str, wanted: StoredIn) -> Tried:
    """Save the same a few times; once is enough where it does not go where it should."""
    times: list[float] = []
    kept: CacheResult | None = None
    while kept is None or (len(times) < SAVES and kept.stored_in == wanted):
        began = time.perf_counter()
        kept = await executions.cache_result({"from": "doctor"}, execution_id, ttl_seconds=LIFE_SECONDS)
        times.append(time.perf_counter() - began)
    return Tried(times, kept.stored_in, kept.message)


async def _unlisted(client: "Supervisor | None", own: Settings) -> str:
    """Why a session cannot be listed for other machines; empty where it can."""
    if client is None:
        return ""
    now, keys = datetime.now(UTC), Keys(own.key_prefix)
    stash = Stash(client, keys, own.timeout_seconds, lambda: now)
    row = ListRow(keys.index, "doctor", micros(now), "{}")
    try:
        await stash.ready(stash.deadline())
        if stash.atomic:
            await stash.index.index_session(row, now + timedelta(seconds=LIFE_SECONDS), stash.deadline())
    except StashUnavailable as exc:
        return str(exc)
    return ""


async def _look_at_list(client: "Supervisor | None", settings: Settings, tried: Tried) -> Tried:
    """The same, with the keys that the newest real sessions need and these settings do not give."""
    if client is None:
        return tried
    keys, envelopes = Keys(settings.key_prefix), Envelopes(settings.seal) if settings.seal else None
    stash = Stash(client, keys, settings.timeout_seconds, lambda: datetime.now(UTC), envelopes)
    try:
        page = await stash.index.page(keys.index, None, NEWEST)
    except StashUnavailable as exc:
        return tried if tried.stored_in != "redis" else replace(tried, unlisted=tried.unlisted or str(exc))
    unopened = tuple(dict.fromkeys(key for row in page.entries if (key := key_of_note(row.note))))
    return replace(tried, unopened=unopened)


async def _status_with_cause(repository: Repository, settings: Settings, tried: Tried) -> StatusResult:
    """The status, once it names why Redis did not take the save, if it did not."""
    status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
    if repository.stash and tried.stored_in != "redis":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAMED_SECONDS):
                while status.redis and not status.redis["last_error"]:
                    await asyncio.sleep(ASKED_AGAIN_SECONDS)
                    status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
    return status


async def _real_journal(settings: Settings, trial: JSONObject, why: str) -> JSONObject:
    """What the status says of the real journal; where there is none yet, whether one could be made."""
    path = settings.data_dir / FILE_NAME
    if why or not path.exists():
        return trial | {"path": str(path), "error": why or trial["error"], "bytes": 0, "pending": 0}
    journal = open_journal(settings)
    repository = Repository(journal, None, Keys(settings.key_prefix), lambda: datetime.now(UTC))
    try:
        error = await in_thread(_write_to, journal, own_settings(settings, settings.data_dir, "doctor").key_prefix)
        status = await persistence_status(repository, settings.redis_shown, settings.replica_bytes)
        return status.journal | ({"error": status.journal["error"] or error} if error else {})
    finally:
        await in_thread(journal.close)


def _write_to(journal: Journal, key: str) -> str | None:
    """Write a little and take it away again; why that cannot be done."""
    try:
        journal.keep(Write(key, "{}", None, None))
        journal.drop(key)
    except JournalUnavailable as exc:
        return str(exc)
    return None

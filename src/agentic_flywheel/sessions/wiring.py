"""Opens the store, the journal and the child's client that the settings describe: only this file sees `Settings` here.

A command that needs the journal alone must start quickly, so what speaks MCP is imported where it is used.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentic_flywheel.journal import Journal, NoJournal
from agentic_flywheel.journal.key_file import check, unlock
from agentic_flywheel.journal.schema import FILE_NAME
from agentic_flywheel.keys import Keys
from agentic_flywheel.langfuse_access import LangfuseAccess
from agentic_flywheel.private_files import check_folder
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from agentic_flywheel.coaia.langfuse_calls import LangfuseCalls
    from agentic_flywheel.coaia.supervisor import Supervisor
    from agentic_flywheel.sessions.attached import AttachedStore
    from agentic_flywheel.sessions.executions import ExecutionStore
    from agentic_flywheel.sessions.store import SessionStore
    from agentic_flywheel.sessions.tail_logs import TailLogs
    from agentic_flywheel.sessions.tracing.lane import Redact
    from agentic_flywheel.sessions.tracing.tracer import Tracer


def open_store(
    settings: Settings, clock: Callable[[], datetime] | None = None, client: "Supervisor | None" = None
) -> "tuple[SessionStore, ExecutionStore]":
    """The store that the settings describe, and its twin for executions; nothing is started until it is entered.

    A `client` that was given is used, and not closed.
    """
    from agentic_flywheel.coaia.envelope import Envelopes
    from agentic_flywheel.coaia.stash import Stash
    from agentic_flywheel.replication.repository import Repository
    from agentic_flywheel.sessions.executions import ExecutionStore
    from agentic_flywheel.sessions.store import SessionStore

    clock = clock or _utc_now
    keys = Keys(settings.key_prefix)
    journal = open_journal(settings, clock) if settings.journal else NoJournal()
    stash = None
    if settings.redis_enabled:
        envelopes = Envelopes(settings.seal) if settings.seal else None
        stash = Stash(client or open_client(settings), keys, settings.timeout_seconds, clock, envelopes)
    repository = Repository(journal, stash, keys, clock, closes_client=client is None)
    sessions = SessionStore(
        repository,
        keys,
        session_ttl_seconds=settings.session_ttl_seconds,
        max_bytes=settings.max_session_bytes,
        revisions=settings.revisions,
        user=settings.user,
        user_only=settings.user_only,
        clock=clock,
    )
    executions = ExecutionStore(
        repository,
        keys,
        ttl_seconds=settings.execution_ttl_seconds,
        max_bytes=settings.max_session_bytes,
        clock=clock,
        hides=sessions.hides if settings.user_only else None,
    )
    return sessions, executions


def attached_to(
    sessions: "SessionStore", settings: Settings, clock: Callable[[], datetime] | None = None
) -> "AttachedStore":
    """What is kept beside the sessions of a store that these settings opened."""
    from agentic_flywheel.sessions.attached import AttachedStore

    return AttachedStore(
        sessions.repository,
        Keys(settings.key_prefix),
        ttl_seconds=settings.session_ttl_seconds,
        max_bytes=settings.max_session_bytes,
        clock=clock or _utc_now,
    )


def tail_logs_of(
    sessions: "SessionStore", settings: Settings, clock: Callable[[], datetime] | None = None
) -> "TailLogs":
    """The logs beside the sessions of a store that these settings opened, of which mostly the newest is read."""
    from agentic_flywheel.sessions.tail_logs import TailLogs

    return TailLogs(
        sessions.repository, Keys(settings.key_prefix), max_bytes=settings.max_session_bytes, clock=clock or _utc_now
    )


def open_client(settings: Settings) -> "Supervisor":
    """The keeper of the child that the settings describe; it starts it when it is first needed."""
    from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
    from agentic_flywheel.coaia.supervisor import Supervisor

    folder = ChildFolder(settings.data_dir if settings.journal else None)
    env = child_environment(
        os.environ,
        folder.path,
        redis_url=settings.redis_url,
        cluster=settings.redis_cluster,
        # Shorter than our own wait, so that a frozen Redis is the child's answer and not the child's end.
        socket_timeout=settings.timeout_seconds * 0.75,
        launcher=bool(settings.coaia_command),
    )
    command = child_command(settings.coaia_command, settings.coaia_python)
    return Supervisor(command, env, folder, fair_seconds=settings.timeout_seconds / 2)


def open_tracer(settings: Settings) -> "Tracer | None":
    """What traces as the settings say, if they do; its child is started by the first event."""
    access = settings.langfuse
    if not isinstance(access, LangfuseAccess):
        return None
    from agentic_flywheel.sessions.tracing.sender import TraceSender
    from agentic_flywheel.sessions.tracing.tracer import Tracer

    return Tracer(TraceSender(lambda: open_langfuse(access, settings)), access.shown)


def open_langfuse(access: LangfuseAccess, settings: Settings) -> "tuple[LangfuseCalls, Redact]":
    """The calls of a child that serves the tools for Langfuse alone, and what redacts as the settings say."""
    from agentic_flywheel.coaia.langfuse_calls import LangfuseCalls
    from agentic_flywheel.coaia.launch import ChildFolder, child_command, tracing_environment
    from agentic_flywheel.coaia.supervisor import Supervisor
    from agentic_flywheel.sessions.redaction.policy import Credentials
    from agentic_flywheel.sessions.tracing.tracer import SECONDS

    folder = ChildFolder(None)  # a child of the store may use the other one
    launcher = bool(settings.coaia_command)
    env = tracing_environment(os.environ, folder.path, access=access, socket_timeout=SECONDS * 0.75, launcher=launcher)
    command = child_command(settings.coaia_command, settings.coaia_python)
    credentials = Credentials(settings.secrets)
    calls = LangfuseCalls(Supervisor(command, env, folder, fair_seconds=SECONDS / 2))
    return calls, lambda content: credentials.redact(content)[0]


def open_journal(settings: Settings, clock: Callable[[], datetime] | None = None) -> Journal:
    """The journal that the settings describe."""
    unlock(settings.data_dir, settings.seal)
    # Switched off, a Redis that is named is still where sessions belong.
    addresses = settings.redis_place, settings.redis_place_before
    named, unnamed = (addresses, ()) if settings.redis_named else ((), addresses)
    return Journal(
        settings.data_dir,
        clock or _utc_now,
        named,
        settings.redis_shown,
        settings.replica_bytes,
        switched_off=not settings.redis_enabled,
        unnamed=unnamed,
    )


def check_keys(settings: Settings) -> None:
    """Check that the store can be opened with the keys that are given, or without. Raises `SettingError`."""
    if settings.journal:
        check(settings.data_dir, settings.seal)


def has_store(settings: Settings) -> bool:
    """Whether there may be something to read: a Redis is used, the journal was made, or it is switched off."""
    return settings.redis_enabled or not settings.journal or is_there(settings)


def is_there(settings: Settings) -> bool:
    """Whether the journal was made, or it is not ours to say: a command that reads need not make one."""
    try:
        check_folder(settings.data_dir)
    except OSError:
        return True  # who opens it is told
    return (settings.data_dir / FILE_NAME).exists()


def _utc_now() -> datetime:
    return datetime.now(UTC)

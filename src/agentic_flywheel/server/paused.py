"""Answers for what a caller sends of a talk that the person has put off the record: nothing of it is kept."""

from collections.abc import Callable

from agentic_flywheel.sessions.results import CacheResult, SaveResult

OffRecord = Callable[[str], str]
"""That a session of this id is off the record, and what ends it ("all talks off the record; …"); empty if it is not."""


def never(_session_id: str) -> str:
    """Nothing is off the record: there is no person at this machine."""
    return ""


def unsaved(session_id: str, paused: str) -> SaveResult:
    """The answer of a save of which nothing was kept."""
    return SaveResult(
        message=_why(paused), saved=False, session_id=session_id, revision=0, provisional=False, turns=0,
        added_turns=0, stored_in="none", expires_at=None, reason="disabled",
    )  # fmt: skip


def uncached(execution_id: str, paused: str) -> CacheResult:
    """The answer where nothing was kept of an execution."""
    return CacheResult(
        message=_why(paused), cached=False, execution_id=execution_id, stored_in="none", expires_at=None,
        reason="disabled",
    )  # fmt: skip


def _why(paused: str) -> str:
    """A sentence without its end."""
    return f"the person has put {paused}"

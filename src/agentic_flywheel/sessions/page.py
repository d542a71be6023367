"""Says which part of a session an answer is to show, and refuses what is none."""

from dataclasses import dataclass

from agentic_flywheel.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Page:
    """Which turns of a session an answer is to show."""

    max_tokens: int
    before_turn: int | None


def check(session_id: str, max_tokens: int, before_turn: int | None, revision: int | None) -> None:
    """Raise `InvalidArgument` unless these arguments of a resume go together."""
    if max_tokens < 1:
        raise InvalidArgument("max_tokens must be at least 1.")
    if before_turn is not None and before_turn < 0:
        raise InvalidArgument("before_turn must be 0 or more: it is the position before which turns are wanted.")
    if revision is not None and not session_id:
        raise InvalidArgument("revision needs session_id: whose revision is wanted?")

"""Says which part of a session an answer is to show, and refuses what is none."""

from dataclasses import dataclass

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.plain_text import brief


@dataclass(frozen=True, slots=True)
class Page:
    """Which turns of a session an answer is to show."""

    max_tokens: int
    before_turn: int | None


def check(session_id: str, max_tokens: int, before_turn: int | None, revision: int | None) -> None:
    """Raise `InvalidArgument` unless these arguments of a resume go together."""
    if max_tokens < 1:
        raise InvalidArgument(f"max_tokens must be at least 1, such as 9500; {brief(max_tokens)} came.")
    if before_turn is not None and before_turn < 0:
        raise InvalidArgument(
            "before_turn must be the position before which turns are wanted, such as next_before_turn of an answer; "
            f"{brief(before_turn)} came."
        )
    if revision is not None and not session_id:
        raise InvalidArgument("revision needs session_id: whose revision is wanted?")

"""Says which part of a session an answer is to show, refuses what is none, and answers with it."""

from dataclasses import dataclass

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import size_of
from agentic_flywheel.plain_text import brief
from agentic_flywheel.replication.answers import Found
from agentic_flywheel.sessions.budget import BYTES_PER_TOKEN, token_window
from agentic_flywheel.sessions.results import ResumeResult


@dataclass(frozen=True, slots=True)
class Page:
    """Which turns of a session an answer is to show."""

    max_tokens: int
    before_turn: int | None
    strict: bool = False
    """Whether all of the answer must fit, although the session alone would."""


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


def window_of(document: Document, found: Found, page: Page) -> ResumeResult:
    """What a resume answers of a document that was found."""
    size = None if found.text is None or len(found.text) > page.max_tokens * BYTES_PER_TOKEN else size_of(found.text)
    window = token_window(document, size, page.max_tokens, page.before_turn, strict=page.strict)
    total = len(document.session.history)
    result = ResumeResult(
        found=True,
        session=window.session,
        revision=document.revision,
        total_turns=total,
        omitted_turns=total - (window.end - window.start),
        source=found.source,
        stale=found.stale,
    )
    if window.start:
        result.next_before_turn = window.start
    if window.cut:
        result.cut_turn, result.cut_turns = window.cut[0], window.cut
    if window.left_out:
        result.left_out_fields = window.left_out
    return result

"""Refuses new ids that look like credentials: ids stand in keys, tombstones, answers and addresses, and stay there."""

from typing import TYPE_CHECKING

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.sessions.redaction.policy import Credentials

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding
    from agentic_flywheel.sessions.resume import SessionReader


async def check_ids(
    credentials: Credentials, sessions: "SessionReader", session_id: str = "", **new_ids: str
) -> "list[Finding]":
    """Where ids look like credentials, as far as they may be kept; a session that is stored keeps its id.

    Raises:
        InvalidArgument: one looks so and is new, and credentials are to be replaced.

    """
    found = credentials.in_ids(session_id=session_id, **new_ids)
    for finding in found if credentials.replaces else ():
        if finding.path != "session_id" or not await _is_stored(sessions, session_id):
            raise InvalidArgument(f"The id looks like a credential ({finding.kind}); choose another {finding.path}.")
    return [] if credentials.replaces else found


async def _is_stored(sessions: "SessionReader", session_id: str) -> bool:
    try:
        return isinstance((await sessions.load(session_id))[0], Document)
    except DocumentError:
        return True
    except Unavailable:
        return False

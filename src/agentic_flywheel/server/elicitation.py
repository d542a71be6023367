"""Asks the person before something is deleted, where the client can: elicitation, in both eras of the protocol."""

import contextlib

from mcp.server.mcpserver import Context, Elicit
from pydantic import BaseModel, Field

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.keys import check_id
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.sessions.budget import ellipsis
from agentic_flywheel.sessions.store import SessionStore

SHOWN = 200
"""Characters of an id in the question."""


class Consent(BaseModel):
    """Whether to delete it."""

    delete: bool = Field(default=True, title="Delete it", description="It cannot be brought back")
    """Accepting an empty form is a yes."""


async def consent_to_delete(context: Context[SessionStore], session_id: str) -> Consent | Elicit[Consent]:
    """The question, or a yes where nobody can be asked or there is nothing to delete."""
    capabilities = context.client_capabilities
    asks = capabilities.elicitation if capabilities else None
    by_url_only = asks is not None and asks.form is None and asks.url is not None
    try:
        check_id(session_id, "session_id")
    except InvalidArgument:  # said by the tool itself
        return Consent()
    if asks is None or by_url_only:
        return Consent()
    with contextlib.suppress(DocumentError, Unavailable):  # damaged, or not known: ask
        document, _ = await context.request_context.lifespan_context.load(session_id)
        if not isinstance(document, Document):
            return Consent()
    named = quoted(ellipsis(session_id, SHOWN))
    return Elicit(f"Delete the saved conversation {named} for everybody, with its revisions and flow results?", Consent)

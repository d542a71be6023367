"""Asks the person before something is deleted, where the client can: elicitation, in both eras of the protocol."""

import contextlib

from mcp.server.mcpserver import Context, Elicit
from pydantic import BaseModel, ConfigDict, Field

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id
from agentic_flywheel.plain_text import ellipsis, quoted
from agentic_flywheel.sessions.store import SessionStore

NEVER_ASK = (
    "Where nobody can ever be asked, start this server with FLYWHEEL_ASK=never; or a person deletes it with "
    "`agentic-flywheel-state sessions delete`."
)
"""What helps in a chain of programs of which one says that it can ask, and another cannot."""

SHOWN = 200
"""Characters of an id in the question."""


def _keys_of_the_protocol(schema: JSONObject) -> None:
    """Leave in the question's schema what the protocol has there: Codex cancels a question with a title."""
    for name in schema.keys() - {"$schema", "type", "properties", "required"}:
        del schema[name]


class Consent(BaseModel):
    """Whether to delete it."""

    model_config = ConfigDict(json_schema_extra=_keys_of_the_protocol)

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

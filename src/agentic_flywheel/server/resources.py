"""Serves sessions and executions as resources: by URI, the newest in a list, with ids completed as a person types."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, unquote

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from mcp_types import Resource as MCPResource

from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.json_text import dumps
from agentic_flywheel.plain_text import escaped, first_hidden, one_line, quoted
from agentic_flywheel.server.transcript import markdown
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore

Answer = TypeVar("Answer")

LISTED = 20
"""The newest sessions that `resources/list` shows; list_sessions pages through all of them."""

COMPLETED_FROM = 500
"""The newest sessions whose ids and titles are offered to complete an argument."""

COMPLETIONS = 100
"""Values of one completion, as the protocol allows."""

SESSION, TRANSCRIPT, EXECUTION = (
    "session://{session_id}",
    "session://{session_id}/transcript",
    "execution://{execution_id}",
)

# An id is no path: it may hold slashes and dots, percent-encoded in the URI.
_IDS = ResourceSecurity(exempt_params=frozenset({"session_id", "execution_id"}))


def uri_of(session_id: str) -> str:
    """The URI of a session's document."""
    return f"session://{quote(session_id, safe='')}"


def member_of(uri: str) -> str:
    """The id of the session that a URI is about; empty for any other URI."""
    scheme, _, rest = uri.partition("://")
    return unquote(rest.removesuffix("/transcript")) if scheme == "session" else ""


def execution_uri(execution_id: str) -> str:
    """The URI of an execution."""
    return f"execution://{quote(execution_id, safe='')}"


class Resources:
    """What the stores hold, as resources."""

    def __init__(self, sessions: SessionStore, executions: ExecutionStore) -> None:
        self._sessions = sessions
        self._executions = executions

    def register(self, server: MCPServer[SessionStore]) -> None:
        """Offer the templates, and completion for their arguments and those of prompts."""
        for uri, title, kind, read in (
            (SESSION, "A saved conversation, whole", "application/json", self.document),
            (TRANSCRIPT, "A saved conversation to read", "text/markdown", self.transcript),
            (EXECUTION, "A kept flow result", "application/json", self.execution),
        ):
            server.resource(uri, name=uri, title=title, mime_type=kind, security=_IDS)(read)
        server.completion()(self.complete)

    async def document(self, session_id: str) -> str:
        """A session as `resume_session` gives it, whole."""
        return escaped(dumps(public(await self._load(session_id))))

    async def transcript(self, session_id: str) -> str:
        """A session in Markdown."""
        return markdown(public(await self._load(session_id)))

    async def execution(self, execution_id: str) -> str:
        """An execution as `get_result` gives it."""
        found = await _asked(self._executions.get_result, execution_id)
        if found.execution is None:
            raise _missing(f"execution {quoted(execution_id)}", found.reason or "not_found")
        return escaped(dumps(found.execution))

    async def newest(self) -> list[MCPResource]:
        """The newest sessions; none while they cannot be listed."""
        page = await self._sessions.list_sessions(SessionFilter(), LISTED)
        return [
            MCPResource(
                uri=uri_of(row["id"]),
                name=one_line(row["id"]),
                title=one_line(str(row.get("title") or row["id"])),
                description=one_line(
                    str(row.get("summary") or f"{row.get('turns', 0)} turns, saved {row.get('updated_at')}")
                ),
                mime_type="application/json",
            )
            for row in page.sessions
        ]

    async def complete(
        self,
        ref: PromptReference | ResourceTemplateReference,  # noqa: ARG002  the arguments are the same everywhere
        argument: CompletionArgument,
        context: CompletionContext | None,  # noqa: ARG002
    ) -> Completion | None:
        """Ids of sessions that begin with what was typed, then those that have it in their id or title.

        One with a character that nobody sees is not offered: as it is it could not be shown, and otherwise not found.
        """
        if argument.name not in ("session", "session_id"):
            return None
        page = await self._sessions.list_sessions(SessionFilter(), COMPLETED_FROM)
        typed = argument.value.casefold()
        rows = [(row["id"], f"{row['id']} {row.get('title') or ''}".casefold()) for row in page.sessions]
        rows = [row for row in rows if first_hidden(row[0]) is None]
        ids = [identity for identity, text in rows if text.startswith(typed)]
        ids += [identity for identity, text in rows if typed in text and not text.startswith(typed)]
        return Completion(values=ids[:COMPLETIONS], total=len(ids), has_more=len(ids) > COMPLETIONS)

    async def _load(self, session_id: str) -> Document:
        document, _ = await _asked(self._sessions.load, session_id)
        if not isinstance(document, Document):
            raise _missing(f"session {quoted(session_id)}", document.because if document else "not_found")
        return document


async def _asked(ask: Callable[[str], Awaitable[Answer]], identity: str) -> Answer:
    try:
        return await ask(identity)
    except (InvalidArgument, DocumentError, Unavailable) as exc:
        raise ResourceError(one_line(str(exc))) from exc


def _missing(what: str, reason: str) -> ResourceError:
    if reason in ("unavailable", "damaged", "newer_schema", "disabled"):
        return ResourceError(f"The {what} cannot be read now: {reason}.")
    return ResourceNotFoundError(f"There is no {what} ({reason}).")

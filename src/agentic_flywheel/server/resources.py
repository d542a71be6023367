"""Serves sessions and executions as resources: by URI, the newest in a list, with ids completed as a person types."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import quote, unquote

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from mcp_types import Resource as MCPResource

from agentic_flywheel.documents.model import Document, instant_of
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject, dumps, size_of
from agentic_flywheel.plain_text import escaped, first_hidden, one_line, quoted
from agentic_flywheel.server.clients import budget_of
from agentic_flywheel.server.fitting import fit_execution
from agentic_flywheel.server.transcript import markdown
from agentic_flywheel.sessions.budget import DEFAULT_TOKENS
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.page import Page, window_of
from agentic_flywheel.sessions.results import ResumeResult
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore

Answer = TypeVar("Answer")

LISTED = 20
"""The newest sessions that `resources/list` shows; list_sessions pages through all of them."""

COMPLETED_FROM = 500
"""The newest sessions whose ids and titles are offered to complete an argument."""

COMPLETIONS = 100
"""Values of one completion, as the protocol allows."""

MEASURED = 2**20
"""Characters of a stored session above which lists do not say how large the part of it is that is read."""

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
        self._sizes: dict[tuple[str, object, int], int] = {}

    def register(self, server: MCPServer[SessionStore]) -> None:
        """Offer the templates, and completion for their arguments and those of prompts."""
        for uri, title, kind, read in (
            (SESSION, "A saved conversation", "application/json", self.document),
            (TRANSCRIPT, "A saved conversation to read", "text/markdown", self.transcript),
            (EXECUTION, "A kept flow result", "application/json", self.execution),
        ):
            server.resource(uri, name=uri, title=title, mime_type=kind, security=_IDS)(read)
        server.completion()(self.complete)

    async def document(self, session_id: str) -> str:
        """A session as `resume_session` gives it: its newest turns, whole if it is small."""
        return escaped(dumps(_about(await self._shown(session_id))))

    async def transcript(self, session_id: str) -> str:
        """A session in Markdown: its newest turns, whole if it is small."""
        shown = await self._shown(session_id)
        return markdown(shown.session or {}, shown.next_before_turn or 0)

    async def execution(self, execution_id: str) -> str:
        """An execution as `get_result` gives it."""
        found = fit_execution(await _asked(self._executions.get_result, execution_id))
        if found.execution is None:
            raise _missing(f"execution {quoted(execution_id)}", found.reason or "not_found")
        return escaped(dumps(found.execution))

    async def newest(self) -> list[MCPResource]:
        """The newest sessions; none while they cannot be listed."""
        page = await self._sessions.list_sessions(SessionFilter(), LISTED)
        return [
            MCPResource(
                uri=uri_of(row["id"]),
                name=one_line(row["id"]),  # the only name of it that no other has
                title=one_line(str(row.get("title") or row["id"])),
                description=_description(row),
                mime_type="application/json",
                size=await self._size(row["id"], row.get("revision")),
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

    async def _size(self, session_id: str, revision: object) -> int | None:
        """The bytes of a session as it would be read, where this machine has it and it is not too large to look at."""
        budget, strict = budget_of(DEFAULT_TOKENS)
        key = (session_id, revision, budget)
        if key not in self._sizes and isinstance(revision, int):
            with suppress(DocumentError, Unavailable):
                here = await self._sessions.copy_here(session_id, revision)
                if here and len(here[1].text or "") <= MEASURED:
                    shown = window_of(*here, Page(budget, None, strict))
                    self._sizes[key] = size_of(escaped(dumps(_about(shown))))
                    if len(self._sizes) > 10 * LISTED:
                        del self._sizes[next(iter(self._sizes))]
        return self._sizes.get(key)

    async def _shown(self, session_id: str) -> ResumeResult:
        """What of a session fits an answer; unlike a resume, this does not renew its life."""
        document, found = await _asked(self._sessions.load, session_id)
        if not isinstance(document, Document):
            raise _missing(f"session {quoted(session_id)}", document.because if document else "not_found")
        budget, strict = budget_of(DEFAULT_TOKENS)
        return window_of(document, found, Page(budget, None, strict))


def _about(shown: ResumeResult) -> JSONObject:
    """A session with what is missing of it, said before its turns."""
    missing = shown.model_dump(include={"omitted_turns", "next_before_turn", "cut_turns", "left_out_fields"})
    return {name: value for name, value in missing.items() if value} | (shown.session or {})


def _description(row: JSONObject) -> str:
    """What a menu shows of a session: its title, so many turns, when it was saved, its summary."""
    turns, saved = row.get("turns"), instant_of(row.get("updated_at"))
    about = [] if turns is None else [f"{turns} turn{'' if turns == 1 else 's'}"]  # none of one whose key is not here
    about += [f"saved on {saved.day} {saved:%B %Y}"] if saved else []
    summary = row.get("summary")
    return one_line(f"{row.get('title') or row['id']} ({', '.join(about)})" + (f": {summary}" if summary else ""))


async def _asked(ask: Callable[[str], Awaitable[Answer]], identity: str) -> Answer:
    try:
        return await ask(identity)
    except InvalidArgument as exc:  # nothing has such an id
        raise ResourceNotFoundError(one_line(str(exc))) from exc
    except (DocumentError, Unavailable) as exc:
        raise ResourceError(one_line(str(exc))) from exc


def _missing(what: str, reason: str) -> ResourceError:
    if reason in ("unavailable", "damaged", "newer_schema", "disabled"):
        return ResourceError(f"The {what} cannot be read now: {reason}.")
    return ResourceNotFoundError(f"There is no {what} ({reason}).")

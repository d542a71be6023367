"""Offers the prompts that a person picks from a menu: save this conversation, resume one, hand one over."""

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from pydantic import Field

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.server.transcript import transcript
from agentic_flywheel.sessions.budget import CHARACTERS_PER_TOKEN
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.results import ResumeResult
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore

TOKENS = 20_000
"""The budget of a conversation in a prompt: what resume_session gives by default."""

SAVE = """\
Save this conversation so that it can be resumed later, here or elsewhere: call save_session with
- history: every turn so far, oldest first, as {"role": …, "content": …}, word for word;
- title: what it is about, in a few words;
- summary: what a later reader needs: the goal, what was decided and why, what was tried and failed, facts, names,
  numbers and files that matter, and what is still open;
- tags: a few words to find it by;
- context: anything structured that will be needed again.
If it was saved or resumed before, send its session_id. Then tell me the session_id and the title."""

RESUME = """\
Go on with the conversation below, which was saved earlier. Its newest turns are shown, each with its number; if older
ones are missing and needed, call resume_session with session_id and before_turn. Save new turns with save_session under
the same session_id. Begin by telling me in two or three sentences where we stopped and what is open."""

HANDOFF = """\
Write a hand-over of the conversation below for another assistant who has not seen it: the goal; where things stand;
what was decided, and why; what was tried and did not work; facts, names, numbers and files that matter; open questions
and the next step. Be complete and brief; invent nothing. Then save it: call save_session with its session_id and the
hand-over as summary."""

Session = Annotated[str, Field(description="Id of a saved conversation, or words from it; absent: the latest")]


class Prompts:
    """The prompts, over the sessions in a store."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    def register(self, server: MCPServer[SessionStore]) -> None:
        """Offer them."""
        server.prompt(title="Save this conversation", description="Keep it, with a title and a summary worth having")(
            self.save_conversation
        )
        server.prompt(title="Resume a conversation", description="Go on where a saved one stopped")(
            self.resume_conversation
        )
        server.prompt(title="Hand over a conversation", description="What another assistant needs to take over")(
            self.handoff
        )

    async def save_conversation(self) -> str:
        """Ask for a save that is worth having."""
        return SAVE

    async def resume_conversation(self, session: Session = "") -> str:
        """The saved conversation, and a request to go on with it."""
        return await self._with_conversation(RESUME, session)

    async def handoff(self, session: Session = "") -> str:
        """The saved conversation, and a request to write down what another assistant needs."""
        return await self._with_conversation(HANDOFF, session)

    async def _with_conversation(self, asked: str, session: str) -> str:
        try:
            found = await self._sessions.resume(CallerViews(), session, max_tokens=TOKENS)
        except InvalidArgument as exc:  # no id, but perhaps words
            found = ResumeResult(found=False, reason="not_found", message=str(exc))
        if found.reason == "not_found" and session.strip():
            named = await self._sessions.list_sessions(SessionFilter(query=session), limit=1)
            if named.sessions:
                found = await self._sessions.resume(CallerViews(), named.sessions[0]["id"], max_tokens=TOKENS)
        if not found.found or found.session is None:
            return _nothing(session, found)
        text = transcript(found, TOKENS * CHARACTERS_PER_TOKEN)
        return f"{asked}\n\nsession_id: {found.session['id']}\nrevision: {found.revision}\n{text}"


def _nothing(session: str, found: ResumeResult) -> str:
    if found.reason in ("unavailable", "disabled"):
        return (
            f"The saved conversation {session!r} cannot be looked for now: {found.reason}. {found.message} It may well "
            "exist. Tell me so, and do not begin a new one in its place."
        )
    near = f" Similar ids: {', '.join(found.suggestions)}." if found.suggestions else ""
    return (
        f"There is no saved conversation {session!r} that could be read now ({found.reason}).{near} Tell me so, call "
        "list_sessions, and ask me which one I mean. Do not begin a new one in its place."
    )

"""`sessions list`, `search`, `show` and `revisions`: what is kept, for a person or, with `--json`, for a program."""

import sys
from argparse import Namespace
from datetime import UTC, datetime

from agentic_flywheel.cli.session_table import show_listed, since
from agentic_flywheel.cli.shown_as import lines
from agentic_flywheel.cli.terminal import complain, say_json, say_table, say_text
from agentic_flywheel.cli.which_session import which
from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, Unavailable
from agentic_flywheel.journal import folding
from agentic_flywheel.plain_text import ellipsis, quoted
from agentic_flywheel.server.transcript import markdown
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore

NOTE_WIDTH = 60
"""Characters of a revision's note in the table."""


async def list_them(store: SessionStore, options: Namespace) -> int:
    """A table of the newest; 0, also where there is none."""
    await _listed(store, SessionFilter(query=options.query, tags=tuple(options.tag), user_id=options.user), options)
    return 0


async def search(store: SessionStore, options: Namespace) -> int:
    """A table of those with the words, the best first; 1 where there is none."""
    question = SessionFilter(query=" ".join(options.query), tags=tuple(options.tag), user_id=options.user)
    if not folding.words(question.query):
        complain("there is no word to search for.")
        return 2
    return 0 if await _listed(store, question, options) else 1


async def _listed(store: SessionStore, session_filter: SessionFilter, options: Namespace) -> bool:
    """Whether any were listed."""
    page = await store.list_sessions(session_filter, options.limit)
    if page.message and not page.sessions and not page.searched and store.repository.stash is None:
        raise Unavailable(page.message)
    filtered = session_filter != SessionFilter()
    missed = page.message if page.searched else ""
    if not filtered and store.repository.stash and page.scope != "shared":  # there may well be some in Redis
        missed = "No session is on this machine."
    return show_listed(page.sessions, more=bool(page.next_cursor), filtered=filtered, missed=missed, options=options)


async def show(store: SessionStore, options: Namespace) -> int:
    """One session, or what it was at a revision."""
    if (session_id := await which(store, options.id)) is None:
        return 1
    try:
        document, found = await store.load(session_id)
        if options.revision and not (isinstance(document, Document) and document.revision == options.revision):
            document, _ = await store.older(session_id, options.revision, document, found)
            if document is None:
                return none(session_id, f"revision {options.revision} is not kept; see sessions revisions")
    except DocumentError as exc:
        complain(str(exc))
        return 1
    if not isinstance(document, Document):
        return none(session_id, words(document.because if document else None))
    if options.json:
        return say_json(public(document))
    if options.program not in (None, "markdown"):
        sys.stdout.write(lines(public(document), options.program))
        return 0
    say_text(markdown(public(document)))
    return 0


async def revisions(store: SessionStore, options: Namespace) -> int:
    """A table of the revisions that can be restored, newest first."""
    if (session_id := await which(store, options.id)) is None:
        return 1
    kept = await RevisionHistory(store).list_revisions(session_id)
    if not kept.found:
        return none(session_id, kept.message or words(kept.reason))
    if options.json:
        return say_json(kept.revisions)
    now = datetime.now(UTC)
    rows = [("REVISION", "SAVED", "TURNS", "WHAT")]
    for row in kept.revisions:
        note = ellipsis(" ".join(str(row.get("note") or "").split()), NOTE_WIDTH)
        rows.append((str(row["revision"]), since(row.get("saved_at"), now), str(row.get("turns", "")), note))
    say_table(rows)
    return 0


def words(reason: str | None) -> str:
    """Why a session is not there, as the end of a sentence."""
    return {"deleted": "it was deleted before", "expired": "it has expired"}.get(reason or "", "not found")


def none(session_id: str, why: str) -> int:
    """Say why a session is not there, or not changed; the exit code."""
    complain(f"session {quoted(session_id)}: {why.rstrip('.')}.")
    return 1

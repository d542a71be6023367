"""`sessions`: lists, shows, deletes or restores sessions, for a person or, with `--json`, for a program."""

from argparse import Namespace
from collections.abc import AsyncGenerator

from agentic_flywheel.cli.session_table import show_listed
from agentic_flywheel.cli.terminal import ask, counted, progress, reach, run, say, say_json, say_text, tell
from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.server.transcript import markdown
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.session_filter import MAX_PAGE, SessionFilter
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings


def sessions(settings: Settings, options: Namespace) -> int:
    """Run one of the commands; the exit code."""
    return run(_run(settings, options))


async def _run(settings: Settings, options: Namespace) -> int:
    store, _ = open_store(settings)
    async with store:
        await reach(store)
        verb = {"list": _list, "show": _show, "delete": _delete, "restore": _restore}[options.verb]
        return await verb(store, options)


async def _list(store: SessionStore, options: Namespace) -> int:
    session_filter = SessionFilter(query=options.query, tags=options.tag, user_id=options.user)
    page = await store.list_sessions(session_filter, options.limit)
    if page.message and not page.sessions and store.repository.stash is None:
        raise Unavailable(page.message)
    return show_listed(page.sessions, more=bool(page.next_cursor), as_json=options.json)


async def _show(store: SessionStore, options: Namespace) -> int:
    document, _ = await store.load(options.id)
    if not isinstance(document, Document):
        return _none(options.id, _words(document.because if document else None))
    if options.json:
        return say_json(public(document))
    say_text(markdown(public(document)))
    return 0


async def _delete(store: SessionStore, options: Namespace) -> int:
    if bool(options.id) == options.all:
        tell("agentic-flywheel-state: name one session, or --all.")
        return 2
    if options.all:
        return await _delete_all(store, options)
    question = f"Delete session {quoted(options.id)} with its revisions, for everybody?"
    if not options.yes and (code := ask(question, "deleting")):
        return code
    deleted = await store.delete(options.id, CallerViews())
    if not deleted.deleted:
        return _none(options.id, deleted.message or _words(deleted.reason))
    say(f"Deleted {quoted(options.id)}{', but ' + deleted.message if deleted.message else '.'}")
    return 0


async def _delete_all(store: SessionStore, options: Namespace) -> int:
    """Delete every session that is listed, a page at a time; one that cannot be deleted stops none of the others."""
    page = await store.list_sessions(SessionFilter(), MAX_PAGE)
    more = " and more" if page.next_cursor else ""
    question = f"Delete {counted(len(page.sessions))}{more} with all that goes with them, for everybody?"
    if page.sessions and not options.yes and (code := ask(question, "deleting")):
        return code
    seen, left = set[str](), dict[str, str]()
    while new := [session_id async for session_id in _listed(store) if session_id not in seen]:
        for session_id in new:
            seen.add(session_id)  # a list may show it once more
            result = await store.delete(session_id, CallerViews())
            if not result.deleted and result.reason not in ("deleted", "expired"):
                left[session_id] = result.message or _words(result.reason)
            progress(len(seen), len(seen) + len(new))
    for session_id, why in left.items():
        _none(session_id, why)
    say(f"Deleted {counted(len(seen) - len(left))}; {len(left)} could not be deleted.")
    return 1 if left else 0


async def _listed(store: SessionStore) -> AsyncGenerator[str]:
    """The ids of all sessions that are listed.

    Raises:
        Unavailable: not all could be asked for.

    """
    cursor: str | None = ""
    while cursor is not None:
        page = await store.list_sessions(SessionFilter(), MAX_PAGE, cursor)
        for row in page.sessions:
            yield str(row["id"])
        if page.message and not page.next_cursor and store.repository.stash is None:
            raise Unavailable(page.message)
        cursor = page.next_cursor


async def _restore(store: SessionStore, options: Namespace) -> int:
    restored = await RevisionHistory(store).restore(CallerViews(), options.id, options.revision)
    if not restored.restored:
        return _none(options.id, restored.message or _words(restored.reason))
    say(f"Restored {quoted(options.id)} from revision {options.revision}; it is revision {restored.revision} now.")
    return 0


def _words(reason: str | None) -> str:
    return {"deleted": "it was deleted before", "expired": "it has expired"}.get(reason or "", "not found")


def _none(session_id: str, why: str) -> int:
    tell(f"agentic-flywheel-state: session {quoted(session_id)}: {why.rstrip('.')}.")
    return 1

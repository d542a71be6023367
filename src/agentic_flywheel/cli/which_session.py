"""Finds the session that a person means: by its id, the beginning of it, its title, or as the latest."""

import difflib
from collections.abc import Sequence

from agentic_flywheel.cli.terminal import complain
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, InvalidArgument, StashUnavailable, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id, glob_escape
from agentic_flywheel.plain_text import ellipsis, quoted
from agentic_flywheel.sessions.session_filter import EVERY_SESSION, MAX_PAGE, SessionFilter
from agentic_flywheel.sessions.store import SessionStore

LATEST = "latest"

NAMED = 5
"""Sessions that are named where a name fits several."""

TITLE_SHOWN = 40
"""Characters of a title that stands beside its id."""

NEAR_AMONG = 200
"""The newest sessions, among which one of a similar name is looked for."""

NEAR = 0.6
"""How similar a name must be, of 1 (difflib's own default)."""


async def which(store: SessionStore, name: str) -> str | None:
    """The id of the session that is meant; `None`, once that was said, where it is none or could be several.

    Raises:
        InvalidArgument: nothing can be called so.
        Unavailable: it is not known what there is.

    """
    check_id(name, "SESSION")
    unknown: Unavailable | None = None
    there: object = None
    try:
        there, _ = await store.load(name)
        if isinstance(there, Document):
            return name
    except DocumentError:
        return name  # it is there, and cannot be read: that is said
    except Unavailable as exc:
        unknown = exc
    found = await _candidates(store, name)
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        more = " and more" if len(found) > NAMED else ""
        complain(f"{quoted(name)} could be {', '.join(map(named, found[:NAMED]))}{more}. Name more of its id.")
        return None
    if isinstance(unknown, StashUnavailable):
        here = f"session {quoted(name)} is not on this machine, and may well be in Redis"
        raise StashUnavailable(f"{here}: {unknown}") from unknown
    if unknown:
        raise unknown
    if there:
        return name  # it was deleted: that is said
    complain(await _nobody(store, name))
    return None


def named(row: JSONObject) -> str:
    """A row of a list as its id, with the title that it has."""
    title = " ".join(str(row.get("title") or "").split())
    return quoted(str(row["id"])) + (f" ({quoted(ellipsis(title, TITLE_SHOWN))})" if title else "")


async def _candidates(store: SessionStore, name: str) -> Sequence[JSONObject]:
    """Those that fit: the latest, or those whose ids begin so, or of that title, or whose titles begin so."""
    if name == LATEST:
        return (await store.list_sessions(SessionFilter(), 1)).sessions
    if begin := await _rows(store, SessionFilter(pattern=f"{glob_escape(name)}*"), NAMED + 1):
        return begin
    words = _folded(name)
    titles = [(row, _folded(row.get("title"))) for row in await _rows(store, SessionFilter(query=name), MAX_PAGE)]
    whole = [row for row, title in titles if title == words]
    return whole or [row for row, title in titles if words and title.startswith(words)]


async def _rows(store: SessionStore, session_filter: SessionFilter, limit: int) -> list[JSONObject]:
    rows: list[JSONObject] = []
    cursor: str | None = ""
    while cursor is not None and len(rows) < limit:
        page = await store.list_sessions(session_filter, limit, cursor)
        rows += page.sessions
        cursor = page.next_cursor
    return rows


async def _nobody(store: SessionStore, name: str) -> str:
    """That there is none, and which one has the most similar name."""
    page = await store.list_sessions(EVERY_SESSION, NEAR_AMONG)
    if not page.sessions:
        return page.message or "no session is kept yet."
    names = {_folded(row[field]): row for row in reversed(page.sessions) for field in ("title", "id") if row.get(field)}
    near = difflib.get_close_matches(_folded(name), names, 1, NEAR)
    hint = f" Did you mean {named(names[near[0]])}?" if near else " See all with: agentic-flywheel-state sessions"
    return f"session {quoted(name)} not found.{hint}"


def check_new_id(name: str, what: str) -> None:
    """Make sure that a new session can be called so.

    Raises:
        InvalidArgument: it cannot.

    """
    if check_id(name, what) == LATEST:
        raise InvalidArgument(f"{what} cannot be {LATEST!r}: that word names the newest session. Choose another id.")


async def is_there(store: SessionStore, session_id: str) -> bool:
    """Whether that whole id is a session's."""
    document, _ = await store.load(session_id)
    return isinstance(document, Document)


def _folded(text: object) -> str:
    return " ".join(str(text or "").casefold().split())

"""`sessions`: lists and shows what is kept, and saves, restores, forks, renames and deletes for a person."""

from argparse import Namespace
from typing import Any

from agentic_flywheel.cli.capture.pausing import paused_here
from agentic_flywheel.cli.session_table import NOTHING_KEPT
from agentic_flywheel.cli.sessions_shown import list_them, none, revisions, search, show, words
from agentic_flywheel.cli.sub_agents import every_row, sub_agents_of
from agentic_flywheel.cli.terminal import ask, complain, counted, progress, reach, run, say, say_json, tell
from agentic_flywheel.cli.turns_given import turns_of
from agentic_flywheel.cli.which_session import check_new_id, is_there, named, which
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.folded import those_that_stay
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.results import SaveResult
from agentic_flywheel.sessions.session_filter import EVERY_SESSION, MAX_PAGE
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import has_store, open_store
from agentic_flywheel.settings import Settings


def sessions(settings: Settings, options: Namespace) -> int:
    """Run one of the commands; the exit code."""
    return run(_run(settings, options))


async def _run(settings: Settings, options: Namespace) -> int:
    if options.verb == "save":
        return await _save(settings, options)
    _check(options)
    if not has_store(settings):
        return _nothing_kept(options)
    store, _ = open_store(settings)
    async with store:
        await reach(store)
        match options.verb:
            case "fork":
                return await _fork(store, Credentials(settings.secrets), options)
            case "rename":
                return await _rename(store, Credentials(settings.secrets), options)
            case verb:
                verbs = {"list": list_them, "search": search, "show": show, "revisions": revisions}
                verbs |= {"delete": _delete, "restore": _restore}
                return await verbs[verb](store, options)


def _check(options: Namespace) -> None:
    """Check what can be checked before anything is started.

    Raises:
        InvalidArgument: an argument is wrong.

    """
    if options.verb == "delete" and not options.id:
        return
    if (session_id := getattr(options, "id", None)) is not None:
        check_id(session_id, "SESSION")
    if new := getattr(options, "new", ""):
        check_new_id(new, "NEW")
    if title := getattr(options, "title", ""):
        Save(title=title).check()


def _nothing_kept(options: Namespace) -> int:
    """Answer where there is nothing yet, without making an empty journal."""
    if options.verb == "delete" and bool(options.id) == options.all:
        return _which_to_delete()
    if getattr(options, "json", False) and options.verb in ("list", "search"):
        say_json([])
        return int(options.verb == "search")
    if options.verb == "list" or getattr(options, "all", False):
        say(NOTHING_KEPT)
        return 0
    tell(NOTHING_KEPT)
    return 1


async def _save(settings: Settings, options: Namespace) -> int:
    turns = turns_of(options.file, settings.max_session_bytes)
    tags = [tag for each in options.tags for tag in map(str.strip, each.split(",")) if tag] if options.tags else None
    sent: dict[str, Any] = {"history": turns, "title": options.title, "tags": tags}
    Save(session_id=options.id, **sent).check()
    if options.id:
        check_new_id(options.id, "--id")
    if paused := paused_here(settings)(options.id or ""):
        complain(f"not saved: you have put {paused}.")
        return 1
    credentials = Credentials(settings.secrets)
    store, _ = open_store(settings)
    async with store:
        await reach(store)
        await check_ids(credentials, store, options.id)
        clean, findings = credentials.redact(sent)
        saved = await store.save(Save(session_id=options.id, **clean), CallerViews())
    if not saved.saved:
        return none(saved.session_id, saved.message or words(saved.reason))
    new = f"{saved.added_turns:,} new turn{'' if saved.added_turns == 1 else 's'}"
    until = f"until {saved.expires_at[:10]}" if saved.expires_at else "for ever"
    say(f"Saved {new} in {quoted(saved.session_id)}: {saved.turns:,} in all, {_place(saved)}, {until}.")
    if told := credentials.report(findings)[1]:
        tell(told)
    return 0


def _place(saved: SaveResult) -> str:
    """Where it is kept, in words."""
    if saved.stored_in == "redis":
        return "kept in Redis"
    return "kept on this machine until Redis answers" if saved.provisional else "kept on this machine"


def _which_to_delete() -> int:
    complain("name one session, or --all.")
    return 2


async def _delete(store: SessionStore, options: Namespace) -> int:
    if bool(options.id) == options.all:
        return _which_to_delete()
    if options.all:
        return await _delete_all(store, options)
    session_id = await which(store, options.id)
    if session_id is None:
        return 1
    if session_id != options.id and options.yes:  # a script means what it says: another one may begin so by now
        complain(f"{quoted(options.id)} is not a whole id; with --yes name it whole: {quoted(session_id)}.")
        return 1
    rows = await store.rows_of([session_id])
    along = [*await sub_agents_of(store, session_id)] if options.with_sub_agents else []
    what = f"its revisions and {counted(len(along))} of its sub-agents" if along else "its revisions"
    question = f"Delete session {named(rows[0]) if rows else quoted(session_id)} with {what}, for everybody?"
    if not options.yes and (code := ask(question, "deleting")):
        return code
    for each in reversed(along):  # before the one that asked: until then that says whose they are
        gone = await store.delete(each, CallerViews())
        if not gone.deleted and gone.reason not in ("not_found", "deleted", "expired"):
            return none(each, gone.message or words(gone.reason))
    deleted = await store.delete(session_id, CallerViews())
    if not deleted.deleted:
        return none(session_id, deleted.message or words(deleted.reason))
    them = f" and {counted(len(along))} of its sub-agents" if along else ""
    say(f"Deleted {quoted(session_id)}{them}{', but ' + deleted.message if deleted.message else '.'}")
    if stay := those_that_stay(deleted.children):
        tell(f"{stay} Each is deleted by its id.")
    return 0


async def _delete_all(store: SessionStore, options: Namespace) -> int:
    """Delete every session that is listed, a page at a time; one that cannot be deleted stops none of the others."""
    page = await store.list_sessions(EVERY_SESSION, MAX_PAGE)
    more = " and more" if page.next_cursor else ""
    question = f"Delete {counted(len(page.sessions))}{more} with all that goes with them, for everybody?"
    if page.sessions and not options.yes and (code := ask(question, "deleting")):
        return code
    seen, left, added = set[str](), dict[str, str](), set[str]()
    while new := [each async for row in every_row(store) if (each := str(row["id"])) not in seen]:
        for session_id in new:
            seen.add(session_id)  # a list may show it once more
            result = await store.delete(session_id, CallerViews())
            if result.deleted and result.message:
                added.add(result.message)
            elif not result.deleted and result.reason not in ("deleted", "expired"):
                left[session_id] = result.message or words(result.reason)
            progress(len(seen), len(seen) + len(new))
    for session_id, why in left.items():
        none(session_id, why)
    for text in added:
        tell(f"But {text}")
    say(f"Deleted {counted(len(seen) - len(left))}; {len(left)} could not be deleted.")
    return 1 if left else 0


async def _restore(store: SessionStore, options: Namespace) -> int:
    if (session_id := await which(store, options.id)) is None:
        return 1
    restored = await RevisionHistory(store).restore(CallerViews(), session_id, options.revision)
    if not restored.restored:
        return none(
            session_id, (restored.message or words(restored.reason)).replace("list_revisions", "sessions revisions")
        )
    kept = f" {restored.message}" if restored.message else ""
    say(
        f"Restored {quoted(session_id)} from revision {options.revision}; it is revision {restored.revision} now.{kept}"
    )
    return 0


async def _fork(store: SessionStore, credentials: Credentials, options: Namespace) -> int:
    if (session_id := await which(store, options.id)) is None:
        return 1
    await check_ids(credentials, store, new_session_id=options.new)
    if options.new and await is_there(store, options.new):
        return none(options.new, "it is there already; choose another id for the new one")
    forked = await RevisionHistory(store).fork(CallerViews(), session_id, options.revision, options.new)
    if not forked.forked:
        return none(
            session_id, (forked.message or words(forked.reason)).replace("list_revisions", "sessions revisions")
        )
    origin: JSONObject = forked.forked_from or {}
    say(f"Began {quoted(forked.session_id)} with revision {origin.get('revision')} of {quoted(session_id)}.")
    return await _fork_sub_agents(store, session_id, forked.session_id) if options.with_sub_agents else 0


async def _fork_sub_agents(store: SessionStore, session_id: str, new: str) -> int:
    """Begin another session with what each of its sub-agents' is now, which names the new one."""
    instead = {session_id: new}
    for each, parent in (await sub_agents_of(store, session_id)).items():
        forked = await RevisionHistory(store).fork(CallerViews(), each, parent=instead[parent])
        if not forked.forked:
            return none(each, forked.message or words(forked.reason))
        instead[each] = forked.session_id
        say(f"Began {quoted(forked.session_id)} with its sub-agent's {quoted(each)}.")
    return 0


async def _rename(store: SessionStore, credentials: Credentials, options: Namespace) -> int:
    title = " ".join(options.title.split())
    if not title:
        complain("the new title is empty.")
        return 2
    if (session_id := await which(store, options.id)) is None:
        return 1
    document, _ = await store.load(session_id)
    if not isinstance(document, Document):
        return none(session_id, words(document.because if document else None))
    clean, findings = credentials.redact({"title": title})
    # With the revision that was seen, or a session that somebody deletes meanwhile would begin anew.
    save = Save(session_id=session_id, title=clean["title"], expected_revision=document.revision)
    saved = await store.save(save, CallerViews())
    if not saved.saved:
        return none(
            session_id, "somebody saved it meanwhile; do it again" if saved.reason == "conflict" else saved.message
        )
    say(f"Renamed {quoted(session_id)} to {quoted(clean['title'])}.")
    if told := credentials.report(findings)[1]:
        tell(told)
    return 0

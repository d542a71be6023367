"""`sessions send`: sends what was saved while no Redis was named to the one that is named now."""

from argparse import Namespace

from agentic_flywheel.cli.terminal import START_SECONDS, complain, counted, progress, run, say, tell
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DocumentError, StashRefused, Unavailable
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings


def send(settings: Settings, options: Namespace) -> int:
    """Send sessions, and say what became of them: 0 if all are in Redis, 1 if not, 2 if none was named."""
    if bool(options.ids) == options.all:
        complain("name sessions of this machine, or --all. `sessions list` shows which they are.")
        return 2
    if not settings.redis_named:
        complain("no Redis is named. Set REDIS_URL to the one that these sessions go to.")
        return 1
    if not settings.redis_enabled:
        complain("Redis is switched off. Unset REDIS_ENABLED=false to send sessions.")
        return 1
    return run(_send(settings, options))


async def _send(settings: Settings, options: Namespace) -> int:
    store, _ = open_store(settings)
    target = settings.redis_target
    async with store:
        await store.repository.wait_for_child(START_SECONDS)
        if why := await _silent(store):
            complain(f"{target} does not answer ({why.rstrip('.')}). All stays on this machine.")
            return 1
        ids = [*dict.fromkeys(options.ids)] or await store.ids_of_this_machine()
        sent, left = 0, 0
        for number, session_id in enumerate(ids):
            try:
                sent += await _send_one(store, session_id)
            except (DocumentError, StashRefused) as exc:
                left += 1
                tell(f"{quoted(session_id)} was not sent: {exc}")
            except Unavailable as exc:
                rest = counted(len(ids) - number)
                complain(f"interrupted: {exc} Sent {counted(sent)}; {rest} stay here.")
                tell("Run the same again to go on.")
                return 1
            progress(number + 1, len(ids))
    there = len(ids) - sent - left
    say(f"Sent {counted(sent)} to {target}; {there} were there already, {left} could not be sent.")
    return 1 if left else 0


async def _silent(store: SessionStore) -> str:
    """Why the stash does not answer; empty if it does."""
    try:
        if store.repository.stash:
            await store.repository.stash.status()
    except Unavailable as exc:
        return str(exc)
    return ""


async def _send_one(store: SessionStore, session_id: str) -> bool:
    """Whether a session of this machine was sent; not, if it is in Redis already.

    Raises:
        DocumentError: it cannot be merged with what is there, or there is none.
        Unavailable: it could not be sent.

    """
    if await store.send(session_id):
        return True
    document, _ = await store.load(session_id)
    if not isinstance(document, Document):
        raise NotHere("there is none with this id.")
    return False


class NotHere(DocumentError):  # noqa: N818  nothing went wrong
    """There is no such session."""

    reason = "not_found"

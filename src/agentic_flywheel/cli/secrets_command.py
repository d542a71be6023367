"""`secrets scan`: names the places of credentials in all sessions and their older revisions, and replaces them."""

from argparse import Namespace
from collections import Counter
from dataclasses import replace

from agentic_flywheel.cli.terminal import counted, progress, reach, run, say, tell
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.sessions.secrets_scan import Found, SecretsScan
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

STAYS = "Not looked at, and they may hold the same: executions and flow histories, dead letters, exports, backups"
STAYS_ELSEWHERE = ", snapshots and append-only files of Redis, and other machines until they next read these sessions"


def secrets(settings: Settings, options: Namespace) -> int:
    """Run the command: 0 if nothing is left, 1 if something is, 2 if it could not be looked at all."""
    return run(_scan(replace(settings, user=""), redact=options.redact))


async def _scan(settings: Settings, *, redact: bool) -> int:
    sessions, _ = open_store(settings)
    count, unread, seen = Counter[bool](), 0, 0
    async with sessions:
        scan = SecretsScan(sessions, shared=await reach(sessions))
        session_ids = await scan.session_ids()
        for seen, session_id in enumerate(session_ids, 1):
            try:
                found = await scan.look(session_id, redact=redact)
            except DocumentError as exc:
                unread += 1
                tell(f"A session cannot be read: {exc}")
                continue
            for each in found:
                say(_line(each))
                count[each.left] += 1
            progress(seen, len(session_ids))
    replaced = f"{count[False]:,} replaced, " if redact else ""
    rest = f"{unread} could not be read. " if unread else ""
    stays = f"{STAYS}{STAYS_ELSEWHERE if settings.redis_named else ''}." if count.total() else ""
    tell(f"Looked at {counted(seen)}: {replaced}{count[True]:,} left. {rest}{stays}".rstrip())
    if count[True] and not redact:
        tell("Replace them with: agentic-flywheel-state secrets scan --redact")
    return 1 if count[True] or unread else 0


def _line(found: Found) -> str:
    revision = f", revision {found.revision}" if found.revision else ""
    if found.path == "id":
        return f"{found.session_id}: id: {found.kind}; an id cannot be replaced: fork the session and delete this one"
    return f"{found.session_id}{revision}: {found.path}: {found.kind}{'' if found.left else ', replaced'}"

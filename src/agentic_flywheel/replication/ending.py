"""Ends in the destination what was kept with a session before it was deleted, where a tombstone alone does not say."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from agentic_flywheel.documents.model import Tombstone
from agentic_flywheel.session_keys import SessionKeys

if TYPE_CHECKING:
    from agentic_flywheel.replication.remote_writer import RemoteWriter


async def end_in_stash(
    remote: "RemoteWriter", keys: SessionKeys, tombstone: Tombstone, deadline: float, *, thoroughly: bool
) -> None:
    """End in the stash what was kept with a session before it was deleted.

    To look through all keys for flow histories and older revisions takes long: it is done `thoroughly` only where
    the session was put back, so those may be there too. Who puts them back later does it by itself.
    """
    parts, older = await remote.stash.parts.find(keys, deadline, members_only=not thoroughly)
    await end_those(remote, parts, tombstone.deleted_at, deadline)
    gone = up_to(tombstone.revision, older, keys)
    if gone and remote.stash.has("coaia_erase"):
        await remote.stash.parts.erase([], gone, None, deadline)


async def end_those(remote: "RemoteWriter", parts: Collection[str], ended_at: datetime, deadline: float) -> None:
    """End what these executions and flow histories have of a life that was ended then; what is gone is not read."""
    marks = await remote.stash.versions(sorted(parts), deadline) if parts else {}
    for key in sorted(parts):
        mark = marks.get(key)
        if mark and (mark.revision is not None or mark.tombstone is None):
            await remote.end_life(key, ended_at, None, deadline)


def up_to(revision: int, older: Sequence[str], keys: SessionKeys) -> list[str]:
    """The keys of the older revisions of a session up to that one."""
    numbers = {key: key.removeprefix(keys.revisions) for key in older}
    return [key for key, number in numbers.items() if number.isdigit() and int(number) <= revision]

"""Keeps JSON beside a session, never inside its history: single documents by kind and name, and logs of records.

What is kept so is deleted with its session, waits in the outbox while Redis is away, and is erased as executions are:
a document is an execution whose id names kind, session and name, and a log is stored as a flow history. It lives its
`ttl_seconds` from its last write on: by default as long as a session does.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentic_flywheel.documents.execution import ExecutionCommand, load_execution
from agentic_flywheel.documents.model import expired
from agentic_flywheel.documents.parse import kept_until_in, revision_in, tombstone_in
from agentic_flywheel.documents.save_request import check_ttl
from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.json_text import JSONObject, check_json
from agentic_flywheel.keys import Keys, check_id, escaped
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.attached_logs import AttachedLogs

REMOVED_SIDE_BY_SIDE = 16
"""Documents of one call that are deleted at a time."""

_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Attached:
    """A document beside a session, and its revision."""

    value: JSONObject
    revision: int


class AttachedStore:
    """The documents and the logs beside the sessions that `repository` keeps under `keys`.

    Every verb raises `InvalidArgument` for a name that cannot be kept, `DocumentError` for what is stored and cannot be
    read or written, and `Unavailable` where it is not known what is stored, or nothing can be kept.
    """

    def __init__(
        self, repository: Repository, keys: Keys, *, ttl_seconds: int, max_bytes: int, clock: Callable[[], datetime]
    ) -> None:
        self._repository = repository
        self._keys = keys
        self._ttl_seconds = ttl_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._logs = AttachedLogs(repository, keys, max_bytes=max_bytes, clock=clock)

    async def put(
        self,
        session_id: str,
        kind: str,
        name: str,
        value: JSONObject,
        *,
        ttl_seconds: int | None = None,
        expected_revision: int | None = None,
    ) -> int:
        """Keep a document in the place of the one of this name; its revision.

        Raises:
            Conflict: it is not at the `expected_revision` (0: there is one already).
            TooLarge: it has more bytes than a session may have.

        """
        identity = _identity(session_id, kind, name)
        check_json(value, "value")
        change = ExecutionCommand(
            key=self._keys.execution(identity),
            record={"id": identity, "session_id": session_id, "flow_id": None, "result": value},
            ttl_seconds=self._life(ttl_seconds),
            max_bytes=self._max_bytes,
            expected_revision=expected_revision,
            written_at=self._clock(),
            direct=True,
        )
        return (await self._repository.write(change)).answer.revision

    async def get(self, session_id: str, kind: str, name: str) -> Attached | None:
        """The document of this name; `None` if there is none."""
        identity = _identity(session_id, kind, name)
        found = await self._repository.read(self._keys.execution(identity))
        if found.text is None:
            return None
        data = load_execution(found.text, identity)
        if tombstone_in(data, "the document"):
            return None
        if expired(kept_until_in(data), self._clock()) and not self._repository.expires(found):
            return None
        value: object = data["result"]
        if not isinstance(value, dict):
            raise Damaged(f"What is stored as {identity!r} is no object.")
        return Attached(data["result"], revision_in(data))

    async def remove(self, session_id: str, kind: str, *names: str) -> None:
        """Delete the documents of these names, with their text in every place; those that are not there are left out.

        Others are removed where one cannot be; then that is raised.
        """
        limiter = asyncio.Semaphore(REMOVED_SIDE_BY_SIDE)
        keys = [self._keys.execution(_identity(session_id, kind, name)) for name in names]

        async def remove_one(key: str) -> None:
            async with limiter:
                await self._repository.remove(key)

        outcomes = await asyncio.gather(*map(remove_one, keys), return_exceptions=True)
        await self._repository.forget(keys)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def append(
        self, session_id: str, log: str, records: Sequence[JSONObject], *, ttl_seconds: int | None = None
    ) -> None:
        """Add records, each of which has an `id`, to the end of a log; those whose id it has are left out.

        Those of one call are added together, but where they are more than a megabyte.
        """
        _check(session_id, log)
        await self._logs.append(session_id, log, _checked(records), self._life(ttl_seconds))

    async def read(self, session_id: str, log: str, newest: int | None = None) -> list[JSONObject]:
        """The records of a log, or its `newest`, oldest first."""
        _check(session_id, log)
        return await self._logs.read(session_id, log, newest)

    async def rewrite(
        self, session_id: str, log: str, records: Sequence[JSONObject], *, ttl_seconds: int | None = None
    ) -> None:
        """Make these the records of a log; at once, where they are up to a megabyte."""
        _check(session_id, log)
        await self._logs.rewrite(session_id, log, _checked(records), self._life(ttl_seconds))

    async def clear(self, session_id: str, log: str) -> None:
        """Delete a log, with its text in every place."""
        _check(session_id, log)
        await self._logs.clear(session_id, log)

    def _life(self, ttl_seconds: int | None) -> int:
        return self._ttl_seconds if ttl_seconds is None else check_ttl(ttl_seconds)


def _identity(session_id: str, kind: str, name: str) -> str:
    """The id of the execution that a document is; no two documents have the same."""
    _check(session_id, kind)
    return f"attached:{kind}:{escaped(session_id)}:{check_id(name, 'name')}"


def _check(session_id: str, kind: str) -> None:
    check_id(session_id, "session_id")
    if not _KIND.fullmatch(kind):
        raise InvalidArgument("A kind, and a log, is named by 1 to 64 of a-z, 0-9, _ . -, a letter first.")


def _checked(records: Sequence[JSONObject]) -> list[JSONObject]:
    for at, record in enumerate(records):
        if not isinstance(record.get("id"), str) or not record["id"]:
            raise InvalidArgument(f"records[{at}] must have an id, which is a text.")
    check_json([*records], "records")
    return [*records]

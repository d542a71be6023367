"""A journal and the Redis that it drains into, as the tests of the way between them use both."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.documents.commands import AnyCommand, dump_command
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.journal import Journal
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository

from ..support.conversations import turns
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock


class Machine:
    """A journal and the Redis that it drains into."""

    def __init__(self, journal: Journal, redis: RedisServer, clock: Clock) -> None:
        self.journal = journal
        self.redis = redis
        self.url = redis.url
        self.clock = clock
        self.keys = Keys(redis.prefix)

    def save(self, session_id: str, *said: str, **more: Any) -> SaveCommand:
        given: dict[str, Any] = {"default_ttl_seconds": 3600, "max_bytes": 10_000, **more}
        return SaveCommand(
            key=self.keys.session(session_id),
            operation=uuid4().hex,
            session_id=session_id,
            index=self.keys.index,
            history=turns(*said),
            **given,
        )

    def deletion(self, session_id: str) -> DeleteCommand:
        return DeleteCommand(key=self.keys.session(session_id), operation="d", member=session_id, index=self.keys.index)

    def keep(self, *changes: AnyCommand) -> None:
        """What the journal does with changes while Redis is away."""
        for change in changes:
            copy = self.journal.copy(change.key)
            step = change.apply(copy.text if copy else None, self.clock())
            assert step.write
            assert self.journal.commit(step.write, dump_command(step.queued)).accepted  # type: ignore[arg-type]

    @asynccontextmanager
    async def repository(self, folder: Path, *, worker: bool = True) -> AsyncIterator[Repository]:
        """The repository of a process that starts now; Redis answers. Without a `worker` nothing is done behind."""
        home = ChildFolder(folder)
        env = child_environment({}, home.path, redis_url=self.url, cluster=False, socket_timeout=2.0)
        client = Supervisor(child_command([], ""), env, home, fair_seconds=2.5)
        stash = Stash(client, self.keys, 5.0, self.clock)
        repository = Repository(self.journal, stash, self.keys, self.clock)
        await repository.wait_for_child(20)
        if worker:
            repository.open()
        try:
            yield repository
        finally:
            try:
                await repository.aclose()
            finally:
                await client.aclose()  # no child is left even where closing fails

    async def drained(self) -> None:
        await eventually(lambda: not self.journal.state().pending, what="the outbox to be empty")

    def stored(self, session_id: str) -> dict[str, Any] | None:
        text = self.redis.get(self.keys.session(session_id))
        return json.loads(text) if text is not None else None


async def drain(repository: Repository) -> None:
    """Send what is pending now, as the worker does."""
    await repository._worker.drain()

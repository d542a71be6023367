"""Moves what belongs to this machine to the Redis in use, a session with what goes with it at a time."""

from agentic_flywheel.documents.move import MoveCommand
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.errors import StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.replica import Replica
from agentic_flywheel.session_keys import SessionKeys


class Mover:
    """Moves sessions through the `outbox`, each document under the lock of its key."""

    def __init__(self, journal: Journal, outbox: Outbox | None, replica: Replica, locks: KeyLocks) -> None:
        self._journal = journal
        self._outbox = outbox
        self._replica = replica
        self._locks = locks
        self._write_ids = Writer()

    async def move(self, keys: SessionKeys, index: str) -> None:
        """Move a session, merged with what is there as an append is; what was moved before adds nothing.

        Raises:
            DocumentError: what is there cannot be read, or belongs to another user.
            Unavailable: it could not be moved, or not all that goes with it; what was not stays on this machine.

        """
        if self._outbox is None:
            raise StashUnavailable("No Redis is named.")
        command = MoveCommand(key=keys.session, member=keys.session_id, index=index, revisions=keys.revisions, text="")
        while sent := await self._send(self._outbox, command):
            for key in await in_thread(self._journal.parts_of_this_machine, keys):
                part = await self._send(self._outbox, MoveCommand(key=key, text=""))
                if part and await self._outbox.remote.stash.read(key) == part:
                    await in_thread(self._journal.leave_this_machine, key, part)
            # The session last: as long as anything of it is to be moved, it can be sent again.
            if await in_thread(self._journal.leave_this_machine, keys.session, sent):
                return

    async def _send(self, outbox: Outbox, command: MoveCommand) -> str:
        """Send what this machine has under the key of a command; its text, empty if there is nothing."""
        key, stash = command.key, outbox.remote.stash
        async with self._locks.of(key):
            copy = await in_thread(self._journal.copy_of_this_machine, key)
            if copy is None:
                return ""
            deadline = stash.deadline(2 * len(copy.text))
            await stash.ready(deadline)
            await outbox.drain(key, deadline)
            command = command.model_copy(update={"text": copy.text}).with_write_id(self._write_ids.next())
            step = await outbox.remote.commit_with_retry(command, None, deadline)
            moved = (write for write in (step.write, step.superseded_write) if write)
            await self._replica.put(*moved, since=self._replica.marks)
            return copy.text

"""Commits commands to the journal, each with the outbox row by which it is sent later. Its verbs block."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, cast

from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.commands import AnyCommand, dump_command, load_command
from agentic_flywheel.documents.delete import DeleteCommand, Deleted
from agentic_flywheel.documents.import_document import ImportCommand
from agentic_flywheel.documents.lineage import operations_at_end
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Append, Ends, Outcome, Write, revision_at_head
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.schema import BUSY_SECONDS
from agentic_flywheel.session_keys import SessionKeys

Answer = TypeVar("Answer")

ALONE_SECONDS = 10.0
"""How long a framework's write waits for others where there is no other place: SQLite lets them in by luck.

What answers a person or a model waits for the bound of an operation, like all else.
"""


class LocalWriter:
    """Writes to the journal. `offline`: no stash is used now; what belongs to one is sent when it is used again."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime], *, offline: bool) -> None:
        self._journal = journal
        self._clock = clock
        self._offline = offline

    def write(self, change: Command[Answer], *, pending: bool) -> Answer:
        """Apply and commit until nobody else commits in between; `pending`: queue the change as well.

        Raises:
            DocumentError: it cannot be applied to what is stored.
            JournalUnavailable: the journal does not take it.

        """
        pending = pending or (self._offline and self._journal.has_destination())
        if not pending and (written := self._over_what_is_remembered(change)):
            return written.answer
        stored = self._journal.copy_or_ends(change.key) if change.appends else self._journal.copy(change.key)
        if isinstance(stored, Ends):
            if appended := self._append(change, stored, pending=pending):
                return appended[1]
            stored = self._journal.copy(change.key)
        while True:
            copy = stored or self._moved_here(change.key)
            seen = self._as_the_stash_has_it(copy) if pending else copy
            step = change.with_base_revision(seen, self._clock()).apply(copy.text if copy else None, self._clock())
            if step.write is None:
                return step.answer
            command, supersedes = self._to_send(step.queued, copy) if pending else (None, False)
            write, older = step.write, step.archived
            if self._offline and isinstance(step.answer, Deleted) and (keys := SessionKeys.of(change.key)):
                if erased := self._journal.delete(write, keys, command, supersedes=supersedes):
                    return cast("Answer", replace(step.answer, parts=erased.parts, wiped=erased.wiped))
            elif self._commit(change, write, command, older, supersedes=supersedes).accepted:
                return step.answer
            stored = self._journal.copy(change.key)

    def _over_what_is_remembered(self, change: Command[Answer]) -> Step[Answer] | None:
        """Apply to what this process has seen last, without reading it, if that is still stored: mostly it is."""
        if not (copy := change.remembered()):
            return None
        try:
            step = change.with_base_revision(copy, self._clock()).apply(copy.text, self._clock())
        except DocumentError:  # it may be because of what is not there any more
            return None
        if step.write is None or isinstance(step.answer, Deleted):
            return None
        return step if self._commit(change, step.write, None, step.archived).accepted else None

    def _commit(
        self,
        change: Command[Any],
        write: Write | Append,
        pending: str | None,
        older: Write | None = None,
        *,
        supersedes: bool = False,
    ) -> Outcome:
        is_pending = pending is not None
        return self._journal.commit(
            write,
            pending,
            older,
            durable=is_pending or not change.is_synced_later,
            supersedes=supersedes,
            timeout=ALONE_SECONDS if change.is_of_framework and not is_pending else BUSY_SECONDS,
        )

    def _append(self, change: Command[Answer], ends: Ends, *, pending: bool) -> tuple[Append, Answer] | None:
        """Add to a large document of which only the ends are read; `None` where that is not enough."""
        grown = change.onto(ends, self._clock())
        command = dump_command(cast("AnyCommand", change)) if pending else None
        if grown is None:
            return None
        return grown if self._commit(change, grown[0], command).accepted else None

    def _moved_here(self, key: str) -> Write | None:
        """The document that belonged to this machine under `key`, which the destination in use takes over."""
        return self._journal.copy(key) if self._journal.move_from_this_machine(key) else None

    def _as_the_stash_has_it(self, copy: Write | None) -> Write | None:
        """The copy if nothing of it is pending; the stash does not have revisions that were given here."""
        return copy if copy and self._journal.next_pending(copy.key) is None else None

    def _to_send(self, change: Command[Any], copy: Write | None) -> tuple[str, bool]:
        """The change as the outbox keeps it, and whether it supersedes the pending ones, as a replace does.

        It keeps the revision on which the first of them was made, which the stash is expected to have.
        """
        first = self._journal.next_pending(change.key) if isinstance(change, SaveCommand | DeleteCommand) else None
        if isinstance(change, DeleteCommand) and first:
            return dump_command(_instead_of(first.change, change)), True
        if not isinstance(change, SaveCommand):
            return dump_command(cast("AnyCommand", change)), False
        newest = revision_at_head(copy.text) if copy and not copy.tombstone else 0
        base = _base_of(first.change, newest) if first else newest
        supersedes = bool(first) and base is not None and change.mode == "replace"
        fields: dict[str, object] = {"base": base}
        if supersedes and copy:  # it replaces what the first of them was made on
            writes = operations_at_end(copy.text)
            before = [write.id for write in writes if write.revision <= (base or 0)]
            superseded = tuple(write.id for write in writes if write.revision > (base or 0))
            fields |= {"replaces": base, "expects": before[-1] if before else "", "superseded": superseded}
        return dump_command(change.model_copy(update=fields)), supersedes


def _instead_of(first: str, deletion: DeleteCommand) -> DeleteCommand:
    """The deletion as it is queued in the place of the changes that it deletes, of which this is the first.

    It saw of the stash what the first of them was made on: what others have saved there since stays.
    """
    try:
        change = load_command(first)
    except DocumentError:
        return deletion
    saw, operations = deletion.saw, deletion.saw_operations
    if isinstance(change, DeleteCommand):
        saw, operations = change.saw, (*change.saw_operations, *operations)
    elif isinstance(change, ImportCommand):
        saw = 0
    elif isinstance(change, SaveCommand) and change.base is not None:
        saw = change.base
    return deletion.model_copy(update={"saw": saw, "saw_operations": operations})


def _base_of(command: str, unreadable: int) -> int | None:
    """The revision on which a pending save was made; `None` if that is not known, or it is no save."""
    try:
        change = load_command(command)
    except DocumentError:
        return unreadable
    return change.base if isinstance(change, SaveCommand) else None

"""Tells a person what becomes of an import: how far it is, each thing that did not come in by name, and the sums."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agentic_flywheel.cli.added import Added, Outcome
from agentic_flywheel.cli.growing import Entry, Known
from agentic_flywheel.cli.importer import Ours
from agentic_flywheel.cli.importers.files import UNDERSTOOD
from agentic_flywheel.cli.importers.found_files import Source
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.terminal import counted, progress, tell
from agentic_flywheel.sessions.redaction.policy import Credentials

SAID_EVERY_SECONDS = 30.0
"""How often one that no terminal shows says how far it is."""


class Report:
    """What is told of one import; `total` is how many entries it has, where somebody sees the bar."""

    def __init__(self, credentials: Credentials, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._total = total
        self._clock = clock
        self._outcomes = Counter[Outcome]()
        self._messages = 0
        self._halves = 0
        self._foreign = False
        self._begun = False
        self._next = clock() + SAID_EVERY_SECONDS

    @property
    def complete(self) -> bool:
        """Whether all came in, or was there."""
        return not (self._outcomes["bad"] or self._outcomes["deleted"] or self._messages)

    def note(self, source: Source, each: Entry | Known, added: Added) -> None:
        """Note what became of an entry of a file, and say what there is to say."""
        is_message = isinstance(each, BadEntry) and each.is_message
        self._messages += is_message
        self._outcomes[added.outcome] += not is_message
        self._foreign = self._foreign or (isinstance(each, BadEntry) and each.is_foreign)
        self._begun = self._begun or (not isinstance(each, Ours) and added.outcome in ("new", "more"))
        self._halves += added.halves
        if added.message:
            self._say(source, each, added.message)
        if added.halves:
            self._say(source, each, f"had {_halves(added.halves)}, now U+FFFD")
        progress(self._done, self._total)
        if self._clock() >= self._next and not sys.stderr.isatty():
            self._next = self._clock() + SAID_EVERY_SECONDS
            tell(f"Read {self._done:,} so far, took in {counted(self._outcomes['new'])} of them.")

    @property
    def _done(self) -> int:
        return self._outcomes.total() + self._messages

    def _say(self, source: Source, each: Entry | Known, message: str) -> None:
        talk = self._credentials.redact({"talk": each.talk})[0]["talk"]
        place = f"{source}, line {each.line}" if each.line else str(source)
        place += f", {talk}" if talk else ""
        tell(f"{place}: {message.rstrip('.')}.")

    def note_executions(self, source: Source, each: Entry | Known, message: str) -> None:
        """Say what there is to say of the executions that came with a talk."""
        if message:
            self._say(source, each, message)

    def interrupted(self) -> None:
        """Say how far it was when it was ended."""
        tell(f"Took in {counted(self._outcomes['new'])} so far. Run the same again to go on.")

    def end(self, ttl_seconds: int, executions: int = 0) -> None:
        """Say what came of it: talks, messages and halves of characters apart, and until when what came in is kept.

        `executions`: how many came in with the talks.
        """
        found = self._outcomes
        more = f", added to {counted(found['more'])}" if found["more"] else ""
        same = found["same"] + found["copy"]
        there = f"{same:,} were there already, {found['bad']:,} could not be taken in."
        told = [f"Took in {counted(found['new'])}{more}; {there}"]
        if executions:
            told.append(f"Kept {executions:,} execution{'' if executions == 1 else 's'} of their flows.")
        if found["copy"]:
            told.append(f"Of those there already, {found['copy']:,} only had what another session has.")
        if deleted := found["deleted"]:
            told.append(f"{counted(deleted)} deleted here stayed so; --bring-back-deleted takes them in.")
        if found["paused"]:
            told.append(f"{counted(found['paused'])} off the record left as they are.")
        if left := self._messages:
            told.append(f"{left:,} message{' was' if left == 1 else 's were'} left out of talks that came in.")
        if self._halves:
            told.append(f"{_halves(self._halves)} became U+FFFD.")
        if self._begun:
            tell(_kept(ttl_seconds))
        if self._foreign:
            tell(UNDERSTOOD)
        tell(" ".join(told))


def _halves(number: int) -> str:
    return f"{number:,} half character{'' if number == 1 else 's'}"


def _kept(ttl_seconds: int) -> str:
    if not ttl_seconds:
        return "What came in is kept for ever."
    until = datetime.now(UTC) + timedelta(seconds=ttl_seconds)
    return f"What came in is kept until {until:%Y-%m-%d} (REDIS_TTL_SECONDS); resuming or saving it renews that."

"""Defines everything that can go wrong, as one small tree.

    FlywheelError
    ├── SettingError        an environment variable or the settings file has a value that is not allowed
    ├── InvalidArgument     the caller's argument is wrong; the message says what to do
    ├── DocumentError       a document cannot be read or written as it is; carries the contract's `reason`
    │   ├── Damaged         what is stored is not a document of ours
    │   ├── NewerSchema     it was written by a newer version of this program
    │   ├── TooLarge        it would pass the size limit
    │   ├── NothingToSave   there is no such session, and nothing to begin it with
    │   └── Conflict        somebody saved in between
    │       └── DeletedMeanwhile   somebody deleted it, and the delete wins
    ├── TraceRefused        Langfuse, or the tool that writes to it, does not take a trace
    └── Unavailable         a place did not answer: what it holds is unknown
        ├── StashUnavailable
        │   ├── StashSilent        it said nothing in time: asking again would only wait again
        │   ├── StashUnreached     no connection to it could be opened: nothing was sent
        │   ├── StashRefused       it answered, and does not take this now
        │   └── Unfinished         it was asked for more than there was time for; carries what was found
        ├── JournalUnavailable
        ├── TraceUnreached      nothing took a trace yet
        └── Disabled        persistence is switched off altogether

`None` means absent; an exception means unknown. Mixing the two would start an empty session over a full one.
No message carries session content or a password.
"""

from datetime import datetime
from typing import ClassVar, Literal

Reason = Literal[
    "conflict",
    "damaged",
    "newer_schema",
    "too_large",
    "unavailable",
    "disabled",
    "not_found",
    "expired",
    "deleted",
    "declined",
    "cancelled",
]


class FlywheelError(Exception):
    """The root of this package's exceptions."""


class SettingError(FlywheelError):
    """A setting is wrong; the one-line message names variable, value (never a password) and what is allowed."""


class InvalidArgument(FlywheelError):  # noqa: N818  the tree's leaves are named for what is the matter
    """A caller's argument is wrong; the message names it and says what to do."""


class DocumentError(FlywheelError):
    """A document cannot be read or written as it is."""

    reason: ClassVar[Reason]

    def __init__(self, message: str, revision: int = 0, turns: int = 0, kept_until: datetime | None = None) -> None:
        """`revision`, `turns` and `kept_until` are those of what is stored, where that is known."""
        super().__init__(message)
        self.revision = revision
        self.turns = turns
        self.kept_until = kept_until


class Damaged(DocumentError):  # noqa: N818
    """What is stored under a key is not a document this program can read; it is never overwritten."""

    reason = "damaged"


class NewerSchema(DocumentError):  # noqa: N818
    """A newer version of this program wrote the document; it is refused, never damaged."""

    reason = "newer_schema"


class TooLarge(DocumentError):  # noqa: N818
    """The document would pass `FLYWHEEL_MAX_SESSION_BYTES`."""

    reason = "too_large"


class NothingToSave(DocumentError):  # noqa: N818
    """A save of a session that is not there had nothing in it."""

    reason = "not_found"


class Conflict(DocumentError):  # noqa: N818
    """The expected revision is not the current one (`revision`)."""

    reason = "conflict"


class DeletedMeanwhile(Conflict):
    """The session was deleted at `deleted_revision`, and this write is based on what was deleted.

    `kept` says whether this machine keeps what the write would have saved, as an older revision of that number.
    """

    def __init__(self, message: str, revision: int, deleted_revision: int) -> None:
        super().__init__(message, revision)
        self.deleted_revision = deleted_revision
        self.kept = False


class TraceRefused(FlywheelError):  # noqa: N818
    """Langfuse, or the tool that writes to it, does not take this, now or later; `all_alike`: nor anything else."""

    def __init__(self, message: str, *, all_alike: bool = False) -> None:
        super().__init__(message)
        self.all_alike = all_alike


class Unavailable(FlywheelError):  # noqa: N818
    """A place did not answer: whether it holds or took something is unknown."""


class StashUnavailable(Unavailable):
    """The child or Redis did not answer in time, or answered that it cannot."""


class StashSilent(StashUnavailable):
    """Nothing was heard within the bound; until a probe is answered, nobody else should wait for it."""


class StashUnreached(StashUnavailable):
    """No connection to Redis could be opened, so that nothing of this was sent."""


class StashRefused(StashUnavailable):
    """Redis answered that it does not take this now: full, read-only, loading, or without the right."""


class Unfinished(StashUnavailable):
    """Not all was looked through in time; `found` is what was."""

    def __init__(self, message: str, found: list[str]) -> None:
        super().__init__(message)
        self.found = found


class JournalUnavailable(Unavailable):
    """The journal cannot be read or written, or is switched off."""


class TraceUnreached(Unavailable):
    """Nothing took a trace yet; the same may be sent again, since every event has an id of its own."""


class Disabled(Unavailable):
    """Neither Redis nor the journal is to be used, so nothing is kept."""

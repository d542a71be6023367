"""Defines a command: what a caller asks for, as data that is applied to what is stored now, kept, and applied again.

A command is a pure function from the text under its key to the next text. The same command applied twice has
the effect of one, so a write whose outcome is unknown may simply be sent again.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from agentic_flywheel.documents.writes import Append, Ends, Write

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Step(Generic[Answer_co]):
    """What a command comes to on top of what is stored: the write (`None`: nothing to do) and the answer.

    `command` is what to keep if this write can be accepted only here for now, or what makes that. `archived` is what
    the write takes the place of, kept as an older revision before it; `superseded_write` what came too late, kept as
    one after it.
    """

    write: Write | None
    answer: Answer_co
    command: "Command[Any] | Callable[[], Command[Any]]"
    archived: Write | None = None
    superseded_write: Write | None = None

    @property
    def queued(self) -> "Command[Any]":
        """The command as it is kept."""
        return self.command() if callable(self.command) else self.command


class Command(BaseModel, Generic[Answer_co]):
    """What every command has: the key that it changes, and an id of its own."""

    model_config = ConfigDict(frozen=True, defer_build=True, ser_json_bytes="base64", val_json_bytes="base64")

    appends: ClassVar[bool] = False
    """Whether it may need no more of a large document than its ends."""

    goes_on: ClassVar[bool] = False
    """Whether many of them are often made of one key, each on top of the one before."""

    kind: Any = None
    """A literal in each command that can be queued. It comes first: the journal reads it from where a row begins."""
    key: str
    operation: str = ""
    """Names the write in the document that it makes; the repository gives it, in the order in which writes are made."""

    def remembered(self) -> Write | None:
        """What was under its key when this process last saw it, as a write where there is nothing, if that is known."""
        return None

    @property
    def is_of_framework(self) -> bool:
        """Whether a framework waits for it, which takes a refusal for a loss, and no person or model."""
        return False

    @property
    def is_synced_later(self) -> bool:
        """Whether another write follows it at once, which has this one survive power loss too."""
        return False

    def with_write_id(self, operation: str, follows: str = "") -> Self:  # noqa: ARG002
        """The command as the write of that id; see `FollowingCommand` for the one that it `follows`."""
        return self.model_copy(update={"operation": operation})

    def with_base_revision(self, copy: Write | None, now: datetime) -> Self:  # noqa: ARG002
        """The command, made by somebody who has seen this copy; only a save depends on that."""
        return self

    def with_clock_ahead(self, ahead: timedelta) -> Self:  # noqa: ARG002
        """The command of a machine whose clock is so much ahead; it matters where others' parts may be dropped."""
        return self

    def onto(self, ends: Ends, now: datetime) -> tuple[Append, Answer_co] | None:  # noqa: ARG002
        """The command on top of a document with these ends, and its answer; `None` where it needs all of it."""
        return None

    @abstractmethod
    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Answer_co]:
        """The command on top of `base`, the text stored now (`None`: nothing).

        `alive_remotely`: a store that expires documents by itself still has it, so it is alive whatever our clock says.

        Raises:
            DocumentError: it cannot be applied to that, now or ever.

        """


class FollowingCommand(Command[Answer_co]):
    """A command that adds to what its writer wrote before: where that is not there any more, it stands for itself."""

    follows: str = ""
    """A write of this machine that the document holds, if the store was not set back since."""

    def with_write_id(self, operation: str, follows: str = "") -> Self:
        """The command as the write of that id; its document must hold the write that it `follows`."""
        return self.model_copy(update={"operation": operation, "follows": follows})

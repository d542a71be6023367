"""A change: what a caller asks for, as data that is applied to what is stored now, kept, and applied again later.

A change is a pure function from the text under its key to the next text. The same change applied twice has
the effect of one, so a write whose outcome is unknown may simply be sent again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from agentic_flywheel.documents.writes import Append, Ends, Write

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Step(Generic[Answer_co]):
    """What a change comes to on top of what is stored: the write (`None`: nothing to do) and the answer.

    `pending` is the change to keep if this write can be accepted only here for now. `replaced` is what the write takes
    the place of, to be kept as an older revision before it; `loser` what came too late, to be kept as one after it.
    """

    write: Write | None
    answer: Answer_co
    pending: "BaseChange"
    replaced: Write | None = None
    loser: Write | None = None


class Change(Protocol[Answer_co]):
    """One change of one key."""

    appends: ClassVar[bool]
    """Whether it may need no more of a large document than its ends."""

    @property
    def key(self) -> str:
        """The key that it changes."""
        ...

    def named(self, operation: str, follows: str = "") -> "Change[Answer_co]":
        """The change as the write of that name; its document must hold the write that it `follows`."""
        ...

    def knowing(self, copy: Write | None, now: datetime) -> "Change[Answer_co]":
        """The change, made by somebody who has seen this copy."""
        ...

    def onto(self, ends: Ends, now: datetime) -> tuple[Append, Answer_co] | None:
        """The change on top of a document with these ends, and its answer; `None` where it needs all of it."""
        ...

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[Answer_co]:
        """The change on top of `base`, the text stored now (`None`: nothing).

        `held`: a place that expires documents by itself still has it, so it is alive whatever our clock says.

        Raises:
            DocumentError: it cannot be applied to that, now or ever.

        """
        ...


class BaseChange(BaseModel):
    """What every change has: the key that it changes, and an id of its own."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    appends: ClassVar[bool] = False

    key: str
    operation: str = ""
    """Names the write in the document that it makes; `Repository` gives it, in the order in which writes are made."""

    def named(self, operation: str, follows: str = "") -> Self:  # noqa: ARG002
        """The change as the write of that name; only a save looks at what it `follows`."""
        return self.model_copy(update={"operation": operation})

    def knowing(self, copy: Write | None, now: datetime) -> Self:  # noqa: ARG002
        """The same: only a save depends on what its writer has seen."""
        return self

    def onto(self, ends: Ends, now: datetime) -> tuple[Append, Any] | None:  # noqa: ARG002
        """Nothing: it needs all of a document."""
        return None


def expired(kept_until: datetime | None, now: datetime) -> bool:
    """Whether that time has come."""
    return kept_until is not None and kept_until <= now

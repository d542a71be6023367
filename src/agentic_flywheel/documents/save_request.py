"""Defines what a caller asks to save, and checks it before anything is touched."""

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SkipValidation

from agentic_flywheel.backends.base import BackendType, FlowStatus
from agentic_flywheel.documents.model import MAX_TEXT
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject, canonical, check_json
from agentic_flywheel.keys import MAX_ID_LENGTH
from agentic_flywheel.plain_text import brief
from agentic_flywheel.settings import MAX_TTL_SECONDS

MAX_TAGS = 100


class Save(BaseModel):
    """What a caller asks to save; absent means unchanged. `values` are other `UniversalSession` fields as JSON."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    session_id: str = ""
    history: SkipValidation[list[JSONObject] | None] = Field(  # `check` looks at it, and it would be copied
        default=None, validation_alias=AliasChoices("history", "turns"), serialization_alias="turns"
    )
    context: SkipValidation[JSONObject | None] = None
    remove_context: list[str] = Field(default_factory=list)
    """Keys that leave the stored context before `context` is merged into it."""
    title: str = ""
    summary: str = ""
    tags: list[str] | None = None
    values: JSONObject = Field(default_factory=JSONObject)
    ttl_seconds: int | None = None
    mode: Literal["append", "replace"] = "append"
    expected_revision: int | None = None
    as_sent: bool = Field(default=False, exclude=True)
    """No save like it is this one sent again, and appended turns are all new: its caller's contract says so.

    Its write id alone tells a retry.
    """
    synced_later: bool = Field(default=False, exclude=True)
    """In a journal alone the caller makes another write right after it, which has it survive power loss too."""
    is_checked: bool = Field(default=False, exclude=True)
    """Its turns survive JSON, as whoever read them has made sure."""
    session_only: bool = False
    """A replace keeps title, summary and tags: the caller knows only the fields of `UniversalSession`."""
    default_ttl_seconds: int | None = None
    """The time to live of a new session."""
    note: str = ""
    """How the revision comes about, for the list of revisions."""
    extra: JSONObject = Field(default_factory=JSONObject)
    """Fields of the document beyond those of a session, kept and shown with it."""
    said_at: datetime | None = None
    """When the last of an imported talk was said: lists show it at that time. `None`: it is said now."""

    direct: bool = Field(default=False, exclude=True)
    """Not queued: its caller can still be told of another owner, or that it begins nothing. A queued save, which was
    acknowledged, is merged under the stored owner.
    """

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it to begin a session with."""
        values = {name: value for name, value in self.values.items() if name != "user_id"}
        return not (self.history or self.context or self.title or self.summary or self.tags or values or self.extra)

    def check(self) -> None:
        """Raise `InvalidArgument` for what cannot be kept as it is, naming what and where."""
        parts = {"history": None if self.is_checked else self.history, "context": self.context, "tags": self.tags}
        for name, value in (parts | {"remove_context": self.remove_context}).items():
            if value:
                check_json(value, name)
        for name, value in {"title": self.title, "summary": self.summary, **self.values}.items():
            if value:
                check_json(value, name)
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise InvalidArgument(f"{name} must be at most {MAX_TEXT:,} characters; it has {len(value):,}.")
        for name, kind in (("backend", BackendType), ("status", FlowStatus)):
            if name in self.values:
                check_one_of(kind, self.values[name], name)
        self._check_tags()
        if self.ttl_seconds is not None:
            check_ttl(self.ttl_seconds)
        if self.expected_revision is not None and self.expected_revision < 0:
            raise InvalidArgument(
                f"expected_revision must be the revision of an earlier answer; {brief(self.expected_revision)} came."
            )

    def _check_tags(self) -> None:
        tags = self.tags or ()
        if len(tags) > MAX_TAGS:
            raise InvalidArgument(f"tags must be at most {MAX_TAGS}; {len(tags):,} came.")
        for at, tag in enumerate(tags):
            if len(tag) > MAX_ID_LENGTH:
                raise InvalidArgument(f"tags[{at}] must be at most {MAX_ID_LENGTH} characters; it has {len(tag):,}.")


def check_one_of(kind: type[BackendType] | type[FlowStatus], value: object, name: str) -> None:
    """Raise `InvalidArgument` if the value is none of an enumeration's."""
    allowed = [member.value for member in kind]
    if value not in allowed:
        raise InvalidArgument(f"{name} must be one of {', '.join(allowed)}.")


def check_ttl(ttl_seconds: int) -> int:
    """The time to live in seconds, if it is allowed; 0 means never expires.

    Raises:
        InvalidArgument: it is negative or beyond `MAX_TTL_SECONDS`.

    """
    if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise InvalidArgument(
            f"ttl_seconds must be from 0 (never expires) to {MAX_TTL_SECONDS}; {brief(ttl_seconds)} came."
        )
    return ttl_seconds


def retry_id(*parts: object) -> str:
    """What the same save has in common each time it is sent."""
    return hashlib.blake2b(canonical(parts).encode(), digest_size=16).hexdigest()

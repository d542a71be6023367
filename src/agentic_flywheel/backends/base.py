"""The data types of flow backends: what a session is, whichever backend ran it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any


class BackendType(Enum):
    """A flow backend."""

    FLOWISE = "flowise"
    LANGFLOW = "langflow"
    CUSTOM = "custom"


class FlowStatus(Enum):
    """Where a flow, or the session that runs it, stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class UniversalSession:
    """One conversation, in the shape that every flow backend shares.

    `history` is a list of turns (JSON objects), `context` one JSON object. Times are instants: a naive one is
    read as UTC and comes back aware. `total_response_time` is in seconds. `expires_at` is the caller's own
    note; it never deletes anything.
    """

    id: str
    backend: BackendType
    backend_session_id: str = ""
    status: FlowStatus = FlowStatus.PENDING
    current_flow_id: str | None = None
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    created_at: datetime = field(default_factory=_now)
    updated_at: datetime = field(default_factory=_now)
    expires_at: datetime | None = None
    user_id: str | None = None
    total_queries: int = 0
    successful_queries: int = 0
    total_response_time: float = 0.0

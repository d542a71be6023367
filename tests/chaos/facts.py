"""What an answer may not say, by what is known of the network and the disks at that time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..support.async_wire import Reply
from .ledger import foreign
from .seat import Seat

if TYPE_CHECKING:
    from .world import World

OF_A_REDIS = {
    "stored_in": "redis", "source": "redis", "scope": "shared", "stale": True, "provisional": True, "mode": "redis",
}  # fmt: skip
"""What no answer says where no Redis is named."""


class Facts:
    """Looks at every answer of a world's servers."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def __call__(self, seat: Seat, tool: str, reply: Reply) -> Iterator[str]:
        """Each thing that is contrary to the facts, in words."""
        answer, ended = reply.answer, reply.sent_at + reply.seconds
        quiet = {**answer, "message": ""}  # which may repeat a query; and what is kept here shows under any Redis
        if other := foreign(str(quiet), seat.destination, "here"):
            yield f"the answer holds a text of {other}"
        if seat.destination == "here":
            for name in _said(answer, OF_A_REDIS):
                yield f"{name}, and no Redis is named"
            return
        if tool == "persistence_status":
            if self._world.addresses[seat.destination].was_down(reply.sent_at, ended) and answer["mode"] == "redis":
                yield f"mode redis, and Redis {seat.destination} could not be reached"
            return
        if self._world.addresses[seat.destination].was_down(reply.sent_at, ended):
            contrary: dict[str, Any] = {
                "stored_in": "redis",
                "source": "redis",
                "scope": "shared",
                "reason": "not_found",
            }
            if answer.get("found"):
                contrary["stale"] = False
            for name in _said(answer, contrary):
                yield f"{name}, and Redis {seat.destination} could not be reached"
        if answer.get("saved") and answer["provisional"] is (answer["stored_in"] == "redis"):
            yield f"provisional: {answer['provisional']}, stored in {answer['stored_in']}"
        if answer.get("source") == "redis" and answer.get("stale"):
            yield "stale, and from Redis"


def _said(answer: dict[str, Any], contrary: dict[str, Any]) -> list[str]:
    """Which of these fields an answer has, with these values."""
    return [f"{name}: {value}" for name, value in contrary.items() if name in answer and answer[name] == value]

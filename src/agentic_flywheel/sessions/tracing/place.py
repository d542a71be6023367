"""Knows in which trace the running code is, and keeps the faults of tracing to itself."""

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

logger = logging.getLogger(__name__)

_Args = ParamSpec("_Args")
_Self = TypeVar("_Self")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happens: a trace, and the observation in it below which it stands."""

    trace_id: str
    observation_id: str | None


current_place: ContextVar[Place | None] = ContextVar("langfusecurrent_place", default=None)


def current_trace_id() -> str | None:
    """The trace of the innermost traced call that is under way here."""
    place = current_place.get()
    return place.trace_id if place else None


def never_raising(
    method: Callable[Concatenate[_Self, _Args], _Answer],
) -> Callable[Concatenate[_Self, _Args], _Answer | None]:
    """The method, which answers `None` where it would raise: no fault of tracing is one of what is traced."""

    @functools.wraps(method)
    def safe(self: _Self, *args: _Args.args, **kwargs: _Args.kwargs) -> _Answer | None:
        try:
            return method(self, *args, **kwargs)
        except Exception as exc:  # noqa: BLE001  for what the docstring says
            logger.debug("Tracing: %s failed (%s).", method.__name__, type(exc).__name__)
            return None

    return safe

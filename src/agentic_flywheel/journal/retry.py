"""Runs a verb of the journal once more where the file that it used was replaced."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from agentic_flywheel.errors import JournalUnavailable

_P = ParamSpec("_P")
_R = TypeVar("_R")
_File = TypeVar("_File")


class Replaced(JournalUnavailable):
    """The file that was open is not the journal any more: it was deleted, or damaged and moved aside."""


def retry_once_if_replaced(verb: Callable[Concatenate[_File, _P], _R]) -> Callable[Concatenate[_File, _P], _R]:
    """Wrap a verb so that it is tried once more with the file that has taken the place of the one it met."""

    @functools.wraps(verb)
    def retried(self: _File, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return verb(self, *args, **kwargs)
        except Replaced:
            return verb(self, *args, **kwargs)

    return retried

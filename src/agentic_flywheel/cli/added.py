"""Says what became of one entry of an import."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["new", "more", "same", "copy", "deleted", "paused", "bad"]
"""What became of it: taken in, added to, there, there in another one, deleted here, off the record, not taken in."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of an entry, what there is to tell of it, and how many halves of characters were mended in it.

    `turns`: how many came in, or are others now; `given`: digests of the title and the summary that an import set.
    `is_end`: the session ends now as its talk does, so that what its file is given next may follow.
    """

    outcome: Outcome
    message: str = ""
    halves: int = 0
    turns: int = 0
    revision: int = 0
    stored_in: str = ""
    given: tuple[str, str] = ("", "")
    is_end: bool = True

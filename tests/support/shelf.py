"""A place on this machine that is a dict: it can be set back, and refuse keys."""

from agentic_flywheel.documents.writes import Outcome, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Erased, NoJournal
from agentic_flywheel.session_keys import SessionKeys


class Shelf(NoJournal):
    """What the journal does with documents, and nothing else of it."""

    off = False

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Write] = {}
        self.refused: str = ""  # keys that begin so are not written

    def has_destination(self) -> bool:
        return False

    def copy_of_this_machine(self, key: str) -> Write | None:  # noqa: ARG002
        return None

    def has_none_here(self, key: str) -> bool:  # noqa: ARG002
        return True

    def move_from_this_machine(self, key: str) -> bool:  # noqa: ARG002
        return False

    def copy(self, key: str) -> Write | None:
        return self.kept.get(key)

    def lookup_nowait(self, key: str, largest: int = 0) -> tuple[None, Write | None]:  # noqa: ARG002
        return None, self.kept.get(key)

    def copy_or_ends(self, key: str) -> Write | None:
        return self.kept.get(key)

    def commit(self, write: Write, *_: object, **__: object) -> Outcome:
        if self.refused and write.key.startswith(self.refused):
            raise JournalUnavailable("The disk is full.")
        there = self.kept.get(write.key)
        if (there.text if there else None) != write.seen:
            return Outcome(accepted=False, current=there.text if there else None)
        self.kept[write.key] = write
        return Outcome(accepted=True)

    def erase(self, keys: SessionKeys, **_: object) -> Erased:
        gone = [key for key in self.kept if key.startswith((keys.revisions, keys.histories))]
        if self.refused and any(key.startswith(self.refused) for key in gone):
            raise JournalUnavailable("The disk is full.")
        for key in gone:
            del self.kept[key]
        return Erased(len(gone), wiped=True)

    def delete(self, write: Write, keys: SessionKeys, *_: object, **__: object) -> Erased | None:
        erased = self.erase(keys)
        return erased if self.commit(write).accepted else None

    def keys(self, prefix: str) -> list[str]:
        return [key for key, write in self.kept.items() if key.startswith(prefix) and not write.tombstone]

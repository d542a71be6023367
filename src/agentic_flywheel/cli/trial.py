"""Gives the doctor and the demo a store of their own beside the real one; nothing of it is left when they end."""

import contextlib
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from agentic_flywheel.errors import Unavailable
from agentic_flywheel.keys import Keys
from agentic_flywheel.private_files import check_folder
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from agentic_flywheel.coaia.supervisor import Supervisor

PREFIX_LEFT = 100
"""Characters of the prefix before the store's own name: the sum is a prefix that is allowed."""


def own_settings(settings: Settings, folder: Path, name: str) -> Settings:
    """The same, with a folder and a key prefix of its own, below the prefix: the same rights reach it."""
    return replace(
        settings, data_dir=folder, key_prefix=f"{settings.key_prefix[:PREFIX_LEFT]}:{name}_{uuid4().hex[:8]}"
    )


@contextlib.contextmanager
def own_folder(data_dir: Path) -> Generator[tuple[Path, str]]:
    """A folder on the disk of the data folder, which need not be there, or elsewhere and why it cannot be there."""
    place = next((each for each in (data_dir, *data_dir.parents) if each.exists()), data_dir)
    with contextlib.ExitStack() as stack:
        try:
            check_folder(data_dir)
            made = stack.enter_context(_temporary(place))
            why = ""
        except OSError as exc:
            made = stack.enter_context(_temporary(None))
            why = (
                str(exc)
                if exc.strerror is None
                else f"the folder {data_dir} cannot be written: {exc.strerror.lower()}."
            )
        yield Path(made), why


def _temporary(place: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=".agentic-flywheel-", dir=place, ignore_cleanup_errors=True)


@contextlib.asynccontextmanager
async def own_client(settings: Settings, documents: Sequence[str]) -> AsyncGenerator["Supervisor | None"]:
    """A client of this store's Redis, if it has one; at the end these documents go, and what is made beside them.

    A child that cannot delete leaves them until they expire.
    """
    from agentic_flywheel.coaia.stash import Stash
    from agentic_flywheel.sessions.wiring import open_client

    if not settings.redis_enabled:
        yield None
        return
    client, keys = open_client(settings), Keys(settings.key_prefix)
    client.start()
    try:
        yield client
        stash = Stash(client, keys, settings.timeout_seconds, lambda: datetime.now(UTC))
        with contextlib.suppress(Unavailable):
            for key in (
                *documents,
                keys.index,
                f"{keys.index}:notes",
                f"{keys.index}:healing",
                keys.deletions,
                keys.epoch,
            ):
                await stash.drop(key, stash.deadline())
    finally:
        await client.aclose()

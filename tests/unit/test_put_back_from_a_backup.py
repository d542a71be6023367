"""A data folder that was put back from a backup, or copied, has saves in its outbox that were sent long since."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.documents.append import fingerprint
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS
from agentic_flywheel.journal import Journal

from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine, drain
from .test_flow_history_set_back import answers, put_back


@pytest.fixture
def machine(journal: Journal, own_redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, own_redis.start(), clock)


@pytest.fixture
def restored(tmp_path: Path, machine: Machine, clock: Clock) -> Iterator[Machine]:
    """The machine once the backup is put back: `back_up` makes that."""
    (tmp_path / "backup").mkdir()
    journal = Journal(tmp_path / "backup", clock, addresses=("redis",))
    yield Machine(journal, machine.redis, clock)
    journal.close()


def back_up(journal: Journal, folder: Path) -> None:
    """What a copy of the folder has at this moment."""
    with closing(sqlite3.connect(journal.path)) as here, closing(sqlite3.connect(folder / journal.path.name)) as there:
        here.backup(there)


def said(machine: Machine) -> list[str]:
    stored = machine.stored("s")
    return words(stored["history"]) if stored else []


SEEN = {"views": ((fingerprint(turns("first")[0]),),)}


@pytest.mark.parametrize("more", [{}, {"as_sent": True}, SEEN], ids=["by itself", "as sent", "by who has seen it"])
@pytest.mark.parametrize("others", [3, KEPT_OPERATIONS + 1])
async def test_what_was_sent_since_the_backup_is_not_doubled_however_many_wrote_since(
    machine: Machine, restored: Machine, tmp_path: Path, more: dict[str, Any], others: int
):
    async with machine.repository(tmp_path / "first", worker=False) as here:
        await here.write(machine.save("s", "first"))
    async with machine.repository(tmp_path / "second", worker=False) as here:
        machine.redis.freeze()
        assert (await here.write(machine.save("s", "mine", "more", **more), deadline=0.0)).stored_in == "journal"
        back_up(machine.journal, tmp_path / "backup")
        machine.redis.thaw()
        await eventually(lambda: answers(here), what="Redis to answer")
        await drain(here)
        assert said(machine) == ["first", "mine", "more"]
        assert here._worker._outbox
        remote = here._worker._outbox.remote
        for number in range(others):  # each has a name of its own, as each process has
            await remote.commit_with_retry(machine.save("s", f"other {number}"), None, remote.stash.deadline())
    async with restored.repository(tmp_path / "restored", worker=False) as here:
        await put_back(here)
        await here.write(restored.save("s", "after it"))
    assert said(machine) == ["first", "mine", "more", *(f"other {number}" for number in range(others)), "after it"]

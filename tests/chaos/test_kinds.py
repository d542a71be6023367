"""One fault of each kind, in one world: nothing is lost, crossed, undone, doubled or misreported."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .book import Book
from .episode import play
from .kinds import KINDS, NOTHING
from .story import story
from .world import World, a_world

SEED = 12
NOISY = "over the deadline"  # a test machine is
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two machines and their Redis; nothing of them is left behind."""
    folder: Path = tmp_path_factory.mktemp("chaos")
    with Book(SEED, folder / "events.jsonl") as book:
        async with a_world(folder, book) as world:
            yield world
        assert not book.violations["left behind"], book.told


@pytest.mark.parametrize("kind", [NOTHING, *KINDS])
async def test_what_was_acknowledged_is_there_once_and_only_where_it_was_meant_to_be_after(kind: str, world: World):
    told = len(world.book.told)
    world.book.lately.clear()
    world.book.first_about = ""
    await play(world, kind, 1 + [NOTHING, *KINDS].index(kind), random.Random(f"{SEED} {kind}"))
    wrong = [line for line in world.book.told[told:] if NOISY.upper() not in line]
    assert not wrong, "\n".join([*story(world.book.lately, world.book.first_about), str(world.folder), *wrong])

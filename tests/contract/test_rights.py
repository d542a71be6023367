"""The rights of a Redis user: the list of them is what is needed, no less and no more."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import redis as redis_py

from agentic_flywheel.coaia.child.script_texts import IN_PLACE_FROM
from agentic_flywheel.coaia.rights import BETTER_WITH, NEEDED, access_list
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Filter, ListRow, Splice, Write
from agentic_flywheel.errors import StashRefused
from agentic_flywheel.keys import Keys

from ..support.redis_server import RedisServer
from .conftest import SECONDS, child
from .places import Place, utc_now
from .test_keyvalue import accepted, document, listed, soon, tombstone, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = Keys("team.a:flywheel")
USER = "flywheel"
DATABASE = 1

ASKED_LATER = {"ping"}
"""Sent when a connection was idle for half a minute: a test does not wait for that, but sees it refused."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis")).start()
    with one.client() as client:
        try:
            client.execute_command("ACL", "WHOAMI")
        except redis_py.ResponseError:
            one.kill()
            pytest.skip("this server has no access lists")
    yield one
    one.kill()


def allow(server: RedisServer, *rules: str) -> None:
    """Let the user do what the list says, but for these rules; its connections end, and no script is known."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", USER, "reset", "on", "nopass")
        for rule in (*access_list(KEYS.prefix).split(), *rules):
            with suppress(redis_py.ResponseError):  # COPY and ZMSCORE came with Redis 6.2, HPEXPIRE with 7.4
                client.execute_command("ACL", "SETUSER", USER, rule)
        client.script_flush()
        with suppress(redis_py.ResponseError):  # there are none
            client.execute_command("CLIENT", "KILL", "USER", USER)
        client.execute_command("ACL", "LOG", "RESET")


def denied(server: RedisServer) -> set[str]:
    """What was refused to the user since, commands and keys."""
    with server.client() as client:
        entries = client.execute_command("ACL", "LOG")
    return {dict(zip(entry[::2], entry[1::2], strict=True))["object"].lower() for entry in entries}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stash(tmp_path_factory: pytest.TempPathFactory, server: RedisServer) -> AsyncIterator[Stash]:
    allow(server)
    url = f"redis://{USER}:any@127.0.0.1:{server.port}/{DATABASE}"
    async with child(tmp_path_factory.mktemp("child"), url) as client:
        yield Stash(client, KEYS, SECONDS, utc_now)


@pytest.fixture
def place(server: RedisServer, stash: Stash) -> Iterator[Place]:
    yield Place(stash, KEYS, lambda _key: server)
    server.flush()


async def saved(place: Place) -> None:
    """Save in every way: anew, on top of something, a large one where it changed, for a while and for ever."""
    first, second = listed(place, "s", 10, kept_until=soon(60)), document("s", 2)
    older = Write(f"{KEYS.revisions('s')}1", first.text, None, soon(60))
    await accepted(place, first)
    beside = replace(write(place, "s", second, first.text, kept_until=soon(60)), extend_keys=(older.key,))
    assert (await place.kv.commit(beside, None, older)).accepted
    assert await place.kv.read(older.key) == first.text
    gone = replace(
        write(place, "s", document("s", 3), second), extend_keys=(KEYS.revisions("s") + "2",), delete_keys=(older.key,)
    )
    await accepted(place, gone)
    assert await place.kv.read(older.key) is None
    assert await place.kv.read(first.key) == document("s", 3)

    words = "x" * IN_PLACE_FROM
    before, after = document("large", 1, words), document("large", 2, words)
    head, tail = after[: after.index(words)], after[after.index(words) + len(words) :]
    splice = Splice(head, len(head), len(tail), tail)
    await accepted(place, write(place, "large", before, kept_until=soon(60)))
    await accepted(place, replace(write(place, "large", after, before), splice=splice))
    assert await place.kv.read(KEYS.session("large")) == after


async def shown(place: Place) -> None:
    """List, page, search and look up; heal the list."""
    stash: Stash = place.kv
    await accepted(place, *(listed(place, f"l{number}", 100 + number) for number in range(1, 6)))
    brief = [listed(place, f"b{number}", number, kept_until=soon(60 + number)) for number in range(2)]
    await accepted(
        place,
        *(replace(each, list_row=ListRow(f"{KEYS.index}:brief", each.key, 1, "{}")) for each in brief),
    )
    page = await stash.index.page(KEYS.index, None, 2)
    assert [entry.member for entry in page.entries][:1] == ["l5"]
    behind = await stash.index.page(KEYS.index, (104, "l4"), 10)
    assert [entry.member for entry in behind.entries][:3] == ["l3", "l2", "l1"]
    behind = await stash.index.page(KEYS.index, (103, "gone"), 10)
    assert "l2" in [entry.member for entry in behind.entries]
    for text in ("l3", "é"):
        found = await stash.index.page(KEYS.index, None, 10, Filter([text]))
        assert [entry.member for entry in found.entries] == (["l3"] if text == "l3" else [])
    entries = await stash.index.entries(KEYS.index, ["l1", "nobody"], stash.deadline())
    assert [entry.member for entry in entries] == ["l1"]
    with suppress(StashRefused):  # who may not scan is not told: the list is then served as it is
        await stash.index.reconcile(KEYS.index, "", stash.deadline())


async def deleted(place: Place) -> None:
    """Delete a session with what belongs to it."""
    stash: Stash = place.kv
    first = listed(place, "d", 10)
    await accepted(place, first, tombstone(place, "d", first.text, listed=True, kept_until=soon(60)))
    assert await stash.read(first.key) != first.text
    assert "d" not in [entry.member for entry in (await stash.index.page(KEYS.index, None, 100)).entries]
    with place.redis_of(KEYS.index).client() as client:
        client.select(DATABASE)
        assert not client.hexists(f"{KEYS.index}:notes", "d"), "nor is its title left anywhere"
    with suppress(StashRefused):
        await stash.parts.beginning(KEYS.histories("d"), stash.deadline())
    older = Write(f"{KEYS.revisions('d')}1", "older", None, soon(60))
    await stash.keep(older, stash.deadline())
    await stash.drop(older.key, stash.deadline())
    assert await stash.read(older.key) != "older"


async def restored(place: Place) -> None:
    """Look whether anything was lost, and put it back."""
    stash: Stash = place.kv
    assert (await stash.poll(KEYS.epoch, KEYS.deletions, "0-0")).epoch
    await stash.status()
    lost = listed(place, "lost", 30)
    assert await stash.versions([lost.key], stash.deadline()) == {lost.key: None}
    assert await stash.restore([lost], stash.deadline()) == ["put"]
    assert await stash.read(lost.key) == lost.text


async def everything(place: Place) -> None:
    for act in (saved, shown, deleted, restored):
        await act(place)
    assert place.kv.supervisor.generation == 1


async def test_the_rights_of_the_list_are_enough(server: RedisServer, place: Place):
    allow(server)
    await everything(place)
    assert denied(server) == set()


@pytest.mark.parametrize("command", NEEDED)
async def test_without_a_needed_right_something_is_broken(server: RedisServer, place: Place, command: str):
    allow(server, f"-{command}")
    broken: Any = None
    try:
        await everything(place)
    except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001  whatever breaks first
        broken = exc
    assert broken or command in ASKED_LATER
    assert command in denied(server)


@pytest.mark.parametrize("command", BETTER_WITH)
async def test_without_any_other_right_of_the_list_all_is_kept_and_shown(
    server: RedisServer, place: Place, command: str
):
    allow(server, f"-{command}")
    with server.client() as client:
        if command not in client.command():
            pytest.skip("this server has no such command")
    await everything(place)
    assert denied(server) == {command}


async def test_the_keys_of_others_are_not_needed_and_not_allowed(server: RedisServer, stash: Stash):
    allow(server)
    with pytest.raises(StashRefused, match=r"permission|key"):
        await stash.read("team.b:flywheel:session:s")

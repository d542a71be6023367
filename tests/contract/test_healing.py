"""What was stored without being listed is found, all of it, and a look at very many keys says where it stopped."""

import asyncio

import pytest

from agentic_flywheel.coaia import remote_parts
from agentic_flywheel.coaia.child.document_tools import SCANNED_AT_ONCE, Documents
from agentic_flywheel.coaia.child.index_repair import NAMED_AT_ONCE, IndexRepair
from agentic_flywheel.coaia.child.index_tools import Index
from agentic_flywheel.coaia.child.script_runner import Scripts
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Unfinished
from agentic_flywheel.replication.session_list import reconcile_index

from ..support.redis_server import RedisServer
from .places import OUR_STASHES, SEALED_STASHES, Place
from .test_keyvalue import accepted, document, write

STASHES_THAT_LIST = [*OUR_STASHES, *SEALED_STASHES]


def at_once(place: Place) -> None:
    """Let the next step of healing be made at once."""
    key = f"{place.keys.index}:healing"
    with place.redis_of(key).client() as client:
        client.delete(key)


@pytest.mark.parametrize("place", STASHES_THAT_LIST, indirect=True)
@pytest.mark.asyncio(loop_scope="module")
class TestHealing:
    async def test_all_that_is_not_listed_is_named_however_much_that_is(self, place: Place):
        stash: Stash = place.kv
        members = {f"s{number}" for number in range(2 * NAMED_AT_ONCE + 50)}
        done = await stash.restore([write(place, m, document(m, 1)) for m in members], stash.deadline(at_least=20))
        assert {*done} == {"put"}
        named: set[str] = set()
        at, unlisted = await stash.index.reconcile(place.keys.index, "", stash.deadline(at_least=20))
        named.update(unlisted)
        while at.partition(" ")[0] != "0":  # once through all keys
            at_once(place)
            at, unlisted = await stash.index.reconcile(place.keys.index, at, stash.deadline(at_least=20))
            named.update(unlisted)
        assert named == members

    async def test_where_there_was_no_time_for_all_it_goes_on_at_the_same_place(self, place: Place):
        stash: Stash = place.kv
        text = document("real", 1)
        await accepted(place, write(place, "real", text))

        class Hurried:
            """The stash, with an answer that names far more than can be looked at in time."""

            def __init__(self, first: str) -> None:
                self.first = first
                self.index = self

            def __getattr__(self, name: str) -> object:
                return getattr(stash if hasattr(stash, name) else stash.index, name)

            async def reconcile(self, _index: str, _place: str, _deadline: float) -> tuple[str, list[str]]:
                return "beyond", [self.first, *nobodies]

        nobodies = [f"nobody{number}" for number in range(200_000)]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 1.0  # of which half may be used
        assert await reconcile_index(Hurried("real"), place.keys.index, "here", deadline) == "here"  # type: ignore[arg-type]
        deadline = loop.time() + 1.0
        went_on = await reconcile_index(Hurried("nobody"), place.keys.index, "here", deadline)  # type: ignore[arg-type]
        assert went_on == "beyond", "what cannot be listed must not be looked at for ever"

    async def test_keys_that_are_all_found_are_all_there_are(self, place: Place):
        keys = [place.keys.history("s", f"k{number}") for number in range(20)]
        await accepted(place, *(Write(key, document("k", 1), None, None) for key in keys))
        assert await place.kv.parts.beginning(place.keys.histories("s"), place.kv.deadline(at_least=20)) == sorted(keys)

    async def test_keys_that_are_not_all_found_are_said_to_be_so(self, place: Place, monkeypatch: pytest.MonkeyPatch):
        keys = {place.keys.history("s", f"k{number}") for number in range(20)}
        await accepted(place, *(Write(key, document("k", 1), None, None) for key in keys))
        monkeypatch.setattr(remote_parts, "KEYS_LISTED", 5)
        with pytest.raises(Unfinished) as stopped:
            await place.kv.parts.beginning(place.keys.histories("s"), place.kv.deadline(at_least=20))
        assert len(stopped.value.found) == 5
        assert {*stopped.value.found} < keys


def test_a_scan_that_stops_in_time_says_so(worker_redis: RedisServer):
    with worker_redis.client() as client, client.pipeline(transaction=False) as pipe:
        keys = [f"scanned:{number}" for number in range(3 * SCANNED_AT_ONCE)]
        for key in keys:
            pipe.set(key, "")
        pipe.execute()
        scripts = Scripts(client, by_name=True)
        documents = Documents(None, client, scripts, Index(client, scripts, IndexRepair(client)))
        hurried, patient = (documents.coaia_list("scanned:*", 100_000, seconds) for seconds in (1e-9, 60))
        client.delete(*keys)
    assert not hurried["complete"]
    assert len(hurried["keys"]) < len(keys)
    assert (patient["complete"], len(patient["keys"])) == (True, len(keys))

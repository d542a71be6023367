"""Lists of many: what is asked for is looked for where the rows are, and none that has it is left out."""

import json
import random
from collections.abc import Sequence

import pytest

from agentic_flywheel.coaia.child.index_tools import LOOKED_AT_OUTSIDE
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import EVERY_ROW, Filter, ListRow
from agentic_flywheel.json_text import dumps
from agentic_flywheel.keys import glob

from .places import OUR_STASHES, Place
from .test_keyvalue import accepted, listed

pytestmark = pytest.mark.asyncio(loop_scope="module")

STASHES_THAT_LIST = OUR_STASHES

MEMBERS = [
    "a", "b", "ab", "aé", "é", "漢字", "🌾🌾", "a-b", "a]b", "a%b", "a.b", "a+b", "[a]", "^a", "\\", "a\\b", "A", "a b",
    "-", "]", "a*b", "a?b", "$", "a$", "(a)", "é-漢", "%", "%a", "e\u0301", "\u0301",
]  # fmt: skip

PATTERNS = [
    "*", "a*", "*b", "a?b", "?", "??", "[ab]", "[^a]", "[^a]*", "[a-c]*", "[c-a]*", "[!-/]", "*[-]*", "*[]]*", "[\\]]",
    "\\*", "a\\*b", "a\\?b", "*é", "é*", "[é]", "[^é]", "[a-é]", "?é", "*\\\\*", "%*", "*%", "*%a", "a.b", "*.*",
    "a$", "*$*", "^a", "[^^]*", "[", "[^", "[]", "[^]", "a[", "**", "*a*b*", "漢?", "*🌾", "?" * 600, "*?" * 300, "(*)",
    "a+b", "A", "[A-Z]", "x\x01", "\x01*", "*\x00*", "[\x01]", "",
]  # fmt: skip

VALUES = ["running", "été", 'say "so"', "back\\slash", "a/b", "line\nend", "ana", "🌾"]


def row(member: str, number: int, **shown: object) -> ListRow:
    note = {"id": member, "title": f"Talk {number}", "tags": [], "status": "pending", "user_id": None}
    return ListRow("", member, 1_000 + number, dumps(note | shown))


async def put(place: Place, entries: Sequence[ListRow]) -> None:
    """List these; no document is needed for that, among others that are stored."""
    key = place.keys.index
    with place.redis_of(key).client() as client:
        client.zadd(key, {entry.member: entry.saved_at for entry in entries})
    with place.redis_of(f"{key}:notes").client() as client:
        for entry in entries:  # one at a time, as Redis before 4 takes them
            client.hset(f"{key}:notes", entry.member, entry.note)


async def members(place: Place, wanted: Filter = EVERY_ROW, limit: int = 7) -> list[str]:
    """All that is listed of what is wanted, a page after another, from the first row on."""
    stash: Stash = place.kv
    found: list[ListRow] = []
    before: tuple[int, str] | None = (2**53, "")  # so that nobody sees to what is not stored
    while before:
        page = await stash.index.page(place.keys.index, before, limit, wanted, stash.deadline(at_least=20.0))
        assert len(page.entries) <= limit
        found += page.entries
        before = page.older
    assert found == sorted(found, key=lambda e: (e.saved_at, e.member.encode()), reverse=True)
    return [entry.member for entry in found]


@pytest.mark.parametrize("place", STASHES_THAT_LIST, indirect=True)
class TestListsOfMany:
    async def test_every_row_comes_once_whatever_the_size_of_a_page(self, place: Place):
        entries = [row(f"s{number}", number // 3) for number in range(250)]  # some of the same time
        await put(place, entries)
        expected = sorted((e.member for e in entries), key=lambda m: (int(m[1:]) // 3, m.encode()), reverse=True)
        for limit in (1, 7, 99, 100, 101, 250, 1_000):
            assert await members(place, limit=limit) == expected

    async def test_a_glob_is_matched_where_the_ids_are(self, place: Place):
        await put(place, [row(member, number) for number, member in enumerate(MEMBERS)])
        for pattern in PATTERNS:
            found, fits = await members(place, Filter(pattern=pattern)), glob(pattern)
            meant = [member for member in reversed(MEMBERS) if fits(member)]
            if pattern.isascii():
                assert found == meant, pattern
            else:
                assert [member for member in found if fits(member)] == meant, pattern

    async def test_globs_of_many_kinds_are_matched_as_here(self, place: Place):
        dice = random.Random(12)
        ids = list(dict.fromkeys("".join(dice.choices("ab-]^\\é漢", k=dice.randint(1, 5))) for _ in range(150)))
        await put(place, [row(member, number) for number, member in enumerate(ids)])
        for _ in range(120):
            pattern = "".join(dice.choices("ab-]^\\é漢[*?", k=dice.randint(1, 7)))
            fits = glob(pattern)
            found = await members(place, Filter(pattern=pattern), limit=50)
            assert [member for member in found if fits(member)] == [m for m in reversed(ids) if fits(m)], pattern

    @pytest.mark.parametrize("value", VALUES)
    async def test_a_value_is_found_however_it_is_written(self, place: Place, value: str):
        escaped = json.dumps(value).replace("/", "\\/")
        everywhere_escaped = '"' + "".join(f"\\u{unit:04x}" for unit in _units(value)) + '"'
        notes = {
            "plain": dumps({"status": value}),
            "in a list": dumps({"tags": ["other", value]}),
            "escaped": '{ "status" : ' + escaped + " }",
            "everywhere": '{"status":' + everywhere_escaped + "}",
            "longer": dumps({"status": value + "x"}),
            "other": dumps({"status": "other"}),
        }
        await put(place, [ListRow("", name, number, note) for number, (name, note) in enumerate(notes.items())])
        found = await members(place, Filter(texts=[value]))
        assert {"plain", "in a list", "escaped", "everywhere"} <= {*found}
        assert not {"other"} & {*found}
        both = await members(place, Filter(texts=[value, "other"]))
        assert "in a list" in both
        assert "plain" not in both

    async def test_what_is_sought_among_many_comes_in_whole_pages(self, place: Place):
        count = 2 * LOOKED_AT_OUTSIDE + 50
        entries = [row(f"s{n}", n, status="running" if n % 3 else "été") for n in range(count)]
        await put(place, entries)
        found = await members(place, Filter(texts=["été"]), limit=200)
        assert found == [f"s{n}" for n in reversed(range(0, count, 3))]

    async def test_a_page_goes_on_where_the_last_row_was_deleted_or_saved_since(self, place: Place):
        await put(place, [row(f"s{number}", number) for number in range(10)])
        stash: Stash = place.kv
        for change in ("deleted", "saved"):
            await put(place, [row("s5", 5)])
            with place.redis_of(place.keys.index).client() as client:
                if change == "deleted":
                    client.zrem(place.keys.index, "s5")
                else:
                    client.zadd(place.keys.index, {"s5": 5_000})
            page = await stash.index.page(place.keys.index, (1_005, "s5"), 3)
            assert [entry.member for entry in page.entries] == ["s4", "s3", "s2"], change

    async def test_a_session_saved_by_a_clock_that_is_ahead_is_not_the_latest_for_longer(self, place: Place):
        ahead = listed(place, "ahead", 2**52)
        assert ahead.list_row
        await accepted(place, ahead)
        (entry,) = (await place.kv.index.page(place.keys.index, None, 10)).entries
        watched = await place.kv.poll(place.keys.epoch, place.keys.deletions, "0-0")
        assert watched.time
        assert entry.saved_at <= watched.time
        assert entry.saved_at > watched.time - 60_000_000
        assert entry.note == ahead.list_row.note
        again = listed(place, "again", 2**52)
        assert await place.kv.restore([again], place.kv.deadline(at_least=20)) == ["put"]
        assert [e.member for e in (await place.kv.index.page(place.keys.index, None, 10)).entries] == ["again", "ahead"]


def _units(text: str) -> list[int]:
    """The UTF-16 units in which JSON escapes a text."""
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[place : place + 2], "big") for place in range(0, len(raw), 2)]

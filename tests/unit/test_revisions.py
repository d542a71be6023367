"""Earlier revisions: each of the last ones can be had back as it was, and little is kept for it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.codec import encode, public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.revisions import KEPT_REPLACED, earlier, listed, whole_for
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.superseded import CHEAP

from ..support.conversations import turns

KEPT = 4
START = datetime(2026, 1, 1, tzinfo=UTC)

SAVES = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["append", "append", "append", "replace"]),
        "turns": st.lists(st.sampled_from("abc").map(lambda word: turns(word)[0]), max_size=3),
    },
    optional={
        "context": st.dictionaries(st.sampled_from("xyz"), st.integers() | st.just("long " * CHEAP), max_size=2),
        "title": st.sampled_from(["one", "two"]),
        "tags": st.lists(st.sampled_from(["red", "blue"]), max_size=2),
        "values": st.sampled_from([{"status": "running"}, {"user_id": "ana"}, {"current_flow_id": "f"}]),
    },
)


class Kept:
    """A session, what it was at each revision, and the documents that are kept under keys of their own."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.was: dict[int, Document] = {}
        self.whole: dict[str, str] = {}
        self.replaced: list[int] = []

    def save(self, number: int, given: dict[str, Any]) -> None:
        change = SaveCommand(
            key="k", session_id="s", index="i", revisions="older:", kept_revisions=KEPT, default_ttl_seconds=60,
            max_bytes=10**6, operation=f"{number:x}.1", **given,
        )  # fmt: skip
        before = read(self.text).revision if self.text else None
        step = change.apply(self.text, START + timedelta(seconds=number))
        if step.archived:
            self.whole[step.archived.key] = step.archived.text
        if step.write:
            for key in step.write.delete_keys:
                del self.whole[key]
            assert {f"older:{past.revision}" for past in read(step.write.text).past if past.fields is None} == set(
                step.write.extend_keys
            )
            self.text = step.write.text
            current = read(self.text)
            self.was[current.revision] = current
            if before and given["mode"] == "replace" and current.revision > before:
                self.replaced.append(before)

    def revision(self, number: int) -> Document | None:
        current = read(self.text)
        if made := earlier(current, number):
            return made
        whole = whole_for(current, number)
        return earlier(read(self.whole[f"older:{whole}"]), number) if whole else None


def read(text: str | None) -> Document:
    document = decode(text or "", "s")
    assert isinstance(document, Document)
    return document


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(SAVES, min_size=1, max_size=15))
def test_each_of_the_last_revisions_can_be_had_back_as_it_was(saves: list[dict[str, Any]]):
    kept = Kept()
    for number, each in enumerate(saves):
        kept.save(number, each)
    rows = listed(read(kept.text))
    stay = {*sorted(kept.was)[-KEPT - 1 :], *kept.replaced[-KEPT_REPLACED:]}
    assert [row["revision"] for row in rows] == sorted(stay, reverse=True)
    for row in rows:
        was, now = kept.was[row["revision"]], kept.revision(row["revision"])
        assert now is not None
        life = {"kept_until": None}
        assert public(now) | life == public(was) | life
        assert (row["turns"], row["saved_at"]) == (len(was.session.history), public(was)["saved_at"])


@given(st.lists(SAVES, min_size=1, max_size=12))
def test_no_more_is_kept_whole_than_is_listed(saves: list[dict[str, Any]]):
    kept = Kept()
    for number, each in enumerate(saves):
        kept.save(number, each)
    named = {f"older:{past.revision}" for past in read(kept.text).past if past.fields is None}
    assert set(kept.whole) == named


def test_what_only_grows_costs_little():
    kept = Kept()
    for number in range(KEPT + 1):
        kept.save(number, {"mode": "append", "turns": turns("x" * 10_000, str(number))})
    document = read(kept.text)
    assert not kept.whole
    without = json.loads(encode(document))
    revisions = without.pop("revisions")
    assert len(json.dumps(revisions)) < 100 * KEPT


def test_what_nobody_named_cannot_be_had_back():
    kept = Kept()
    for number in range(KEPT + 3):
        kept.save(number, {"mode": "append", "turns": turns(str(number))})
    assert kept.revision(2) is None
    assert kept.revision(99) is None
    assert kept.revision(3) is not None

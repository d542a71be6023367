"""Which ids are allowed, that no two documents share a key, and that a glob means what it means to Redis."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.keys import MAX_ID_LENGTH, Keys, check_id, glob, glob_escape

from ..support.redis_server import RedisServer

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)
TRICKY_IDS = st.text(st.sampled_from(":%%3A25ab"), min_size=1, max_size=6)
GLOB_ALPHABET = "*?[]^-\\abcA"


@given(IDS)
@example("x" * MAX_ID_LENGTH)
@example("../../etc/passwd")
@example("a\u00a0b")
@example("\u200b")
@example("👩\u200d🌾")
def test_an_allowed_id_is_taken_as_it_is(text: str):
    assert check_id(text, "session_id") == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "empty"),
        ("x" * (MAX_ID_LENGTH + 1), str(MAX_ID_LENGTH + 1)),
        ("a\nb", "U+000A at position 1"),
        ("\x00", "U+0000 at position 0"),
        ("ab\x7f", "U+007F at position 2"),
        ("ab\x85", "U+0085 at position 2"),
        ("a\u2028", "U+2028 at position 1"),
        ("a\u2029", "U+2029 at position 1"),
        ("a\ud800", "U+D800 at position 1"),
    ],
)
def test_another_id_is_refused_with_the_argument_and_the_place(text: str, place: str):
    with pytest.raises(InvalidArgument, match=re.escape(place)) as refusal:
        check_id(text, "execution_id")
    assert str(refusal.value).startswith("execution_id ")


@given(st.tuples(TRICKY_IDS, TRICKY_IDS), st.tuples(TRICKY_IDS, TRICKY_IDS))
@example(("a:b", "c"), ("a", "b:c"))
@example(("a%3A", "b"), ("a:", "b"))
@example(("a", ":b"), ("a:", "b"))
@settings(max_examples=500)
def test_no_two_pairs_of_session_and_flow_share_a_key(one: tuple[str, str], other: tuple[str, str]):
    keys = Keys("p")
    assert (keys.history(*one) == keys.history(*other)) == (one == other)


@given(TRICKY_IDS, TRICKY_IDS, TRICKY_IDS)
def test_the_histories_of_a_session_are_those_that_begin_with_its_prefix(session: str, other: str, flow: str):
    keys = Keys("p")
    assert keys.history(session, flow).startswith(keys.histories(session))
    assert keys.history(other, flow).startswith(keys.histories(session)) == (other == session)


@given(IDS)
def test_ids_stand_in_session_and_execution_keys_as_they_are(text: str):
    keys = Keys("p:q")
    assert keys.session(text) == f"p:q:session:{text}"
    assert keys.execution(text) == f"p:q:execution:{text}"


@given(TRICKY_IDS, TRICKY_IDS)
def test_every_document_has_a_grave_of_its_own_below_the_prefix(one: str, other: str):
    keys = Keys("p")
    documents = {keys.session(one), keys.session(other), keys.execution(one), keys.history(one, other)}
    graves = {keys.tombstone(key) for key in documents}
    assert len(graves) == len(documents)
    assert not graves & documents
    assert all(grave.startswith("p:") for grave in graves)


@given(TRICKY_IDS, st.integers(min_value=1))
def test_the_grave_of_a_session_is_that_of_its_older_revisions(session: str, number: int):
    keys = Keys("p:q")
    assert keys.tombstone(f"{keys.revisions(session)}{number}") == keys.tombstone(keys.session(session))


@given(IDS, IDS)
def test_what_documents_begin_with_is_true_of_documents_and_of_no_other_key(session: str, flow: str):
    keys = Keys("p")
    documents = [keys.session(session), keys.execution(session), keys.history(session, flow)]
    assert all(key.startswith(keys.documents) for key in documents)
    others = [keys.index, *map(keys.tombstone, documents), Keys("p:q").session(session), Keys("pp").session(session)]
    assert not any(key.startswith(keys.documents) for key in others)


def test_a_history_key_keeps_plain_ids_readable():
    assert Keys("agentic_flywheel").history("s-1", "flow:7") == "agentic_flywheel:history:s-1:flow:7"


@settings(max_examples=400)
@given(st.lists(st.text(GLOB_ALPHABET, min_size=1, max_size=4), min_size=1, max_size=8), st.text(GLOB_ALPHABET))
@example(["a"], "[")
@example(["a"], "[^")
@example(["a", "]"], "[]")
@example(["a", "]", "^"], "[^]")
@example(["a", "b", "-"], "[c-a]")
@example(["-", "a"], "[a-]")
@example(["\\", "a"], "[\\a]")
@example(["\\"], "\\")
@example(["a\\"], "a\\")
@example(["b", "]"], "[a-]]")
def test_a_glob_matches_the_ids_that_redis_says_it_does(worker_redis: RedisServer, ids: list[str], pattern: str):
    with worker_redis.client(db=9) as client:
        client.flushdb()
        client.mset(dict.fromkeys(ids, "1"))
        matched = set(client.keys(pattern)) if pattern else set[str]()
        client.flushdb()
    matches = glob(pattern)
    assert {each for each in ids if matches(each)} == matched


@settings(max_examples=200)
@given(st.lists(st.text(GLOB_ALPHABET, min_size=1, max_size=4), min_size=1, max_size=8), st.data())
def test_an_escaped_id_matches_itself_alone(worker_redis: RedisServer, ids: list[str], data: st.DataObject):
    wanted = data.draw(st.sampled_from(ids))
    pattern = glob_escape(wanted)
    with worker_redis.client(db=9) as client:
        client.flushdb()
        client.mset(dict.fromkeys(ids, "1"))
        matched = set(client.keys(pattern))
        client.flushdb()
    assert matched == {wanted}
    assert {each for each in ids if glob(pattern)(each)} == {wanted}


def test_a_glob_matches_across_lines_and_tells_case_apart():
    assert glob("a*z")("a\n\nz")
    assert not glob("A*")("abc")

"""A document keeps every field exactly, reads the older shapes, and refuses what it cannot read without quoting it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.documents.codec import NARROW_FROM, encode, encode_tombstone, public
from agentic_flywheel.documents.model import SCHEMA_VERSION, Document, Operation, Tombstone, aware, instant, iso, micros
from agentic_flywheel.documents.parse import decode, kept_until_in, load, revision_in, tombstone_in
from agentic_flywheel.documents.writes import etag
from agentic_flywheel.errors import Damaged, DocumentError, NewerSchema

TEXT = st.text(max_size=12)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NAIVE = st.datetimes()
# One year from either end: what UTC makes of the ends themselves, Python cannot hold.
TIMES = NAIVE | st.builds(
    lambda time, offset: time.replace(tzinfo=offset), NAIVE.filter(lambda t: 1 < t.year < 9999), OFFSETS
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)
COUNTS = st.integers(0, 2**70)
SESSIONS = st.builds(
    UniversalSession,
    id=st.text(min_size=1, max_size=12),
    backend=st.sampled_from(BackendType),
    backend_session_id=TEXT,
    status=st.sampled_from(FlowStatus),
    current_flow_id=st.none() | TEXT,
    context=OBJECTS,
    history=st.lists(OBJECTS, max_size=4),
    created_at=TIMES,
    updated_at=TIMES,
    expires_at=st.none() | TIMES,
    user_id=st.none() | TEXT,
    total_queries=COUNTS,
    successful_queries=COUNTS,
    total_response_time=st.floats(allow_nan=False, allow_infinity=False),
)
OPERATIONS = st.builds(Operation, st.text(max_size=40), COUNTS, COUNTS, COUNTS)
KNOWN = {*json.loads(encode(Document(UniversalSession("s", BackendType.CUSTOM), 2, datetime.now(UTC), None, began=2)))}
KNOWN |= {"deleted_at", "_schema_version", "revisions", "note"}  # written only where there is something to say
DOCUMENTS = st.builds(
    Document,
    session=SESSIONS,
    revision=st.integers(1, 2**53),
    saved_at=TIMES.map(aware),
    kept_until=st.none() | TIMES.map(aware),
    ttl_seconds=st.none() | st.integers(0, 10**10),
    title=TEXT,
    summary=TEXT,
    tags=st.lists(TEXT, max_size=3).map(tuple),
    operations=st.lists(OPERATIONS, max_size=3).map(tuple),
    extra=st.dictionaries(TEXT.filter(lambda name: name not in KNOWN), JSON),
)

PRIVATE = "we met at the old mill"
OLDER = {
    "_schema_version": "1.0",
    "id": "s",
    "backend": "flowise",
    "history": [{"role": "user", "content": "hi"}],
    "metadata": {"created_at": "2025-03-01T10:00:00", "last_active": "2025-03-02T11:30:00+02:00", "mood": "fine"},
}


def session_fields(session: UniversalSession) -> dict[str, Any]:
    """Every field, times as instants, JSON told apart by type."""
    fields = dict(vars(session))
    for name in ("created_at", "updated_at", "expires_at"):
        fields[name] = fields[name] and aware(fields[name])
    return fields | {"context": repr(fields["context"]), "history": repr(fields["history"])}


def decoded(text: str, session_id: str = "s") -> Document:
    document = decode(text, session_id)
    assert isinstance(document, Document)
    return document


@given(DOCUMENTS)
def test_every_field_of_a_document_is_equal_after_a_round_trip(document: Document):
    back = decoded(encode(document), document.session.id)
    assert session_fields(back.session) == session_fields(document.session)
    for name in ("revision", "saved_at", "kept_until", "ttl_seconds", "title", "summary", "tags", "operations"):
        assert getattr(back, name) == getattr(document, name), name
    assert repr(sorted(back.extra.items())) == repr(sorted(document.extra.items()))


@given(DOCUMENTS)
def test_what_was_read_is_written_again_as_the_same_text(document: Document):
    text = encode(document)
    assert encode(decoded(text, document.session.id)) == text


@given(SESSIONS)
def test_times_come_back_aware_and_naive_ones_are_utc(session: UniversalSession):
    back = decoded(encode(Document(session, 1, datetime.now(UTC), None)), session.id).session
    for name in ("created_at", "updated_at", "expires_at"):
        given_time, time = getattr(session, name), getattr(back, name)
        if given_time is None:
            assert time is None
        else:
            assert time.tzinfo is not None
            assert time == (given_time if given_time.tzinfo else given_time.replace(tzinfo=UTC))


@given(DOCUMENTS)
def test_a_document_is_one_json_object_that_begins_with_version_id_and_revision(document: Document):
    text = encode(document)
    data = json.loads(text)
    assert list(data)[:3] == ["schema_version", "id", "revision"]
    assert (data["schema_version"], data["id"], data["revision"]) == (1, document.session.id, document.revision)
    assert {*vars(document.session)} <= data.keys()


@given(DOCUMENTS, st.integers(1, 99))
def test_the_head_of_a_document_names_its_revision_and_the_tail_its_last_write(document: Document, more: int):
    head, tail = etag(encode(document))
    assert encode(document).startswith(head)
    assert encode(document).endswith(tail)
    assert len(tail) > 0
    assert head.rstrip("},").endswith(f'"revision":{document.revision}')
    other = Document(document.session, document.revision + more, document.saved_at, None)
    assert not encode(other).startswith(head)


def test_a_text_of_another_shape_is_its_own_mark():
    for text in ("", "{}", '{"revision": 1}', '{"id":"s","schema_version":1,"revision":1}', "anything"):
        assert etag(text) == (text, "")


def test_a_document_stays_readable_to_a_person():
    session = UniversalSession("s", BackendType.LANGFLOW, history=[{"role": "user", "content": "été 🌾"}])
    assert '{"role":"user","content":"été 🌾"}' in encode(Document(session, 1, datetime.now(UTC), None))


def test_a_large_document_has_only_what_widens_it_escaped():
    session = UniversalSession("s", BackendType.LANGFLOW, history=[{"role": "user", "content": "été 夏 лето … 🌾"}])
    session.history.append({"role": "assistant", "content": "x" * NARROW_FROM})
    document = Document(session, 1, datetime.now(UTC), None, title="🌱")
    text = encode(document)
    assert r'{"role":"user","content":"été 夏 лето \u2026 \ud83c\udf3e"}' in text
    assert r'"title":"\ud83c\udf31"' in text
    assert decoded(text) == decoded(json.dumps(json.loads(text)))


def test_times_are_written_in_utc_with_offset_and_microseconds():
    east = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert iso(east) == "2025-12-31T23:30:00.000000+00:00"
    assert iso(datetime.fromisoformat("2026-01-01")) == "2026-01-01T00:00:00.000000+00:00"
    assert iso(None) is None


@given(TIMES)
@example(datetime.fromisoformat("1969-12-31T23:59:59.999999"))
def test_microseconds_count_exactly_there_and_back(time: datetime):
    assert instant(micros(time)) == aware(time)


@given(st.dictionaries(st.sampled_from(["_notes", "langfuse", "Été", "metadata", "x-1"]), JSON))
def test_fields_of_a_later_version_survive_a_load_and_save(extra: dict[str, Any]):
    text = json.dumps({"schema_version": 1, "id": "s", "revision": 3, **extra})
    again = json.loads(encode(decoded(text)))
    assert repr({name: again[name] for name in extra}) == repr(extra)


def test_a_document_without_schema_version_loads_as_its_first_revision():
    document = decoded('{"id": "s", "backend": "flowise", "history": [{"role": "user"}], "tags": ["a"]}')
    assert (document.revision, document.session.backend) == (1, BackendType.FLOWISE)
    assert (document.session.history, document.tags) == ([{"role": "user"}], ("a",))
    assert json.loads(encode(document))["schema_version"] == SCHEMA_VERSION


def test_the_flywheels_own_files_load_with_their_times():
    document = decoded(json.dumps(OLDER))
    assert document.session.created_at == datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert document.session.updated_at == datetime(2025, 3, 2, 9, 30, tzinfo=UTC)
    assert document.session.history == OLDER["history"]


def test_the_flywheels_own_files_keep_their_times_and_metadata_over_a_save():
    again = decoded(encode(decoded(json.dumps(OLDER))))
    assert again.session.created_at == datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert again.session.updated_at == datetime(2025, 3, 2, 9, 30, tzinfo=UTC)
    assert again.extra["metadata"] == OLDER["metadata"]


def test_metadata_of_a_callers_own_is_not_taken_for_times():
    document = decoded('{"schema_version": 1, "id": "s", "revision": 1, "metadata": {"created_at": "yesterday"}}')
    assert document.extra["metadata"] == {"created_at": "yesterday"}


def test_null_fields_count_as_absent():
    fields = ("backend", "history", "context", "tags", "title", "created_at", "operations", "total_queries")
    document = decoded(json.dumps({"schema_version": 1, "id": "s", "revision": 2, **dict.fromkeys(fields)}))
    assert (document.session.history, document.session.context, document.tags, document.title) == ([], {}, (), "")


@pytest.mark.parametrize("version", [2, 999, 2**70])
def test_a_newer_schema_is_refused_with_its_number(version: int):
    text = json.dumps({"schema_version": version, "id": "s", "revision": 1, "words": PRIVATE})
    with pytest.raises(NewerSchema, match=str(version)) as refusal:
        decode(text, "s")
    assert PRIVATE not in str(refusal.value)


@pytest.mark.parametrize(
    "damage",
    [
        PRIVATE,
        json.dumps(PRIVATE),
        json.dumps([PRIVATE]),
        '{"schema_version":1,"id":"s","revision":1,"title":"' + PRIVATE,
        json.dumps({"schema_version": PRIVATE, "id": "s"}),
        json.dumps({"schema_version": True, "id": "s"}),
        json.dumps({"schema_version": 1.5, "id": "s"}),
        json.dumps({"schema_version": 1, "id": PRIVATE}),
        json.dumps({"schema_version": 1, "id": 7}),
        json.dumps({"schema_version": 1, "id": "s", "history": PRIVATE}),
        json.dumps({"schema_version": 1, "id": "s", "history": [PRIVATE]}),
        json.dumps({"schema_version": 1, "id": "s", "history": {"0": PRIVATE}}),
        json.dumps({"schema_version": 1, "id": "s", "context": [PRIVATE]}),
        json.dumps({"schema_version": 1, "id": "s", "backend": PRIVATE}),
        json.dumps({"schema_version": 1, "id": "s", "status": PRIVATE}),
        json.dumps({"schema_version": 1, "id": "s", "created_at": PRIVATE}),
        json.dumps({"schema_version": 1, "id": "s", "tags": PRIVATE}),
        json.dumps({"schema_version": 1, "id": "s", "operations": [PRIVATE]}),
        json.dumps({"schema_version": 1, "id": "s", "title": {"a": PRIVATE}}),
        json.dumps({"_schema_version": "1.0", "id": "s", "metadata": {"created_at": PRIVATE}}),
        json.dumps({"schema_version": 1, "id": "s", "deleted_at": PRIVATE}),
        '{"schema_version":1,"id":"s","context":{"a":NaN}}',
    ],
)
def test_a_damaged_document_is_refused_without_a_word_of_it(damage: str):
    with pytest.raises(Damaged) as refusal:
        decode(damage, "s")
    assert "'s'" in str(refusal.value)
    assert PRIVATE not in str(refusal.value)
    assert PRIVATE not in repr(refusal.value.__cause__)


@given(DOCUMENTS, st.data())
def test_a_document_cut_off_anywhere_is_damaged(document: Document, data: st.DataObject):
    text = encode(document)
    with pytest.raises(Damaged):
        decode(text[: data.draw(st.integers(0, len(text) - 1))], document.session.id)


STORED = st.dictionaries(
    st.sampled_from(sorted(KNOWN | {"metadata", "because", "x"})),
    JSON
    | st.integers()
    | st.sampled_from(["1.0", "custom", "running", "s", 1])
    | NAIVE.map(datetime.isoformat)
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-05T12:00:00+00:00"]),
)


@settings(max_examples=300)
@given(st.text(max_size=30) | JSON.map(json.dumps) | STORED.map(json.dumps))
@example('{"created_at": "0001-01-01T00:00:00+14:00"}')
@example('{"deleted_at": "9999-12-31T23:59:59-14:00"}')
def test_whatever_is_stored_is_a_document_or_a_document_error(text: str):
    try:
        decode(text, "s")
    except DocumentError:
        return
    assert isinstance(json.loads(text), dict)


@given(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_a_document_under_another_sessions_key_is_damage(one: str, other: str):
    text = encode(Document(UniversalSession(one, BackendType.CUSTOM), 1, datetime.now(UTC), None))
    if one == other:
        assert decoded(text, other).session.id == other
    else:
        with pytest.raises(Damaged):
            decode(text, other)


@given(
    st.builds(
        Tombstone,
        id=st.just("s"),
        revision=st.integers(1, 2**53),
        deleted_at=TIMES.map(aware),
        kept_until=st.none() | TIMES.map(aware),
        because=st.sampled_from(["deleted", "expired"]),
    )
)
def test_a_tombstone_comes_back_equal_and_begins_as_documents_do(tombstone: Tombstone):
    text = encode_tombstone(tombstone)
    assert decode(text, "s") == tombstone
    assert tombstone_in(load(text, "it"), "it") == tombstone
    assert list(json.loads(text))[:4] == ["schema_version", "id", "revision", "deleted_at"]


def test_what_callers_see_has_no_bookkeeping():
    document = Document(
        UniversalSession("s", BackendType.CUSTOM), 2, datetime.now(UTC), None, operations=(Operation("o", 2, 1, 1),)
    )
    assert not {"operations", "schema_version"} & public(document).keys()


@pytest.mark.parametrize(("value", "revision"), [(7, 7), (None, 1), ("7", 1), (True, 1), (0, 1), (-3, 1), (1.5, 1)])
def test_a_revision_that_is_none_counts_as_the_first(value: object, revision: int):
    assert revision_in({"revision": value}) == revision


@pytest.mark.parametrize("value", [None, "", "soon", 5, "2026-01-01T00:00:00", [], {}])
def test_an_end_that_cannot_be_read_never_comes(value: object):
    assert kept_until_in({"kept_until": value}) is None
    assert kept_until_in({}) is None
    assert kept_until_in({"kept_until": "2026-01-01T00:00:00+00:00"}) == datetime(2026, 1, 1, tzinfo=UTC)

"""What JSON can carry is carried exactly; what it cannot is refused with its path."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.json_text import MAX_DEPTH, canonical, check_json, dumps, load_object, mended

ANY_TEXT = st.text(st.characters(), max_size=8)  # surrogates included
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(ANY_TEXT | st.integers(), inner, max_size=4)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=12,
)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def same(one: object, other: object) -> bool:
    """Equality that tells 1 from 1.0 and true, and 0.0 from -0.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@given(VALUES)
@example({"big": 2**70, "small": -0.0, "tiny": 5e-324, "huge": 1.7976931348623157e308})
@example({"": {}, "a": [], "b": [[], {}]})
@example(["\x00", "\u2028", "\U0010ffff", "\ufffe"])
def test_what_is_accepted_comes_back_equal(value: object):
    try:
        check_json(value, "value")
    except InvalidArgument:
        return
    assert same(json.loads(dumps(value)), value)


@given(VALUES)
def test_what_is_refused_is_what_json_does_not_carry(value: object):
    try:
        survives = same(json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False).encode()), value)
    except (ValueError, TypeError):
        survives = False
    if survives:
        check_json(value, "value")
    else:
        with pytest.raises(InvalidArgument):
            check_json(value, "value")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": float("nan")}]}, "context.a[1].b is nan"),
        ({"a": [1, {"b": float("inf")}]}, "context.a[1].b is inf"),
        ([-float("inf")], "context[0] is -inf"),
        ({"a": {"b": "x\ud800y"}}, "context.a.b has half of a surrogate pair at position 1"),
        ({"a": {"k\udfff": 1}}, "a key of context.a has half of a surrogate pair at position 1"),
        ({"a": {1: 2}}, "context.a has the key 1"),
        ({"a": {None: 2}}, "context.a has the key None"),
        ({"a": (1, 2)}, "context.a is a tuple"),
        ({"a": {1, 2}}, "context.a is a set"),
        ({"a": b"x"}, "context.a is a bytes"),
        ({"a": object()}, "context.a is a object"),
    ],
)
def test_what_json_does_not_carry_is_refused_with_its_path(value: object, path: str):
    with pytest.raises(InvalidArgument, match=re.escape(path)):
        check_json(value, "context")


def test_nesting_is_accepted_up_to_the_limit_and_refused_below_it():
    check_json(nested(MAX_DEPTH), "value")
    assert json.loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(InvalidArgument, match=rf"value\[0\].* is nested deeper than {MAX_DEPTH}"):
        check_json(nested(MAX_DEPTH + 1), "value")


def test_nesting_without_end_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgument, match="nested"):
        check_json(endless, "value")


def test_a_number_too_long_to_be_written_is_refused_with_its_path():
    with pytest.raises(InvalidArgument, match=r"context\.n"):
        check_json({"n": 10**5000}, "context")


@pytest.mark.parametrize("value", [10**5000, float("inf"), nested(MAX_DEPTH - 1)], ids=["long", "infinite", "deep"])
def test_what_was_read_whole_is_looked_at_for_numbers_and_nesting(value: object):
    check_json(
        {"a": [{"b": "ä", "c": None, "d": True, "e": 1.5, "f": nested(MAX_DEPTH - 3)}]}, "context", is_whole=True
    )
    with pytest.raises(InvalidArgument, match=r"context\.a\[0\]\.b"):
        check_json({"a": [{"b": value}]}, "context", is_whole=True)


@pytest.mark.slow
@given(
    st.dictionaries(ANY_TEXT, st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
)
def test_what_is_mended_has_no_half_of_a_pair_and_is_else_the_same(value: dict[str, Any]):
    whole, places = mended(value)
    text = json.dumps(whole, ensure_ascii=False)
    text.encode()
    assert bool(places) == bool(re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)))
    assert places or same(whole, value)


def test_the_place_of_each_half_is_named():
    whole, places = mended({"history": [{"content": "x\ud83c\udf3e"}, {"\udf3e": [0, "\ud83c"]}], "title": "🌾"})
    assert whole == {"history": [{"content": "x\ufffd\ufffd"}, {"\ufffd": [0, "\ufffd"]}], "title": "🌾"}
    assert places == [
        "history[0].content, position 1",
        "a key of history[1], position 0",
        "history[1].\udf3e[1], position 0",
    ]


def test_a_pair_of_surrogates_as_one_character_is_accepted():
    check_json({"🌾": "\U0001f33e"}, "value")


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count_in_canonical_json(value: dict[str, Any], random: Any):
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0, False), ("1", 1), (None, ""), ([], {}), (0.0, -0.0)]
)
def test_canonical_json_tells_types_apart(one: object, other: object):
    assert canonical(one) != canonical(other)


def test_text_is_stored_as_it_is_and_compact():
    assert dumps({"a": ["é🌾", 1.5]}) == '{"a":["é🌾",1.5]}'


def test_a_number_that_is_none_is_never_written():
    with pytest.raises(ValueError, match="JSON"):
        dumps(float("nan"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", '"s"', '{"a": NaN}', '{"a": -Infinity}', "{}{}", "[" * 100_000, '{"a":1,}']
)
def test_text_that_is_no_object_is_damaged_and_not_repeated(text: str):
    with pytest.raises(Damaged, match=r"^What is stored as session 's' is not ") as damage:
        load_object(text, "session 's'")
    assert damage.value.__cause__ is None


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_an_object_is_loaded_as_it_was_written(value: dict[str, Any]):
    assert same(load_object(dumps(value), "it"), value)


@pytest.mark.parametrize(
    "number",
    [
        "-0",
        "-0.0",
        "1E5",
        "1e999",
        "5e-324",
        "2.5e-400",
        "9007199254740993",
        "1" * 4300,
        "0.1",
        "1.7976931348623157e308",
    ],
)
def test_a_number_is_read_as_the_standard_library_reads_it(number: str):
    assert repr(load_object(f'{{"n": {number}}}', "it")) == repr(json.loads(f'{{"n": {number}}}'))


@pytest.mark.parametrize("text", ['"\\ud83c\\udf31"', '"\\ud800"', '"\\u0000\\/"', "[" * 400 + "]" * 400])
def test_a_value_is_read_as_the_standard_library_reads_it(text: str):
    assert load_object(f'{{"a": 1, "a": {text}}}', "it") == json.loads(f'{{"a": {text}}}')

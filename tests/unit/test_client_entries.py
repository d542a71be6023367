"""An entry goes into a client's settings and out again as text: all else stays to the byte."""

import json
import tomllib
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.clients import json_entries, toml_entries, yaml_file
from agentic_flywheel.cli.json_places import plain
from agentic_flywheel.errors import InvalidArgument

KEY, NAME = "servers", "flywheel-state"
OURS: dict[str, Any] = {"command": "/a b/\\é\"'", "args": ["-P", ""], "env": {"A": "x\ty", "B-C": "$1"}}
LATER = OURS | {"command": "/elsewhere"}

JSON = [
    "{}",
    "{}\n",
    '{\n  "model": "x"\n}\n',
    '{"servers": {}}',
    '{"servers":{"a":{}},"b":1}',
    '{\n\t"servers": {\n\t\t"a": {"command": "x"}\n\t}\n}\n',
    '{\r\n    "servers": {\r\n        "a": {},\r\n        "b": {}\r\n    },\r\n    "z": [1]\r\n}\r\n',
    '{\n  // mine, "quoted" }\n  "a": "// none", // not this\n  "servers": {\n    "b": {}, // the last\n  },\n}\n',
    '{\n  "servers": {\n    "b": {} // behind it\n    // below it\n  } /* long\n  one */\n}',
    '{\n  "servers": {"a": {}, "b": {}},\n  "x": null\n}',
    '{"servers": {"a": {},}, }',
    "// nothing yet\n",
    '{\n  "a": 1 /* one\n  line */\n}',
    '{ "a": 1 /* one\n line */ }',
]

TOML = [
    "",
    'model = "x"\n',
    'model = "x"',
    '# mine\r\n[servers.a]\r\ncommand = "x" # here\r\n\r\n[servers.a.env]\r\nA = "b"\r\n',
    '[servers.a]\nargs = [\n  "[servers.flywheel-state]",\n]\n\n# of the next\n[other]\nx = """\n[servers.b]\n"""\n',
    "[servers]\n",
    "[servers.flywheel-state-2]\nx = 1\n\n\n[[profiles]]\ny = 2\n",
    "timeout = nan\nlimit = -inf\nshare = 1e3\n",
    "servers = {}\n",
    "servers = { } # none\nx = 1\n",
    'servers = { a = { command = "}" } } # one\n\n[other]\nx = 1\n',
    'servers = { a.command = "x", "b.c" = { args = ["{", \'#\'] } }\r\n[other]\r\nservers = {}\r\n',
    'servers.a.command = "x" # dotted\nservers.b.command = "y"\n',
    'note = """\n[servers.flywheel-state]\nservers = {}\n"""\n[servers]\n"a" = { command = "x" }\n[[list]]\n',
    "dates = [1979-05-27T07:32:00Z, # two\n 07:32:00,\n]\nquoted = '''\n[x]'''''\n",
    'x = "\u2028" # a line end to some\n[servers.a]\nb = 1\n',
]


def said(format: ModuleType, text: str) -> dict[str, Any]:  # noqa: A002  what it is called
    return tomllib.loads(text, parse_float=str) if format is toml_entries else json.loads(plain(text).strip() or "{}")


CASES = [*((json_entries, text) for text in JSON), *((toml_entries, text) for text in TOML)]


@pytest.mark.parametrize(("format", "text"), CASES)
def test_an_entry_goes_in_and_all_else_stays(format: ModuleType, text: str):  # noqa: A002
    after = format.with_entry(text, KEY, NAME, OURS)
    before = said(format, text)
    assert said(format, after) == before | {KEY: before.get(KEY, {}) | {NAME: OURS}}
    assert format.entry(after, KEY, NAME) == OURS
    assert format.entry(text, KEY, NAME) is None
    at = iter(after)
    assert all(character in at for character in text), "nothing of it is gone, nor in another place"
    assert ("\r\n" in text) == ("\r\n" in after)
    assert after.count("\n") - after.count("\r\n") in (0, after.count("\n")), "one kind of line end"


def test_a_comment_stays_behind_what_it_is_about():
    text = '{\n  "a": 1, // one\n  "servers": {\n    "b": {} // two\n    // three\n  }\n}\n'
    after = json_entries.with_entry(text, KEY, NAME, OURS)
    assert '    "b": {}, // two\n    "flywheel-state": {\n' in after
    assert "\n    }\n    // three\n  }\n" in after


@pytest.mark.parametrize(("format", "text"), CASES)
def test_it_comes_out_again_to_the_byte(format: ModuleType, text: str):  # noqa: A002
    after = format.with_entry(text, KEY, NAME, OURS)
    made_key = KEY not in said(format, text)
    out = format.without_entry(after, KEY, NAME, with_key=made_key)
    blank = "{}\n" if text.startswith("//") else ""
    assert out == text + blank or (out == text + "\n" and not text.endswith("\n") and format is toml_entries)
    changed = format.without_entry(format.with_entry(after, KEY, NAME, LATER), KEY, NAME, with_key=made_key)
    assert changed == out, "also after another one took its place"


@pytest.mark.parametrize(("format", "text"), CASES)
def test_what_others_added_meanwhile_stays(format: ModuleType, text: str):  # noqa: A002
    between = format.with_entry(format.with_entry(text, KEY, NAME, OURS), KEY, "theirs", {"command": "t"})
    out = format.without_entry(between, KEY, NAME, with_key=True)
    assert out == format.with_entry(text, KEY, "theirs", {"command": "t"})


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"servers": []}', '{"servers": null}', "{}}", "[" * 99_999])
def test_what_is_no_object_is_refused(text: str):
    with pytest.raises(InvalidArgument):
        json_entries.with_entry(text, KEY, NAME, OURS)


NO_TOML = ["a = ", "servers = 1\n", "[[servers]]\na = 1\n", "[servers]\nflywheel-state = 1\n"]


@pytest.mark.parametrize("text", NO_TOML)
def test_toml_that_cannot_be_added_to_is_refused(text: str):
    with pytest.raises(InvalidArgument):
        toml_entries.with_entry(text, KEY, NAME, OURS)


BY_HAND = {
    "a table": "[servers.flywheel-state]\ncommand = 'old'\n[servers.flywheel-state.env]\nA = '1'\n",
    "a quoted table": '[ servers . "flywheel-state" ] # mine\ncommand = "old"\n',
    "a line of the outer table": "[servers]\n  flywheel-state = { command = 'old' } # mine\n",
    "lines of the outer table": "[servers]\nflywheel-state.command = 'old'\n'flywheel-state'.args = [\n 'x' # y\n]\n",
    "lines of the root": "servers.flywheel-state.command = 'old'\nservers.flywheel-state.env.A = '1'\n",
    "one of an inline table": "servers = { flywheel-state = { command = 'old' } }\n",
    "two of an inline table": "servers = {flywheel-state.command = 'old', flywheel-state.args = ['}']}\n",
}


@pytest.mark.parametrize("text", BY_HAND.values(), ids=BY_HAND)
def test_toml_that_names_it_in_another_spelling_is_changed_and_taken_out(text: str):
    follows = "" if text.startswith("servers = {") else "\n# of the next\n[servers.c]\nx = 1\n"
    before = f"# top\nz = nan\n{text}{follows}"
    rest = said(toml_entries, before)
    del rest[KEY][NAME]
    changed = toml_entries.with_entry(before, KEY, NAME, OURS)
    assert said(toml_entries, changed) == rest | {KEY: rest[KEY] | {NAME: OURS}}
    for each in (before, changed):
        out = toml_entries.without_entry(each, KEY, NAME)
        assert said(toml_entries, out) in (rest, {name: rest[name] for name in rest if name != KEY or rest[KEY]})
        assert out.startswith("# top\nz = nan\n")
        assert out.endswith(follows)


@pytest.mark.parametrize("begin", ["a = {}, ", ""])
@pytest.mark.parametrize("end", [", b = {}", ""])
def test_the_others_of_an_inline_table_stay_as_they_are(begin: str, end: str):
    text = f"servers = {{ {begin}flywheel-state = {{ command = 'old' }}{end} }}\n"
    assert toml_entries.with_entry(text, KEY, NAME, {"command": "new"}) == text.replace("'old'", '"new"')
    left = [each for each in (begin.strip(", "), end.strip(", ")) if each]
    out = toml_entries.without_entry(text, KEY, NAME)
    assert out == f"servers = {{ {', '.join(left)}{' ' if left else ''}}}\n"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("a/*\"'\\{}[],:# é\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab/*"{,', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "//", "z"]), values, max_size=3),
    st.none() | st.dictionaries(st.text("a/*", max_size=2), values, max_size=3),
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.booleans(),
)
def test_any_json_keeps_what_it_says_and_how(rest: dict[str, Any], servers: Any, indent: Any, crlf: bool):  # noqa: FBT001
    value = rest if servers is None else rest | {KEY: servers}
    text = json.dumps(value, indent=indent).replace("\n", "\r\n" if crlf else "\n")
    after = json_entries.with_entry(text, KEY, NAME, OURS)
    assert json.loads(after) == value | {KEY: (servers or {}) | {NAME: OURS}}
    assert json_entries.without_entry(after, KEY, NAME, with_key=servers is None) == text


def test_a_yaml_file_of_its_own_is_made_changed_and_emptied():
    text = yaml_file.with_entry("", KEY, NAME, OURS)
    assert yaml_file.entry(text, KEY, NAME) == OURS
    own = text.replace("schema: v1\n", "schema: v1 # mine\n").replace("\n", "\r\n")
    changed = yaml_file.with_entry(own, KEY, NAME, LATER)
    assert changed == own.replace(json.dumps(OURS["command"]), json.dumps(LATER["command"]))
    assert yaml_file.without_entry(changed, KEY, NAME) == ""


@pytest.mark.parametrize("text", ["name: other\n", "servers:\n  - name: other\n    command: x\n", "{"])
def test_a_yaml_file_that_is_not_ours_is_refused(text: str):
    with pytest.raises(InvalidArgument):
        yaml_file.with_entry(text, KEY, NAME, OURS)

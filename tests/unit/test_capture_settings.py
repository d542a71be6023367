"""Other programs' settings are changed by the piece, and given back to the byte."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli import json_places
from agentic_flywheel.cli.capture import codex_notify, hook_settings
from agentic_flywheel.errors import InvalidArgument

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    (event, {"hooks": [{"type": "command", "command": f"x capture hook claude-code --into /d --at {event}"}]})
    for event in ("SessionStart", "Stop", "SessionEnd")
]
THEIRS = {"hooks": [{"type": "command", "command": "true"}]}

SETTINGS = [
    "",
    "{}",
    "{ }\n",
    '{\n  "model": "x"\n}\n',
    '{"hooks": {}}',
    '{\r\n\t"hooks": {\r\n\t\t"Stop": []\r\n\t}\r\n}\r\n',
    json.dumps({"hooks": {"Stop": [THEIRS], "PreToolUse": [THEIRS]}, "é": 1}),
    json.dumps({"a": {"hooks": 1}, "hooks": {"Stop": [THEIRS, THEIRS]}}, indent=4),
    '{\n  // mine, with "quotes" and a } \n  "a": "// no comment",\n  "hooks": {\n    "Stop": [/* none */],\n  },\n}\n',
]


@pytest.mark.parametrize("text", SETTINGS)
def test_hooks_go_in_and_what_was_there_comes_back_to_the_byte(text: str):
    after, pieces = hook_settings.with_hooks(text, COMMANDS)
    hooks = json.loads(json_places.plain(after))["hooks"]
    assert all(hooks[event][-1] == group for event, group in COMMANDS)
    assert hook_settings.without_pieces(after, pieces) == text


@pytest.mark.parametrize("text", SETTINGS[3:])
def test_what_the_person_changed_meanwhile_stays(text: str):
    after, pieces = hook_settings.with_hooks(text, COMMANDS)
    changed = "{" + '\n "theirs": [1, 2],' + after[1:]
    assert hook_settings.without_pieces(changed, pieces) == "{" + '\n "theirs": [1, 2],' + text[1:]


@pytest.mark.parametrize("text", SETTINGS)
def test_where_the_program_wrote_the_file_anew_only_ours_goes(text: str):
    after, pieces = hook_settings.with_hooks(text, COMMANDS)
    anew = json.dumps(json.loads(json_places.plain(after)) | {"$version": 4}, indent=1)
    assert hook_settings.without_pieces(anew, pieces) is None
    left = json.loads(hook_settings.without_hooks(anew))
    before = json.loads(json_places.plain(text)) if text else {}
    theirs = {event: groups for event, groups in before.get("hooks", {}).items() if groups}
    assert {event: groups for event, groups in left.pop("hooks", {}).items() if groups} == theirs
    assert left == {name: value for name, value in before.items() if name != "hooks"} | {"$version": 4}


@pytest.mark.parametrize(
    "text", ["[]", "1", "{", '{"hooks": []}', '{"hooks": {"Stop": {}}}', "not json", '{"hooks": null}', "[" * 5000]
)
def test_what_is_not_understood_is_refused(text: str):
    with pytest.raises(InvalidArgument):
        hook_settings.with_hooks(text, COMMANDS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
GROUPS = st.lists(st.just(THEIRS) | st.dictionaries(st.text(max_size=3), st.integers()), max_size=3)


@pytest.mark.slow
@given(
    st.dictionaries(st.text(), VALUES, max_size=4),
    st.none() | st.dictionaries(st.sampled_from(["Stop", "SessionStart", "Other"]), GROUPS),
    st.none() | st.integers(0, 5),
)
def test_any_settings_come_back_to_the_byte(rest: dict[str, Any], hooks: dict[str, Any] | None, indent: int | None):
    value = {name: each for name, each in rest.items() if name != "hooks"} | ({} if hooks is None else {"hooks": hooks})
    text = json.dumps(value, indent=indent)
    after, pieces = hook_settings.with_hooks(text, COMMANDS)
    now = json.loads(after)
    assert {name: each for name, each in now.items() if name != "hooks"} == {
        name: each for name, each in value.items() if name != "hooks"
    }
    assert hook_settings.without_pieces(after, pieces) == text
    left = json.loads(hook_settings.without_hooks(after)).get("hooks", {})
    assert {event: groups for event, groups in left.items() if groups} == {
        event: groups for event, groups in (hooks or {}).items() if groups
    }


@given(st.text())
def test_whatever_is_in_a_file_is_refused_or_comes_back(text: str):
    try:
        after, pieces = hook_settings.with_hooks(text, COMMANDS)
    except InvalidArgument:
        return
    assert hook_settings.without_pieces(after, pieces) == text


@pytest.mark.parametrize("text", ["", "# mine\n[a]\nb = 1\n", 'model = "x"\r\n[a]\r\nnotify = 1\r\n'])
def test_notify_goes_in_and_out_to_the_byte(text: str):
    made = codex_notify.with_notify(text, ["x", "capture", "hook", "codex"])
    assert made
    assert tomllib.loads(made[0])["notify"] == ["x", "capture", "hook", "codex"]
    assert codex_notify.without_notify(made[0], made[1]) == text


def test_a_persons_own_notify_stays():
    assert codex_notify.with_notify('notify = ["bell"]\n', ["x"]) is None
    with pytest.raises(InvalidArgument):
        codex_notify.with_notify("no = toml = at all", ["x"])


@pytest.mark.parametrize("command", ["screen-capture hook start", "capture hook me", "x --capture hook y --into z"])
def test_a_hook_of_another_program_is_never_taken_for_ours(command: str):
    text = json.dumps({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": command}]}]}})
    assert hook_settings.without_hooks(text) == text
    assert hook_settings.has_hooks(text) == set()


@pytest.mark.parametrize("groups", ['["x capture hook codex --into /d"]', '[{"x": " capture hook codex --into /d"}]',
                                    '[{"hooks": null, "x": " capture hook codex --into /d"}]'])  # fmt: skip
def test_ours_in_a_shape_that_is_not_known_is_taken_out_all_the_same(groups: str):
    assert (
        hook_settings.without_hooks(f'{{"a": 1, "hooks": {{"Stop": {groups}}}}}') == '{"a": 1, "hooks": {"Stop": []}}'
    )

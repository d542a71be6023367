"""Sub-agents' sessions in what takes sessions along or away: export, fork, delete, the search for credentials."""

import json
import subprocess

import pytest

from .support.conversations import turns
from .support.wire import WireServer
from .test_command_line import typed
from .tutorial.test_moving_house import run

pytestmark = pytest.mark.slow

PARENTS = {"garden": "", "agent-1": "garden", "agent-2": "garden", "nested": "agent-1", "other": ""}


@pytest.fixture
def kept(disabled_env: dict[str, str]) -> dict[str, str]:
    with WireServer(disabled_env) as server:
        for name, parent in PARENTS.items():
            context = {"parent_session": parent, "relation": "sub-agent"} if parent else {}
            server.call("save_session", session_id=name, history=turns(f"ferns of {name}"), context=context, title=name)
    return disabled_env


def there(env: dict[str, str]) -> dict[str, str]:
    """Every session with its parent."""
    return parents_in(run(env, "export"))


def parents_in(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    return {each["id"]: each["context"].get("parent_session", "") for each in documents}


def test_an_export_and_the_search_for_credentials_leave_none_out(kept: dict[str, str]):
    assert there(kept) == PARENTS
    assert "Looked at 5 sessions" in run(kept, "secrets", "scan").stderr


def test_one_is_exported_with_them_where_that_is_asked(kept: dict[str, str]):
    assert [*parents_in(run(kept, "export", "--session", "gard"))] == ["garden"]
    along = run(kept, "export", "--session", "garden", "--with-sub-agents")
    assert parents_in(along) == {name: PARENTS[name] for name in ("garden", "agent-1", "agent-2", "nested")}
    assert "not found" in run(kept, "export", "--session", "nobody", code=1).stderr
    assert "goes with --session" in run(kept, "export", "--with-sub-agents", code=2).stderr


def test_a_deletion_says_which_stay_and_takes_them_along_where_that_is_asked(kept: dict[str, str]):
    told = run(kept, "sessions", "delete", "agent-1", "--yes").stderr
    assert "Its sub-agents' sessions stay: 'nested'. Each is deleted by its id." in told
    taken = run(kept, "sessions", "delete", "garden", "--yes", "--with-sub-agents").stdout
    assert taken == "Deleted 'garden' and 1 session of its sub-agents.\n"
    assert {*there(kept)} == {"nested", "other"}


def test_a_person_is_told_how_many_go(kept: dict[str, str]):
    ended, said = typed(kept, "sessions", "delete", "garden", "--with-sub-agents", until="[y/N]")
    assert (ended, "with its revisions and 3 sessions of its sub-agents, for everybody?" in said) == (130, True), said
    assert there(kept) == PARENTS


def test_a_fork_takes_them_along_where_that_is_asked(kept: dict[str, str]):
    run(kept, "sessions", "fork", "garden", "alone")
    assert there(kept) == PARENTS | {"alone": ""}
    run(kept, "sessions", "fork", "garden", "garden-2", "--with-sub-agents")
    new = {name: parent for name, parent in there(kept).items() if name not in {*PARENTS, "alone"}}
    mine = [name for name, parent in new.items() if parent == "garden-2"]
    (nested,) = new.keys() - {"garden-2", *mine}
    assert (len(new), len(mine), new[nested] in mine) == (4, 2, True)


def test_the_tool_names_those_that_stay(kept: dict[str, str]):
    with WireServer(kept) as server:
        answer = server.call("delete_session", session_id="garden")
    assert [child["id"] for child in answer["children"]] == ["agent-1", "agent-2"]

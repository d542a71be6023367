"""`install` and `uninstall`, for every client and every state that its file may be in."""

import base64
import io
import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.clients import changes, entries
from agentic_flywheel.cli.clients.table import CLIENTS, NAMES, Client, Machine, named
from agentic_flywheel.cli.json_places import plain
from agentic_flywheel.cli.main import main
from agentic_flywheel.settings_file import PLACE

NAME = "flywheel-state"
THEIRS = {
    "json": '{\n    // mine\n    "a": 1, // one\n    "KEY": {\n        "other": {"command": "x"} // stays\n    }\n}\n',
    "toml": '# mine\nmodel = "x" # a name\n\n[KEY.other]\ncommand = "x"\n',
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of nobody, with no program on PATH and nothing of ours set."""
    for name in list(os.environ):
        if name.startswith(("REDIS_", "FLYWHEEL_", "XDG_")) or name in {each.variable for each in CLIENTS}:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sys.argv", ["agentic-flywheel-state"])  # not pytest, whose path would be ours
    return home


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; its exit code, what it says, and what it says on standard error."""

    assert home.is_dir()

    def _run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as exc:
            code = int(exc.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return _run


def file_of(client: Client, home: Path) -> Path:
    (path,) = client.files(Machine(home, {}, sys.platform), NAME)
    return path


def put(client: Client, home: Path, content: bytes) -> Path:
    path = file_of(client, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def theirs(client: Client) -> str:
    return THEIRS[client.format].replace("KEY", client.key)


def servers(client: Client, path: Path) -> dict[str, Any]:
    """All servers that the file names, as the client reads them."""
    text = path.read_text("utf-8-sig")
    return (tomllib.loads(text) if client.format == "toml" else json.loads(plain(text)))[client.key]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


every_client = pytest.mark.parametrize("client", CLIENTS, ids=NAMES)
with_entries = pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.format != "yaml"], ids=[n for n in NAMES if n != "continue"]
)


@every_client
def test_where_there_is_no_file_one_is_made_and_taken_away_again(client: Client, home: Path, run: Run):
    code, out, _ = run("install", client.name, "--yes", "--env", "FLYWHEEL_USER=ana")
    path = file_of(client, home)
    server = changes.server_of(client, path, NAME)
    assert server
    assert (code, server.env) == (0, {"FLYWHEEL_USER": "ana"})
    assert Path(server.command[0]).is_absolute()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"installed in {path}" in out
    assert re.search(r"(?m)^  Next: .+", out)
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert [*home.iterdir()] == [], "the folders that were made for it are gone, too"


@every_client
@pytest.mark.parametrize("content", [b"", b"\n"], ids=["empty", "a line"])
def test_an_empty_file_is_filled_and_emptied_again(client: Client, content: bytes, home: Path, run: Run):
    path = put(client, home, content)
    assert run("install", client.name, "--yes")[0] == 0
    assert changes.server_of(client, path, NAME)
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert tree(home) == {str(path): content}


@with_entries
@pytest.mark.parametrize("how", ["as it is", "CRLF", "BOM", "no end"])
def test_what_others_wrote_stays_and_comes_back_to_the_byte(client: Client, how: str, home: Path, run: Run):
    text = {
        "as it is": theirs(client),
        "CRLF": theirs(client).replace("\n", "\r\n"),
        "BOM": "\ufeff" + theirs(client),
        "no end": theirs(client).rstrip("\n"),
    }[how]
    path = put(client, home, text.encode())
    path.chmod(0o640)
    code, out, _ = run("install", client.name, "--yes")
    assert code == 0
    assert list(servers(client, path)) == ["other", NAME]
    after = iter(path.read_bytes())
    assert all(byte in after for byte in text.encode()), "each byte is there still, in its order"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    (backup,) = re.findall(r"What it was before: (.+)", out)
    assert Path(backup).read_bytes() == text.encode()
    assert stat.S_IMODE(Path(backup).stat().st_mode) == 0o600
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert tree(home) == {str(path): text.encode()}


@with_entries
def test_who_changed_it_meanwhile_keeps_the_change(client: Client, home: Path, run: Run):
    path = put(client, home, theirs(client).encode())
    run("install", client.name, "--yes")
    path.write_text(path.read_text().replace("mine", "still mine"))
    code, out, _ = run("uninstall", client.name, "--yes")
    assert code == 0
    assert path.read_text() == theirs(client).replace("mine", "still mine")
    assert "stays in" in out


@every_client
def test_twice_is_once(client: Client, home: Path, run: Run):
    run("install", client.name, "--yes", "--env", "FLYWHEEL_USER=ana")
    before = tree(home)
    code, out, _ = run("install", client.name, "--yes")
    assert (code, out) == (0, f"{client.shown}: it is in {file_of(client, home)} already.\n")
    assert tree(home) == before


@every_client
def test_another_setting_is_added_and_an_empty_one_taken_out(client: Client, home: Path, run: Run):
    content = b"" if client.format == "yaml" else theirs(client).encode()
    path = put(client, home, content)
    run("install", client.name, "--yes", "--env", "FLYWHEEL_USER=ana", "--env", "X=1")
    run("install", client.name, "--yes", "--redis-url", "redis://h:1/2", "--env", "X=")
    server = changes.server_of(client, path, NAME)
    assert server
    assert server.env == {"FLYWHEEL_USER": "ana", "REDIS_URL": "redis://h:1/2"}
    run("uninstall", client.name, "--yes")
    assert tree(home) == {str(path): content}


@every_client
def test_a_link_stays_one_and_its_file_is_changed(client: Client, home: Path, run: Run, tmp_path: Path):
    content = b"" if client.format == "yaml" else theirs(client).encode()
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "file").write_bytes(content)
    path = put(client, home, b"")
    path.unlink()
    path.symlink_to(dotfiles / "file")
    assert run("install", client.name, "--yes")[0] == 0
    assert path.is_symlink()
    assert changes.server_of(client, dotfiles / "file", NAME)
    run("uninstall", client.name, "--yes")
    assert path.is_symlink()
    assert tree(dotfiles) == {str(dotfiles / "file"): content}


@every_client
@pytest.mark.parametrize("what", ["malformed", "no text", "read-only", "a folder", "a link to nothing", "another list"])
def test_what_cannot_be_changed_is_left_with_one_sentence(client: Client, what: str, home: Path, run: Run):
    content = {"malformed": b'{"a": [}', "no text": b"\xff\xfe{}", "another list": f"{client.key} = 1".encode()}
    path = put(client, home, content.get(what, b""))
    match what:
        case "read-only":
            path.chmod(0o400)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "a link to nothing":
            path.unlink()
            path.symlink_to(home / "nowhere")
        case "another list" if client.format == "json":
            path.write_text(json.dumps({client.key: []}))
        case _:
            pass
    before = tree(home)
    for verb in ("install", "uninstall"):
        code, out, err = run(verb, client.name, "--yes")
        if verb == "install" or code:
            assert (code, out, err.count("\n")) == (1, "", 1)
            assert str(path) in err
            assert "Nothing was changed" in err
        assert tree(home) == before


@with_entries
@pytest.mark.parametrize("what", ["the record", "the file"])
def test_what_cannot_be_done_to_the_end_leaves_nothing_behind(client: Client, what: str, home: Path, run: Run):
    path = put(client, home, theirs(client).encode())
    if what == "the record":
        (home / ".config").mkdir(exist_ok=True)
        (home / PLACE).parent.write_text("in the way")
    else:
        target = path.with_name("x" * 250)  # nothing is written beside it: its name would be too long
        path.rename(target)
        path.symlink_to(target)
    before = tree(home)
    code, _, err = run("install", client.name, "--yes")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot be written" in err
    assert tree(home) == before
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert tree(home) == before


@with_entries
def test_another_server_of_that_name_is_not_touched_unless_told(client: Client, home: Path, run: Run):
    other = entries.SHAPES[client.shape](entries.Server(["/opt/other", "x"], {"TOKEN": "t"}))
    text = changes.FORMATS[client.format].with_entry(theirs(client), client.key, NAME, other)
    path = put(client, home, text.encode())
    for verb in ("install", "uninstall"):
        code, _, err = run(verb, client.name, "--yes")
        assert code == 1
        assert NAME in err
        assert path.read_text() == text
    assert run("install", client.name, "--yes", "--name", "ours")[0] == 0
    assert list(servers(client, path)) == ["other", NAME, "ours"]
    assert run("uninstall", client.name, "--yes", "--name", "ours")[0] == 0
    assert run("install", client.name, "--yes", "--force")[0] == 0
    server = changes.server_of(client, path, NAME)
    assert server
    assert server.runs_us
    assert server.env == {}, "its variables are not ours to have"
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert path.read_text() == text


@with_entries
def test_one_that_a_person_put_in_by_hand_keeps_what_else_it_says(client: Client, home: Path, run: Run):
    by_hand = entries.SHAPES[client.shape](entries.Server(["uvx", "agentic-flywheel-state"], {"FLYWHEEL_USER": "ana"}))
    text = changes.FORMATS[client.format].with_entry(theirs(client), client.key, NAME, by_hand | {"timeout": 7})
    path = put(client, home, text.encode())
    assert run("install", client.name, "--yes")[0] == 0
    assert servers(client, path)[NAME]["timeout"] == 7
    server = changes.server_of(client, path, NAME)
    assert server
    assert server.env == {"FLYWHEEL_USER": "ana"}
    assert Path(server.command[0]).is_absolute()
    code, out, _ = run("uninstall", client.name, "--yes")
    assert code == 0
    assert path.read_text() == theirs(client), "it does not come back with what the person had put in"
    (backup,) = re.findall(r"stays in (.+)", out)
    assert Path(backup).read_text() == text


SPELLINGS: dict[str, dict[str, Any]] = {
    "uvx of a version": {"command": "uvx", "args": ["agentic-flywheel-state@latest"]},
    "uvx with extras": {"command": "uvx", "args": ["agentic-flywheel-state[sealed, coaiapy]==1.2"]},
    "uvx from": {"command": "uvx", "args": ["--from", "agentic-flywheel-state>=1", "flywheel", "serve"]},
    "one text": {"command": "/a b/uvx agentic-flywheel-state serve"},
    "a folder with a blank": {"command": "C:\\a b\\Agentic-Flywheel-State.EXE"},
    "a module": {"command": "python3", "args": ["-m", "agentic_flywheel"]},
    "Zed's of before": {"source": "custom", "command": {"path": "flywheel", "args": ["serve"], "env": {"A": "1"}}},
}


@pytest.mark.parametrize("entry", SPELLINGS.values(), ids=SPELLINGS)
def test_one_put_in_by_hand_is_known_as_ours_however_it_is_spelt(entry: dict[str, Any], home: Path, run: Run):
    (client,) = named(["zed"])
    path = put(client, home, json.dumps({client.key: {NAME: entry}}).encode())
    assert run("install", client.name, "--yes")[0] == 0
    found = servers(client, path)[NAME]
    assert Path(found["command"]).is_absolute()
    assert found.get("env", {}) == ({"A": "1"} if "source" in entry else {})
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert json.loads(path.read_text()) == {client.key: {}}


@pytest.mark.parametrize(
    "entry",
    [{"command": "uvx", "args": ["agentic-flywheel-state-viewer"]}, {"command": "uvx", "args": ["flywheel==2"]}],
)
def test_one_that_is_called_nearly_as_ours_is_anothers(entry: dict[str, Any], home: Path, run: Run):
    (client,) = named(["cursor"])
    content = json.dumps({client.key: {NAME: entry}}).encode()
    path = put(client, home, content)
    for verb in ("install", "uninstall"):
        code, _, err = run(verb, client.name, "--yes")
        assert (code, path.read_bytes()) == (1, content), err


@with_entries
def test_who_has_it_under_another_name_is_told(client: Client, home: Path, run: Run):
    by_hand = entries.SHAPES[client.shape](entries.Server(["uvx", "agentic-flywheel-state"]))
    text = changes.FORMATS[client.format].with_entry(theirs(client), client.key, "memory", by_hand)
    put(client, home, text.encode())
    code, out, _ = run("install", client.name, "--yes")
    assert code == 0
    assert f"It runs there as 'memory', too; to take that out: uninstall {client.name} --name memory." in out
    assert "as 'other'" not in out


@with_entries
def test_who_takes_out_what_a_person_put_in_by_hand_is_not_told_that_the_file_has_changed(
    client: Client, home: Path, run: Run
):
    by_hand = entries.SHAPES[client.shape](entries.Server(["uvx", "agentic-flywheel-state"]))
    text = changes.FORMATS[client.format].with_entry(theirs(client), client.key, NAME, by_hand)
    path = put(client, home, text.encode())
    run("install", client.name, "--yes")
    _, out, _ = run("uninstall", client.name, "--yes")
    assert "has changed" not in out
    assert re.search(r"What it was with the one that was there before stays in (.+)", out)
    put(client, home, text.encode())
    code, out, _ = run("uninstall", client.name, "--yes")
    assert (code, out.count("stays in")) == (0, 0)
    assert path.read_text() == theirs(client)


@with_entries
def test_one_that_is_changed_after_the_person_wrote_in_the_file_comes_out_alone(client: Client, home: Path, run: Run):
    path = put(client, home, theirs(client).encode())
    run("install", client.name, "--yes")
    path.write_text(path.read_text().replace("mine", "still mine"))
    assert run("install", client.name, "--yes", "--env", "FLYWHEEL_USER=ana")[0] == 0
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert path.read_text() == theirs(client).replace("mine", "still mine")


@with_entries
def test_a_file_that_was_made_and_has_other_settings_now_keeps_these_alone(client: Client, home: Path, run: Run):
    run("install", client.name, "--yes")
    path = file_of(client, home)
    text = path.read_text()
    path.write_text("x = 1\n" + text if client.format == "toml" else '{\n  "x": 1,' + text[1:])
    assert run("uninstall", client.name, "--yes")[0] == 0
    assert path.read_text() == ("x = 1\n" if client.format == "toml" else '{\n  "x": 1\n}\n')


@every_client
def test_a_dry_run_shows_the_change_and_makes_none(client: Client, home: Path, run: Run):
    code, out, _ = run("install", client.name, "--dry-run")
    assert code == 0
    assert f"+++ {file_of(client, home)}" in out
    assert [*home.iterdir()] == []


def test_nobody_can_be_asked_so_nothing_is_done(home: Path, run: Run):
    code, out, err = run("install", "cursor")
    assert (code, err.count("\n")) == (2, 1)
    assert "--yes" in err
    assert "+++ " in out
    assert [*home.iterdir()] == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_person_is_asked_once_for_each_file(
    answer: str, code: int, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = run("install", "cursor")
    path = file_of(named(["cursor"])[0], home)
    assert done[0] == code
    assert f"change {path}? [y/N]" in done[2]
    assert path.exists() == (code == 0)


def test_all_are_those_that_are_here(home: Path, run: Run, tmp_path: Path):
    assert run("install", "--all", "--yes")[:2] == (0, "No client is on this machine.\n")
    (home / ".cursor").mkdir()
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    code, out, _ = run("install", "--all", "--yes")
    assert code == 0
    assert re.findall(r"(?m)^(\w+): installed", out) == ["Cursor", "Codex"]
    assert run("uninstall", "--all", "--yes")[0] == 0
    assert [*home.iterdir()] == [home / ".cursor"]


def test_one_that_cannot_be_changed_does_not_stop_the_others(home: Path, run: Run):
    put(named(["cursor"])[0], home, b"{")
    code, out, err = run("install", "cursor", "codex", "--yes")
    assert code == 1
    assert "Cursor" in err
    assert "Codex: installed" in out


def test_settings_of_the_environment_alone_go_along(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    """Codex hands on none of them, Gemini CLI none with KEY in its name."""
    monkeypatch.setenv("FLYWHEEL_KEY_PREFIX", "mine")
    monkeypatch.setenv("REDIS_HOST", "h")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "kept"))
    (home / PLACE).parent.mkdir(parents=True)
    (home / PLACE).write_text('flywheel_user = "ana"\n')
    (home / PLACE).chmod(0o600)
    _, out, _ = run("install", "codex", "cursor", "--yes")
    folder = str(home / "kept" / "agentic-flywheel-state")
    for client in named(["codex", "cursor"]):
        server = changes.server_of(client, file_of(client, home), NAME)
        assert server
        assert server.env == {"FLYWHEEL_KEY_PREFIX": "mine", "REDIS_HOST": "h", "FLYWHEEL_DATA_DIR": folder}
    assert "With the settings of this environment: FLYWHEEL_DATA_DIR, FLYWHEEL_KEY_PREFIX, REDIS_HOST" in out
    run("uninstall", "--all", "--yes")
    run("install", "codex", "--yes", "--redis-url", "redis://other/1")
    server = changes.server_of(named(["codex"])[0], file_of(named(["codex"])[0], home), NAME)
    assert server
    assert "REDIS_HOST" not in server.env, "a Redis is named as one"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--env", "REDIS_URL=http://h"), "REDIS_URL"),
        (("--redis-url", "localhost"), "REDIS_URL"),
        (("--env", "FLYWHEEL_USR=x"), "flywheel_user"),
        (("--env", "A"), "NAME=VALUE"),
        (("--name", "a b"), "--name"),
        (("--all",), "--all"),
    ],
)
def test_wrong_arguments_change_nothing(arguments: tuple[str, ...], said: str, home: Path, run: Run):
    code, out, err = run("install", "cursor", "--yes", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert [*home.iterdir()] == []


def test_an_unknown_client_is_told_the_known_ones(run: Run):
    code, _, err = run("install", "emacs", "--yes")
    assert code == 2
    assert "claude-desktop" in err


@pytest.mark.parametrize("client", ["cursor", "codex", "continue"])
def test_the_change_that_is_shown_has_no_password(client: str, home: Path, run: Run):
    token = "gh" + "p_" + "a1B2" * 9
    (known,) = named([client])
    other = json.dumps({"mcpServers": {"o": {"command": "x", "env": {"MY_TOKEN": "t0k", "A": token}}}}, indent=2)
    text = {"json": other, "toml": f'MY_TOKEN = "t0k"\na = "{token}"\n', "yaml": ""}[known.format]
    path = put(known, home, text.encode())
    _, out, err = run(
        "install", client, "--yes", "--redis-url", "redis://u:p1w@h:6379/0", "--env", "X_PASSWORD=p2w",
    )  # fmt: skip
    assert {"p1w", "p2w"} <= set(re.findall(r"p.w", path.read_text()))
    assert "redis://u:***@h:6379/0" in out
    for secret in ("p1w", "p2w", token, *(["t0k"] if text else [])):
        assert secret not in out + err


KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize("client", ["cursor", "codex", "continue"])
@pytest.mark.parametrize("name", ["FLYWHEEL_KEY", "FLYWHEEL_SEAL"])
def test_the_change_that_is_shown_has_no_key(client: str, name: str, run: Run):
    _, out, err = run("install", client, "--dry-run", "--env", f"{name}=mine:{KEY}")
    assert name in out
    assert KEY not in out + err


@pytest.mark.parametrize(("client", "warnings"), [("cursor", 1), ("vscode", 1), ("goose", 0)])
@pytest.mark.parametrize("name", ["FLYWHEEL_KEY", "FLYWHEEL_SEAL", "REDIS_PASSWORD"])
def test_a_link_that_holds_a_secret_says_so(client: str, warnings: int, name: str, run: Run):
    told = run("install", "--link", client, "--env", f"{name}=mine:{KEY}")[2]
    assert told.count("give it to nobody") == warnings
    assert run("install", "--link", client, "--env", "FLYWHEEL_USER=ann")[2] == ""


@pytest.mark.parametrize(
    ("platform", "name", "path"),
    [
        ("linux", "claude-desktop", "/h/.config/Claude/claude_desktop_config.json"),
        ("darwin", "claude-desktop", "/h/Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", "claude-desktop", "/h/AppData/Roaming/Claude/claude_desktop_config.json"),
        ("linux", "vscode", "/h/.config/Code/User/mcp.json"),
        ("darwin", "vscode", "/h/Library/Application Support/Code/User/mcp.json"),
        ("win32", "vscode", "/h/AppData/Roaming/Code/User/mcp.json"),
        ("darwin", "zed", "/h/.config/zed/settings.json"),
        ("win32", "zed", "/h/AppData/Roaming/Zed/settings.json"),
        ("darwin", "opencode", "/h/.config/opencode/opencode.json"),
        ("darwin", "kilo", "/h/.config/kilo/kilo.json"),
        ("win32", "lm-studio", "/h/.lmstudio/mcp.json"),
    ],
)
def test_every_platform_has_its_place(platform: str, name: str, path: str):
    (client,) = named([name])
    assert client.files(Machine(Path("/h"), {}, platform), NAME) == [Path(path)]


def test_a_folder_that_a_variable_names_is_the_clients(tmp_path: Path):
    for name, place in {
        "claude-code": ".claude.json",
        "codex": "config.toml",
        "gemini-cli": ".gemini/settings.json",
        "qwen-code": "settings.json",
        "continue": f"mcpServers/{NAME}.yaml",
        "copilot-cli": "mcp-config.json",
        "pi": "mcp.json",
        "kimi-code": "mcp.json",
    }.items():
        (client,) = named([name])
        machine = Machine(Path("/h"), {client.variable: str(tmp_path)}, "linux")
        assert client.files(machine, NAME) == [tmp_path / place]

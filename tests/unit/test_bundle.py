"""The bundle says what hosts need, and what the official validator lets through is right, too."""

import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from agentic_flywheel import __version__
from agentic_flywheel.cli.clients.bundle import START, contents, manifest, packed
from agentic_flywheel.cli.clients.settings_of_bundle import ABOUT
from agentic_flywheel.cli.main import main
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import NAMES

REFERENCE = re.compile(r"\$\{(.*?)\}")
PASSWORDS = {"REDIS_URL", "REDIS_PASSWORD", "FLYWHEEL_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Config(_Strict):
    command: str
    args: list[str]
    env: dict[str, str]


class _Server(_Strict):
    type: Literal["uv"]
    entry_point: str
    mcp_config: _Config


class _Field(_Strict):
    type: Literal["string", "number", "boolean", "directory", "file"]
    title: str
    description: str
    required: bool
    default: str
    sensitive: bool = False


class _Manifest(_Strict):
    """What version 0.4 allows, of which we use this."""

    manifest_version: Literal["0.4"]
    name: str
    display_name: str
    version: str
    description: str
    author: dict[Literal["name", "email", "url"], str]
    license: str
    keywords: list[str]
    server: _Server
    tools_generated: bool
    prompts_generated: bool
    compatibility: dict[Literal["claude_desktop", "platforms", "runtimes"], Any]
    user_config: dict[str, _Field]


@pytest.fixture
def said() -> _Manifest:
    return _Manifest.model_validate(manifest())


def test_it_is_of_this_version_and_its_names_have_no_spaces(said: _Manifest):
    assert said.version == __version__
    assert tomllib.loads(contents()["pyproject.toml"].decode())["project"]["version"] == __version__
    assert re.fullmatch(r"[a-z0-9-]+", said.name)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in said.user_config)


def test_what_it_starts_is_in_it(said: _Manifest):
    files = contents()
    assert said.server.entry_point in files
    assert said.server.mcp_config.args[-1] == START == said.server.entry_point
    assert "src/agentic_flywheel/__main__.py" in files
    assert any(name.startswith("src/agentic_flywheel/coaia/child/") for name in files)
    assert not [name for name in files if "__pycache__" in name or name.startswith("/") or ".." in name]


def test_every_setting_is_a_field_and_every_reference_is_declared(said: _Manifest):
    env = said.server.mcp_config.env
    assert set(env) == set(NAMES), "in a bundle nothing else sets the environment"
    named = [one for text in [*env.values(), *said.server.mcp_config.args] for one in REFERENCE.findall(text)]
    assert set(named) == {"__dirname", *(f"user_config.{name}" for name in said.user_config)}


def test_every_setting_is_described():
    assert set(ABOUT) == set(NAMES), "a new setting is to be described in cli/clients/settings_of_bundle.py"


def test_what_holds_a_password_is_a_sensitive_text(said: _Manifest):
    sensitive = {name.upper() for name, field in said.user_config.items() if field.sensitive}
    assert sensitive == PASSWORDS & set(NAMES)
    assert all(field.type == "string" for field in said.user_config.values() if field.sensitive)


def test_a_form_that_nobody_fills_in_is_as_if_nothing_were_set(said: _Manifest, tmp_path: Path):
    given = {name: field.default for name, field in said.user_config.items()}
    env = {
        name: REFERENCE.sub(lambda found: given[found[1].removeprefix("user_config.")], text)
        for name, text in said.server.mcp_config.env.items()
    }
    home = {"HOME": str(tmp_path)}
    assert Settings.from_env({**home, **env}) == Settings.from_env(home)
    file = tmp_path / "config.toml"
    file.write_text('redis_ttl_seconds = 7\nflywheel_user = "ana"\n')
    file.chmod(0o600)
    settings = Settings.from_env({**home, **env}, file)
    assert (settings.session_ttl_seconds, settings.user) == (7, "ana"), "the settings file speaks still"


def test_the_same_sources_make_the_same_bundle():
    assert packed(contents()) == packed(contents())


def test_one_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    out = tmp_path / "x.mcpb"
    assert main(["bundle", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    with zipfile.ZipFile(out) as bundle:
        assert bundle.testzip() is None
        assert bundle.namelist()[0] == "manifest.json"
    assert main(["bundle", "--out", str(tmp_path / "nowhere" / "x.mcpb")]) == 2
    assert "nowhere" in capsys.readouterr().err

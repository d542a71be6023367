"""`server.json` keeps the rules of the registry's schema of 2025-12-11, and names settings that there are."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentic_flywheel.settings_file import NAMES

ROOT = Path(__file__).parents[2]
SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
Line = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Exact = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+[A-Za-z0-9.+-]*$", max_length=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Variable(_Strict):
    name: str
    description: str
    isRequired: bool = False  # noqa: N815  the schema's
    isSecret: bool = False  # noqa: N815
    format: Literal["string", "number", "boolean", "filepath"] = "string"
    default: str | None = None
    placeholder: str | None = None
    choices: list[str] | None = None


class _Transport(_Strict):
    type: Literal["stdio"]


class _Package(_Strict):
    registryType: Literal["pypi"]  # noqa: N815
    identifier: str
    version: Exact
    runtimeHint: Literal["uvx"]  # noqa: N815
    transport: _Transport
    environmentVariables: list[_Variable]  # noqa: N815


class _Entry(_Strict):
    """What the schema allows, of which we use this."""

    schema_: Literal["https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"] = Field(
        alias="$schema"
    )
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", min_length=3, max_length=200)]
    title: Line
    description: Line
    version: Exact
    packages: Annotated[list[_Package], Field(min_length=1)]


def entry() -> _Entry:
    return _Entry.model_validate(json.loads((ROOT / "server.json").read_text("utf-8")))


def test_it_is_what_the_schema_allows():
    assert entry().schema_ == SCHEMA


def test_its_variables_are_settings_and_secrets_are_said_to_be():
    variables = {variable.name: variable for package in entry().packages for variable in package.environmentVariables}
    assert set(variables) <= set(NAMES)
    assert {name for name, variable in variables.items() if variable.isSecret} == {"REDIS_URL"}
    assert not any(variable.isRequired for variable in variables.values()), "it runs with nothing set"


def test_the_package_says_whose_it_is():
    """The registry looks for the entry's name in the package's README."""
    assert f"mcp-name: {entry().name} " in (ROOT / "README.md").read_text("utf-8")
    assert entry().packages[0].identifier in (ROOT / "pyproject.toml").read_text("utf-8")

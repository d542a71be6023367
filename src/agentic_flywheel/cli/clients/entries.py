"""Says what a client's entry for a server holds, in each client's own members, and reads the same back."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, cast

from agentic_flywheel.cli.parser import PROGRAM, SHORT
from agentic_flywheel.json_text import JSONObject

MODULE = "agentic_flywheel"

_OUR_NAME = re.compile(
    rf"(?:{PROGRAM}|{SHORT})(?:\.exe|\.cmd)?|{PROGRAM}(?:\[[\w, -]*\])?(?:[@=<>~!].*)?", re.IGNORECASE
)
"""Our program in a path, or as `uvx` and `pipx run` are told of it, with extras and a version."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a client starts a server."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str])
    folder: str = ""
    """Where it is started; empty: wherever the client is."""

    @property
    def runs_us(self) -> bool:
        """Whether it starts this program, be it installed elsewhere."""
        parts = self.command if len(self.command) > 1 else " ".join(self.command).split()
        names = [PurePath(part.replace("\\", "/")).name for part in (*self.command, *parts)]
        return any(map(_OUR_NAME.fullmatch, names)) or MODULE in parts


def plain(server: Server) -> JSONObject:
    """The members that most clients read."""
    return {"command": server.command[0], "args": server.command[1:], "env": server.env}


def stdio(server: Server) -> JSONObject:
    """Those of clients that want the transport named."""
    return {"type": "stdio", **plain(server)}


def opencode(server: Server) -> JSONObject:
    """Those of opencode: one list, and another name for the variables."""
    return {"type": "local", "command": server.command, "environment": server.env, "enabled": True}


def copilot(server: Server) -> JSONObject:
    """Those of Copilot CLI, which names the tools that it may use."""
    return {"type": "local", **plain(server), "tools": ["*"]}


SHAPES: dict[str, Callable[[Server], JSONObject]] = {
    "plain": plain,
    "stdio": stdio,
    "opencode": opencode,
    "copilot": copilot,
}

_ENV = {"opencode": "environment"}


def read(shape: str, entry: JSONObject) -> Server:
    """What an entry starts; an empty command if it starts nothing."""
    if isinstance(inner := entry.get("command"), dict):  # as Zed wrote it until 2025
        inner = cast("JSONObject", inner)
        entry = entry | inner | {"command": inner.get("path")}
    command, args, env = entry.get("command"), entry.get("args"), entry.get(_ENV.get(shape, "env"))
    parts = [*_texts([command]), *_texts(command), *_texts(args)]
    pairs = cast("dict[str, Any]", env) if isinstance(env, dict) else {}
    folder = entry.get("cwd")
    variables = {name: str(value) for name, value in pairs.items()}
    return Server(parts, variables, folder if isinstance(folder, str) else "")


def written(shape: str, server: Server, before: JSONObject | None) -> JSONObject:
    """The entry of a server: what another one of its name says besides stays, its variables too.

    A variable with an empty value is taken out.
    """
    old = before or {}
    kept = read(shape, old).env
    env = {name: value for name, value in {**kept, **server.env}.items() if value}
    entry = SHAPES[shape](Server(server.command, env))
    variables = _ENV.get(shape, "env")
    if not env and variables not in old:
        del entry[variables]
    stays = {name: value for name, value in old.items() if name not in ("command", "args", variables)}
    return {**entry, **stays}


def _texts(value: object) -> list[str]:
    return [each for each in cast("list[object]", value) if isinstance(each, str)] if isinstance(value, list) else []

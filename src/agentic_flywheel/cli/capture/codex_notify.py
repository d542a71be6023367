"""Puts `notify` into Codex' config.toml, which it runs at the end of an answer, and takes it out again.

Codex 0.171 runs hooks of hooks.json only once the person has reviewed them in its own dialogue; `notify` runs without.
There is one `notify`: a person's own is left, and the hooks alone are relied on.
"""

import json
import tomllib
from collections.abc import Sequence

from agentic_flywheel.errors import InvalidArgument

NAME = "notify"


def with_notify(text: str, command: Sequence[str]) -> tuple[str, str] | None:
    """The configuration with our command, and the line that was put in; `None` if there is another command.

    Raises:
        InvalidArgument: it is no TOML.

    """
    before = parsed(text)
    if NAME in before:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    line = f"{NAME} = {json.dumps(list(command), ensure_ascii=False)}{newline}"
    if parsed(line + text) != before | {NAME: list(command)}:
        raise InvalidArgument("cannot be added to without changing what else it says")
    return line + text, line


def without_notify(text: str, line: str) -> str:
    """The configuration without our line; as it is, where that is not there any more."""
    return text.replace(line, "", 1) if text.count(line) == 1 else text


def parsed(text: str) -> dict[str, object]:
    """What the configuration says.

    Raises:
        InvalidArgument: it is no TOML.

    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument("is no TOML") from None

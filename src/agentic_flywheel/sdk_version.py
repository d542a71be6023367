"""Checks that the MCP SDK that is installed can carry the server, without importing it.

The base install takes an earlier one beside frameworks that hold it back: the Python API and the commands need none.
"""

import os
import re
from importlib.machinery import PathFinder
from pathlib import Path

NEEDED = (2, 3)
_DISTRIBUTION = re.compile(r"mcp-((\d+)\.(\d+)[^-]*)\.dist-info")


class WrongSDK(Exception):  # noqa: N818  it says what is wrong
    """The SDK is too old for the server; the message is for a person."""


def check_sdk() -> None:
    """Raise `WrongSDK` where none is installed, or one that is too old; one of unknown age will do."""
    spec = PathFinder.find_spec("mcp")
    if spec is None or spec.origin is None:
        raise WrongSDK("the server needs the package mcp 2.3 or newer. Install it: pip install 'mcp>=2.3'")
    for name in os.listdir(Path(spec.origin).parents[1]):  # noqa: PTH208  names are enough
        found = _DISTRIBUTION.fullmatch(name)
        if found and (int(found[2]), int(found[3])) < NEEDED:
            raise WrongSDK(
                f"the server needs the package mcp 2.3 or newer; installed is {found[1]}, which another package may"
                " hold back. Install this program in an environment of its own (pipx, uvx); the Python API works here."
            )

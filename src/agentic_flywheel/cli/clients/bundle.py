"""`bundle`: writes the .mcpb file of this very version, which Claude Desktop installs by a double click.

The bundle is of the type `uv` (manifest version 0.4): it holds our sources, and uv brings a Python and the libraries,
in the versions that are installed here.
"""

import json
import re
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

from agentic_flywheel import __version__
from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.cli.clients.settings_of_bundle import user_config
from agentic_flywheel.cli.parser import PROGRAM
from agentic_flywheel.cli.terminal import finish, say
from agentic_flywheel.json_text import JSONObject

START = "src/start.py"
_START = '''"""Starts the server of this bundle."""

import sys

from agentic_flywheel.__main__ import main

sys.exit(main())
'''
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in it: the same sources make the same bundle."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def bundle(out: str) -> int:
    """Write the bundle; 0."""
    return finish(lambda: _bundle(Path(out or f"{PROGRAM}-{__version__}.mcpb")))


def _bundle(file: Path) -> int:
    small_files.replace(str(file.absolute()), packed(contents()), 0o644)
    say(f"{file} is written. Open it with Claude Desktop (a double click), and fill in what you want to set.")
    return 0


def contents() -> dict[str, bytes]:
    """The files of the bundle, by path."""
    package = Path(__file__).parents[2]
    sources = {
        f"src/{package.name}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    ours = distribution(PROGRAM)
    licences = [path for path in ours.files or () if path.name == "LICENSE"]
    return {
        "manifest.json": json.dumps(manifest(), indent=2).encode() + b"\n",
        "pyproject.toml": _pyproject(ours).encode(),
        **{path.name: bytes(path.read_binary()) for path in licences},
        START: _START.encode(),
        **sources,
    }


def packed(files: dict[str, bytes]) -> bytes:
    """The files as a zip archive."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            about = zipfile.ZipInfo(name, DATE)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            zipped.writestr(about, content)
    return archive.getvalue()


def manifest() -> JSONObject:
    """What the bundle says of itself. Nothing but `user_config` sets its environment."""
    config = user_config()
    return {
        "manifest_version": "0.4",
        "name": PROGRAM,
        "display_name": "Agentic Flywheel State",
        "version": __version__,
        "description": "Keeps conversations: save today, resume tomorrow. Redis or a local journal.",
        "author": {"name": "agentic-flywheel"},
        "license": "MIT",
        "keywords": ["conversation", "memory", "session", "redis"],
        "server": {
            "type": "uv",
            "entry_point": START,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", START],
                "env": {name.upper(): f"${{user_config.{name}}}" for name in config},
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": ">=3.11"}},
        "user_config": config,
    }


def _pyproject(ours: Distribution) -> str:
    """What uv reads: what we need, in the versions that are installed here. Nothing is built."""
    needed = [line for line in ours.requires or () if "extra ==" not in line]
    lines = [
        "[project]",
        f'name = "{PROGRAM}"',
        f'version = "{__version__}"',
        f'requires-python = "{ours.metadata["Requires-Python"]}"',
        f"dependencies = {json.dumps(needed)}",
        "",
        "[tool.uv]",
        "package = false",
        f"constraint-dependencies = {json.dumps(_installed(needed), indent=2)}",
    ]
    return "\n".join(lines) + "\n"


def _installed(needed: list[str]) -> list[str]:
    """What is needed, and what that needs, as far as it is installed here: exact versions."""
    versions: dict[str, str] = {}
    left = list(needed)
    while left:
        match = _NAME.match(left.pop())
        name = re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
        if not name or name in versions:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another platform or Python
            continue
        versions[name] = found.version
        left += [line for line in found.requires or () if "extra ==" not in line]
    return [f"{name}=={version}" for name, version in sorted(versions.items())]

"""Writes the file by which systemd or launchd starts `capture watch` at login. Nothing is installed by it."""

import plistlib
from typing import Literal

from agentic_flywheel.cli.program_start import program_start

LABEL = "agentic-flywheel-state-capture"

_SYSTEMD = """\
# Put this into ~/.config/systemd/user/{label}.service, then: systemctl --user enable --now {label}
[Unit]
Description=Keep what coding agents write (agentic-flywheel-state capture watch)

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=30
Nice=10

[Install]
WantedBy=default.target
"""


def unit(kind: Literal["systemd", "launchd"], clients: list[str]) -> str:
    """The file's text; for launchd it goes into ~/Library/LaunchAgents/, for systemd its first line says where."""
    command = [*program_start(), "capture", "watch", *clients]
    if kind == "systemd":
        return _SYSTEMD.format(label=LABEL, command=" ".join(_quoted(each) for each in command))
    value = {"Label": LABEL, "ProgramArguments": command, "RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False},
             "ProcessType": "Background"}  # fmt: skip
    return plistlib.dumps(value).decode()


def _quoted(argument: str) -> str:
    """The argument as systemd reads it: a quoted text, in which % and $ stand for themselves."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'

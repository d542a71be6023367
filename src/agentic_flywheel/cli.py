"""The console script: no argument serves; `demo`, `doctor` and `purge` are for people."""

import argparse
import os
import sys
from collections.abc import Sequence

from agentic_flywheel import __version__
from agentic_flywheel.errors import SettingError
from agentic_flywheel.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="agentic-flywheel-state",
        description="An MCP server that keeps conversations. Without a command it serves over standard input/output.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="save a conversation, kill the server, resume it in a new one")
    demo.add_argument("--transcript", metavar="FILE", help='a JSON list of {"role", "content"} (default: one built in)')
    commands.add_parser("doctor", help="say what is configured, what works, and what to do about the rest")
    commands.add_parser("purge", help="empty this machine's copies of what Redis holds; what is pending stays")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ)
    except SettingError as exc:
        sys.stderr.write(f"agentic-flywheel-state: {exc}\n")
        return 2
    # Imported late: each command pays for what it uses.
    if options.command == "demo":
        from agentic_flywheel.demo import demo as run_demo

        return run_demo(settings, options.transcript)
    if options.command == "doctor":
        from agentic_flywheel.doctor import doctor as run_doctor

        return run_doctor(settings)
    if options.command == "purge":
        from agentic_flywheel.purge import purge as run_purge

        return run_purge(settings)
    from agentic_flywheel.server.app import serve

    return serve(settings)

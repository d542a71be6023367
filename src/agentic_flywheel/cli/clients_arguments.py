"""Defines the command line of `install`, `uninstall` and `bundle`."""

from agentic_flywheel.cli.clients.table import DEFAULT_NAME, NAMES
from agentic_flywheel.cli.parser import Parser

LINKED = ("cursor", "vscode", "lmstudio", "goose")


def add_clients(top: Parser) -> None:
    """Add the commands."""
    install = top.command(
        "install",
        "put this server into the settings of MCP clients: shows the change, asks, keeps a backup",
        "cursor codex --redis-url redis://127.0.0.1:6379/0",
        "0 it is in, 1 not in all (or you said no)",
    )
    _add_which(install, "all of them that are on this machine")
    install.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                         help="for the server (again: another one; an empty value takes one out)")  # fmt: skip
    install.add_argument("--redis-url", default="", metavar="URL", help="the same as --env REDIS_URL=URL")
    install.add_argument("--force", action="store_true", help="also in the place of another server of the same name")
    install.add_argument("--link", choices=LINKED, help="change nothing; print a link that installs it by a click")
    uninstall = top.command(
        "uninstall",
        "take it out again, and give the files back as they were",
        "--all",
        "0 it is out, 1 not of all (or you said no)",
    )
    _add_which(uninstall, "all of them")
    bundle = top.command(
        "bundle", "write an .mcpb file, which Claude Desktop installs by a double click", "", "0 written"
    )
    bundle.add_argument("--out", default="", metavar="FILE", help="where to (default: NAME-VERSION.mcpb here)")


def _add_which(parser: Parser, every: str) -> None:
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"which: {', '.join(NAMES)}")
    parser.add_argument("--all", action="store_true", help=every)
    parser.add_argument("--name", default=DEFAULT_NAME, metavar="NAME", help="of the server (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show the change, and make none")

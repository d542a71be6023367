"""Reads the command line and runs a command for a person; without one, serves."""

import argparse
import gc
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from agentic_flywheel import __version__
from agentic_flywheel.errors import SettingError
from agentic_flywheel.plain_text import PlainFormatter, one_line
from agentic_flywheel.sdk_version import WrongSDK, check_sdk
from agentic_flywheel.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    gc.set_threshold(50_000)  # little of what imports make is garbage, and looking for it takes a sixth of a start
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given) if given else argparse.Namespace(command=None)  # what serves begins sooner
    if options.command:
        _log_plainly()
    if options.command == "config":  # which mends what no other command starts with
        from agentic_flywheel.cli.config_command import config

        return config(options)
    try:
        if options.command in (None, "demo"):
            check_sdk()
        settings = Settings.of_this_process()
    except (SettingError, WrongSDK) as exc:
        sys.stderr.write(f"agentic-flywheel-state: {one_line(str(exc))}\n")
        return 2
    return _run(settings, options)


def _run(settings: Settings, options: argparse.Namespace) -> int:
    """Run a command; each is imported here, so that it pays for what it uses. Long: a case for each."""
    match options.command:
        case "demo":
            from agentic_flywheel.cli.demo import demo

            return demo(settings, options.transcript)
        case "doctor":
            from agentic_flywheel.cli.doctor import doctor

            return doctor(settings, options.client)
        case "purge" | "forget-copies":
            from agentic_flywheel.cli.purge_command import purge

            return purge(settings, expired_only=getattr(options, "expired", False))
        case "dead-letters":
            from agentic_flywheel.cli.dead_letters_command import dead_letters

            return dead_letters(settings, options)
        case "sessions":
            return _sessions(settings, options)
        case "export":
            from agentic_flywheel.cli.export_command import export

            return export(settings, options.file)
        case "secrets":
            from agentic_flywheel.cli.secrets_command import secrets

            return secrets(settings, options)
        case "import":
            from agentic_flywheel.cli.import_command import import_from

            return import_from(settings, options.source)
        case _:
            from agentic_flywheel.server.front import serve

            return serve(settings)


def _sessions(settings: Settings, options: argparse.Namespace) -> int:
    match options.verb:
        case "send":
            from agentic_flywheel.cli.send_command import send

            return send(settings, options)
        case "list":
            from agentic_flywheel.cli.list_command import list_sessions

            return list_sessions(settings, options)
        case _:
            from agentic_flywheel.cli.sessions_command import sessions

            return sessions(settings, options)


def _log_plainly() -> None:
    """What Python writes of warnings, where nobody set up a log, must be harmless at a terminal, too."""
    if logging.lastResort:
        logging.lastResort.setFormatter(PlainFormatter())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors quote nothing that a terminal would obey."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end the program."""
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="agentic-flywheel-state",
        description="An MCP server that keeps conversations. Without a command it serves over standard input/output.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="save a conversation, kill the server, resume it in a new one")
    demo.add_argument("--transcript", metavar="FILE", help='a JSON list of {"role", "content"} (default: one built in)')
    doctor = commands.add_parser("doctor", help="say what is configured, what works, and what to do about the rest")
    doctor.add_argument(
        "--as",
        dest="client",
        choices=("claude", "codex", "gemini", "opencode"),
        help="start the server with what this client passes on of the environment, and say what differs",
    )
    _add_config(commands.add_parser("config", help="show settings and where each stands, or change the settings file"))
    export = commands.add_parser("export", help="write every session as a line of JSON")
    export.add_argument("file", nargs="?", default="-", help="where to (default: standard output)")
    importing = commands.add_parser(
        "import", help="take in an export of this program, of Claude or ChatGPT, or transcripts of Claude Code"
    )
    importing.add_argument("source", help="a file, a folder, the zip archive as it was downloaded, or -")
    _add_sessions(commands.add_parser("sessions", help="list, show, delete or restore what is kept"))
    _add_dead_letters(commands.add_parser("dead-letters", help="list, retry, export or drop what Redis will not take"))
    _add_secrets(commands.add_parser("secrets", help="find credentials in what was kept earlier, and replace them"))
    forget = commands.add_parser(
        "forget-copies", help="empty this machine's copies of what Redis holds; what is pending stays"
    )
    forget.add_argument("--expired", action="store_true", help="erase only what has expired")
    commands.add_parser("purge", help="the same as forget-copies, by its earlier name")
    return parser


def _add_secrets(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    scan = verbs.add_parser("scan", help="name their places in all sessions and older revisions; 1 if some are left")
    scan.add_argument("--redact", action="store_true", help="replace each by [redacted: …], in older revisions too")


def _add_config(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    show = verbs.add_parser(
        "show", help="each setting, its value without passwords, where it stands (also without a verb)"
    )
    show.add_argument("--json", action="store_true", help="for programs")
    setting = verbs.add_parser("set", help="write a setting into the settings file, which every client's server reads")
    setting.add_argument("name", metavar="NAME", help="as a variable (REDIS_URL) or in lower case")
    setting.add_argument("value", nargs="?", default="", metavar="VALUE", help="- reads it from standard input")
    unset = verbs.add_parser("unset", help="take a setting out of the file (as `set NAME` without a value does)")
    unset.add_argument("name", metavar="NAME")
    verbs.add_parser("path", help="where the settings file lies")


def _add_dead_letters(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    listing = verbs.add_parser("list", help="a table, oldest first (also without a verb)")
    listing.add_argument("--json", action="store_true", help="for programs")
    retry = verbs.add_parser("retry", help="send some again, or all")
    retry.add_argument("numbers", nargs="*", type=int, metavar="N")
    retry.add_argument("--all", action="store_true")
    export = verbs.add_parser("export", help="write one as JSON, with its turns")
    export.add_argument("number", type=int, metavar="N")
    export.add_argument("file", nargs="?", default="-", help="where to (default: standard output)")
    drop = verbs.add_parser("drop", help="throw one away for ever")
    drop.add_argument("number", type=int, metavar="N")
    drop.add_argument("--yes", action="store_true", help="do not ask")


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="a table, newest first")
    listing.add_argument(
        "--query", default="", metavar="WORDS", help="with these words, in turns or in what lists show"
    )
    listing.add_argument("--tag", action="append", default=[], help="with this tag (again: and this one)")
    listing.add_argument("--user", default="", metavar="ID", help="of this user")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="1 to 1000 (default: 50)")
    listing.add_argument("--json", action="store_true", help="for programs")
    show = verbs.add_parser("show", help="one session as Markdown")
    show.add_argument("id")
    show.add_argument("--json", action="store_true", help="for programs")
    delete = verbs.add_parser("delete", help="delete one, for everybody")
    delete.add_argument("id", nargs="?", default="")
    delete.add_argument("--all", action="store_true", help="all of them (of FLYWHEEL_USER, where that is set)")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    sending = verbs.add_parser("send", help="send what was saved while no Redis was named to the one that is named now")
    sending.add_argument("ids", nargs="*", metavar="ID")
    sending.add_argument("--all", action="store_true", help="all that belong to this machine")
    restore = verbs.add_parser("restore", help="make an earlier revision the current one again")
    restore.add_argument("id")
    restore.add_argument("revision", type=int)

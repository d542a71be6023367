"""Defines the command line: every command with its options, its limits, an example and what its exit codes mean."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import cast

from agentic_flywheel import __version__
from agentic_flywheel.cli.capture_arguments import add_capture
from agentic_flywheel.cli.clients.table import ALIASES, NAMES
from agentic_flywheel.cli.clients_arguments import add_clients
from agentic_flywheel.cli.http_arguments import add_http
from agentic_flywheel.cli.parser import PROGRAM, SHORT, Parser, number

MAX_PAGE = 1000
"""The same as of `sessions/listing.py`, which is not imported only to read a command line."""

MAX_REVISION = 10**12
"""Far above the revision of any session, and a number that every place can hold."""

PATHS = ("file", "source", "transcript", "into", "folder", "out", "tls_cert", "tls_key", "tokens_file")
"""Options that name files, whose names may be any bytes."""

_SESSION = "an id, its beginning if no other id begins so, a title, or latest"


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line; one that is wrong ends the program with 2 before anything is started."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["sessions"] and given[1:2] and given[1][:1] == "-" and given[1] not in ("-h", "--help"):
        given.insert(1, "list")  # what bare `sessions` does takes options, too
    options, unknown = parser().parse_known_args(given)
    if unknown:
        cast("Parser", options.parser).refuse(unknown)
    if options.command == "sessions" and options.verb is None:
        options, _ = parser().parse_known_args([*given, "list"])
    for name, value in vars(options).items():
        texts = cast("list[object]", value) if isinstance(value, list) else [value]
        if name not in PATHS and any(isinstance(text, str) and not _is_unicode(text) for text in texts):
            cast("Parser", options.parser).error(f"{name.upper()} is not text in UTF-8")
    return options


def parser() -> Parser:
    """The parser of the whole command line."""
    called = PurePath(sys.argv[0]).name if sys.argv else PROGRAM
    top = Parser(
        prog=SHORT if called == SHORT else PROGRAM,
        description="An MCP server that keeps conversations. Without a command it serves over standard input/output.",
        epilog="Begin with: demo, then sessions. Every command has a --help of its own, with an example. Exit codes: 0"
        " done, 1 not done (or not found, or you said no), 2 wrong arguments or settings, or no storage.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    top.commands("command")
    _add_sessions(top.command("sessions", "list, show, search, save, change and delete what is kept"))
    _add_doctor(top)
    _add_config(top.command("config", "show settings and where each stands, or change the settings file"))
    add_clients(top)
    _add_demo(top)
    _add_moving(top)
    add_capture(top.command("capture", "take in other programs' talks by themselves, or say what is not kept"))
    _add_dead_letters(top.command("dead-letters", "list, retry, export or drop what Redis will not take"))
    _add_secrets(top.command("secrets", "find credentials in what was kept earlier, and replace them"))
    _add_keys(top.command("keys", "seal what is kept with keys of yours, or say what is sealed"))
    _add_forget_copies(top)
    add_http(top)
    shell = top.command(
        "completion",
        "print what makes a shell complete these commands",
        "bash",
        "0 printed, 1 shtab is not installed",
    )
    shell.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return top


def _add_keys(parser: Parser) -> None:
    parser.commands("verb", required=True)
    new = parser.command("new", "make a key, the first or a newer one", "", "0 made, 1 not")
    new.add_argument("name", nargs="?", default="", metavar="NAME", help="its name (default: the day)")
    new.add_argument("--file", default="", metavar="PATH", help="the key file (default: the one in use, or one made)")
    new.add_argument("--keyring", action="store_true", help="in the system's keyring instead of a file")
    status = parser.command("status", "say what is sealed, and with which keys", "", "0 said, 1 Redis does not answer")
    status.add_argument("--json", action="store_true", help="for programs")
    codes = "0 done, 1 not all: do it once more"
    parser.command("rotate", "seal everything with the newest key, while servers run", "", codes)
    parser.command("seal", "seal what is kept in clear; no server may run", "", codes)
    parser.command("unseal", "keep it in clear again; no server may run", "", codes)


def _add_sessions(parser: Parser) -> None:
    parser.commands("verb")
    parser.description = "List what is kept; with a VERB, do something else with it."
    parser.epilog = f"A session is named by {_SESSION}."
    listing = parser.command(
        "list",
        "a table, newest first (also without a verb)",
        "--tag farm",
        "0 listed, if only that there is none",
    )
    listing.add_argument(
        "--query", default="", metavar="WORDS", help="with these words, in turns or in what lists show"
    )
    _add_filter(listing)
    search = parser.command("search", "list those with these words, the best first", "may harvest", "0 found, 1 none")
    search.add_argument("query", nargs="+", metavar="WORDS")
    _add_filter(search)
    show = parser.command("show", "print one as Markdown, its turns quoted", "latest", "0 shown, 1 there is none")
    _add_id(show)
    show.add_argument("--revision", type=number(1, MAX_REVISION), metavar="N", help="as it was at revision N")
    shown = show.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="the whole document, for programs")
    programs = ("claude-code", "codex", "markdown")
    shown.add_argument("--as", dest="program", choices=programs, help="as that program's transcript, to hand over")
    revisions = parser.command(
        "revisions",
        "list the revisions of one that can be restored",
        "latest",
        "0 listed, 1 there is none",
    )
    _add_id(revisions)
    revisions.add_argument("--json", action="store_true", help="for programs")
    _add_writing_verbs(parser)
    _add_send(parser)


def _add_filter(parser: Parser) -> None:
    parser.add_argument("--tag", action="append", default=[], help="with this tag (again: and this one)")
    parser.add_argument("--user", default="", metavar="ID", help="of this user")
    limit = number(1, MAX_PAGE)
    parser.add_argument("--limit", type=limit, default=50, metavar="N", help="1 to 1000 (default: 50)")
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_writing_verbs(parser: Parser) -> None:
    save = parser.command(
        "save",
        "keep turns from a file or from standard input",
        'talk.json --title "Harvest"',
        "0 kept, 1 not",
    )
    save.add_argument(
        "file", nargs="?", default="-", help='JSON [{"role", "content"}], or text (default: standard input)'
    )
    save.add_argument("--id", default="", help="whose new turns these are (default: a new session)")
    save.add_argument("--title", default="", help="for lists")
    save.add_argument("--tags", action="append", default=[], metavar="A,B", help="in place of the tags it has")
    restore = parser.command(
        "restore", "make an earlier revision the current one again", "latest 3", "0 restored, 1 not"
    )
    _add_id(restore)
    restore.add_argument("revision", type=number(1, MAX_REVISION), metavar="N", help="see sessions revisions")
    fork = parser.command("fork", "begin another one with what this one is", "latest garden-2", "0 begun, 1 not")
    _add_id(fork)
    fork.add_argument("new", nargs="?", default="", metavar="NEW", help="the id of the new one (default: one is made)")
    _add_sub_agents(fork, "its sub-agents' sessions too, as they are now")
    fork.add_argument("--revision", type=number(1, MAX_REVISION), metavar="N", help="with what it was at revision N")
    rename = parser.command("rename", "give one another title", 'latest "The harvest"', "0 renamed, 1 not")
    _add_id(rename)
    rename.add_argument("title", metavar="TITLE")
    delete = parser.command(
        "delete",
        "delete one with its revisions, or all, for everybody",
        "garden",
        "0 deleted, 1 not (or you said no)",
    )
    delete.add_argument("id", nargs="?", default="", metavar="SESSION", help=f"{_SESSION}; with --yes its whole id")
    _add_sub_agents(delete, "its sub-agents' sessions too")
    delete.add_argument("--all", action="store_true", help="all of them (of FLYWHEEL_USER, where that is set)")
    delete.add_argument("--yes", action="store_true", help="do not ask")


def _add_send(parser: Parser) -> None:
    send = parser.command(
        "send",
        "send what was saved while no Redis was named to the one that is named now",
        "--all",
        "0 all are in Redis, 1 not all",
    )
    send.add_argument("ids", nargs="*", metavar="SESSION", help="whole ids")
    send.add_argument("--all", action="store_true", help="all that belong to this machine")


def _add_sub_agents(parser: Parser, what: str) -> None:
    parser.add_argument("--with-sub-agents", action="store_true", help=what)


def _add_id(parser: Parser) -> None:
    parser.add_argument("id", metavar="SESSION", help=_SESSION)


def _add_doctor(top: Parser) -> None:
    doctor = top.command(
        "doctor",
        "say whether all works, and what to do about what does not",
        "--verbose",
        "0 what is saved is kept where it should be, 1 not",
    )
    doctor.add_argument(
        "--as",
        dest="client",
        choices=(*NAMES, *ALIASES),
        metavar="CLIENT",
        help="start the server as this client does, and say what differs",
    )
    doctor.add_argument("--verbose", action="store_true", help="say what is configured and what works, too")


def _add_config(parser: Parser) -> None:
    parser.commands("verb")
    what = "each setting, its value without passwords, where it stands (also without a verb)"
    show = parser.command("show", what, "", "0 shown")
    show.add_argument("--json", action="store_true", help="for programs")
    what = "write a setting into the settings file, which every client's server reads"
    setting = parser.command("set", what, "REDIS_URL redis://localhost:6379/0", "0 written")
    setting.add_argument("name", metavar="NAME", help="as a variable (REDIS_URL) or in lower case")
    setting.add_argument("value", nargs="?", default="", metavar="VALUE", help="- reads it from standard input")
    what = "take a setting out of the file (as set NAME without a value does)"
    unset = parser.command("unset", what, "REDIS_URL", "0 taken out")
    unset.add_argument("name", metavar="NAME")
    parser.command("path", "where the settings file lies", "", "0 told")


def _add_demo(top: Parser) -> None:
    demo = top.command(
        "demo",
        "save a conversation, kill the server, resume it in a new one",
        "",
        "0 what came back is what was saved, 1 not",
    )
    demo.add_argument("--transcript", metavar="FILE", help='a JSON list of {"role", "content"} (default: one built in)')


def _add_moving(top: Parser) -> None:
    export = top.command("export", "write every session as a line of JSON", "talks.jsonl", "0 all written, 1 not all")
    export.add_argument("file", nargs="?", default="-", help="where to (default: standard output)")
    export.add_argument("--session", default="", metavar="SESSION", help=f"this one alone: {_SESSION}")
    export.add_argument("--clear", action="store_true", help="in clear, where the store is sealed")
    _add_sub_agents(export, "with --session: its sub-agents' sessions too")
    importing = top.command(
        "import",
        "take in exports of this program, Claude or ChatGPT, talks of terminal programs, or a JSON list of turns",
        "talks.jsonl",
        "0 all is there now, 1 not all",
    )
    what = "a file, a folder, the zip archive as it was downloaded, or -; or flowise, langflow: read from the program"
    importing.add_argument("source", help=what)
    importing.add_argument("file", nargs="?", default="", help="behind flowise or langflow: a file that it exported")
    _add_flow_server(importing)
    importing.add_argument("--bring-back-deleted", action="store_true", help="also what was deleted here")


def _add_flow_server(importing: Parser) -> None:
    server = importing.add_argument_group("flowise, langflow", "which are read over HTTP")
    where = "its address (default: FLOWISE_URL, LANGFLOW_URL, else http://localhost:3000, http://localhost:7860)"
    server.add_argument("--url", default="", help=where)
    key = "what it wants to be shown; FLOWISE_API_KEY, LANGFLOW_API_KEY keep it out of the list of processes"
    server.add_argument("--api-key", default="", metavar="KEY", help=key)
    server.add_argument("--flow", action="append", default=[], metavar="ID", help="only this flow (again: and this)")


def _add_forget_copies(top: Parser) -> None:
    what = "empty this machine's copies of what Redis holds; what is pending stays"
    forget = top.command("forget-copies", what, "--expired", "0 emptied, 1 not")
    forget.add_argument("--expired", action="store_true", help="erase only what has expired")
    top.hidden_command("purge").set_defaults(expired=False)  # its earlier name


def _add_secrets(parser: Parser) -> None:
    parser.commands("verb", required=True)
    scan = parser.command(
        "scan",
        "name their places in all sessions and older revisions",
        "--redact",
        "0 none is left, 1 some are",
    )
    scan.add_argument("--redact", action="store_true", help="replace each by [redacted: …], in older revisions too")


def _add_dead_letters(parser: Parser) -> None:
    parser.commands("verb")
    position = number(1, 2**63 - 1)
    listing = parser.command("list", "a table, oldest first (also without a verb)", "", "0 listed")
    listing.add_argument("--json", action="store_true", help="for programs")
    retry = parser.command("retry", "send some again, or all", "--all", "0 pending again, 1 there is no such")
    retry.add_argument("numbers", nargs="*", type=position, metavar="N")
    retry.add_argument("--all", action="store_true")
    export = parser.command("export", "write one as JSON, with its turns", "7 seven.json", "0 written, 1 not")
    export.add_argument("number", type=position, metavar="N")
    export.add_argument("file", nargs="?", default="-", help="where to (default: standard output)")
    drop = parser.command("drop", "throw one away for ever", "7", "0 dropped, 1 there is no such (or you said no)")
    drop.add_argument("number", type=position, metavar="N")
    drop.add_argument("--yes", action="store_true", help="do not ask")


def _is_unicode(text: str) -> bool:
    """Whether it is text: bytes of an argument that are none stand in it as half characters."""
    return not re.search("[\ud800-\udfff]", text)

"""Defines the command line of `capture`, apart from the others since it has the most verbs."""

from agentic_flywheel.cli.parser import Parser

CLIENTS = "claude-code, codex, gemini-cli, qwen-code, opencode"


def add_capture(parser: Parser) -> None:
    """Add the verbs."""
    parser.commands("verb", required=True)
    install = parser.command(
        "install",
        "have programs run a hook of ours after each answer",
        "claude-code --recall",
        "0 installed, 1 not all",
    )
    _add_clients(install, f"which: {CLIENTS}")
    install.add_argument("--all", action="store_true", help="all of them that are on this machine")
    install.add_argument("--recall", action="store_true", help="at start, offer titles and ids of this folder's talks")
    uninstall = parser.command("uninstall", "take the hooks out again", "--all", "0 they are out, 1 not all")
    _add_clients(uninstall, "which")
    uninstall.add_argument("--all", action="store_true", help="all of them")
    status = parser.command(
        "status", "say what is kept, what is not, and what will be deleted soon", "", "0 all is well, 1 not"
    )
    status.add_argument("--json", action="store_true", help="for programs")
    backfill = parser.command(
        "backfill", "take in what programs have on this machine by now", "codex", "0 all is in, 1 not all"
    )
    _add_clients(
        backfill, f"which: {CLIENTS}, copilot-cli, cline, continue, gptme, llm, pi, kimi-code, kilo (default: all)"
    )
    watch = parser.command(
        "watch", "take in what programs write, as they write it", "cline", "0 ended, 1 watchfiles is not installed"
    )
    _add_clients(watch, "which (default: all)")
    watch.add_argument("--unit", choices=("systemd", "launchd"), help="print the file that has it started at login")
    for verb, what in (("pause", "keep nothing"), ("resume", "keep what is said from now on")):
        command = parser.command(verb, f"{what}: of a folder, a session, or at all", "--folder .", "0 done")
        which = command.add_mutually_exclusive_group()
        which.add_argument("--folder", metavar="F", help="of talks in this folder and below")
        which.add_argument("--session", metavar="ID", help="of this session, by our id or the program's")
    drain = parser.hidden_command("drain")
    drain.add_argument("--into", required=True, metavar="FOLDER")


def _add_clients(parser: Parser, what: str) -> None:
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=what)

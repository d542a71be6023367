"""`install` and `uninstall`: show what they change in clients' settings, ask, and do it."""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agentic_flywheel.cli.clients import changes
from agentic_flywheel.cli.clients.entries import Server
from agentic_flywheel.cli.clients.links import link
from agentic_flywheel.cli.clients.shown import show
from agentic_flywheel.cli.clients.table import NAMES, Client, Machine, named
from agentic_flywheel.cli.clients.wanted import in_a_cache, wanted
from agentic_flywheel.cli.terminal import ask, complain, finish, say, tell
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.private_files import OF_OTHERS
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import SECRETS

_SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def this_machine() -> Machine:
    """Where this process would find its person's clients."""
    return Machine(Path.home(), os.environ, sys.platform)


def run(settings: Settings, options: Namespace) -> int:
    """Install the server in the clients that are named, or in all that are here, or take it out of them; 0 if done."""
    if options.command == "install":
        return finish(lambda: _install(settings, options))
    return finish(lambda: _each(options, partial(_uninstall_one, options), only_present=False))


def _install(settings: Settings, options: Namespace) -> int:
    server, taken = wanted(settings, options)
    if options.link:
        say(link(options.link, options.name, server))
        holds = any(value for name, value in server.env.items() if name in SECRETS or "@" in value)
        if holds and options.link != "goose":  # whose link has names alone
            tell("The link holds a password or a key: give it to nobody.")
        return 0
    code = _each(options, partial(_install_one, options, server, taken), only_present=True)
    if in_a_cache(server):
        tell(f"{server.command[0]} lies in uv's cache, which may be emptied: `uv tool install` it, and install again.")
    return code


def _each(options: Namespace, do: Callable[[Client, Path], int], *, only_present: bool) -> int:
    if bool(options.clients) == options.all:
        raise InvalidArgument(f"name clients ({', '.join(NAMES)}), or --all.")
    if not _SERVER_NAME.fullmatch(options.name):
        raise InvalidArgument("--name takes letters, digits, - and _, at most 60.")
    machine, codes = this_machine(), [0]
    # Folders are taken away by who made them: the last that was put in comes out first.
    for client in named(options.clients)[:: 1 if only_present else -1]:
        if options.all and only_present and not client.is_here(machine):
            continue
        for path in client.files(machine, options.name):
            try:
                codes.append(do(client, path))
            except InvalidArgument as exc:
                codes.append(1)
                complain(f"{client.shown}: {exc}")
    if options.all and len(codes) == 1:
        say("No client is on this machine." if only_present else "No client of this machine has it.")
    return max(codes)


def _install_one(options: Namespace, server: Server, taken: list[str], client: Client, path: Path) -> int:
    home = Path.home()
    change = changes.to_install(client, path, options.name, server, home, force=options.force)
    if change.after == change.before:
        say(f"{client.shown}: it is in {path} already.")
        return 0
    if (code := _declined(options, client, path, change)) is not None:
        return code
    backup = changes.install(change, home)
    say(f"{client.shown}: installed in {path}.")
    if backup:
        say(f"  What it was before: {backup}")
    if taken:
        say(f"  With the settings of this environment: {', '.join(taken)}")
    if server.env and change.target.stat().st_mode & OF_OTHERS and hasattr(os, "geteuid"):
        say(f"  Others of this machine can read {path}; if a password stands in it: chmod 600 it.")
    for name, other in changes.servers_of(client, path).items():
        if other.runs_us and name != options.name:
            say(f"  It runs there as {name!r}, too; to take that out: uninstall {client.name} --name {name}.")
    say(f"  Next: {client.following}.")
    return 0


def _declined(options: Namespace, client: Client, path: Path, change: changes.Change) -> int | None:
    """Show the change and ask; `None` if it is to be made, else what the program ends with."""
    show(change)
    if options.dry_run:
        say(f"{client.shown}: nothing was changed (--dry-run).")
        return 0
    return None if options.yes else ask(f"{client.shown}: change {path}?", f"changing {path}") or None


def _uninstall_one(options: Namespace, client: Client, path: Path) -> int:
    home = Path.home()
    change = changes.to_uninstall(client, path, options.name, home)
    if change is None:
        if not options.all:
            say(f"{client.shown}: it is not in {path}.")
        return 0
    if (code := _declined(options, client, path, change)) is not None:
        return code
    backup = changes.uninstall(change, home)
    say(f"{client.shown}: taken out of {path}.")
    if backup:
        by_hand = change.known.before == changes.UNKNOWN
        why = "What it was with the one that was there" if by_hand else "The file has changed since; what it was"
        say(f"  {why} before stays in {backup}")
    return 0

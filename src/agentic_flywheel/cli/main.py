"""Reads the command line and runs a command for a person; without one, serves."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agentic_flywheel.errors import SettingError
from agentic_flywheel.plain_text import PlainFormatter, one_line
from agentic_flywheel.sdk_version import WrongSDK, check_sdk
from agentic_flywheel.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    _open_closed_streams()
    try:
        return _main(arguments)
    except BrokenPipeError:  # whoever read this has read enough
        return 1
    finally:
        _flush()


def _main(arguments: Sequence[str] | None) -> int:
    gc.set_threshold(150_000)  # little of what imports make is garbage, and one look for it takes a tenth of a start
    given = sys.argv[1:] if arguments is None else arguments
    if list(given[:2]) == ["capture", "hook"]:
        from agentic_flywheel.cli.capture.hook import main as hook

        return hook(list(given[2:]))
    options = _options(given) if given else argparse.Namespace(command=None)  # what serves begins sooner
    if options.command:
        _log_plainly()
    if options.command == "config":  # which mends what no other command starts with
        from agentic_flywheel.cli.config_command import config

        return config(options)
    if options.command == "completion":
        from agentic_flywheel.cli.completion_command import completion

        return completion(options.shell)
    if options.command == "capture" and options.verb == "drain":  # which notes by itself what is wrong
        from agentic_flywheel.cli.capture.drainer import drain

        return drain(Path(options.into))
    if options.command == "tokens":
        from agentic_flywheel.cli.tokens_command import tokens

        return tokens(options)
    try:
        if options.command in (None, "demo", "serve"):
            check_sdk()
        settings = Settings.of_this_process()
        if options.command != "keys":
            _check_keys(settings)
    except (SettingError, WrongSDK) as exc:
        sys.stderr.write(f"agentic-flywheel-state: {one_line(str(exc))}\n")
        return 2
    return _run(settings, options)


def _run(settings: Settings, options: argparse.Namespace) -> int:
    """Run the command of these options; the exit code. Each pays for what it imports.

    Long: one branch a command.
    """
    match options.command:
        case "demo":
            from agentic_flywheel.cli.demo import demo

            return demo(settings, options.transcript)
        case "doctor":
            from agentic_flywheel.cli.doctor import doctor

            return doctor(settings, options.client, verbose=options.verbose)
        case "purge" | "forget-copies":
            from agentic_flywheel.cli.purge_command import purge

            return purge(settings, expired_only=options.expired)
        case "dead-letters":
            from agentic_flywheel.cli.dead_letters_command import dead_letters

            return dead_letters(settings, options)
        case "sessions":
            return _sessions(settings, options)
        case "export":
            from agentic_flywheel.cli.export_command import export

            _settle(settings)
            return export(
                settings, options.file, options.session, with_sub_agents=options.with_sub_agents, clear=options.clear
            )
        case "keys" | "secrets":
            return _keys_or_secrets(settings, options)
        case "import":
            from agentic_flywheel.cli.unchanged import import_as_told

            return import_as_told(settings, options)
        case "capture" | "install" | "uninstall" | "bundle":
            return _for_clients(settings, options)
        case _:
            return _serve(settings, options)


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    if options.command and options.http:
        from agentic_flywheel.cli.serve_command import serve_http

        return serve_http(settings, options)
    if options.command:
        from agentic_flywheel.cli.http_arguments import refuse_without_http

        refuse_without_http(options)
    _greet()
    gc.disable()  # nothing that imports make is garbage, and looking for it takes a sixth of the start
    from agentic_flywheel.server.front import Front

    front = None if sys.platform == "win32" else Front(settings.tools).begin()  # there `select` knows no pipes
    from agentic_flywheel.cli.capture.pausing import paused_here
    from agentic_flywheel.server.begin import serve

    return serve(settings, front, paused_here(settings))


def _for_clients(settings: Settings, options: argparse.Namespace) -> int:
    """Run a command that has to do with other programs."""
    match options.command:
        case "capture":
            from agentic_flywheel.cli.capture.command import capture

            return capture(settings, options)
        case "bundle":
            from agentic_flywheel.cli.clients.bundle import bundle

            return bundle(options.out)
        case _:
            from agentic_flywheel.cli.clients import command

            return command.run(settings, options)


def _check_keys(settings: Settings) -> None:
    """Refuse a store that these keys do not open, before anything is begun."""
    if settings.journal and (settings.seal or os.path.exists(settings.data_dir / "journal.key")):  # noqa: PTH110  no error
        from agentic_flywheel.journal.key_file import check  # not for everybody: the server shall answer at once

        check(settings.data_dir, settings.seal)


def _settle(settings: Settings) -> None:
    """Have what hooks noted just now be there."""
    from agentic_flywheel.cli.capture.settling import settle

    settle(settings.data_dir)


def _keys_or_secrets(settings: Settings, options: argparse.Namespace) -> int:
    if options.command == "keys":
        from agentic_flywheel.cli.keys_command import keys

        return keys(settings, options)
    from agentic_flywheel.cli.secrets_command import secrets

    return secrets(settings, options)


def _sessions(settings: Settings, options: argparse.Namespace) -> int:
    _settle(settings)
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


def _options(given: Sequence[str]) -> argparse.Namespace:
    from agentic_flywheel.cli.arguments import read_arguments

    return read_arguments(given)


def _log_plainly() -> None:
    """What Python writes of warnings, where nobody set up a log, must be harmless at a terminal, too."""
    if logging.lastResort:
        logging.lastResort.setFormatter(PlainFormatter())


def _greet() -> None:
    """Tell a person who started the server by hand what it is: it would else wait without a word."""
    if sys.stdin and sys.stdin.isatty():
        sys.stderr.write(
            "This is an MCP server: a client such as Claude Code starts it and talks to it over its standard input.\n"
            "It waits for one now; end it with Ctrl-C. To see it work: agentic-flywheel-state demo. What is kept:\n"
            "agentic-flywheel-state sessions. All commands: agentic-flywheel-state --help\n"
        )
        sys.stderr.flush()


def _flush() -> None:
    """Write what is left of the output; where nobody takes it, it must not fail once more when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """Put nothing in the place of an output that whoever started us has closed."""
    null = Path(os.devnull)
    sys.stdout = sys.stdout or null.open("w")
    sys.stderr = sys.stderr or null.open("w")

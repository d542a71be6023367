"""Runs a verb of `capture` for a person."""

from argparse import Namespace

from agentic_flywheel.cli.terminal import finish
from agentic_flywheel.settings import Settings


def capture(settings: Settings, options: Namespace) -> int:
    """Run the verb; its exit code."""
    return finish(lambda: _verb(settings, options))


def _verb(settings: Settings, options: Namespace) -> int:
    match options.verb:
        case "install":
            from agentic_flywheel.cli.capture.install import install

            return install(settings, options)
        case "uninstall":
            from agentic_flywheel.cli.capture.install import uninstall

            return uninstall(settings, options)
        case "status":
            from agentic_flywheel.cli.capture.status_command import status

            return status(settings, options)
        case "backfill":
            from agentic_flywheel.cli.capture.backfill import backfill

            return backfill(settings, options.clients)
        case "watch":
            from agentic_flywheel.cli.capture.watch import watch

            return watch(settings, options)
        case _:
            from agentic_flywheel.cli.capture.pausing import pause

            return pause(settings, options)

"""`completion`: prints what makes a shell complete the commands and their options, with shtab where it is installed."""

from agentic_flywheel.cli.arguments import parser
from agentic_flywheel.cli.terminal import complain, say_text


def completion(shell: str) -> int:
    """Print it; 1 where shtab is not installed."""
    try:
        import shtab
    except ImportError:
        complain("completion needs shtab: pip install 'agentic-flywheel-state[completion]'.")
        return 1
    say_text(shtab.complete(parser(), shell, preamble=""))
    return 0

"""`python -m agentic_flywheel` and the console script begin here, with nothing imported yet."""

import sys


def main() -> int:
    """Run the program; its exit code.

    Until there is something to finish, Ctrl-C is an end without a word, and not a traceback out of the imports.
    """
    import signal  # not before the current folder is off the path

    if sys.platform != "win32" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:3] == ["capture", "hook"]:  # a person waits for it after each answer: it imports next to nothing
        from agentic_flywheel.cli.capture.hook import main as hook

        return hook(sys.argv[3:])
    from agentic_flywheel.cli.main import main as run

    return run()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which `-m` puts there: what lies in it is not to be imported
    sys.exit(main())

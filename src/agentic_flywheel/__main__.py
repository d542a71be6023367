"""`python -m agentic_flywheel` does what the console script does."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which `-m` puts there: what lies in it is not to be imported
    from agentic_flywheel.cli.main import main

    sys.exit(main())

"""`python -m agentic_flywheel` does what the console script does."""

import sys

from agentic_flywheel.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

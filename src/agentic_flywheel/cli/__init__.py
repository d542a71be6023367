"""The console script: `main` reads the command line, and one file does each command."""

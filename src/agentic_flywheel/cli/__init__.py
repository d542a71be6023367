"""The console script: `main` reads the command line, one file does each command."""

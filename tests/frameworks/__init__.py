"""The adapters inside the frameworks that they are for: `python -m tests.frameworks [NAME ...]` runs all of it."""

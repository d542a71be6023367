"""The child: a folder that is run as a program, `python -P <this folder>`, and the only place that touches Redis.

Its files import each other plainly, as beside each other, and nothing of this package: `FLYWHEEL_COAIA_PYTHON` may run
the folder in another environment, one that has `coaiapy-mcp` and `mcp` 2 and not us.
"""

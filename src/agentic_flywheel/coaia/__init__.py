"""The far side: a `coaiapy-mcp` child process, kept alive, and the reader of its replies."""

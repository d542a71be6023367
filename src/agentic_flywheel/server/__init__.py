"""The MCP server: the tools of the contract over the store, served on standard input and output."""

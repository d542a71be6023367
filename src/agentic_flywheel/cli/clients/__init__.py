"""Puts this server into the settings of MCP clients and takes it out again, each in its own file and format."""

"""A mirror of `src`: what no tool call shows."""

"""Tracing: what programs do is told to Langfuse, beside their work and never in its way."""

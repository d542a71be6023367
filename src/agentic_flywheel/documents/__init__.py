"""Documents: what is kept of a session or an execution as text, and the commands that change it. Nothing waits here."""

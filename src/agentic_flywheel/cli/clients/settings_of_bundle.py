"""Describes every setting as the form that Claude Desktop shows for a bundle.

Each is a text that is empty at first, since an empty variable counts as absent: a number or a switch would always be
set, and would win over the settings file.
"""

import re

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings_file import NAMES

ABOUT = {
    "REDIS_ENABLED": "false: use no Redis though one is named; true: the one on localhost though none is",
    "REDIS_URL": "The Redis that holds the shared copy: redis://[user:password@]host[:port][/db]; empty: this machine",
    "REDIS_URL_FILE": "A file with that URL, yours alone (mode 0600), instead of it",
    "REDIS_HOST": "Or its parts: the host",
    "REDIS_PORT": "The port (6379)",
    "REDIS_DB": "The number of the database (0)",
    "REDIS_USERNAME": "The user",
    "REDIS_PASSWORD": "The password",
    "REDIS_CLUSTER": "true: the host is a node of a Redis Cluster",
    "REDIS_TTL_SECONDS": "How long a conversation lives after its last save or resume (31536000, a year; 0: for ever)",
    "FLYWHEEL_EXECUTION_TTL_SECONDS": "How long a flow's result lives (86400, a day)",
    "FLYWHEEL_KEY_PREFIX": "What keeps deployments in one Redis apart (agentic_flywheel)",
    "FLYWHEEL_USER": "Whose conversations these are, where several people share a Redis",
    "FLYWHEEL_USER_ONLY": "true: show other people's conversations to nobody",
    "FLYWHEEL_DATA_DIR": "The folder of the local journal (the platform's user-data folder)",
    "FLYWHEEL_JOURNAL": "false: keep nothing on this machine",
    "FLYWHEEL_REPLICA_BYTES": "How much of what Redis holds is kept on this machine too (500000000)",
    "FLYWHEEL_TIMEOUT_SECONDS": "How long one operation of storage may take (2)",
    "FLYWHEEL_MAX_SESSION_BYTES": "The largest conversation (16777216)",
    "FLYWHEEL_REVISIONS": "How many earlier revisions can be had back (10; 0 to 100)",
    "FLYWHEEL_SECRETS": "Values that look like credentials: redact, warn or off (redact)",
    "FLYWHEEL_COAIA_COMMAND": "Another coaiapy-mcp-compatible server that reaches Redis",
    "FLYWHEEL_COAIA_PYTHON": "Another Python with the library redis, to reach Redis",
    "FLYWHEEL_LOG_LEVEL": "DEBUG, INFO, WARNING, ERROR or CRITICAL (WARNING)",
    "FLYWHEEL_TOOLS": "conversations: without the tools for flow results (all)",
    "FLYWHEEL_ASK": "never: delete without asking (auto)",
    "FLYWHEEL_KEY": "Seal what is kept with this key: a key file's path, keyring, or NAME:BASE64",
    "FLYWHEEL_KEY_FILE": "Or a key file, yours alone (mode 0600)",
    "FLYWHEEL_TRACE": "langfuse: trace each call of a tool into Langfuse (off)",
    "FLYWHEEL_TRACE_CONTENT": "false: trace without what was said (true)",
    "LANGFUSE_HOST": "The address of Langfuse",
    "LANGFUSE_PUBLIC_KEY": "Its public key",
    "LANGFUSE_SECRET_KEY": "Its secret key",
}
"""Each setting in a line, with its default."""

SENSITIVE = re.compile(r"_URL$|PASSWORD|_KEY$|SECRET_|TOKEN")
"""Names of settings that hold a password."""


def user_config() -> JSONObject:
    """The form: each setting by its name in lower case."""
    return {name.lower(): _field(name) for name in NAMES}


def _field(name: str) -> JSONObject:
    title = name.removeprefix("FLYWHEEL_").replace("_", " ").capitalize()
    title = re.sub(r"\b(url|ttl|db)\b", lambda word: word[0].upper(), title)
    field = {"type": "string", "title": title, "description": ABOUT.get(name, name), "required": False, "default": ""}
    return {**field, "sensitive": True} if SENSITIVE.search(name) else field

"""The plugin that opencode 1.18.33 loads from `plugins/` of its configuration: it runs our hook as the others do.

opencode tells plugins of events. Ours asks for the hook when an answer has ended (`session.idle`), after a compaction,
and before the process ends; it waits for none of them, and swallows what fails.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

NAME = "agentic-flywheel-state.js"

_TEXT = """\
// Written by agentic-flywheel-state capture install; capture uninstall opencode takes it away.
import {{ spawn }} from "node:child_process"

const command = {command}
const database = {database}
const named = {{ "session.idle": "Stop", "session.compacted": "PreCompact", "session.created": "SessionStart" }}

export const AgenticFlywheelState = async ({{ directory }}) => ({{
  event: async ({{ event }}) => {{
    try {{
      const name = named[event.type]
      if (!name) return
      const about = event.properties || {{}}
      const session = about.sessionID || (about.info && about.info.id) || ""
      const said = {{ session_id: session, transcript_path: database, cwd: directory, hook_event_name: name }}
      const child = spawn(command[0], command.slice(1), {{ stdio: ["pipe", "ignore", "ignore"], detached: true }})
      child.on("error", () => {{}})
      child.stdin.on("error", () => {{}})
      child.stdin.end(JSON.stringify(said))
      child.unref()
    }} catch {{}}
  }},
}})
"""


def text(command: Sequence[str], database: Path) -> str:
    """The plugin's text."""
    return _TEXT.format(command=json.dumps(list(command)), database=json.dumps(str(database)))


def is_ours(content: str) -> bool:
    """Whether this is the plugin as we write it."""
    return content.startswith(_TEXT.partition("\n")[0])


def path(environ: Mapping[str, str], home: Path) -> Path:
    """Where it lies."""
    named = environ.get("OPENCODE_CONFIG_DIR", "")
    folder = Path(named) if named else Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"
    return Path(os.path.expanduser(folder)) / "plugins" / NAME  # noqa: PTH111

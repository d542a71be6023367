"""Where each client keeps its servers, in which format and shape, and what a person does next.

Read from what was run (Claude Code 2.1.332, Codex 0.171.0, Gemini CLI 0.61.0, Qwen Code 0.24.4, opencode 1.18.33, Cline
3.0.65, pi 1.6.0, Kilo 7.7.9, Kimi Code 2.1.0) and from the documents of the others. `rispecs/install.md` is this table
for people.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic_flywheel.errors import InvalidArgument

DEFAULT_NAME = "flywheel-state"
"""What the server is called in clients, unless the person names it."""

NEXT_SESSION = "its next session has the server"


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where clients keep their files: the person's home, their environment, `sys.platform`."""

    home: Path
    environ: Mapping[str, str]
    platform: str

    def place(self, template: str) -> Path:
        """A path whose first part may be `{home}`, `{config}` (XDG's) or `{app}` (the platform's for applications)."""
        return Path(template.format(home=self.home, config=self._config(), app=self._app()))

    def _config(self) -> Path:
        named = Path(self.environ.get("XDG_CONFIG_HOME", ""))
        return named if named.is_absolute() else self.home / ".config"

    def _app(self) -> Path:
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environ.get("APPDATA") or self.home / "AppData" / "Roaming")
        return self._config()


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    name: str
    shown: str
    places: tuple[str, ...]
    """Templates of its files; `{name}` is the server's."""
    following: str
    """What a person does next, after "Next: "."""
    key: str = "mcpServers"
    shape: str = "plain"
    """Which members an entry has; see `entries`."""
    format: str = "json"
    variable: str = ""
    """What names its folder, in which the last part of its first place lies then."""
    below_variable: str = ""
    one_of: bool = False
    """Whether its places are names of one file; else each is a file of its own."""
    signs: tuple[str, ...] = ()
    """What is there where it was used, beside the folders of its files."""
    programs: tuple[str, ...] = ()
    """What it is called on PATH."""
    on_desktop: bool = False
    """Whether the desktop starts it, with next to no PATH."""

    def files(self, machine: Machine, server: str) -> list[Path]:
        """Its files: those in folders that are there, or else the one that it would make."""
        named = machine.environ.get(self.variable, "") if self.variable else ""
        if named:
            folder = Path(named).expanduser() / self.below_variable
            return [folder / self._in_folder(server)]
        paths = [machine.place(place.replace("{name}", server)) for place in self.places]
        if machine.platform == "win32" and self.name == "zed":
            paths = [machine.place("{app}/Zed/settings.json")]
        if self.one_of:
            return [next((path for path in paths if path.exists()), paths[0])]
        return [path for path in paths if path.parent.is_dir()] or paths[:1]

    def is_here(self, machine: Machine) -> bool:
        """Whether its settings or its program are on this machine."""
        signs = [machine.place(sign) for sign in self.signs]
        folders = [path.parent for path in self.files(machine, "x") if path.parent != machine.home]
        return any(path.exists() for path in (*signs, *folders)) or any(map(shutil.which, self.programs))

    def _in_folder(self, server: str) -> str:
        first = self.places[0].replace("{name}", server)
        return "/".join(first.split("/")[-2:]) if self.format == "yaml" else first.split("/")[-1]


CLIENTS = (
    Client("claude-desktop", "Claude Desktop", ("{app}/Claude/claude_desktop_config.json",),
           "quit Claude Desktop and start it again", on_desktop=True),
    Client("claude-code", "Claude Code", ("{home}/.claude.json",), f"start claude; {NEXT_SESSION} (/mcp shows it)",
           shape="stdio", variable="CLAUDE_CONFIG_DIR", signs=("{home}/.claude", "{home}/.claude.json"),
           programs=("claude",)),
    Client("cursor", "Cursor", ("{home}/.cursor/mcp.json",), "restart Cursor; Settings, MCP shows the server",
           programs=("cursor",), on_desktop=True),
    Client("vscode", "VS Code", ("{app}/Code/User/mcp.json", "{app}/Code - Insiders/User/mcp.json",
                                 "{app}/VSCodium/User/mcp.json"),
           "run “MCP: List Servers” in VS Code and start it", "servers", "stdio", programs=("code",), on_desktop=True),
    Client("windsurf", "Windsurf", ("{home}/.codeium/windsurf/mcp_config.json",),
           "press Refresh in Windsurf's MCP settings, or restart it", programs=("windsurf",), on_desktop=True),
    Client("codex", "Codex", ("{home}/.codex/config.toml",), f"start codex; {NEXT_SESSION}", "mcp_servers",
           format="toml", variable="CODEX_HOME", programs=("codex",)),
    Client("gemini-cli", "Gemini CLI", ("{home}/.gemini/settings.json",),
           f"start gemini; {NEXT_SESSION} (/mcp shows it)", variable="GEMINI_CLI_HOME", below_variable=".gemini",
           programs=("gemini",)),
    Client("qwen-code", "Qwen Code", ("{home}/.qwen/settings.json",), f"start qwen; {NEXT_SESSION} (/mcp shows it)",
           variable="QWEN_HOME", programs=("qwen",)),
    Client("opencode", "opencode", ("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc",
                                    "{config}/opencode/config.json"),
           f"start opencode; {NEXT_SESSION}", "mcp", "opencode", one_of=True, programs=("opencode",)),
    Client("zed", "Zed", ("{config}/zed/settings.json",), "open Zed's Agent panel: it starts the server by itself",
           "context_servers", programs=("zed", "zeditor"), on_desktop=True),
    Client("cline", "Cline", ("{home}/.cline/data/settings/cline_mcp_settings.json",
                              "{app}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
           "Cline reads it at once; else restart VS Code", signs=("{home}/.cline",), programs=("cline",),
           on_desktop=True),
    Client("continue", "Continue", ("{home}/.continue/mcpServers/{name}.yaml",),
           "reload the editor's window (the terminal program cn reads config.yaml alone)", format="yaml",
           variable="CONTINUE_GLOBAL_DIR", signs=("{home}/.continue",), programs=("cn",), on_desktop=True),
    Client("lm-studio", "LM Studio", ("{home}/.lmstudio/mcp.json", "{home}/.cache/lm-studio/mcp.json"),
           "LM Studio reads it at once: turn the server on beside the chat", programs=("lms",), on_desktop=True),
    Client("copilot-cli", "Copilot CLI", ("{home}/.copilot/mcp-config.json",), f"start copilot; {NEXT_SESSION}",
           shape="copilot", variable="COPILOT_HOME", programs=("copilot",)),
    Client("pi", "pi", ("{home}/.pi/agent/mcp.json",), f"start pi; {NEXT_SESSION} (/mcp shows it)",
           variable="PI_CODING_AGENT_DIR", programs=("pi",)),
    Client("kilo", "Kilo", ("{config}/kilo/kilo.json", "{config}/kilo/kilo.jsonc"), f"start kilo; {NEXT_SESSION}",
           "mcp", "opencode", one_of=True, programs=("kilo",)),
    Client("kimi-code", "Kimi Code", ("{home}/.kimi-code/mcp.json",), f"start kimi; {NEXT_SESSION} (/mcp shows it)",
           variable="KIMI_CODE_HOME", programs=("kimi",)),
)  # fmt: skip

ALIASES = {
    "claude": "claude-code",
    "codex-cli": "codex",
    "gemini": "gemini-cli",
    "qwen": "qwen-code",
    "copilot": "copilot-cli",
    "code": "vscode",
    "vs-code": "vscode",
    "lmstudio": "lm-studio",
    "kimi": "kimi-code",
}
"""What people call them besides."""

NAMES = tuple(client.name for client in CLIENTS)


def named(names: list[str]) -> list[Client]:
    """The clients of these names, each once; all if there are none.

    Raises:
        InvalidArgument: there is no such client.

    """
    known = {client.name: client for client in CLIENTS}
    wanted = [ALIASES.get(name, name) for name in names] or list(known)
    for name in wanted:
        if name not in known:
            raise InvalidArgument(f"there is no client {name!r}; there are {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(wanted)]

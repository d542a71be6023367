"""Where each program keeps its talks and its settings, and which hooks it offers.

Read from what was run and from the programs' own sources: Claude Code 2.1.332, Codex 0.171.0, Gemini CLI 0.61.0, Qwen
Code 0.24.4, opencode 1.18.33. Those without hooks are watched or backfilled: Copilot CLI 1.0.102, Cline 3.0.65,
Continue 1.5.47, gptme 0.35.1, llm 0.36, pi 1.6.0, Kimi Code 2.1.0, and Kilo 7.7.9, which keeps its talks as
opencode does.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from agentic_flywheel.cli.capture.finding import files
from agentic_flywheel.cli.json_places import plain
from agentic_flywheel.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Program:
    """One program. Paths begin below its folder, which is `home` below HOME or what `variable` names."""

    name: str
    shown: str
    home: str
    transcripts: tuple[str, ...]
    """Patterns of the files with talks."""
    variable: str = ""
    below_variable: str = ""
    """What lies between the folder that the variable names and the program's own."""
    settings: str = ""
    """The JSON file in which its hooks stand; empty if it has no such file."""
    hooks: tuple[str, ...] = ()
    """The events at which it runs ours."""
    timeout: int = 0
    """How long it waits for a hook, in its own unit."""
    off_switch: tuple[str, ...] = ()
    """The setting that turns all its hooks off, as a path of keys; its last is the value that does."""
    kept_days: int = 0
    """After how many days it deletes talks, by default; 0 if it does not."""
    read_from: str = ""
    """The version that its reader was made from."""

    def folder(self, environ: Mapping[str, str], home: Path) -> Path:
        """Its own folder, be it there or not."""
        named = environ.get(self.variable, "") if self.variable else ""
        return Path(named).expanduser() / self.below_variable if named else home / self.home

    def settings_file(self, environ: Mapping[str, str], home: Path) -> Path:
        """The file in which its hooks stand."""
        return self.folder(environ, home) / self.settings

    def found(self, environ: Mapping[str, str], home: Path, unreadable: list[Path] | None = None) -> Iterator[Path]:
        """The files with its talks, by name; folders that cannot be read are added to `unreadable`."""
        beyond = list[Path]() if unreadable is None else unreadable
        for pattern in self.transcripts:
            yield from files(self.folder(environ, home), pattern, beyond)

    def deletes_after_days(self, environ: Mapping[str, str], home: Path) -> int:
        """After how many days it deletes talks, as its settings say."""
        if self.name != "claude-code":
            return self.kept_days
        given = settings_of(self.settings_file(environ, home)).get("cleanupPeriodDays")
        return given if isinstance(given, int) and not isinstance(given, bool) else self.kept_days


def settings_of(path: Path) -> dict[str, Any]:
    """What a program's settings file says; empty if there is none that can be read."""
    try:
        value: object = json.loads(plain(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


HOOKED = (
    Program("claude-code", "Claude Code", ".claude", ("projects/*/*.jsonl",), "CLAUDE_CONFIG_DIR", "", "settings.json",
            ("SessionStart", "Stop", "SubagentStop", "PreCompact", "SessionEnd"), 10, ("disableAllHooks",), 30,
            "2.1"),
    Program("codex", "Codex", ".codex", ("sessions/*/*/*/rollout-*.jsonl", "archived_sessions/rollout-*.jsonl"),
            "CODEX_HOME", "", "hooks.json", ("SessionStart", "Stop", "SubagentStop", "PreCompact"), 10,
            read_from="0.171"),
    Program("gemini-cli", "Gemini CLI", ".gemini", ("tmp/*/chats/session-*.json", "tmp/*/chats/*.jsonl"),
            "GEMINI_CLI_HOME", ".gemini", "settings.json",
            ("SessionStart", "AfterAgent", "PreCompress", "SessionEnd"), 10_000, ("hooksConfig", "enabled"), 30,
            "0.61"),
    Program("qwen-code", "Qwen Code", ".qwen", ("projects/*/chats/*.jsonl",), "QWEN_HOME", "", "settings.json",
            ("SessionStart", "Stop", "StopFailure", "SubagentStop", "PreCompact", "SessionEnd"), 10_000,
            ("disableAllHooks",), read_from="0.24"),
    Program("opencode", "opencode", ".local/share/opencode", ("storage/session/*/ses_*.json", "opencode.db"),
            "XDG_DATA_HOME", "opencode", read_from="1.18"),
)  # fmt: skip
"""Those whose hooks we know."""

WATCHED = (
    Program("copilot-cli", "Copilot CLI", ".copilot", ("session-state/*/events.jsonl",), "COPILOT_HOME",
            read_from="1.0"),
    Program("cline", "Cline", ".cline/data", ("sessions/*/*.messages.json",), read_from="3.0"),
    Program("continue", "Continue", ".continue", ("sessions/*-*.json",), "CONTINUE_GLOBAL_DIR", read_from="1.5"),
    Program("gptme", "gptme", ".local/share/gptme", ("logs/*/conversation.jsonl",), "XDG_DATA_HOME", "gptme",
            read_from="0.35"),
    Program("llm", "llm", ".config/io.datasette.llm", ("logs.db",), "LLM_USER_PATH", read_from="0.36"),
    Program("pi", "pi", ".pi/agent", ("sessions/*/*.jsonl",), "PI_CODING_AGENT_DIR", read_from="1.6"),
    Program("kimi-code", "Kimi Code", ".kimi-code", ("sessions/*/*/agents/*/wire.jsonl",), "KIMI_CODE_HOME",
            read_from="2.1"),
    Program("kilo", "Kilo", ".local/share/kilo", ("kilo.db",), "XDG_DATA_HOME", "kilo", read_from="7.7"),
)  # fmt: skip
"""Those without hooks."""

ALL = (*HOOKED, *WATCHED)

ALIASES = {
    "claude": "claude-code",
    "gemini": "gemini-cli",
    "qwen": "qwen-code",
    "copilot": "copilot-cli",
    "kimi": "kimi-code",
}
"""What people call them besides."""


def named(names: list[str], among: tuple[Program, ...]) -> list[Program]:
    """The programs of these names, each once; all if there are none.

    Raises:
        InvalidArgument: there is no such program among them.

    """
    known = {program.name: program for program in among}
    wanted = [ALIASES.get(name, name) for name in names] or list(known)
    for name in wanted:
        if name not in known:
            raise InvalidArgument(f"there is no {name!r}; there are {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(wanted)]


def due_in_days(path: Path, after_days: int) -> float:
    """In how many days its program deletes a transcript; what is over is negative."""
    try:
        return after_days - (time.time() - path.stat().st_mtime) / 86_400
    except FileNotFoundError:  # it has just done so
        return float(after_days)

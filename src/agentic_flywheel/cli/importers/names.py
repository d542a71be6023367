"""Names the files in which programs keep conversations, for finding them in folders and archives."""

import re

_CONVERSATIONS = re.compile(
    r"conversations(?:[-_]?\d+)?\.json|[^.].*\.jsonl(?:\.zst)?|opencode\.db|kilo\.db|langflow\.db|\.?aider\.chat\.history\.md"
    r"|ExportData\.json|.+-Message(?: ?\(\d+\))?\.json"
)
"""Names of files with conversations. ChatGPT's larger exports have `conversations-000.json` and so on; the last two are
Flowise's."""

_UUID = r"[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}"

_PERHAPS = re.compile(
    rf"logs\.db|api_conversation_history\.json|.+\.messages\.json|(?:session-|ses_|rollout-|checkpoint-).+\.json"
    rf"|{_UUID}\.json"
)
"""Names that programs give to conversations and others to other files, which are left without a word: llm's database,
the talks of Cline, of old Gemini CLI and those saved in it, of opencode's export, of old Codex, and of Continue."""


MANIFEST = "export_manifest.json"
"""ChatGPT's list of the files of an export."""


def is_conversations(name: str) -> bool:
    """Whether a file of that name has conversations, or is damaged."""
    return _CONVERSATIONS.fullmatch(name) is not None


def may_be_conversations(name: str) -> bool:
    """Whether a file of that name has conversations, or may have some and be any other file as well."""
    return is_conversations(name) or _PERHAPS.fullmatch(name) is not None


def may_be_wanted(name: str) -> bool:
    """The same of a file that is looked at in a folder: also of one that lists what belongs to an export."""
    return name == MANIFEST or may_be_conversations(name)

"""Names the reader of each program's transcripts that have a line for each event, by kind."""

from collections.abc import Callable, Iterable, Iterator

from agentic_flywheel.cli.importers import claude_code, codex, qwen_code
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.neighbours import Neighbours

Reader = Callable[[Iterable[JsonEntry | BadEntry], str, Neighbours], Iterator[Imported | BadEntry]]
"""Takes the lines of a file, its name without the ending, and the files around it."""

TRANSCRIPTS: dict[str, Reader] = {
    "claude-code": claude_code.session,
    "codex": codex.session,
    "qwen-code": qwen_code.session,
}

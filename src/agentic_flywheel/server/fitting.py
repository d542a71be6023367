"""Makes the answers without a budget of their own fit what the client is known to show.

A page of a list ends sooner, and its cursor goes on there. Executions are cut only where a client would throw the rest
away: others keep it in a file, whole, for the model to read. Where a client cuts long lines, a text has none.
"""

from collections.abc import Iterator

from agentic_flywheel.json_text import JSONObject, dumps_checked
from agentic_flywheel.server.clients import shown_now
from agentic_flywheel.sessions.budget import ANSWER_OVERHEAD, BYTES_PER_TOKEN, DEFAULT_TOKENS, cut_to
from agentic_flywheel.sessions.results import ExecutionResult, FlowHistoryResult

DEFAULT_ROWS = 20
"""Rows of a page where nothing else was asked for."""


LEAST_OF_ONE = 100
"""Bytes that every execution has: its id and times."""


def rows_that_fit(rows: list[JSONObject], limit: int) -> int:
    """How many rows of a page this client shows, one at least; of a page that was asked for, any other client all."""
    shown = shown_now()
    if shown is None and limit != DEFAULT_ROWS:
        return len(rows)
    room = (shown.size if shown else DEFAULT_TOKENS * BYTES_PER_TOKEN) - ANSWER_OVERHEAD
    for count, row in enumerate(rows):
        room -= len(dumps_checked(row)) + 1
        if room < 0:
            return max(1, count)
    return len(rows)


def fit_execution(result: ExecutionResult) -> ExecutionResult:
    """The same, its longest texts shortened if the client would cut it anywhere."""
    if result.execution:
        (result.execution,), cut = _fitted([result.execution])
        result.cut = bool(cut) or None
    return result


def fit_executions(result: FlowHistoryResult) -> FlowHistoryResult:
    """The same, for the largest ones; the oldest are left out where there is not even room for some of each."""
    newest = result.executions
    if (room := _room()) is not None:
        newest = newest[-max(1, room // LEAST_OF_ONE) :]
    fitted, cut = _fitted(newest)
    while room is not None and len(newest) > 1 and sum(len(dumps_checked(each)) + 1 for each in fitted) > room:
        newest = newest[1 + len(newest) // 8 :]
        fitted, cut = _fitted(newest)
    result.executions = fitted
    result.cut_executions = cut or None
    return result


def in_lines(text: str) -> str:
    """The text, what is too long of its lines for this client in further ones, indented as those of a turn are."""
    shown = shown_now()
    if shown is None or not shown.line:
        return text
    return "\n".join("\n  ".join(_pieces(line, shown.line)) for line in text.split("\n"))


def _pieces(line: str, width: int) -> Iterator[str]:
    while len(line) > width:
        end = line.rfind(" ", width // 2, width) + 1 or width
        yield line[:end]
        line = line[end:]
    yield line


def _room() -> int | None:
    """The bytes that the client shows of executions; none where it shows all, or keeps what it does not show."""
    shown = shown_now()
    if shown is None or shown.keeps_the_rest:
        return None
    return shown.size - ANSWER_OVERHEAD


def _fitted(executions: list[JSONObject]) -> tuple[list[JSONObject], list[int]]:
    room = _room()
    return (executions, []) if room is None else cut_to(executions, 0, room)

"""What a chaos run came to: a table with a row for each kind of fault, in Markdown, and the first violation's story."""

from collections import Counter
from collections.abc import Iterable, Sequence

from .book import KINDS
from .plan import Outcome

TOLD = 12  # violations of one world that are told in a line each


def table(outcomes: Sequence[Outcome], kinds: Iterable[str]) -> str:
    """A row for each kind of fault, and one for all."""
    faults, violations = Counter[str](), Counter[tuple[str, str]]()
    for outcome in outcomes:
        faults += outcome.faults
        violations += outcome.by_fault
    head = ["kind", "faults", *KINDS]
    rows = [[kind, str(faults[kind]), *(str(violations[kind, wrong]) for wrong in KINDS)] for kind in kinds]
    sums = [str(sum(count for (_, wrong), count in violations.items() if wrong == each)) for each in KINDS]
    rows.append(["**all**", str(faults.total()), *sums])
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([*lines, "", _in_words(outcomes)]) + "\n"


def _in_words(outcomes: Sequence[Outcome]) -> str:
    stored_in = sum((outcome.stored_in for outcome in outcomes), Counter[str]())
    times = sorted(time for outcome in outcomes for time in outcome.times) or [0.0]
    p50, p99, most = (1000 * times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99, 1.0))
    kept = ", ".join(f"{count:,} in {place}" for place, count in stored_in.most_common())
    text = f"{sum(each.operations for each in outcomes):,} calls; acknowledged: {kept or 'nothing'}; "
    text += f"answers p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {most:.0f} ms."
    notes = sum((outcome.notes for outcome in outcomes), Counter[str]())
    return text + "".join(f" {count} {what}." for what, count in sorted(notes.items()))


def told(outcome: Outcome) -> str:
    """A world in a line, and its violations."""
    wrong = Counter[str]()
    for (_, kind), count in outcome.by_fault.items():
        wrong[kind] += count
    state = "the runner broke" if outcome.broke else ", ".join(f"{n} {kind}" for kind, n in wrong.items()) or "clean"
    lines = [f"{outcome.unit.name}: {outcome.faults.total()} faults in {outcome.seconds:.0f} s: {state}"]
    lines += [f"  {line[:400]}" for line in outcome.told[:TOLD]]
    if len(outcome.told) > TOLD:
        lines.append(f"  … {len(outcome.told) - TOLD} more")
    if outcome.told or outcome.broke:
        lines.append(f"  kept for inspection: {outcome.folder}")
    return "\n".join([*lines, *([outcome.broke] if outcome.broke else [])]) + "\n"


def first_story(outcomes: Iterable[Outcome]) -> str:
    """The story of the first violation, if there is one."""
    for outcome in outcomes:
        if outcome.story:
            head = f"The first violation's story (world {outcome.unit.name}; seconds since its beginning):"
            return "\n".join([head, *(f"  {line[:300]}" for line in outcome.story)]) + "\n"
    return ""

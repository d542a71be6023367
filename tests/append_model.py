"""Runs many talks against append's model: `python -m tests.append_model [cases] [first seed]`; 0 lost, 0 doubled."""

import asyncio
import sys

from .support.resending import Case


async def run(cases: int, first: int = 0) -> list[str]:
    """What went wrong in so many cases."""
    return [fault for seed in range(first, first + cases) for fault in await Case(seed).run()]


def main() -> int:
    """Run the cases that the command line asks for."""
    given = [int(value) for value in sys.argv[1:]]
    cases, first = [*given, *(10_000, 0)[len(given) :]]
    faults = asyncio.run(run(cases, first))
    sys.stdout.writelines(f"{fault[:300]}\n" for fault in faults[:40])
    doubled, lost = (sum(word in fault for fault in faults) for word in ("too many", "lost"))
    sys.stdout.write(f"{cases:,} cases: {lost} lost, {doubled} doubled, {len(faults) - doubled - lost} miscounted\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

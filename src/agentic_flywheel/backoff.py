"""Tells how often what Redis refused is tried again."""

REFUSALS = 20
"""Keys that Redis may refuse in one round before the others wait for the next: it is full or read-only."""

LONGEST_SMALL_DELAY, LONGEST_DELAY = 4.0, 300.0
"""Seconds between two attempts at a refused write: of a small one, since Redis may take it soon, and of any."""

RESENT_BYTES_A_SECOND = 50_000
"""How fast a refused document is sent again and again: 15 MB every five minutes."""


def delay(attempts: int, size: int) -> float:
    """Seconds until a write of so many bytes that was refused is tried again."""
    longest = min(LONGEST_DELAY, max(LONGEST_SMALL_DELAY, size / RESENT_BYTES_A_SECOND))
    return min(2.0 ** min(attempts, 20) / 2, longest)

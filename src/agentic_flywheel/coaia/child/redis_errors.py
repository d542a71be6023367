"""Says what Redis refused in Redis' own words, whichever redis-py is installed.

Newer ones take the first word away from more errors: a MOVED or OOM is then told from the others by its class alone.
"""

# pyright: basic
# redis-py has no types that hold for all its versions; in strict mode every line that touches it would be an error.

KEPT = frozenset(
    {"OOM", "WRONGPASS", "ASK", "TRYAGAIN", "MOVED", "CLUSTERDOWN", "CROSSSLOT", "MASTERDOWN"},
)
"""First words that redis-py 4.3 leaves where they are, which is what the parent reads. Later ones cut them off."""


def words_of(error: Exception) -> str:
    """The text of an error of redis-py, with the first word that Redis gave it where the parent reads that."""
    text, code = str(error), getattr(error, "status_code", None)
    return f"{code} {text}" if code in KEPT and not text.startswith(f"{code} ") else text

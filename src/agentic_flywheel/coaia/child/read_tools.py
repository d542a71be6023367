"""Reads some documents in one call, without the text of those that the caller has already."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

from typing import Any

from document_tools import Documents, Reply, ScriptCall, beats
from script_runner import Scripts
from script_texts import READ_SOME

SAME, ALONE = 1, 0
"""What the script answers in the place of a text that is known, and of one that is to be read by `coaia_read`."""


class Reads:
    """The verb that reads some documents."""

    def __init__(self, scripts: Scripts, documents: Documents) -> None:
        self._documents = documents
        self._read_some = scripts.of(READ_SOME, reads=True)

    def coaia_read_some(self, items: list[list[Any]]) -> Reply | ScriptCall:
        """What `coaia_read` answers for each of some keys, in order.

        items: [key, tombstone's key, how the document that the caller has begins and ends, its bytes (0: any number)],
        or "" twice where the caller has none. 1 says that it is still that; 0, that it is to be read alone.
        """
        if not self._documents.asks_one_script("coaia_read_some", {}):
            return {"success": False, "error": "Some at once are read by a script."}  # as it is not here

        def then(rows: list[list[Any]]) -> Reply:
            found = [_found(item[2], *row) for item, row in zip(items, rows, strict=True)]
            return {"success": True, "found": found}

        keys = [key for item in items for key in item[:2]]
        return ScriptCall(self._read_some, keys, [each for item in items for each in item[2:]], then)


def _found(head: str, document: Any, tombstone: str | None) -> Any:  # noqa: ANN401  a text, or one of the two numbers
    """What a row of the script's answer comes to; a tombstone that beats the document is met, and heeded, alone."""
    if tombstone is None or document == ALONE:
        return document
    if document is None:
        return tombstone
    return ALONE if beats(tombstone, head if document == SAME else document) else document

"""Makes one session id of the parts by which a framework names a session, and reads the parts again."""

from urllib.parse import unquote

_KEPT = " "
"""The only character that is no letter, digit or sign and stays as it is."""


def compose(*parts: str) -> str:
    """The parts with colons between them: no two lists of parts have one id.

    `%`, `:` and what nobody sees are written as `%` and two digits for each of their bytes.
    """
    return ":".join(map(_escaped, parts))


def parts_of(session_id: str) -> list[str]:
    """The parts of a composed id."""
    return [unquote(part, errors="surrogatepass") for part in session_id.split(":")]


def _escaped(part: str) -> str:
    if part.isprintable() and "%" not in part and ":" not in part:
        return part
    return "".join(
        character
        if character in _KEPT or (character.isprintable() and character not in "%:")
        else "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
        for character in part
    )

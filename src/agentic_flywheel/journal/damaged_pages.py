"""Decrypts the pages of a damaged sealed file one by one, in memory: SQLCipher reads nothing behind a damaged one.

Page layout: https://www.zetetic.net/sqlcipher/design/, log: https://sqlite.org/fileformat2.html#walformat.
"""

from pathlib import Path

PAGE = 4096
SALT, IV, MARK = 16, 16, 32
"""Bytes: what the first page begins with in the place of SQLite's name, each page's vector, and its HMAC-SHA256."""

USED = PAGE - IV - MARK

_NAME = b"SQLite format 3\0"
_LOG_HEAD, _FRAME_HEAD = 32, 24


def decrypted(path: Path, key: bytes) -> bytes:
    """What the file and its log hold, as a database in clear that is no log's; damaged pages come out as noise."""
    data = path.read_bytes()
    pages = {number: data[at : at + PAGE] for number, at in enumerate(range(0, len(data) - PAGE + 1, PAGE), start=1)}
    pages |= _logged(path.with_name(f"{path.name}-wal"))
    count = max(pages, default=0)
    image = b"".join(_page(key, number, pages.get(number, b"")) for number in range(1, count + 1))
    return image[:18] + b"\1\1" + image[20:]


def grafted(image: bytes, first: bytes) -> bytes:
    """The same with the first page, which names the tables, of another file of the same layout."""
    count = len(image) // PAGE
    return first[:28] + count.to_bytes(4, "big") + first[32:PAGE] + image[PAGE:]


def _page(key: bytes, number: int, page: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(page) < PAGE:
        return bytes(PAGE)
    start = SALT if number == 1 else 0
    reader = Cipher(algorithms.AES(key), modes.CBC(page[USED : USED + IV])).decryptor()
    clear = reader.update(page[start:USED]) + reader.finalize()
    return (_NAME if number == 1 else b"") + clear + page[USED:]


def _logged(log: Path) -> dict[int, bytes]:
    """The pages of the log's transactions that ended."""
    data = log.read_bytes() if log.exists() else b""
    salts = data[16:24]
    ended: dict[int, bytes] = {}
    begun: dict[int, bytes] = {}
    for at in range(_LOG_HEAD, len(data) - _FRAME_HEAD - PAGE + 1, _FRAME_HEAD + PAGE):
        head = data[at : at + _FRAME_HEAD]
        if head[8:16] != salts:  # of an earlier round
            break
        begun[int.from_bytes(head[:4], "big")] = data[at + _FRAME_HEAD : at + _FRAME_HEAD + PAGE]
        if int.from_bytes(head[4:8], "big"):
            ended |= begun
            begun = {}
    return ended

"""What is in all files below a folder, while others write, make and remove them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file that is no link, and what is in it; one that goes meanwhile, as SQLite's logs do, is passed over."""
    for folder in folders:
        for parent, _, names in os.walk(folder):  # says nothing of folders that have just gone
            for path in (Path(parent, name) for name in sorted(names)):
                with suppress(FileNotFoundError):
                    if path.is_file() and not path.is_symlink():
                        yield path, path.read_bytes()

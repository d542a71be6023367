"""Finds the files with a program's talks by a pattern, and tells which folders on the way cannot be read."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path


def files(folder: Path, pattern: str, unreadable: list[Path]) -> Iterator[Path]:
    """The files below a folder that match, by name; no link to a file is followed."""
    yield from _below(str(folder), pattern.split("/"), unreadable)


def _below(folder: str, parts: list[str], unreadable: list[Path]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((each for each in entries if fnmatchcase(each.name, parts[0])), key=lambda each: each.name)
            is_file = {each.name: each.is_file(follow_symlinks=False) for each in found}
            is_folder = {each.name: each.is_dir() for each in found}
            if found and not os.access(folder, os.X_OK):  # what lies in it has names, and no more
                raise PermissionError
    except PermissionError:
        unreadable.append(Path(folder))
        return
    except OSError:  # it is not there, or goes while it is looked at
        return
    for each in found:
        if len(parts) > 1 and is_folder[each.name]:
            yield from _below(each.path, parts[1:], unreadable)
        elif len(parts) == 1 and is_file[each.name]:
            yield Path(each.path)

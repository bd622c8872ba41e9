"""What a source follows: a file, a folder or a pattern, and which files on disk belong to it right now.

A rotated file belongs to the name it had before: `audit.log.1`, `audit.log-20240501.gz` and
`audit-2024-05-01T10-00-00.000.log` all were `audit.log`.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

_PACKED = re.compile(r"\.(?:gz|zst|zstd)\Z")
_NUMBERED = re.compile(r"(?<=.)[._-](?:\d[\dTZ._:-]*|old|bak)\Z")
_DATED = re.compile(r"(?<=.)[._-]\d{4}-?\d\d-?\d\d(?:[T_-]?\d[\dTZ._:-]*?)?(?=\.[A-Za-z]+\Z)")


def name_before(name: str) -> str:
    """The name a file had before it was rotated (and compressed); the name itself if it does not look rotated."""
    name = _PACKED.sub("", name)
    earlier = _NUMBERED.sub("", name)
    return earlier if earlier != name else _DATED.sub("", name)


class Found(NamedTuple):
    """A regular file of a target. `named`: it bears a name that is asked for, and is not there as a rotated one."""

    path: Path
    status: os.stat_result
    named: bool

    @property
    def inode(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino

    @property
    def version(self) -> tuple[int, int]:
        return self.status.st_size, self.status.st_mtime_ns


class Target:
    """A file (also one that is not there yet), a folder with all files below it, or a pattern.

    Names that begin with a dot are left out of folders. A symbolic link stands for what it leads to.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def is_folder(self) -> bool:
        return Path(self.text).is_dir()

    @property
    def is_pattern(self) -> bool:
        return glob.has_magic(self.text) and not Path(self.text).exists()

    def find(self) -> list[Found]:
        """The files there are, each once, those changed first coming first."""
        found: dict[tuple[int, int], Found] = {}
        for path, named in self._candidates():
            try:
                status = path.stat()
            except OSError:
                continue  # gone again, a broken link, or a folder that may not be entered
            if not stat.S_ISREG(status.st_mode):
                continue
            file = Found(path, status, named)
            if named or file.inode not in found:
                found[file.inode] = file
        return sorted(found.values(), key=lambda file: (file.status.st_mtime_ns, str(file.path)))

    def folders(self) -> tuple[list[Path], bool]:
        """The folders where a change may matter, as far as they exist; and whether those below them matter, too."""
        if self.is_folder:
            return [Path(self.text)], True
        if self.is_pattern:
            parts = Path(self.text).parts
            fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
            return _existing([Path(*parts[:fixed])]), fixed < len(parts) - 1
        path = Path(self.text)
        return _existing([path.parent, Path(os.path.realpath(path)).parent]), False

    def _candidates(self) -> Iterator[tuple[Path, bool]]:
        if self.is_folder:
            for parent, folders, names in os.walk(self.text):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    if not name.startswith("."):
                        yield Path(parent, name), True
        elif self.is_pattern:
            yield from self._matching()
        else:
            path = Path(self.text)
            yield path, True
            real = Path(os.path.realpath(path))
            for folder, name in dict.fromkeys([(path.parent, path.name), (real.parent, real.name)]):
                for other in _names(folder):
                    if other != name and name_before(other) == name:
                        yield folder / other, False

    def _matching(self) -> Iterator[tuple[Path, bool]]:
        folder, pattern = os.path.split(self.text)
        if pattern == "**" or not pattern:
            for match in glob.iglob(self.text, recursive=True):  # noqa: PTH207 - Path.glob knows no absolute patterns
                yield Path(match), True
            return
        folders = glob.iglob(folder, recursive=True) if glob.has_magic(folder) else [folder or "."]  # noqa: PTH207
        for place in dict.fromkeys(map(Path, folders)):
            for name in _names(place):
                if name.startswith(".") and not pattern.startswith("."):
                    continue
                if fnmatchcase(name, pattern):
                    yield place / name, True
                elif fnmatchcase(name_before(name), pattern):
                    yield place / name, False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone are wanted
    except OSError:
        return []


def _existing(folders: list[Path]) -> list[Path]:
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]

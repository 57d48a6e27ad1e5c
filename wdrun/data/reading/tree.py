"""What a source holds as folders and files, on the disk or in an archive, so that one reader serves all of them.

Hidden files and folders (.DS_Store, ._1.png, .ipynb_checkpoints) and __MACOSX are not there for a reader.
"""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from wdrun.contents import held, hidden
from wdrun.data.canonical import BadSource

FILE_LIMIT = 64 * 2**20  # bytes of a file that is read whole; the largest true batch has 31 MB


def natural(name: str) -> tuple[list[str | int], str]:
    """A sorting key that puts 2.png before 10.png."""
    pieces = re.split(r"(\d+)", name)
    return [int(piece) if k % 2 else piece for k, piece in enumerate(pieces)], name


class Tree(ABC):
    """A folder of a source; `where` is its path in the source, "" or "train/cat/", which messages name."""

    where: str

    @abstractmethod
    def folders(self) -> list[str]:
        """The names of its folders, sorted."""

    @abstractmethod
    def files(self) -> list[str]:
        """The names of its files, sorted."""

    @abstractmethod
    def inside(self, folder: str) -> Tree:
        """One of its folders."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The bytes of one of its files."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """One of its files to read and to seek in."""

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content of one of its files; BadSource where it is larger than a picture or a batch can be."""
        most = most or FILE_LIMIT
        if self.size(name) > most:
            raise BadSource(f"holds {self.where}{name} of {self.size(name)} bytes, more than {most} of one file")
        with self.open(name) as file:
            return file.read()


@dataclass(frozen=True)
class OnDisk(Tree):
    """A folder of the user's; links of theirs are followed, as a hub's cache is made of links."""

    path: Path
    where: str = ""

    def folders(self) -> list[str]:
        return [name for name, kind in held(self.path) if kind == "folder"]

    def files(self) -> list[str]:
        return [name for name, kind in held(self.path) if kind == "file"]

    def inside(self, folder: str) -> Tree:
        return OnDisk(self.path / folder, f"{self.where}{folder}/")

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        return (self.path / name).open("rb")


class Lone(OnDisk):
    """A folder of which only the file at `path` is looked at."""

    def folders(self) -> list[str]:
        return []

    def files(self) -> list[str]:
        return [self.path.name]

    def size(self, name: str) -> int:
        return self.path.stat().st_size

    def open(self, name: str) -> BinaryIO:
        return self.path.open("rb")


class Member(NamedTuple):
    """A file in an archive."""

    size: int
    read: Callable[[], bytes]


class Packed(Tree):
    """The files of an archive, by parts of their path in it; what climbs out of it (.., /) is taken as inside it."""

    def __init__(self, members: Mapping[str, Member], where: str = "") -> None:
        self.where = where
        self._files: dict[str, Member] = {}
        self._folders: dict[str, dict[str, Member]] = {}
        for path, member in members.items():
            first, _, rest = path.partition("/")
            if rest:
                self._folders.setdefault(first, {})[rest] = member
            else:
                self._files[first] = member

    def folders(self) -> list[str]:
        return sorted(self._folders)

    def files(self) -> list[str]:
        return sorted(self._files)

    def inside(self, folder: str) -> Tree:
        return Packed(self._folders[folder], f"{self.where}{folder}/")

    def size(self, name: str) -> int:
        return self._files[name].size

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._files[name].read())


def inner_path(name: str) -> str | None:
    """The path of a member within its archive, without what climbs or is absolute; None where it is hidden."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return None if not parts or any(map(hidden, parts)) else "/".join(parts)


def shown(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

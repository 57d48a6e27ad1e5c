"""What lies at a path, known by its bytes: twelve letters that do not change when it is moved or copied."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import stat
import sys
import time
from functools import lru_cache
from pathlib import Path

LETTERS = "bcdfghjklmnpqrstvwxz"  # no digit, no vowel: no reader of a CSV or of YAML takes them for anything but text
CHUNK = 2**20  # bytes read at once
SAY_S = 2  # so long a reading goes unsaid
_folders: dict[str, tuple[dict[str, int], str]] = {}  # folder -> when it and those below it changed, its letters


def hidden(name: str) -> bool:
    """Whether a system or an editor left the file or folder there, not the maker of the data."""
    return name.startswith(".") or name == "__MACOSX"


def held(folder: str | Path) -> list[tuple[str, str]]:
    """The names of what lies in a folder and is not hidden, sorted, each with "file" or "folder" as a link leads to."""
    with os.scandir(folder) as entries:
        kinds = [(entry.name, _kind(entry)) for entry in entries if not hidden(entry.name)]
    return sorted((name, kind) for name, kind in kinds if kind)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link that leads to itself
        return ""


def letters(content: bytes, length: int) -> str:
    """So many letters of a hash."""
    number = int.from_bytes(content, "big")
    return "".join(LETTERS[number // 20**place % 20] for place in range(length))


def of_bytes(content: bytes) -> str:
    """Twelve letters of the SHA-256 of a file's bytes."""
    return letters(hashlib.sha256(content).digest(), 12)


def of_file(path: Path) -> str:
    """Twelve letters of the SHA-256 of the file at a path, read anew only where it changed; OSError where none is."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # a device may have no end
        raise OSError(errno.EINVAL, "it is neither a file nor a folder", str(path))
    return _of_file(str(path.absolute()), found.st_mtime_ns, found.st_size, found.st_ino)


def of_path(path: Path) -> str:
    """Twelve letters of a file, or of the names and bytes of all files below a folder; OSError where it is not there.

    Looked at once a process until it changes. Of a folder, what is hidden does not count, links are what they lead to,
    and a change is one of names: a file that is rewritten in its place is seen by the next process.
    """
    if not path.is_dir():
        return of_file(path)
    folder = os.path.realpath(path)
    known = _folders.get(folder)
    if known is None or any(_changed(name) != when for name, when in known[0].items()):
        known = _folders[folder] = _of_folder(folder)
    return known[1]


def unreadable(error: OSError, path: Path) -> str:
    """Why the path cannot be read, with the file below it at which that was found."""
    place, reason = str(error.filename or ""), str(error.strerror or error)
    if place in (str(path), os.path.realpath(path)) or not (path.is_dir() and os.path.isabs(place)):
        return reason
    folder, name = os.path.split(place)
    return f"{reason} ({os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(path))})"


@lru_cache(maxsize=256)
def _of_file(path: str, *_: int) -> str:
    return letters(_Reading(path).file(path), 12)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _of_folder(folder: str) -> tuple[dict[str, int], str]:
    """When the folder and those below it changed, and the letters of what they hold."""
    reading = _Reading(folder)
    return reading.times, letters(reading.folder(folder) or hashlib.sha256().digest(), 12)


class _Reading:
    """Hashes of files and folders below one path; says once on stderr, in the user's own process, that it takes long.

    A folder's hash is of the names and hashes of what it holds; a folder without a file counts as none, and so does a
    link to a folder that it lies in.
    """

    def __init__(self, root: str) -> None:
        self.root, self.began = root, time.monotonic()
        self.said = multiprocessing.parent_process() is not None
        self.times: dict[str, int] = {}  # folder -> when it changed
        self.folders: dict[str, bytes] = {}  # real path -> hash: each is read once, whatever leads there

    def folder(self, path: str) -> bytes:
        real = os.path.realpath(path)
        if real not in self.folders:
            self.folders[real] = b""  # as long as it is being read
            self.times[real] = _changed(real)
            lines = []
            for name, kind in held(real):
                found = (self.folder if kind == "folder" else self.file)(os.path.join(real, name))
                if found:
                    lines.append(b"%s %s %s\0" % (kind.encode(), found.hex().encode(), os.fsencode(name)))
            self.folders[real] = hashlib.sha256(b"".join(lines)).digest() if lines else b""
        return self.folders[real]

    def file(self, path: str) -> bytes:
        found = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
                self._say()
        return found.digest()

    def _say(self) -> None:
        if not self.said and time.monotonic() - self.began > SAY_S:
            self.said = True
            print(f"wdrun: reading all of {self.root}, as its content is part of a run's id …", file=sys.stderr)

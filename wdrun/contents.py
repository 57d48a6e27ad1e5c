"""What lies at a path, known by its bytes: twelve letters that do not change when it is moved or copied."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

LETTERS = "bcdfghjklmnpqrstvwxz"  # no digit, no vowel: no reader of a CSV or of YAML takes them for anything but text
LEFT_OUT = (".", "__MACOSX")  # how the names begin of what other programs leave in a folder
_folders: dict[str, tuple[dict[str, int], str]] = {}  # folder -> when it and those below it changed, its letters


def letters(content: bytes, length: int) -> str:
    """So many letters of a hash."""
    number = int.from_bytes(content, "big")
    return "".join(LETTERS[number // 20**place % 20] for place in range(length))


def of_bytes(content: bytes) -> str:
    """Twelve letters of the SHA-256 of a file's bytes."""
    return letters(hashlib.sha256(content).digest(), 12)


def of_file(path: Path) -> str:
    """The same of the file at a path, read once a process until it changes; OSError where there is no such file."""
    found = os.stat(path)
    return _of_file(str(path.absolute()), found.st_mtime_ns, found.st_size, found.st_ino)


def of_path(path: Path) -> str:
    """Twelve letters of a file, or of the names and bytes of all files below a folder; OSError where it is not there.

    Looked at once a process until it changes. Of a folder, names that begin as in LEFT_OUT do not count, links are what
    they lead to, and a change is one of names: a file that is rewritten in its place is seen by the next process.
    """
    if not path.is_dir():
        return of_file(path)
    folder = str(path.absolute())
    known = _folders.get(folder)
    if known is None or any(_changed(name) != when for name, when in known[0].items()):
        known = _folders[folder] = _of_folder(folder)
    return known[1]


@lru_cache(maxsize=256)
def _of_file(path: str, *_: int) -> str:
    return letters(bytes.fromhex(_sha256(path)), 12)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _of_folder(folder: str) -> tuple[dict[str, int], str]:
    """When the folder and those below it changed, and the letters of what they hold."""
    times: dict[str, int] = {}
    lines = []
    seen: set[str] = set()  # a link may lead to a folder that it lies in
    for place, below, names in os.walk(folder, onerror=_raise, followlinks=True):
        times[place] = _changed(place)
        below[:] = [name for name in below if not name.startswith(LEFT_OUT)]
        if (real := os.path.realpath(place)) in seen:
            below.clear()
            continue
        seen.add(real)
        for name in names:
            file = os.path.join(place, name)
            if not name.startswith(LEFT_OUT) and os.path.isfile(file):
                lines.append(f"{_sha256(file)} {Path(file).relative_to(folder).as_posix()}\n")
    content = hashlib.sha256("".join(sorted(lines)).encode(errors="surrogateescape"))
    return times, letters(content.digest(), 12)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raise(error: OSError) -> None:
    raise error

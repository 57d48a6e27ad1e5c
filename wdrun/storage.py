"""The durable calls: atomic replacement of files, and run directories held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wdrun.errors import BusyError, StorageError

LOCK = ".lock"
REMEDY = "output_dir=PATH"


def write_atomically(path: Path, content: bytes, remedy: str = REMEDY) -> None:
    """Replace a file's content: whole old or whole new at every moment, on disk when this returns; StorageError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:  # a failed write names no file, so it is named here
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(path, error, remedy) from error


def make(directory: Path) -> None:
    """Create a folder and those above it; when this returns, a power cut does not take it with all it will hold."""
    missing = [place for place in (directory, *directory.parents) if not os.path.exists(place)]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync(place.parent)
    if not missing:
        sync(directory.parent)  # whoever made it may have been killed before that


def sync(directory: Path) -> None:
    """Put a folder's entries on the disk."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def hold(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Create the directory and hold it by `flock` on its lock file; BusyError when another process holds it.

    With `wait` it waits for that process instead. StorageError where the disk does not let it. The
    kernel drops the lock when the process dies, however it dies, so no lock is ever stale.
    """
    try:
        make(directory)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise storage_error(directory, error) from error
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if held(directory):  # else it was only someone who asked as `held` does, and that is over
                    raise BusyError(
                        f"{directory}: another process is training this run; wait for it or stop it"
                    ) from error
        for pattern in (".*.tmp", ".*/.*.tmp"):  # of a process that was killed while it wrote
            for leftover in directory.glob(pattern):
                leftover.unlink()
        yield
    finally:
        os.close(lock)


def held(directory: Path) -> bool:
    """Whether a process holds the directory now; asks by sharing the lock for a moment, which `hold` sees through."""
    try:
        lock = os.open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def storage_error(path: Path, error: OSError, remedy: str = REMEDY) -> StorageError:
    """The error as one line: path, reason, free space of the nearest existing parent."""
    return StorageError(f"{path}: {error.strerror or error}; {free(path) / 2**30:.1f} GiB free there; try {remedy}")


def free(path: Path) -> int:
    """Free bytes of the disk where the path is, or would be."""
    place = next((p for p in (path, *path.parents) if os.path.exists(p)), Path("/"))  # unlike p.exists(), never raises
    return shutil.disk_usage(place).free

"""The durable calls: atomic replacement of files, and run directories held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wdrun.errors import BusyError, StorageError

LOCK = ".lock"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content: whole old or whole new at every moment, on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def hold(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Create the directory and hold it by `flock` on its lock file; BusyError when another process holds it.

    The kernel drops the lock when the process dies, however it dies, so no lock is ever stale.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
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
        for leftover in directory.glob(".*.tmp"):  # of a process that was killed while it wrote
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


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error as one line: path, reason, free space of the nearest existing parent."""
    place = next((p for p in (path, *path.parents) if os.path.exists(p)), Path("/"))  # unlike p.exists(), never raises
    free = shutil.disk_usage(place).free / 2**30
    return StorageError(f"{path}: {error.strerror or error}; {free:.1f} GiB free there; try output_dir=PATH")

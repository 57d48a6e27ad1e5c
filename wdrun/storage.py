"""The durable calls: atomic replacement of files, and run directories held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from wdrun.errors import InUseError, StorageError

LOCK = ".lock"
PLANS = ".plans.lock"  # of a folder for which a command plans more runs
REMEDY = "output_dir=PATH"
# What file systems answer that lack the call (NFS without its lock service, FUSE, shares of other systems) …
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
NO_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
# … and what a killed process of ours may leave of a file that it wrote into a folder it held: .NAME.PID.tmp
TABLE = "runs?|metrics|layers|histograms|timing|predictions|plan|halving|evaluation(?:_layers|_histograms)?|"
TABLE += "verdict|looks|decisions|carried"
WRITTEN = rf"(?:{TABLE})\.csv|(?:config|overrides)\.yaml|code\.json|error\.log|(?:kept\.)?checkpoint|"
WRITTEN += r"(?:last|best|ema)\.safetensors"
TEMPORARY = re.compile(rf"\.(?:{WRITTEN})\.(\d{{1,9}})\.tmp")
unlocked: set[int] = set()  # file systems without locks, by number, that stderr was told of


def write_atomically(path: Path, content: bytes, remedy: str = REMEDY) -> None:
    """Replace a file's content: whole old or whole new at every moment, on disk when this returns; StorageError."""
    write_together({path: content}, remedy)


def write_together(contents: Mapping[Path, bytes], remedy: str = REMEDY) -> None:
    """Replace the content of files of one folder, in this order: as `write_atomically` of each, but the folder itself
    is put on the disk once, so that a power cut may keep any of them. Nothing is replaced where one cannot be written.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                flush(file.fileno())
        for path in contents:
            os.replace(temporary[path], path)
        for folder in {path.parent for path in contents}:
            sync(folder)
    except OSError as error:  # a failed write names no file, so it is named here
        for left in temporary.values():
            with suppress(OSError):
                left.unlink(missing_ok=True)
        raise storage_error(path, error, remedy) from error


def make(directory: Path) -> None:
    """Create a folder and those above it; when this returns, a power cut does not take it with all it will hold."""
    missing = [place for place in (directory, *directory.parents) if not os.path.exists(place)]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync(place.parent)
    if not missing:
        sync(directory.parent)  # whoever made it may have been killed before that


def discard(directory: Path) -> None:
    """Remove what wdrun wrote into a run's folder, which the caller holds, but its row; what is the user's stays."""
    ours = re.compile(rf"{WRITTEN}|checkpoint\.previous")
    for path in sorted(directory.iterdir()):
        if ours.fullmatch(path.name) and path.name != "run.csv":
            path.unlink(missing_ok=True)
    sync(directory)


def sync(directory: Path) -> None:
    """Put a folder's entries on the disk, as far as one may read it and its file system knows how to."""
    try:
        number = os.open(directory, os.O_RDONLY)
    except PermissionError:
        return
    try:
        flush(number)
    finally:
        os.close(number)


def flush(number: int) -> None:
    """Put an open file or folder on the disk; nothing where its file system has no such call."""
    try:
        os.fsync(number)
    except OSError as error:
        # A folder's fsync is refused to some by EACCES, on network file systems; a file's is not.
        if error.errno not in NO_SYNC and error.errno != errno.EACCES:
            raise


@contextmanager
def hold(directory: Path, *, wait: bool = False, remedy: str = REMEDY) -> Iterator[None]:
    """Create the directory and hold it by `flock` on its lock file; InUseError when another process holds it.

    With `wait` it waits for that process instead. StorageError where the disk does not let it. The
    kernel drops the lock when the process dies, however it dies, so no lock is ever stale. Where the file system has
    no locks the directory is taken all the same, and stderr told once that nobody else may write there.
    """
    try:
        make(directory)
        lock = open_lock(directory / LOCK)
    except OSError as error:
        raise storage_error(directory, error, remedy) from error
    try:
        try:
            while not take(lock, directory, wait=wait):
                if held(directory):  # else it was only someone who asked as `held` does, and that is over
                    raise InUseError(f"{directory}: another process is training this run; wait for it or stop it")
        except OSError as error:
            raise storage_error(directory / LOCK, error, remedy) from error
        for pattern in (".*.tmp", ".hydra/.*.tmp"):  # of a process that was killed while it wrote
            for leftover in directory.glob(pattern):
                if (ours := TEMPORARY.fullmatch(leftover.name)) and not _alive(int(ours[1])):
                    with suppress(FileNotFoundError, PermissionError):
                        leftover.unlink()
        yield
    finally:
        os.close(lock)


def open_lock(file: Path) -> int:
    """The descriptor of a lock file, made where there is none, with the rights that the umask leaves to others."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not os.path.exists(file):
            raise
        return os.open(file, os.O_RDONLY)  # another user's, which a version made that left no rights: enough for flock


def take(lock: int, place: Path, *, wait: bool = False) -> bool:
    """Whether the lock is the caller's now; with `wait` once it is. True where the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if (system := os.fstat(lock).st_dev) not in unlocked:
            unlocked.add(system)
            why = f"this file system has no locks ({error.strerror}), so two processes there would not see each other"
            with suppress(OSError):
                print(f"warning: {place}: {why}; let one command at a time write there", file=sys.stderr, flush=True)
    return True


def held(directory: Path) -> bool:
    """Whether a process holds the directory now; asks by sharing the lock for a moment, which `hold` sees through.

    True where the file system has no locks and so cannot tell.
    """
    try:
        lock = os.open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if not isinstance(error, BlockingIOError) and error.errno not in NO_LOCKS:
            raise
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def planning(directory: Path, remedy: str = REMEDY) -> Iterator[None]:
    """Create the directory and mark it as one to which more runs come, for as long as this lasts or the process lives.

    Several processes may do so at once.
    """
    try:
        make(directory)
        lock = open_lock(directory / PLANS)
        try:
            with suppress(OSError):  # where the file system has no locks it goes unseen
                fcntl.flock(lock, fcntl.LOCK_SH)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise storage_error(directory, error, remedy) from error
    try:
        yield
    finally:
        os.close(lock)


def planned(directory: Path) -> bool:
    """Whether a process is `planning` runs for the directory now; False where the file system cannot tell."""
    try:
        lock = os.open(directory / PLANS, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(lock)
    return False


def _alive(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def storage_error(path: Path, error: OSError, remedy: str = REMEDY) -> StorageError:
    """The error as one line: path, reason, free space of the nearest existing parent."""
    return StorageError(f"{path}: {error.strerror or error}; {free(path) / 2**30:.1f} GiB free there; try {remedy}")


def free(path: Path) -> int:
    """Free bytes of the disk where the path is, or would be."""
    place = next((p for p in (path, *path.parents) if os.path.exists(p)), Path("/"))  # unlike p.exists(), never raises
    return shutil.disk_usage(place).free

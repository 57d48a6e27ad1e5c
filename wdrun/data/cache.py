"""The cache of CIFAR-10: four memory-mapped .npy files, verified at every opening, built once by one process.

A folder is built beside its final name and renamed into place after everything in it is on the disk, so it
is there whole or not at all; a process that still maps a replaced folder keeps its old bytes.
"""

import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wdrun.data import canonical
from wdrun.data.canonical import Tables
from wdrun.errors import ConfigError, StorageError
from wdrun.storage import flush, free, open_lock, sync, take
from wdrun.wording import first_line

SAY_S = 2  # waiting for another process goes unsaid so long
LOCK_TIMEOUT_S = 1800  # another process may be downloading 163 MB over a slow line


class Damaged(Exception):
    """What is wrong with a cache folder that exists: the end of a sentence."""


def base_folder() -> Path:
    """Where data are cached: $WDRUN_DATA, or the user's cache folder."""
    chosen = os.environ.get("WDRUN_DATA")
    if chosen:
        return expanded("WDRUN_DATA", chosen)
    from platformdirs import user_cache_dir

    try:
        return Path(user_cache_dir("wdrun"))
    except RuntimeError as error:  # an unknown user without HOME
        raise StorageError("the data cache: there is no home folder; set WDRUN_DATA to a writable folder") from error


def expanded(key: str, text: str) -> Path:
    """The path that the key is given, ~ being the home folder; ConfigError where the system knows none."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{key}={text}: must be a path without ~, as there is no home folder here") from error


def open_tables(folder: Path) -> Tables | None:
    """The verified tables, mapped copy-on-write; None where there is no folder; raises Damaged."""
    if not folder.is_dir():
        return None
    tables: Tables = {}
    for name in canonical.SHA256:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the digest decides, not the age of the header
                tables[name] = np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
        except FileNotFoundError as error:
            raise Damaged(f"lacks {name}.npy") from error
        except OSError as error:  # too many open files, no memory, no permission: the file may well be sound
            remedy = "try again, or set WDRUN_DATA to another folder"
            raise StorageError(f"cannot read {folder / name}.npy: {error.strerror or error}; {remedy}") from error
        except Exception as error:  # numpy parses a damaged header as Python and raises what Python raises
            raise Damaged(f"holds an unreadable {name}.npy ({first_line(error)})") from error
    wrong = canonical.mismatch(tables)
    if wrong:
        raise Damaged(wrong)
    return tables


def open_or_build(folder: Path, build: Callable[[Path], Tables]) -> Tables:
    """The tables of `folder`; where it is missing or damaged, `build` makes them in a scratch folder.

    N processes on a cold cache build once: the others wait for the lock, then find it there.
    """
    try:
        tables = open_tables(folder)  # without the lock, so that a read-only cache serves
        if tables is not None:
            return tables
    except Damaged:
        pass  # looked at again under the lock: another process may be replacing it
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            return _build_locked(folder, build)
    except OSError as error:
        reason = f"{error.strerror or error} ({free(folder) / 2**20:.0f} MiB free, 184 MB needed)"
        remedy = "free space, or set WDRUN_DATA to a writable folder"
        raise StorageError(f"cannot write the data cache {folder}: {reason}; {remedy}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from preparing the folder meanwhile; StorageError where one does for too long."""
    file = folder.with_name(f"{folder.name}.lock")
    lock, began, said = open_lock(file), time.monotonic(), False
    try:
        while not take(lock, folder):
            waited = time.monotonic() - began
            if waited > SAY_S and not said:
                said = True
                print(f"wdrun: waiting for another process that prepares {folder}", file=sys.stderr)
            if waited > LOCK_TIMEOUT_S:
                held = f"another process held {file} for {LOCK_TIMEOUT_S} s"
                raise StorageError(f"{folder}: {held}; end it and try again")
            time.sleep(0.05)
        yield
    finally:
        os.close(lock)


def _build_locked(folder: Path, build: Callable[[Path], Tables]) -> Tables:
    try:
        tables = open_tables(folder)
        if tables is not None:
            return tables
    except Damaged as damage:
        if not _ours(folder):
            remedy = "move it away, or set WDRUN_DATA to another folder"
            raise StorageError(f"{folder} is not a cache of wdrun's ({damage}); {remedy}") from damage
        aside = folder.with_name(f"{folder.name}.damaged")
        if _ours(aside):
            shutil.rmtree(aside, ignore_errors=True)  # one is evidence, a row of them fills the disk
        folder.rename(aside)
        print(f"wdrun: the cache {folder} {damage}; set aside as {aside.name}, rebuilding", file=sys.stderr)
    for stale in folder.parent.glob(f"{folder.name}.building-*"):  # of a killed process: we hold the lock
        if re.fullmatch(r"building-\d+", stale.name.rpartition(".")[2]):
            shutil.rmtree(stale, ignore_errors=True)
    scratch = folder.with_name(f"{folder.name}.building-{os.getpid()}")
    scratch.mkdir()
    try:
        ready = scratch / "ready"
        ready.mkdir()
        built = build(scratch)
        for name in canonical.SHA256:
            with (ready / f"{name}.npy").open("wb") as file:
                np.save(file, built[name], allow_pickle=False)
                file.flush()
                flush(file.fileno())
        del built
        sync(ready)
        ready.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        tables = open_tables(folder)  # what is claimed is what was read back
    except Damaged as damage:
        raise StorageError(f"the cache {folder} {damage} just after it was written: check the disk") from damage
    if tables is None:
        raise StorageError(f"the cache {folder} vanished right after it was written")
    return tables


def _ours(folder: Path) -> bool:
    """Whether there is nothing in a folder but what a cache has, all of it or some: anything else is the user's."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {f"{name}.npy" for name in canonical.SHA256}

"""Processes that die at a durable call, killed or by a power cut: forked children whose file operations are counted.

A durable call is one that changes what a later process finds below `root`: a file opened for writing, a write, an fsync
of a file or folder, link, replace, unlink, mkdir. A child dies before, after or (a write: half its bytes are in the
file) in the middle of call number `at`. With `power`, what was not synced is lost then: a file falls back to the
content of its last fsync, a folder to the entries of its last fsync ("all"), or the files alone ("content"), which is
how a rename can come to the disk before the data it names; or a folder to those entries and its latest rename
("latest"), which is how one can come to the disk before another.
"""

import builtins
import io
import os
import re
import shutil
import signal
import stat
import sys
import traceback
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path

KILLED = 77  # the exit code of a child that died at its call
HANG_SECONDS = 120  # a child that takes longer is killed: no test waits for ever

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def child(task: Callable[[], None], log: Path) -> int:
    """Run the task in a forked process with its output in `log`; its exit code, negative where a signal ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # xdist has a thread; the child never needs it
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(HANG_SECONDS)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(output, number)
                setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
            task()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Disk:
    """Counts the durable calls of this process below `root`, and dies at one of them if told to."""

    def __init__(self, root: Path, at: int | None = None, phase: str = "after", power: str | None = None) -> None:
        self.root, self.at, self.phase, self.power = str(root), at, phase, power
        self.calls: list[tuple[str, str]] = []  # kind and path below the root, without process ids
        self.paths: dict[int, str] = {}  # of open descriptors
        self.serials, self.identity = count(), {}  # an inode's number is used again, a serial never
        self.content: dict[int, bytes] = {}  # serial -> what a power cut leaves of a file
        self.names: dict[int, dict[str, int]] = {}  # serial of a folder -> its entries after a power cut
        self.renamed: dict[int, dict[str, int]] = {}  # serial of a folder -> the entry renamed last, not yet synced
        self.true = {name: getattr(os, name) for name in ("open", "fsync", "link", "replace", "unlink", "mkdir")}
        self.file = io.open

    def install(self) -> "Disk":
        """For the rest of this process's life: it is a child that ends with its task."""
        if self.power:
            self._sync_all(self.root)
        for name in self.true:
            setattr(os, name, getattr(self, f"_{name}"))
        io.open = builtins.open = self._file
        return self

    def _call(self, kind, path, do, half=lambda: None):
        place = os.path.abspath(os.fspath(path))
        if not place.startswith(self.root + os.sep):
            return do()
        self.calls.append((kind, re.sub(r"\.\d+\.tmp$", ".tmp", place[len(self.root) + 1 :])))
        here = len(self.calls) == self.at
        if here and self.phase != "after":
            if self.phase == "middle":
                half()
            self._die()
        try:
            return do()
        finally:  # a call that fails, as mkdir of what is there, is a call
            if here:
                self._die()

    def _die(self):
        if self.power:
            for name, function in self.true.items():
                setattr(os, name, function)
            self._cut()
        os._exit(KILLED)

    # The calls

    def _open(self, path, flags, *rest, **options):
        def do():
            created = not os.path.exists(path)
            number = self.true["open"](path, flags, *rest, **options)
            self.paths[number] = os.fspath(path)
            if created:
                self._born(path)
            return number

        return self._call("open", path, do) if flags & WRITING else do()

    def _file(self, path, mode="r", *rest, **options):
        if isinstance(path, int) or not set(mode) & set("wax+"):
            return self.file(path, mode, *rest, **options)

        def do():
            created = not os.path.exists(path)
            file = self.file(path, mode, *rest, **options)
            self.paths[file.fileno()] = os.fspath(path)
            if created:
                self._born(path)
            return _File(self, file, path)

        return self._call("open", path, do)

    def _fsync(self, number):
        path = self.paths[number]
        kind = "fsync folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "fsync"
        return self._call(kind, path, lambda: self._sync(path))  # the page cache outlives a killed process

    def _link(self, source, target, **options):
        return self._call("link", target, lambda: self.true["link"](source, target, **options))

    def _replace(self, source, target, **options):
        def do():
            self.true["replace"](source, target, **options)
            if self.power == "latest":
                folder, name = os.path.split(os.path.abspath(os.fspath(target)))
                self.renamed[self._serial(folder)] = {name: self._serial(target)}

        return self._call("replace", target, do)

    def _unlink(self, path, **options):
        return self._call("unlink", path, lambda: self.true["unlink"](path, **options))

    def _mkdir(self, path, *rest, **options):
        def do():
            self.true["mkdir"](path, *rest, **options)
            self._born(path)

        return self._call("mkdir", path, do)

    # A power cut

    def _born(self, path):
        if self.power:
            serial = self.identity[os.stat(path).st_ino] = next(self.serials)
            if os.path.isdir(path):
                self.names[serial] = {}

    def _serial(self, path):
        return self.identity.setdefault(os.stat(path).st_ino, next(self.serials))

    def _sync(self, path):
        if not self.power:
            return
        if os.path.isdir(path):
            self.names[self._serial(path)] = {name: self._serial(os.path.join(path, name)) for name in os.listdir(path)}
            self.renamed.pop(self._serial(path), None)
        else:
            with self.file(path, "rb") as file:
                self.content[self._serial(path)] = file.read()

    def _sync_all(self, folder):
        """What was there before this process is on the disk."""
        for entry in os.scandir(folder):
            if entry.is_dir():
                self._sync_all(entry.path)
            else:
                self._sync(entry.path)
        self._sync(folder)

    def _cut(self):
        left: dict[str, bytes | None] = {}
        if self.power == "content":
            for folder, folders, files in os.walk(self.root):
                left |= {os.path.join(folder, name): None for name in folders}
                for name in files:
                    path = os.path.join(folder, name)
                    left[path] = self.content.get(self._serial(path), b"")
        else:
            self._entries(self.root, self._serial(self.root), left)
        for entry in os.scandir(self.root):
            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
        for path, content in left.items():
            if content is None:
                os.mkdir(path)
            else:
                with self.file(path, "wb") as file:
                    file.write(content)

    def _entries(self, folder, serial, left):
        for name, entry in (self.names[serial] | self.renamed.get(serial, {})).items():
            path = os.path.join(folder, name)
            left[path] = None if entry in self.names else self.content.get(entry, b"")
            if entry in self.names:
                self._entries(path, entry, left)


class _File:
    """A file whose writes are durable calls, on the file when they return."""

    def __init__(self, disk, file, path):
        self._disk, self._file, self._path = disk, file, path

    def write(self, content):
        def put(part):
            self._file.write(part)
            self._file.flush()
            return len(part)

        return self._disk._call("write", self._path, lambda: put(content), lambda: put(content[: len(content) // 2]))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

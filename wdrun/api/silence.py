"""stdout and stderr while a function of wdrun's works: as from the command line, or nothing of it."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wdrun.terminal import results


@contextmanager
def stderr(quiet: bool) -> Iterator[None]:
    """Nothing of this thread on stderr where it is to be quiet, or where there is none: print would take stdout."""
    before = sys.stderr
    if not quiet and before is not None:
        yield
        return
    sys.stderr = _Silence(before)
    try:
        yield
    finally:
        sys.stderr = before


@contextmanager
def stdout() -> Iterator[None]:
    """What this thread prints, as a user's model may, is on stderr: stdout is the program's own.

    What C writes to descriptor 1 too, where no other thread is there to write.
    """
    before = sys.stdout
    if before is not None and threading.active_count() == 1:
        with results.alone():
            yield
        return
    if before is None:
        yield
        return
    sys.stdout = _Aside(before)
    try:
        yield
    finally:
        sys.stdout = before


class _Aside:
    """A stdout that sends to stderr what the thread that made it writes; all else goes on to the one that was there."""

    def __init__(self, other: Any) -> None:
        self.thread, self.other = threading.get_ident(), other

    def write(self, text: str) -> int:
        own = threading.get_ident() == self.thread and sys.stderr is not None
        written: int = (sys.stderr if own else self.other).write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.other, name)


class _Silence(io.TextIOBase):
    """A stderr that drops what the thread that made it writes; all else goes on to the one that was there."""

    def __init__(self, other: Any) -> None:
        self.thread, self.other = threading.get_ident(), other

    def write(self, text: str) -> int:
        if self.other is not None and threading.get_ident() != self.thread:
            self.other.write(text)
        return len(text)

    def flush(self) -> None:
        if self.other is not None and threading.get_ident() != self.thread:
            self.other.flush()

    def fileno(self) -> int:
        return self.other.fileno() if self.other is not None else super().fileno()

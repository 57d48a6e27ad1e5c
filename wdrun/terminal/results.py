"""stdout for results alone: what a user's model or decay prints meanwhile, from Python or from C, goes to stderr."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

_kept: TextIO | None = None  # where results go while the user's code has stderr for its stdout

_dropping = threading.local()


def stream() -> TextIO:
    """Where results are printed: the stdout that the command was given."""
    return _kept or sys.stdout


@contextmanager
def alone() -> Iterator[None]:
    """Inside, only what is printed to `stream()` is on stdout; prints, and writes to descriptor 1, are on stderr.

    Processes that are started inside have stderr for their stdout.
    """
    global _kept
    if _kept is not None:
        yield
        return
    with _descriptor(sys.stdout) as out, redirect_stdout(Stderr()):
        _kept = out
        try:
            yield
        finally:
            _kept = None


@contextmanager
def redirected(to: Any) -> Iterator[None]:
    """Inside, results go to this stream."""
    global _kept
    if _kept is None:
        with redirect_stdout(to):
            yield
        return
    before, _kept = _kept, to
    try:
        yield
    finally:
        _kept = before


@contextmanager
def dropped() -> Iterator[None]:
    """Inside, what this thread prints is dropped; what others print, or C, goes where it went."""
    before, _dropping.depth = sys.stdout, getattr(_dropping, "depth", 0) + 1
    if before is not None:
        sys.stdout = Sieve(before)
    try:
        yield
    finally:
        sys.stdout = before
        _dropping.depth -= 1


class Sieve:
    """The stream, without what is written by a thread that is `dropped`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if getattr(_dropping, "depth", 0):
            return len(text)
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Stderr:
    """A stream that is whatever sys.stderr is at the moment."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def _descriptor(out: TextIO) -> Iterator[TextIO]:
    """The stream on a descriptor of its own while 1 is stderr's; itself where it is not on 1, as in a notebook."""
    try:
        err = sys.stderr.fileno()
        if out.fileno() != 1:
            err = -1
    except (OSError, ValueError, AttributeError):
        err = -1
    if err < 0:
        yield out
        return
    out.flush()
    with open(os.dup(1), "w", encoding=out.encoding, errors=out.errors, buffering=1) as moved:
        os.dup2(err, 1)
        try:
            yield moved
        finally:
            import ctypes

            with suppress(OSError, AttributeError):  # what C's printf still holds would come out later, on stdout
                ctypes.CDLL(None).fflush(None)
            os.dup2(moved.fileno(), 1)

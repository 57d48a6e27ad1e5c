"""SIGINT, SIGTERM and SIGHUP: the current step ends, what was finished is on disk, the process leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

# A closed terminal or a lost connection sends SIGHUP: the run is saved as for the others, and resumed by the same
# command. Where it is ignored (nohup) it stays ignored.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(BaseException):
    """A signal arrived; what was finished is on disk. It is no failure: no `except Exception` holds it up."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum
        self.exit_code = 128 + signum  # as a shell has it of a process that the signal ended


class Stop:
    """Remembers the first signal and lets the current step end; the second one ends the process at once."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        elif signal.Signals(signum).name != "SIGHUP":  # a closed terminal sends several: its shell's and its own
            os._exit(128 + signum)

    def check(self) -> None:
        if self.signum is not None:
            raise Interrupted(self.signum)

    def installed(self) -> AbstractContextManager[None]:
        """Handle the SIGNALS inside."""
        return handled(self.handle)


@contextmanager
def handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call `handle` on the SIGNALS inside; on none where they cannot be handled (not the main thread)."""
    before = {}
    try:
        for signum in SIGNALS:
            old = signal.getsignal(signum)
            ignored = old == signal.SIG_IGN and signum not in (signal.SIGINT, signal.SIGTERM)
            if old is not None and not ignored:  # None: a handler that is not Python's, which could not be put back
                before[signum] = signal.signal(signum, handle)
    except ValueError:
        pass
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)

"""SIGINT, SIGTERM and SIGHUP: the current step ends, what was finished is on disk, the process leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the SIGNALS inside; where signals cannot be handled (not the main thread), do nothing."""
        before = {}
        try:
            for signum in SIGNALS:
                if signum not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(signum) == signal.SIG_IGN:
                    continue
                before[signum] = signal.signal(signum, self.handle)
        except ValueError:
            pass
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

"""Whether other processes take the cores of the runs that train here: told once, as there is something to do then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 10.0  # of training, at least, between one look and the next
MOST = 0.5  # of them may be lost
THREADS = Path("/proc/self/task")


def seconds_queued(threads: Path = THREADS) -> float | None:
    """Seconds that this process's threads stood ready to compute without a core, all together; None if not known."""
    total = 0.0
    for file in threads.glob("*/schedstat"):  # nanoseconds computed, nanoseconds ready, time slices
        try:
            total += int(file.read_text(encoding="ascii").split()[1]) / 1e9
        except (FileNotFoundError, ProcessLookupError):  # that thread has ended
            continue
        except (OSError, ValueError, IndexError):
            return None
    return total if threads.is_dir() else None


class Contention:
    """Looks every LOOK_SECONDS at what the thread that trains had of its cores, run after run.

    Lost are the seconds in which it did not compute, as far as threads of this process stood ready then and had no
    core: neither a disk, nor a GPU, nor a user's code that sleeps counts. Where the system does not say how long they
    stood so (other than Linux), nothing is told.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.thread_time,
        queued: Callable[[], float | None] = seconds_queued,
    ) -> None:
        self.now, self.computed, self.queued = now, computed, queued
        self.quiet = False
        self.since: float | None = None

    def _begin(self) -> None:
        self.since, self.was = self.now(), (self.computed(), self.queued())

    def look(self, threads: int) -> str | None:
        """What to tell after a step of a run with so many threads, mostly nothing; costs a clock reading as a rule."""
        if self.quiet:
            return None
        if self.since is None:
            self._begin()
            return None
        if (passed := self.now() - self.since) < LOOK_SECONDS:
            return None
        computed, queued = self.was
        self._begin()
        if queued is None or self.was[1] is None:
            self.quiet = True
            return None
        lost = min(passed - (self.was[0] - computed), self.was[1] - queued)
        if lost <= MOST * passed:
            return None
        self.quiet = True
        remedy = "stop them, or wait until they end"
        if threads > 1:
            remedy += "; runs that share the cores lose least with threads=1 each"
        return f"other processes use the cores: training lost {lost:.0f} of the last {passed:.0f} s to them; {remedy}"


here = Contention()  # this process's

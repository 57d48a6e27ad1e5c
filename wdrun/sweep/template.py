"""The process that every worker of a command is a copy of: it loads torch while the command itself prepares."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

from wdrun import cores
from wdrun.config.run import Job, SweepOptions
from wdrun.sweep.signals import SIGNALS

SAFE = "PYTHONSAFEPATH"  # set, a module of the folder one is in does not stand in for one that is imported
_server: Any = forkserver._forkserver
_begun = False


def context(*, fresh: bool = False) -> ForkServerContext | SpawnContext:
    """How a worker starts: as a copy of the process where there is one and it need not be `fresh`, else as an
    interpreter of its own."""
    copied = _begun and not fresh
    return multiprocessing.get_context("forkserver") if copied else multiprocessing.get_context("spawn")


def _origin() -> int | None:
    """The process id of what workers are copied from, where there is one."""
    pid: int | None = _server._forkserver_pid
    return pid


def suits(jobs: Sequence[Job], options: SweepOptions) -> bool:
    """Whether these jobs are for several workers whose threads are not bound; others are told so as they load torch."""
    threads = {job.run.threads for job in jobs}
    processes = min(cores.processes(options.parallel, threads), len(jobs))
    return processes > 1 and options.fuse is not True and not cores.shared(threads, processes, 0).places


@contextmanager
def begun(wanted: bool) -> Iterator[None]:
    """For as long as this lasts there is such a process, where it is `wanted` and the system copies well.

    It has the streams of now, so this is for one command: a Python session may give its own others. A program that
    has forked copies of a process of its own keeps that.
    """
    global _begun
    if not wanted or sys.platform != "linux" or _origin():
        yield
        return
    multiprocessing.set_forkserver_preload(["wdrun.sweep.serving"])
    before = os.environ.get(SAFE)
    resource_tracker.ensure_running()  # it unblocks the signals that are blocked next
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # its copies are to be deaf as it is
    try:
        os.environ[SAFE] = "1"
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        os.environ.pop(SAFE) if before is None else os.environ.update({SAFE: before})
    _begun = True
    try:
        yield
    finally:
        _begun = False
        if origin := _origin():
            with suppress(ProcessLookupError):
                os.kill(origin, signal.SIGKILL)  # its copies are gone; it may be loading torch still
        _server._stop()

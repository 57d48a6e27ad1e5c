"""The process that every worker of a command is a copy of: it loads torch while the command itself prepares."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext

from wdrun.sweep.signals import SIGNALS

SAFE = "PYTHONSAFEPATH"  # set, a module of the folder one is in does not stand in for one that is imported
_begun = False


def context() -> ForkServerContext | SpawnContext:
    """How a worker starts: as a copy of the process where there is one, else as a fresh interpreter."""
    return multiprocessing.get_context("forkserver") if _begun else multiprocessing.get_context("spawn")


def copies() -> bool:
    """Whether a worker that starts now is such a copy."""
    return _begun


@contextmanager
def begun(wanted: bool) -> Iterator[None]:
    """For as long as this lasts there is such a process, where it is `wanted` and the system copies well.

    It has the streams of now, so this is for one command: a Python session may give its own others.
    """
    global _begun
    if not wanted or _begun or sys.platform != "linux":
        yield
        return
    multiprocessing.set_forkserver_preload(["wdrun.sweep.workers"])
    before = os.environ.get(SAFE)
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
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # it would outlive the command's last line

"""A sweep's jobs trained to their ends: in turn in this process, or side by side in N worker processes.

A worker lives as long as jobs come; it loads data once, and libraries unless it is a copy of a process that has
(`template.py`). It is given one job at a time over a pipe and answers with what its run tells and how it ended
(`serving.py`). A worker that dies costs its job alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from wdrun import cores
from wdrun.config.run import Job, Run
from wdrun.errors import BusyError, WdrunError
from wdrun.storage import hold, unlocked
from wdrun.sweep import template
from wdrun.sweep.one_run import Rows, failed, finished, ready, settle
from wdrun.sweep.outcome import Numbered, Outcome
from wdrun.sweep.serving import TELL_SECONDS, serve
from wdrun.sweep.signals import SIGNALS, Stop
from wdrun.sweep.source import Take
from wdrun.terminal.progress import Watch
from wdrun.training.trainer import Trainer

LEAVE_SECONDS = 30.0  # what a worker that should leave may still take before it is killed


def in_turn(
    take: Take,
    jobs: Sequence[Job],
    watches: Mapping[int, Watch],
    stop: Stop,
    prepare: Callable[[Run], Trainer] = ready,
    before: Rows | None = None,
) -> Generator[Numbered, None, None]:
    """The jobs one after another in this process, as `take` gives them; `prepare` and `before` are for `settle`."""
    while numbers := take(1):
        for number in numbers:
            yield number, settle(jobs[number], stop, watches[number], prepare, before)


def side_by_side(
    take: Take,
    jobs: Sequence[Job],
    watches: Mapping[int, Watch],
    enough: Callable[[], bool],
    beat: Callable[[], None],
    processes: int,
    before: Rows | None = None,
) -> Generator[Numbered, None, None]:
    """The jobs in so many processes, which share the threads; each as a worker is free, in the order in which they end.

    It is over when nothing trains and `take` has nothing to begin. Once `enough()`, those that train are interrupted
    and saved. `beat` is called several times a second. The error that a single run would raise is raised here, after
    the other runs were saved. `before` as for `settle`.
    """
    workers: list[_Worker] = []
    try:
        while True:
            if enough():
                for worker in workers:
                    worker.interrupt()
            if idle := processes - sum(w.number is not None for w in workers):
                for new in take(idle):
                    _free(workers, processes, jobs).give(new, jobs[new], before)
            if all(w.number is None for w in workers):
                return
            beat()
            for worker in _heard(workers):
                number, gone = worker.number, worker.gone()  # in this order: what it sent before it died is read
                for kind, content in worker.received():
                    if kind == "tell" and number is not None:
                        name, *arguments = content
                        getattr(watches[number], name)(*arguments)
                    elif kind == "raise":
                        raise content
                    elif kind == "end" and number is not None:
                        worker.number = None
                        content.job = jobs[number]  # ours: thousands of copies would not share their options
                        yield number, content
                if gone:
                    workers.remove(worker)
                    if worker.number is not None:
                        yield worker.number, _lost(jobs[worker.number], worker.exitcode(), before)
    finally:
        _dismiss(workers)


def _lost(job: Job, code: int, before: Rows | None = None) -> Outcome:
    """The outcome of a job whose worker died, unless another process has taken it over since."""
    if code >= 0:
        cause = f"worker exited with {code}"
        why = "The code of the run, its model or its decay, ended the process (os._exit)."
    else:
        cause = f"worker ended by signal {-code}"
        why = f"{signal.Signals(-code).name}. The system sends 9 when memory runs out: fewer processes need less."
    try:
        with hold(job.directory):
            return finished(job, before) or failed(job, cause, f"{cause}\n{why}\n", WdrunError(cause))
    except BusyError as error:
        return Outcome.busy(job, error)


class _Worker:
    """The parent's end of a worker process; `number` is the job it trains, None when it is free.

    `seat`, below the number of workers, is the share of the cores that it has.
    """

    def __init__(self, share: int, seat: int, placement: cores.Placement) -> None:
        self.seat = seat
        context = template.context(fresh=bool(placement.places))  # in a copy OpenMP was told before, and binds nothing
        resource_tracker.ensure_running()  # it unblocks the signals that are blocked next
        self.pipe, theirs = context.Pipe()
        self.number: int | None = None
        self.told = False
        given = theirs, share, seat, unlocked, dict(os.environ), placement
        self.process: BaseProcess = context.Process(target=serve, args=given, daemon=True)
        # Ctrl-C goes to every process of the terminal, as its closing does. A worker is born deaf to both: the parent
        # hears them and decides.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with _without_main(), cores.handed(placement):
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        theirs.close()

    def give(self, number: int, job: Job, before: Rows | None) -> None:
        self.number = number
        own = before and {directory: before[directory] for directory in (job.directory,) if directory in before}
        with suppress(OSError):  # a worker that died meanwhile is found dead by its sentinel
            self.pipe.send((job, own))

    def interrupt(self) -> None:
        """Let a training worker end its step, save and answer; a second time says nothing new."""
        if self.number is not None and not self.told and self.process.is_alive():
            self.told = True
            with suppress(OSError):
                self.pipe.send("interrupt")

    def received(self) -> Iterator[tuple[str, Any]]:
        """What it sent so far."""
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                yield self.pipe.recv()

    def gone(self) -> bool:
        return not self.process.is_alive()

    def exitcode(self) -> int:
        self.process.join()
        return self.process.exitcode or 0


@contextmanager
def _without_main() -> Iterator[None]:
    """A spawned process runs the script that spawned it up to its guard, and all of one that has none: ours needs none
    of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _free(workers: list[_Worker], share: int, jobs: Sequence[Job]) -> _Worker:
    """A worker without a job, where there is none a new one on cores that no other has; its jobs are among these."""
    found = next((w for w in workers if w.number is None and not w.gone()), None)
    if found is None:
        seats = {worker.seat for worker in workers if not worker.gone()}
        seat = next(number for number in range(share) if number not in seats)
        found = _Worker(share, seat, cores.shared({job.run.threads for job in jobs}, share, seat))
        workers.append(found)
    return found


def _heard(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those that sent something or died, after at most TELL_SECONDS."""
    ready = wait([x for w in workers for x in (w.pipe, w.process.sentinel)], TELL_SECONDS)
    return [w for w in workers if w.pipe in ready or w.process.sentinel in ready]


def _dismiss(workers: Sequence[_Worker]) -> None:
    """Let every worker leave, its run saved; kill those that do not."""
    for worker in workers:
        worker.interrupt()
        with suppress(OSError):
            worker.pipe.send(None)
    until = time.monotonic() + LEAVE_SECONDS
    for worker in workers:
        while worker.process.is_alive() and time.monotonic() < until:
            for _ in worker.received():  # a full pipe would keep it from leaving
                pass
            worker.process.join(TELL_SECONDS)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

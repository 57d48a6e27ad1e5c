"""execute(jobs): check all, then train each run, resume or skip it, in turn or side by side; write every table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wdrun import devices
from wdrun.config.run import Job
from wdrun.errors import BusyError, ConfigError
from wdrun.storage import hold, write_atomically
from wdrun.sweep import groups, loggers, workers
from wdrun.sweep.one_run import Ending, finished, ready, settle, with_lambda
from wdrun.sweep.signals import Stop
from wdrun.tables import aggregate
from wdrun.tables.columns import FACTORS, typed_row
from wdrun.tables.write import render
from wdrun.terminal.board import Board
from wdrun.terminal.progress import Bar, say
from wdrun.training.trainer import Trainer

RESULT = (
    *(column.name for column in FACTORS),
    *("status", "cause", "epochs_done", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
    *("best_epoch", "best_val_accuracy", "test_loss", "test_accuracy", "total_decay", "timescale"),
)
PLAN = "plan.csv"  # the runs of the last sweep into a folder: what is not there yet is waiting
REFRESH_SECONDS = 30.0  # the aggregated tables are at most this old when a sweep is killed, or …
REFRESH_SHARE = 50.0  # … so many times as old as writing them takes: a 50th of the time goes there at most


@dataclass
class Outcome:
    """How one job of a sweep ended. `row` is its row of runs.csv, as text where it was read back."""

    job: Job
    directory: Path
    status: str = "waiting"
    row: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    skipped: bool = False

    def result(self) -> dict[str, Any]:
        """The line on stdout."""
        return typed_row({key: self.row.get(key) for key in RESULT}) | {"dir": str(self.directory)}

    def take(self, ending: Ending) -> None:
        self.status, self.row, self.error, self.skipped = ending.status, ending.row, ending.error, ending.skipped

    @property
    def bad(self) -> bool:
        """Whether fail_fast ends the sweep here."""
        return self.status == "failed" or (self.status == "diverged" and not self.job.options.allow_diverged)


def execute(
    jobs: Sequence[Job],
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    *,
    more: bool = False,
    part: bool = False,
) -> list[Outcome]:
    """Train the jobs; an outcome each, in order, equal runs once. `on_end` sees each as it ends.

    Everything that can be known to be wrong raises before anything is created. A run that fails or diverges is an
    outcome and does not stop the others, unless the first job's `fail_fast` says so. Interrupted is raised after the
    tables are written. `more`: another sweep follows, so what to do next need not be said. `part`: of a larger sweep,
    whose plan stands already.
    """
    outcomes = [Outcome(job, job.directory) for job in distinct(list(map(with_lambda, jobs)))]
    if len(outcomes) < len(jobs):
        say(f"{len(jobs)} jobs are {len(outcomes)} distinct runs (decay=none is the same run for every λ)")
    processes, fuse = _ways([outcome.job for outcome in outcomes])
    stop = Stop()
    with stop.installed():
        if len(outcomes) == 1:
            _alone(outcomes[0], stop, on_end, fuse)
        else:
            _together(outcomes, stop, on_end, processes, fuse=fuse, more=more, part=part)
        stop.check()
    return outcomes


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, of equal runs the first."""
    found: dict[Path, Job] = {}
    for job in jobs:
        found.setdefault(job.directory, job)
    return list(found.values())


def check(jobs: Sequence[Job]) -> Iterator[Trainer]:
    """Load the data and build one trainer a structure and fold: what is wrong is known before anything exists."""
    for name in {job.options.logger for job in jobs}:
        loggers.check(name)
    for run in {(job.run.structure, job.run.fold): job.run for job in jobs}.values():
        yield ready(run)


def _ways(jobs: Sequence[Job]) -> tuple[int, bool]:
    """Check the jobs; how many processes are to train them, and whether alike runs train as one computation.

    The threads are divided into as many parts. Both follow from the whole sweep, not from what is left of it: a run
    resumed has the threads it began with.
    """
    options = jobs[0].options
    convolves, on_gpu, each = False, False, 1
    for trainer in check(jobs):
        convolves |= any(p.ndim > 2 for p in trainer.model.parameters())
        on_gpu |= trainer.machine.device.type != "cpu"
        each = max(each, 1 if trainer.run.threads == "auto" else trainer.machine.threads)
    fuse = options.fuse is True or (options.fuse == "auto" and on_gpu)
    if fuse and options.parallel not in (1, "auto"):
        raise ConfigError(
            f"parallel={options.parallel}: runs that train as one computation do so in one process; "
            "use parallel=1, or fuse=false"
        )
    if fuse:
        return 1, True
    if options.parallel == "auto":
        # Measured on a CPU: two processes of one thread give 1.55 times the throughput of two threads for an MLP, 1.05
        # for a CNN, whose large products keep the threads of one process busy.
        cores = devices.resolve("cpu", "fp32", "auto").threads
        return (1 if convolves or on_gpu else min(max(1, cores // each), len(jobs))), False
    processes = min(int(options.parallel), len(jobs))
    if processes > 1 and on_gpu:
        raise ConfigError(
            f"parallel={options.parallel}: processes that share a GPU take turns on it; use parallel=1, or device=cpu"
        )
    return processes, False


def _alone(outcome: Outcome, stop: Stop, on_end: Callable[[Outcome], None], fuse: bool) -> None:
    """One run, with all it has to say; fused, it is a group of one: its step is recorded once and replayed."""
    try:
        if ending := finished(outcome.directory):
            outcome.take(ending)
        elif fuse:
            for _, ended in groups.in_groups([outcome.job], [Bar()], stop, lambda: stop.signum is not None):
                outcome.take(ended)
        else:
            outcome.take(settle(outcome.job, stop, Bar()))
        cause = outcome.row.get("cause")
        if outcome.skipped:
            say(f"already {outcome.status}: {outcome.directory}")
        elif outcome.status == "busy":
            say(f"busy: {cause}")
        elif outcome.status == "failed":
            say(f"failed: {cause}; traceback in {outcome.directory / 'error.log'}")
        if outcome.status != "interrupted":
            on_end(outcome)
    finally:
        if outcome.status != "waiting":
            aggregate.write(outcome.directory.parent, say)


def _together(
    outcomes: Sequence[Outcome],
    stop: Stop,
    on_end: Callable[[Outcome], None],
    processes: int,
    *,
    fuse: bool,
    more: bool,
    part: bool,
) -> None:
    """Several runs on one board."""
    options = outcomes[0].job.options
    tables = Tables(sorted({o.directory.parent for o in outcomes}))
    if not part:
        tables.plan([o.job for o in outcomes])
    board = Board(len(outcomes), options.objective, tables.refresh)
    failed_fast = False

    def over() -> bool:
        return stop.signum is not None or failed_fast

    def end(outcome: Outcome, ending: Ending) -> None:
        nonlocal failed_fast
        outcome.take(ending)
        failed_fast |= options.fail_fast and outcome.bad
        row = typed_row(ending.row) | {"status": ending.status}
        board.ended(outcome.directory.name, row, log=outcome.directory / "error.log", skipped=ending.skipped)
        if ending.status != "interrupted":
            on_end(outcome)
        board.refresh()

    try:
        left = []
        for outcome in outcomes:
            if ending := finished(outcome.directory):
                end(outcome, ending)
            else:
                left.append(outcome)
        jobs = [o.job for o in left]
        watches = [board.view(o.directory.name, o.job.run.epochs) for o in left]
        if fuse:
            endings = groups.in_groups(jobs, watches, stop, over)
        elif processes > 1:
            endings = workers.side_by_side(jobs, watches, over, board.refresh, processes)
        else:
            endings = workers.in_turn(jobs, watches, stop, over)
        with board, closing(endings):
            for number, ending in endings:
                end(left[number], ending)
    finally:
        tables.write(say)
        for line in board.closing(tables.roots, next_commands=not more):
            say(line)
        if failed_fast:
            say("stopped  fail_fast=true: the first failed or diverged run ended the sweep")


class Tables:
    """The tables of the folders `roots`, written again while a sweep goes on, seldom enough to be cheap."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self.due = time.monotonic() + REFRESH_SECONDS

    def plan(self, jobs: Sequence[Job]) -> None:
        """Note the runs that belong to this sweep, for `wdrun status`."""
        for root in self.roots:
            rows = [
                {"dir": job.directory.name, "epochs": job.run.epochs, "overrides": " ".join(job.overrides)}
                for job in sorted(jobs, key=lambda job: job.directory)
                if job.directory.parent == root
            ]
            with hold(root, wait=True):
                write_atomically(root / PLAN, render(["dir", "epochs", "overrides"], rows))

    def refresh(self) -> None:
        """Write them if it is time."""
        if time.monotonic() >= self.due:
            self.write()

    def write(self, tell: Callable[[str], None] = lambda problem: None) -> None:
        began = time.monotonic()
        for root in self.roots:
            aggregate.write(root, tell)
        took = time.monotonic() - began
        self.due = time.monotonic() + max(REFRESH_SECONDS, REFRESH_SHARE * took)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 when a run failed; else 4 for a busy, 3 for an unallowed diverged one, 6 for a requirement missed; else 0."""
    if any(o.status == "failed" for o in outcomes):
        return 1
    if any(o.status == "busy" for o in outcomes):
        return BusyError.exit_code
    if any(o.status == "diverged" and not o.job.options.allow_diverged for o in outcomes):
        return 3
    missed = [line for o in outcomes if o.status == "done" for line in _missed(o)]
    for line in missed:
        say(f"require: {line}")
    return 6 if missed else 0


def _missed(outcome: Outcome) -> list[str]:
    """A sentence for each `require.*` threshold the run stayed below; a regression, without accuracy, misses all."""
    asked = {key: least for key, least in outcome.job.options.require.items() if least is not None}
    reached = {key: value for key, value in outcome.result().items() if key in asked}
    return [
        f"{key} {'(a regression has none)' if reached[key] is None else format(reached[key], '.4f')} "
        f"is below {least:g} in {outcome.directory.name}"
        for key, least in asked.items()
        if reached[key] is None or reached[key] < least
    ]

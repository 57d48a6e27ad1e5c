"""execute(jobs): check all, then train each run, resume or skip it, in turn or side by side; write every table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing

from wdrun import explain
from wdrun.config.run import Job, SweepOptions
from wdrun.sweep import groups, workers
from wdrun.sweep.one_run import Trainers, finished, other_data, settle, with_lambda
from wdrun.sweep.outcome import Outcome, tell_missed
from wdrun.sweep.preparation import distinct, ways, why_equal
from wdrun.sweep.signals import Stop
from wdrun.tables import aggregate, plan
from wdrun.tables.columns import typed_row
from wdrun.terminal.board import Board
from wdrun.terminal.progress import Bar, say
from wdrun.terminal.screen import folded
from wdrun.wording import listed

Ended = Callable[[Outcome], None]


def execute(
    jobs: Sequence[Job],
    options: SweepOptions | None = None,
    on_end: Ended = lambda outcome: None,
    *,
    more: bool = False,
    part: bool = False,
) -> list[Outcome]:
    """Train the jobs; an outcome each, in order, equal runs once. `on_end` sees each as it ends.

    Everything that can be known to be wrong raises before anything is created. A run that fails or diverges is an
    outcome and does not stop the others, unless `options.fail_fast` says so. Interrupted is raised after the tables
    are written and the missed `require.*` thresholds told. `more`: another sweep follows, so what to do next need not
    be said. `part`: of a larger sweep, whose plan stands already.
    """
    options = options or SweepOptions()
    trainers = Trainers()
    jobs = [with_lambda(job, trainers) for job in jobs]
    left = distinct(jobs)
    if len(left) < len(jobs):
        say(f"{len(jobs)} jobs are {len(left)} distinct runs ({listed(why_equal(jobs), 3)})")
    processes, fuse = ways(left, options, trainers.check)
    stop = Stop()
    with stop.installed():
        if len(left) == 1:
            outcomes = [_alone(left[0], stop, on_end, trainers, fuse=fuse)]
        else:
            sweep = _Sweep(left, options, on_end, stop)
            if not part:
                plan.write(left)
            outcomes = sweep.train(trainers, processes, fuse=fuse, more=more)
        stop.check()
    return outcomes


def _alone(job: Job, stop: Stop, on_end: Ended, trainers: Trainers, *, fuse: bool) -> Outcome:
    """One run, with all it has to say; fused, it is a group of one: its step is recorded once and replayed."""
    if not (outcome := finished(job)):
        if fuse:
            endings = groups.in_groups([job], [Bar()], stop, lambda: stop.signum is not None, trainers)
            outcome = dict(endings).get(0, Outcome(job))
        else:
            outcome = settle(job, stop, Bar(), prepare=trainers.take)
    if outcome.status == "waiting":
        return outcome
    try:
        cause = outcome.row.get("cause")
        if outcome.skipped:
            say("\n".join([f"already {outcome.status}: {outcome.directory}", *other_data([outcome])]))
            if outcome.status == "done" and sys.stdout.isatty():  # where no line of JSON says it
                say("\n".join(folded(explain.scores(outcome.result()), sys.stderr)))
        elif outcome.status == "busy":
            say(f"busy: {cause}")
        elif outcome.status == "failed":
            say(f"failed: {cause}; traceback in {outcome.directory / 'error.log'}")
        if outcome.status != "interrupted":
            on_end(outcome)
    finally:
        aggregate.write(outcome.directory.parent, say)
        tell_missed([outcome])
    return outcome


class _Sweep:
    """Several runs on one board, their tables kept fresh."""

    def __init__(self, jobs: Sequence[Job], options: SweepOptions, on_end: Ended, stop: Stop) -> None:
        self.options, self.on_end, self.stop = options, on_end, stop
        self.outcomes = [Outcome(job) for job in jobs]
        self.tables = aggregate.Fresh(sorted({o.directory.parent for o in self.outcomes}))
        self.board = Board(len(jobs), options.objective, self.tables.refresh)
        self.failed_fast = False

    def over(self) -> bool:
        """Whether no other run is to start."""
        return self.stop.signum is not None or self.failed_fast

    def end(self, number: int, outcome: Outcome) -> None:
        """Take note of a job's end."""
        self.outcomes[number] = outcome
        self.failed_fast |= self.options.fail_fast and outcome.bad
        row = typed_row(outcome.row) | {"status": outcome.status}
        log = outcome.directory / "error.log"
        self.board.ended(outcome.directory.name, row, log=log, skipped=outcome.skipped)
        if outcome.status != "interrupted":
            self.on_end(outcome)
        self.board.refresh()

    def train(self, trainers: Trainers, processes: int, *, fuse: bool, more: bool) -> list[Outcome]:
        """Train what is not finished, as `ways` found; the outcomes."""
        try:
            left = []
            for number, waiting in enumerate(self.outcomes):
                if ended := finished(waiting.job):
                    self.end(number, ended)
                else:
                    left.append(number)
            for line in other_data(self.outcomes):
                say(line)
            jobs = [self.outcomes[number].job for number in left]
            watches = [self.board.view(job.directory.name, job.run.epochs) for job in jobs]
            if fuse:
                endings = groups.in_groups(jobs, watches, self.stop, self.over, trainers)
            elif processes > 1:
                trainers.give_up()  # the workers build theirs
                endings = workers.side_by_side(jobs, watches, self.over, self.board.refresh, processes)
            else:
                endings = workers.in_turn(jobs, watches, self.stop, self.over, trainers.take)
            with self.board, closing(endings):
                for place, outcome in endings:
                    self.end(left[place], outcome)
        finally:
            self.tables.write(say)
            for line in self.board.closing(self.tables.roots, next_commands=not more):
                say(line)
            if self.failed_fast:
                say("stopped  fail_fast=true: the first failed or diverged run ended the sweep")
            tell_missed(self.outcomes)
        return self.outcomes

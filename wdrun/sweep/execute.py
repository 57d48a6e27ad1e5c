"""execute(jobs): check all, then train each run, resume or skip it, in turn or side by side; write every table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from wdrun.config.run import Job, SweepOptions
from wdrun.explain import scores
from wdrun.sweep import groups, on_change, sharing, workers
from wdrun.sweep.one_run import Trainers, finished, other_data, rows_of, settle, with_lambda
from wdrun.sweep.outcome import Numbered, Outcome, tell_missed
from wdrun.sweep.preparation import distinct, ways, why_equal
from wdrun.sweep.signals import Stop
from wdrun.tables import aggregate, ownership, plan
from wdrun.tables.columns import typed_row
from wdrun.terminal import results
from wdrun.terminal.board import Board
from wdrun.terminal.progress import Bar, say
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
    be said. `part`: of a larger sweep, whose plan stands already: even a single run is then waited for where another
    process trains it, as those of a sweep are.
    """
    options = options or SweepOptions()
    trainers = Trainers()
    jobs = [with_lambda(job, trainers) for job in jobs]
    left = distinct(jobs)
    if len(left) < len(jobs):
        say(f"{len(jobs)} jobs are {len(left)} distinct runs ({listed(why_equal(jobs), 3)})")
    ownership.check(job.directory.parent for job in left)
    processes, fuse = ways(left, options, trainers.check)
    on_change.decide(left)
    stop = Stop()
    with stop.installed():
        if len(left) == 1:
            outcomes = [_alone(left[0], stop, on_end, trainers, fuse=fuse, part=part)]
        else:
            sweep = _Sweep(left, options, on_end, stop)
            if not part:
                plan.write(left)
            outcomes = sweep.train(trainers, processes, fuse=fuse, more=more)
        stop.check()
    return outcomes


def _alone(job: Job, stop: Stop, on_end: Ended, trainers: Trainers, *, fuse: bool, part: bool) -> Outcome:
    """One run, with all it has to say; fused, it is a group of one: its step is recorded once and replayed."""

    def over() -> bool:
        return stop.signum is not None

    before = rows_of([job]) if part else None
    outcome = finished(job) or Outcome(job)
    while outcome.status == "waiting":
        if fuse:
            endings = groups.in_groups([job], [Bar()], stop, over, trainers, before)
            outcome = dict(endings).get(0, Outcome(job))
        else:
            outcome = settle(job, stop, Bar(), trainers.take, before)
        if not part or not sharing.in_use(outcome):
            break
        outcome = Outcome(job)
        if not sharing.wait([job.directory], over):
            break
    if outcome.status == "waiting":
        return outcome
    try:
        cause = outcome.row.get("cause")
        if outcome.skipped:
            say("\n".join([f"already {outcome.status}: {outcome.directory}", *other_data([outcome])]))
            if outcome.status == "done" and results.stream().isatty():  # where no line of JSON says it
                say(scores(outcome.result()))
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
        self.told: set[Path] = set()  # folders of runs that it said it waits for

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

    def _take(
        self, numbers: Sequence[int], start: Callable[[Sequence[int]], Generator[Numbered, None, None]]
    ) -> set[int]:
        """Train those that no other process trains; the numbers of the others."""
        busy = set()
        if numbers and not self.over():
            with closing(start(numbers)) as endings:
                for place, outcome in endings:
                    if sharing.in_use(outcome):
                        busy.add(numbers[place])
                    else:
                        self.end(numbers[place], outcome)
        return busy

    def _awaited(self, busy: Iterable[int]) -> set[int]:
        """Those that no process holds any more, once there is one; none where the sweep is over before."""
        numbers = {self.outcomes[number].directory: number for number in busy}
        beat = self.board.refresh if self.board.live else self.tables.refresh
        return {numbers[free] for free in sharing.wait(list(numbers), self.over, beat, self.board.say, self.told)}

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
            before = rows_of(self.outcomes[number].job for number in left)
            watches = {
                n: self.board.view(self.outcomes[n].directory.name, self.outcomes[n].job.run.epochs) for n in left
            }

            def start(numbers: Sequence[int]) -> Generator[Numbered, None, None]:
                jobs, views = [self.outcomes[n].job for n in numbers], [watches[n] for n in numbers]
                if fuse:
                    return groups.in_groups(jobs, views, self.stop, self.over, trainers, before)
                if processes > 1:
                    trainers.give_up()  # the workers build theirs
                    return workers.side_by_side(jobs, views, self.over, self.board.refresh, processes, before)
                return workers.in_turn(jobs, views, self.stop, self.over, trainers.take, before)

            with self.board:
                busy = self._take(left, start)
                while busy and (free := self._awaited(busy)):
                    busy -= free
                    left = []
                    for number in sorted(free):
                        if ended := finished(self.outcomes[number].job, before):
                            self.end(number, ended)
                        else:  # whoever trained it was interrupted or died
                            left.append(number)
                    busy |= self._take(left, start)
        finally:
            self.tables.write(say)
            for line in self.board.closing(self.tables.roots, next_commands=not more):
                say(line)
            if self.failed_fast:
                say("stopped  fail_fast=true: the first failed or diverged run ended the sweep")
            tell_missed(self.outcomes)
        return self.outcomes

"""execute(jobs): check all, then train each run, resume or skip it, in turn or side by side; write every table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from wdrun.config.run import Job, SweepOptions
from wdrun.storage import held
from wdrun.sweep import extension, groups, on_change, sharing, workers
from wdrun.sweep.one_run import Rows, Trainers, finished, other_data, rows_of, settle, with_lambda
from wdrun.sweep.outcome import FAILED_FAST, Numbered, Outcome, tell_missed
from wdrun.sweep.preparation import distinct, ways, why_equal
from wdrun.sweep.result import scores
from wdrun.sweep.signals import Stop
from wdrun.sweep.source import Source, Take
from wdrun.tables import aggregate, ownership, plan
from wdrun.tables.columns import typed_row
from wdrun.terminal import results
from wdrun.terminal.board import Board, View
from wdrun.terminal.progress import Bar, say
from wdrun.wording import listed

Ended = Callable[[Outcome], None]


def execute(
    jobs: Sequence[Job],
    options: SweepOptions | None = None,
    on_end: Ended = lambda outcome: None,
    *,
    part: bool = False,
    source: Source | None = None,
) -> list[Outcome]:
    """Train the jobs and those that `source` gives; an outcome each, in order, equal runs once. `on_end` sees each as
    it ends, before the source is asked again.

    Everything that can be known to be wrong raises before anything is created. A run that fails or diverges is an
    outcome and does not stop the others, unless `options.fail_fast` says so. Interrupted is raised after the tables
    are written and the missed `require.*` thresholds told. `part`: of a larger sweep, whose plan stands already: even a
    single run is then waited for where another process trains it, as those of a sweep are. With a source no plan is
    written: what it will ask for is not known.
    """
    options = options or SweepOptions()
    trainers = Trainers()
    jobs = [with_lambda(job, trainers) for job in jobs]
    left = distinct(jobs)
    if len(left) < len(jobs):
        say(f"{len(jobs)} jobs are {len(left)} distinct runs ({listed(why_equal(jobs), 3)})")
    kinds = [*left, *(source.kinds if source else ())]
    ownership.check(job.directory.parent for job in kinds)
    processes, fuse = ways(kinds, options, trainers.check, growing=source is not None)
    on_change.check(source.kinds if source else ())
    on_change.decide(left)
    stop = Stop()
    with stop.installed():
        if len(left) == 1 and source is None:
            outcomes = [_alone(left[0], stop, on_end, trainers, fuse=fuse, part=part)]
        else:
            sweep = _Sweep(sorted({job.directory.parent for job in kinds}), options, on_end, stop, source)
            if not part and source is None:
                plan.write(left)
            outcomes = sweep.train(left, trainers, processes, fuse=fuse)
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
            endings = groups.in_groups(_once(0), [job], {0: Bar()}, stop, over, trainers, before)
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
            notes = [*other_data([outcome]), *extension.too_late([outcome])]
            say("\n".join([f"already {outcome.status}: {outcome.directory}", *notes]))
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


def _once(number: int) -> Take:
    """Gives the one number, once."""
    left = [number]
    return lambda count: [left.pop()] if left else []


class _Sweep:
    """Several runs on one board, their tables kept fresh; `jobs` and `outcomes` grow where there is a source."""

    def __init__(
        self, roots: Sequence[Path], options: SweepOptions, on_end: Ended, stop: Stop, source: Source | None
    ) -> None:
        self.options, self.on_end, self.stop, self.source = options, on_end, stop, source
        self.jobs: list[Job] = []
        self.outcomes: list[Outcome] = []
        self.waiting: deque[int] = deque()  # the numbers of the jobs that are to be begun …
        self.busy: set[int] = set()  # … and of those that another process trains
        self.watches: dict[int, View] = {}
        self.before: dict[Path, tuple[int, int]] = {}
        self.dry = source is None  # nothing more comes, or not before another run has ended
        self.tables = aggregate.Fresh(roots)
        self.board = Board(0, options.objective, self.tables.refresh, source)
        self.failed_fast = False
        self.told: set[Path] = set()  # folders of runs that it said it waits for

    def over(self) -> bool:
        """Whether no other run is to start."""
        return self.stop.signum is not None or self.failed_fast

    def end(self, number: int, outcome: Outcome) -> None:
        """Take note of a job's end."""
        self.outcomes[number] = outcome
        self.dry = self.source is None
        self.failed_fast |= self.options.fail_fast and outcome.bad
        row = typed_row(outcome.row) | {"status": outcome.status}
        log = outcome.directory / "error.log"
        self.board.ended(outcome.directory.name, row, log=log, skipped=outcome.skipped)
        if outcome.status != "interrupted":
            self.on_end(outcome)
        self.board.refresh()

    def _add(self, jobs: Sequence[Job]) -> None:
        """Put the jobs, distinct, among those that wait; those that are finished end here."""
        if self.source is not None:
            on_change.decide(jobs, going=True)
        first = len(self.jobs)
        self.jobs += jobs
        self.outcomes += map(Outcome, jobs)
        self.board.total += len(jobs)
        self._settled(range(first, len(self.jobs)))
        for line in [*other_data(self.outcomes[first:]), *extension.too_late(self.outcomes[first:])]:
            say(line)
        left = [number for number in self.waiting if number >= first]
        self.before |= rows_of(self.jobs[number] for number in left)
        for number in left:
            self.watches[number] = self.board.view(self.jobs[number].directory.name, self.jobs[number].run.epochs)

    def _settled(self, numbers: Iterable[int], before: Rows | None = None) -> None:
        """Let those of the jobs end that are finished; the others wait."""
        for number in numbers:
            if ended := finished(self.jobs[number], before):
                self.end(number, ended)
            else:
                self.waiting.append(number)

    def take(self, count: int) -> list[int]:
        """Up to `count` jobs to begin: of those that wait, then of the source's."""
        if self.over():
            return []
        self._freed()
        while len(self.waiting) < count and self.source is not None and not self.dry:
            asked = count - len(self.waiting)
            new = self.source.more(asked)
            self.dry = len(new) < asked
            known = {job.key for job in self.jobs}
            self._add([job for job in distinct(new) if job.key not in known])
        return [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]

    def _freed(self) -> None:
        """Busy ones that no process holds any more have ended, or whoever trained them was interrupted or died."""
        free = sorted(number for number in self.busy if not held(self.jobs[number].directory))
        self.busy -= {*free}
        self._settled(free, self.before)

    def _awaited(self) -> bool:
        """Whether a run that another process trains is free, once one is; not where the sweep is over before."""
        folders = [self.jobs[number].directory for number in sorted(self.busy)]
        beat = self.board.refresh if self.board.live else self.tables.refresh
        return bool(sharing.wait(folders, self.over, beat, self.board.say, self.told))

    def train(self, jobs: Sequence[Job], trainers: Trainers, processes: int, *, fuse: bool) -> list[Outcome]:
        """Train the jobs that are not finished, and what comes, as `ways` found; the outcomes."""

        def start() -> Generator[Numbered, None, None]:
            shared = self.take, self.jobs, self.watches
            if fuse:
                return groups.in_groups(*shared, self.stop, self.over, trainers, self.before)
            if processes > 1:
                trainers.give_up()  # the workers build theirs
                return workers.side_by_side(*shared, self.over, self.board.refresh, processes, self.before)
            return workers.in_turn(*shared, self.stop, trainers.take, self.before)

        try:
            self._add(jobs)
            with self.board:
                while not self.over():
                    with closing(start()) as endings:
                        for number, outcome in endings:
                            if sharing.in_use(outcome):
                                self.busy.add(number)
                            else:
                                self.end(number, outcome)
                    if not self.busy or not self._awaited():
                        break
        finally:
            self.tables.write(say)
            for line in self.board.closing(self.tables.roots):
                say(line)
            if self.failed_fast:
                say(FAILED_FAST)
            tell_missed(self.outcomes)
        return self.outcomes

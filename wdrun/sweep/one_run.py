"""One run, start to end: made ready, then trained from where its folder stands."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from wdrun import data, devices, optim
from wdrun.config.run import Job, Run
from wdrun.errors import BusyError, InUseError, StorageError, WdrunError
from wdrun.explain import lambda_for
from wdrun.storage import hold, storage_error, write_atomically
from wdrun.sweep import checkpoint, contention
from wdrun.sweep.outcome import FINAL, Outcome
from wdrun.sweep.recording import Record
from wdrun.sweep.resumption import ALONE
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.sweep.weights_file import begun_with
from wdrun.tables.columns import run_row
from wdrun.tables.read import read_run
from wdrun.tables.sound import run_of, version, whole
from wdrun.tables.write import write_row
from wdrun.terminal.progress import Watch
from wdrun.training.trainer import Trainer
from wdrun.wording import named


def ready(run: Run, share: int = 1, *, begun: bool = True, elsewhere: bool = False) -> Trainer:
    """The run's trainer, on its data and machine; whatever is wrong with the run beyond single values raises here.

    With threads=auto it takes one `share`-th of the machine's threads, at least one. Without `begun` its `init_from` is
    left alone: the model has the weights that its seed draws, as is enough where all are replaced. `elsewhere`: as for
    `Trainer`.
    """
    machine = shared_out(devices.resolve(run.device, run.precision, run.threads), run, share)
    optim.build(run.optimizer)  # cheap, and better known to be wrong before a download than after it
    weights = begun_with(run) if begun else None
    return Trainer(run, data.load(run.data, run.fold), machine, weights, elsewhere)


def shared_out(machine: devices.Machine, run: Run, share: int) -> devices.Machine:
    """The machine as a run has it beside others: with threads=auto a `share`-th of the threads, at least one."""
    return replace(machine, threads=max(1, machine.threads // share)) if run.threads == "auto" else machine


class Trainers:
    """The trainers of one command: of those built before anything trains, the first is kept for its own run."""

    def __init__(self) -> None:
        self._kept: Trainer | None = None

    def keep(self, trainer: Trainer) -> None:
        """Keep it unless one is kept: the memory of one is affordable, that of a sweep's structures is not."""
        self._kept = self._kept or trainer

    def check(self, run: Run) -> Trainer:
        """The run's trainer, to look at."""
        if self._kept is not None and self._kept.run is run:
            return self._kept
        trainer = ready(run)
        self.keep(trainer)
        return trainer

    def take(self, run: Run) -> Trainer:
        """The run's trainer, to train; it is the taker's, and whichever was kept is given up."""
        kept = self._kept
        self.give_up()
        return kept if kept is not None and kept.run is run else ready(run)

    def give_up(self) -> None:
        """Let go of the one that is kept."""
        self._kept = None


def with_lambda(job: Job, trainers: Trainers | None = None, build: Callable[[Run], Trainer] = ready) -> Job:
    """The job with the λ that its `budget` or `tau` asks for; itself when it gave λ. D = epochs/τ."""
    options, run = job.options, job.run
    total = options.budget or (run.epochs / options.tau if options.tau else None)
    if total is None or run.decay["name"] == "none":
        return job
    trainer = build(run)
    trainer = trainer.at(lambda_for(trainer, total))
    if trainers is not None:
        trainers.keep(trainer)
    return replace(job, run=trainer.run)


def begin(job: Job, trainer: Trainer, stop: Stop, watch: Watch, way: str = ALONE) -> Record:
    """The record of a job whose folder the caller holds, from where that stands; its evaluations heed `stop`.

    `way` is how its epochs are to be trained.
    """
    trainer.evaluator = replace(trainer.evaluator, tick=stop.check)
    devices.apply(trainer.machine)
    return Record(job, trainer, watch, way)


def train(job: Job, trainer: Trainer, stop: Stop, watch: Watch) -> dict[str, Any]:
    """Train the job from where its folder stands (held by the caller) to the end; its row of runs.csv."""

    def tick(step: int) -> None:
        stop.check()
        watch.tick(step)
        if told := contention.here.look(trainer.machine.threads):
            watch.note(told)

    with closing(begin(job, trainer, stop, watch)) as record, trainer.machine.at_work():
        try:
            for epoch in () if record.over else trainer.train(record.state, tick):
                record.take(epoch)
            return record.end()
        except Interrupted:
            record.interrupted()
            raise
        except (StorageError, OSError):
            raise
        except (Exception, SystemExit):
            record.broken()
            raise


Rows = Mapping[Path, tuple[int, int]]  # the rows that are there when a command begins: folder, version


def rows_of(jobs: Iterable[Job]) -> Rows:
    """The rows that the jobs' folders have now, where they have one."""
    found = {job.directory: version(job.directory / "run.csv") for job in jobs}
    return {directory: seen for directory, seen in found.items() if seen is not None}


def finished(job: Job, before: Rows | None = None) -> Outcome | None:
    """The outcome of a job that needs no training any more, its row as text; busy where that cannot be known.

    A failure that was not there `before` the command is one that another process has just had.
    """
    directory = job.directory
    seen = version(directory / "run.csv")
    try:
        row = run_of(*whole(directory / "run.csv"))
        if row["id"] not in (job.run.id, job.folder[-8:]):
            raise ValueError(f"run.csv is that of run {row['id']}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        if (directory / checkpoint.NAME).exists():  # not finished; it goes on from there and writes its tables anew
            return None
        cause = f"{directory}: {error}: is the run finished? Restore the file, or remove the folder to train it again"
        return Outcome.busy(job, BusyError(cause))
    if row["status"] in FINAL:
        if checkpoint.left(directory):  # by a process that was killed between the last table and their removal
            with suppress(InUseError, StorageError, OSError), hold(directory):  # else whoever holds it removes them
                checkpoint.remove(directory, keep=job.options.keep_state and row["status"] == "done")
        return Outcome(job, row["status"], row, skipped=True)
    if row["status"] == "failed" and before is not None and before.get(directory) != seen:
        return Outcome(job, "failed", row, WdrunError(row["cause"]))
    return None


def other_data(outcomes: Iterable[Outcome]) -> list[str]:
    """A sentence on the skipped runs, where there are any, whose data were others than the same words give here."""
    differ = [
        outcome
        for outcome in outcomes
        if outcome.skipped and outcome.row.get("data_digest") not in (None, "", data.digest(outcome.job.run.data))
    ]
    if not differ:
        return []
    first = differ[0]
    was, now = first.row["data_digest"], data.digest(first.job.run.data)
    others = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
    return [
        f"warning: {first.directory}{others}: trained on other data, SHA-256 {was[:12]}…, than the same command gives "
        f"here, {now[:12]}…; take another name= to train on these"
    ]


def settle(
    job: Job, stop: Stop, watch: Watch, prepare: Callable[[Run], Trainer] = ready, before: Rows | None = None
) -> Outcome:
    """Train one job to its end and say how it ended; StorageError is the only error that gets through.

    `watch` is told how it goes; `prepare` makes the trainer, once the folder is held; `before` as for `finished`.
    """
    try:
        with hold(job.directory):
            if ended := finished(job, before):  # by another process, since the sweep looked
                return ended
            row = train(job, prepare(job.run), stop, watch)
            return Outcome(job, row["status"], row)
    except Interrupted:
        return interrupted(job)
    except StorageError:
        raise
    except BusyError as error:
        return Outcome.busy(job, error)
    except OSError as error:
        raise storage_error(job.directory, error) from error
    except (Exception, SystemExit) as error:  # a run's failure is a row of the sweep, not its end
        cause = named(error)
        own = error if isinstance(error, Exception) else WdrunError(cause)
        return failed(job, cause, traceback.format_exc(), own)


def interrupted(job: Job) -> Outcome:
    """The outcome of a job that a signal ended, its row as its folder has it."""
    return Outcome(job, "interrupted", dict(read_run(job.directory) or {}))


def failed(job: Job, cause: str, log: str, error: Exception) -> Outcome:
    """The outcome of a job that broke: `log` goes to its error.log, the cause, one line, into its row."""
    write_atomically(job.directory / "error.log", log.encode())
    row = run_row(job.run, {"status": "failed", "cause": cause})
    write_row(job.directory, row)
    return Outcome(job, "failed", row, error)

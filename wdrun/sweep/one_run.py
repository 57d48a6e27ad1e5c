"""One run, start to end: made ready, then trained from where its folder stands."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wdrun import data, devices, explain, optim
from wdrun.config.run import Job, Run
from wdrun.errors import BusyError, StorageError, WdrunError
from wdrun.storage import hold, storage_error, write_atomically
from wdrun.sweep import checkpoint
from wdrun.sweep.recording import Record
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.tables.columns import run_row
from wdrun.tables.read import read_run
from wdrun.tables.sound import run_of, whole
from wdrun.tables.write import render
from wdrun.terminal.progress import Bar, Watch
from wdrun.training.trainer import Trainer
from wdrun.wording import named


def ready(run: Run, share: int = 1) -> Trainer:
    """The run's trainer, on its data and machine; whatever is wrong with the run beyond single values raises here.

    With threads=auto it takes one `share`-th of the machine's threads, at least one.
    """
    machine = devices.resolve(run.device, run.precision, run.threads)
    if run.threads == "auto":
        machine = replace(machine, threads=max(1, machine.threads // share))
    optim.build(run.optimizer)  # cheap, and better known to be wrong before a download than after it
    return Trainer(run, data.load(run.data, run.fold), machine)


def with_lambda(job: Job) -> Job:
    """The job with the λ that its `budget` or `tau` asks for; itself when it gave λ. D = epochs/τ."""
    options, run = job.options, job.run
    total = options.budget or (run.epochs / options.tau if options.tau else None)
    if total is None or run.decay["name"] == "none":
        return job
    return replace(job, run=replace(run, lam=explain.lambda_for(ready(run), total)))


def train(job: Job, stop: Stop, watch: Watch | None = None, share: int = 1) -> dict[str, Any]:
    """Train the job from where its folder stands (held by the caller) to the end; its row of runs.csv.

    `watch` (a bar unless given) is told how it goes; `share` is that of `ready`.
    """
    trainer = ready(job.run, share)
    trainer.evaluator = replace(trainer.evaluator, tick=stop.check)
    devices.apply(trainer.machine)
    watch = watch or Bar()
    record = Record(job, trainer, watch)

    def tick(step: int) -> None:
        stop.check()
        watch.tick(step)

    try:
        for epoch in () if record.over else trainer.train(record.state, tick):
            record.take(epoch)
    except Interrupted:
        record.interrupted()
        raise
    return record.end()


@dataclass
class Ending:
    """How a job ended: done, diverged, failed, busy or interrupted; `row` is its row of runs.csv."""

    status: str
    row: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    skipped: bool = False


def finished(directory: Path) -> Ending | None:
    """The ending of a run that needs no training any more, its row as text; busy where that cannot be known."""
    path = directory / "run.csv"
    try:
        row = run_of(*whole(path))
        if not directory.name.endswith(row["id"]):
            raise ValueError(f"run.csv is that of run {row['id']}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        if (directory / checkpoint.NAME).exists():  # not finished; it goes on from there and writes its tables anew
            return None
        cause = f"{path.parent}: {error}: is the run finished? Restore the file, or remove the folder to train it again"
        return Ending("busy", {"status": "busy", "cause": cause}, BusyError(cause))
    if row["status"] in ("done", "diverged"):
        checkpoint.remove(directory)  # left behind if the process was killed between the last table and this
        return Ending(row["status"], row, skipped=True)
    return None


def settle(job: Job, stop: Stop, watch: Watch | None = None, share: int = 1) -> Ending:
    """Train one job to its end and say how it ended; StorageError is the only error that gets through."""
    directory = job.directory
    try:
        with hold(directory):
            if ended := finished(directory):  # by another process, since the sweep looked
                return ended
            row = train(job, stop, watch, share)
            return Ending(row["status"], row)
    except Interrupted:
        return Ending("interrupted", dict(read_run(directory) or {}))
    except StorageError:
        raise
    except BusyError as error:
        return Ending("busy", {"status": "busy", "cause": str(error)}, error)
    except OSError as error:
        raise storage_error(directory, error) from error
    except (Exception, SystemExit) as error:  # a run's failure is a row of the sweep, not its end
        cause = named(error)
        own = error if isinstance(error, Exception) else WdrunError(cause)
        return failed(job, cause, traceback.format_exc(), own)


def failed(job: Job, cause: str, log: str, error: Exception) -> Ending:
    """The ending of a job that broke: `log` goes to its error.log, the cause, one line, into its row."""
    write_atomically(job.directory / "error.log", log.encode())
    row = run_row(job.run, {"status": "failed", "cause": cause})
    write_atomically(job.directory / "run.csv", render(list(row), [row]))
    return Ending("failed", row, error)

"""One run, start to end: made ready, then trained from where its folder stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wdrun import data, devices, explain, optim
from wdrun.interrupt import Interrupted, Stop
from wdrun.job import Job, Run
from wdrun.progress import Bar, Watch
from wdrun.recording import Record
from wdrun.train import Trainer


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

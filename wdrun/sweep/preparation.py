"""Jobs before anything is written: equal runs once, each structure seen to be buildable, how all are to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wdrun import devices
from wdrun.config.run import Job, Run, SweepOptions
from wdrun.errors import ConfigError
from wdrun.sweep import loggers
from wdrun.sweep.one_run import ready
from wdrun.training.trainer import Trainer


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, of equal runs the first, with all that any of them requires of the run."""
    found: dict[Path, Job] = {}
    for job in jobs:
        if (first := found.setdefault(job.directory, job)).options != job.options:
            both, more = first.options, job.options
            least = {key: max(filter(None, (a, more.require[key])), default=a) for key, a in both.require.items()}
            allowed = both.allow_diverged and more.allow_diverged
            found[job.directory] = replace(first, options=replace(both, require=least, allow_diverged=allowed))
    return list(found.values())


def check(jobs: Sequence[Job], build: Callable[[Run], Trainer] = ready) -> Iterator[Trainer]:
    """The trainer of the first run of each structure and fold: what is wrong is known before anything exists."""
    for name in {job.options.logger for job in jobs}:
        loggers.check(name)
    first: dict[tuple[str, int], Run] = {}
    for job in jobs:
        first.setdefault((job.run.structure, job.run.fold), job.run)
    for run in first.values():
        yield build(run)


def ways(jobs: Sequence[Job], options: SweepOptions, build: Callable[[Run], Trainer] = ready) -> tuple[int, bool]:
    """Check the jobs; how many processes are to train them, and whether alike runs train as one computation.

    The threads are divided into as many parts. Both follow from the whole sweep, not from what is left of it: a run
    resumed has the threads it began with.
    """
    convolves, on_gpu, each = False, False, 1
    for trainer in check(jobs, build):
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

"""What the decay of a run would do, in words, without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wdrun.api import arguments
from wdrun.api.arguments import Folder
from wdrun.api.process import turn
from wdrun.config import experiments, targets
from wdrun.config.run import Job
from wdrun.explain import whole
from wdrun.sweep.one_run import Trainers, with_lambda


def explain(*overrides: str, config_dir: Folder | None = None, quiet: bool = False, **options: Any) -> str:
    """The block that a run of these words begins with, its scope, and a λ range worth sweeping; nothing is trained.

    Of a sweep that of every run, a blank line between them. Words, keywords and errors as of `run` and `sweep`.
    """
    words, folder = arguments.split(overrides, config_dir)
    words += arguments.words(options, axes=True)
    with turn(quiet=quiet):
        jobs = experiments.jobs(words, True, folder)
        targets.announce(jobs)
        return "\n\n".join(explained(jobs))


def explained(jobs: Sequence[Job]) -> Iterator[str]:
    """The text on each job."""
    trainers = Trainers()
    for job in jobs:
        run = with_lambda(job, trainers).run
        yield "\n".join(whole(trainers.take(run), job.words))

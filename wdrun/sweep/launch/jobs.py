"""Jobs as Hydra asks for them, trained in this process: one config, or a batch of lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config import experiments, targets
from wdrun.config.run import Job, SweepOptions
from wdrun.errors import WdrunError
from wdrun.storage import write_atomically
from wdrun.sweep.outcome import FINAL, Outcome, print_result, worst
from wdrun.terminal import results

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn


class Task:
    """What our own command gives Hydra to call; keeps the outcomes of the runs it came to know.

    A launcher of another's may call it in another process: how a run ended there is left as a file in `folder`. `json`:
    each result is printed, even on a terminal.
    """

    def __init__(self, folder: Path | None = None, *, json: bool = False) -> None:
        self.folder, self.json = folder, json
        self.outcomes: list[Outcome] = []

    def __call__(self, config: Any) -> float:
        outcome, options = _one(config, self.json)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / f"{outcome.directory.name}.exit", str(outcome.code).encode())
        return float(_returned(outcome, options).return_value)

    @property
    def code(self) -> int:
        """The exit code of all runs."""
        files = sorted(self.folder.glob("*.exit")) if self.folder else []
        return worst([*(outcome.code for outcome in self.outcomes), *(int(file.read_text()) for file in files)])


def task(config: Any) -> float:
    """Train the one run of a composed config; its objective. For `hydra.main` and any launcher."""
    return float(_returned(*_one(config)).return_value)


def _one(config: Any, json: bool = False) -> tuple[Outcome, SweepOptions]:
    from hydra.core.hydra_config import HydraConfig

    from wdrun.config.parse import parse, sweep_options

    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    job, options = parse(config, list(hydra.overrides.task) if hydra else ()), sweep_options(config)
    job = replace(job, config_dir=_own_options(hydra.searchpath) if hydra else None)
    return _trained([job], options, json)[0], options


def batch(lines: Sequence[Sequence[str]], config: Any, task_function: Any) -> list[JobReturn]:
    """Check all jobs, then train them in this process; the return value of each is its validation objective."""
    from wdrun.sweep.one_run import with_lambda

    parsed, options = experiments.sweep(lines, config_dir(config))
    jobs = [with_lambda(job) for job in parsed]
    outcomes = _trained(jobs, options, isinstance(task_function, Task) and task_function.json)
    if isinstance(task_function, Task):
        task_function.outcomes += outcomes
    ended = {outcome.job.key: outcome for outcome in outcomes}
    return [_returned(ended[job.key], options) for job in jobs]


def _trained(jobs: Sequence[Job], options: SweepOptions, json: bool) -> list[Outcome]:
    targets.announce(jobs)
    from wdrun.sweep.execute import execute

    with results.alone():
        return execute(jobs, options, partial(print_result, always=json))


def rises(options: SweepOptions) -> bool:
    """Whether a better objective is a larger one."""
    return options.objective == "val_accuracy"


def _returned(outcome: Outcome, options: SweepOptions) -> JobReturn:
    """A job as Hydra hears of it: its objective, the worst there is when it diverged, else its error."""
    from hydra.core.utils import JobReturn, JobStatus

    returned = JobReturn(overrides=list(outcome.job.overrides), task_name="wdrun")
    value = outcome.result()[options.objective]
    ended = outcome.status in FINAL
    if outcome.status == "diverged" or (ended and value is None):
        value = -math.inf if rises(options) else math.inf
    returned.status = JobStatus.COMPLETED if ended else JobStatus.FAILED
    returned.return_value = value if ended else outcome.error or WdrunError(f"{outcome.directory}: {outcome.status}")
    return returned


def config_dir(config: Any) -> str | None:
    """The folder of the user's own options, as `--config-dir` or Hydra's search path names it."""
    return _own_options(config.hydra.searchpath)


def _own_options(searchpath: Sequence[Any]) -> str | None:
    own = [str(place) for place in searchpath if str(place).startswith("file://")]
    return own[0].removeprefix("file://") if own else None

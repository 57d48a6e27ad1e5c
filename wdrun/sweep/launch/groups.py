"""A sweep handed in groups to any launcher's workers, and how each of its runs ended there, read from its folder."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun import cores
from wdrun.config import experiments, targets
from wdrun.config.run import Job
from wdrun.errors import ConfigError
from wdrun.sweep.launch import remote
from wdrun.sweep.launch.jobs import Task, batch, config_dir
from wdrun.sweep.outcome import FINAL, Outcome, print_result, tell_missed
from wdrun.sweep.signals import Interrupted
from wdrun.tables import aggregate, ownership, plan
from wdrun.tables.read import status_of
from wdrun.terminal import results
from wdrun.terminal.progress import say
from wdrun.wording import command_line, counted, first_line

if TYPE_CHECKING:
    from hydra.types import HydraContext

WORKERS = 16  # taken to be there where a cluster does not say


def grouped(
    words: Sequence[str], config: Any, context: HydraContext, task_function: Any, size: int | None
) -> list[Outcome]:
    """Check all jobs, hand groups of those left to do to the launcher, and read how each ended from its folder."""
    from wdrun.sweep.one_run import other_data

    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ConfigError(f"hydra.sweeper.group={size}: must be a whole number ≥ 1, or null")
    own_options = config_dir(config)
    lines = experiments.lines(words, True, own_options)
    if is_own(config):
        keep = task_function if isinstance(task_function, Task) else Task()
        batch(lines, config, keep)
        return keep.outcomes
    parsed, options = experiments.sweep(lines, own_options)
    if options.fail_fast:
        raise ConfigError(
            "fail_fast=true: must be false with this hydra/launcher, whose workers do not hear of each other's runs"
        )
    targets.announce(parsed)
    outcomes = handed(parsed, config, context, size)
    for outcome in outcomes:
        print_result(outcome, always=isinstance(task_function, Task) and task_function.json)
    for line in other_data(outcomes):
        say(line)
    tell_missed(outcomes)
    if isinstance(task_function, Task):
        task_function.outcomes += outcomes
    if any(outcome.status == "interrupted" for outcome in outcomes):
        raise Interrupted(signal.SIGTERM)
    return outcomes


def handed(
    parsed: Sequence[Job], config: Any, context: HydraContext, size: int | None, *, planned: bool = True
) -> list[Outcome]:
    """Hand the jobs that are left to do to the launcher in groups of `size`; how each ended, read from its folder.

    They are all that is meant to be trained, and so in plan.csv, unless they are not `planned`.
    """
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from wdrun.sweep import on_change
    from wdrun.sweep.one_run import rows_of

    ownership.check(job.directory.parent for job in parsed)
    with results.alone():
        jobs = remote.prepare(parsed)
    on_change.decide(jobs)
    over = {job.directory for job in jobs if status_of(job.directory) in FINAL}
    left = [job for job in jobs if job.directory not in over]
    before = rows_of(left)
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    lost = "its worker ended before it did"
    if left:
        launcher: dict[str, Any] = OmegaConf.to_container(config.hydra.launcher, resolve=False)  # type: ignore[assignment]
        own_options = config_dir(config)
        shared = remote.Plan(
            [list(job.overrides) for job in left],
            [str(job.directory) for job in left],
            str(Path(own_options).absolute()) if own_options else None,
            os.getcwd(),
            launcher.get("cpus_per_task"),
        )
        remote.write(shared, folder / "plan.json")
        size = size or math.ceil(len(left) / workers(config))
        groups = [[f"+group=[{first},{min(first + size, len(left))}]"] for first in range(0, len(left), size)]
        root = left[0].directory.parent
        if planned:
            plan.write(jobs)
        status = command_line(["status", str(root)])
        how = f"{counted(len(left), 'run')} in {counted(len(groups), 'group')}"
        say(f"{how}; logs in {folder}; how far they are: {status}")
        instance = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=partial(_group, str(folder / "plan.json")), config=config
        )
        try:
            with redirect_stdout(sys.stderr), _ray_of_its_own():  # Ray tells there of its nodes; stdout is for results
                ended = instance.launch(groups, initial_job_idx=0)
            for number, returned in enumerate(ended):
                if returned.status.name == "FAILED":
                    say(f"group {number}: {first_line(returned._return_value)}")
        except Exception as error:  # of the engine; what it trained all the same is in the tables
            lost = f"its worker was lost: {first_line(error)}"
            say(f"{type(instance).__name__}: {first_line(error)}")
        finally:
            _aggregate(jobs)
    outcomes = remote.collect(jobs, over, f"{lost}; logs in {folder}", before)
    _aggregate(jobs)
    return outcomes


def _group(file: str, config: Any) -> None:
    """Hydra's task of a worker: the lines of the plan in `file` that its config names."""
    from hydra.core.hydra_config import HydraConfig

    first, last = config.group
    output = Path(HydraConfig.get().runtime.output_dir)
    remote.work(file, str(output / "log"), first, last)


def is_own(config: Any) -> bool:
    """Whether the launcher of the composed config is wdrun's own."""
    return str(config.hydra.launcher._target_).startswith("hydra_plugins.wdrun_launcher.")


def workers(config: Any) -> int:
    """How many workers the composed config's launcher has at once, as far as its settings tell."""
    from omegaconf import OmegaConf

    def setting(key: str) -> Any:
        return OmegaConf.select(config, f"hydra.launcher.{key}")

    cpus = len(cores.usable()) or os.cpu_count() or 1
    kind = str(setting("_target_")).rpartition(".")[2]
    if kind == "JoblibLauncher":
        asked = int(setting("n_jobs") or 1)
        return asked if asked > 0 else max(1, cpus + 1 + asked)
    if kind == "LocalLauncher":
        return max(1, cpus // int(setting("cpus_per_task") or 1))
    if kind == "SlurmLauncher":
        return min(WORKERS, int(setting("array_parallelism") or WORKERS))
    address = setting("ray.init.address") or os.environ.get("RAY_ADDRESS") or "local"
    if kind == "RayLauncher" and address == "local":  # a Ray of its own, on this machine
        has = float(setting("ray.init.num_cpus") or cpus), float(setting("ray.init.num_gpus") or 0)
        a_cpu, a_gpu = setting("ray.remote.num_cpus"), setting("ray.remote.num_gpus")
        takes = 1.0 if a_cpu is None else float(a_cpu), float(a_gpu or 0)
        bounds = [int(there // each) for there, each in zip(has, takes, strict=True) if there and each]
        return max(1, min(bounds, default=WORKERS))
    return 1 if kind == "BasicLauncher" else WORKERS


@contextmanager
def _ray_of_its_own() -> Iterator[None]:
    """Leave no Ray behind that this sweep began: one that goes on prints to stdout, among the results."""

    def begun() -> bool:
        return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())

    before = begun()
    try:
        yield
    finally:
        if begun() and not before:
            sys.modules["ray"].shutdown()


def _aggregate(jobs: Sequence[Job]) -> None:
    for root in {job.directory.parent for job in jobs}:
        if root.is_dir():
            aggregate.write(root, say)

"""wdrun's launcher and sweeper as Hydra finds them: `hydra/launcher=wdrun`, `hydra/sweeper=wdrun`.

Hydra runs every module of the namespace package `hydra_plugins` at every start, before it is in sys.modules: this one
stays a thin shell, and its annotations are no strings, which dataclasses would look up there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LauncherConf:
    """The launcher has no settings."""

    _target_: str = "hydra_plugins.wdrun_launcher.WdrunLauncher"


@dataclass
class SweeperConf:
    """`group`: runs a worker is handed at a time; null = an even share for each worker."""

    _target_: str = "hydra_plugins.wdrun_launcher.WdrunSweeper"
    group: int | None = None


class WdrunLauncher(Launcher):
    """Checks a batch of jobs, then trains it in this process; the value of a job is its validation objective."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.task_function, self.config = task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from wdrun.sweep.launch import jobs

        returned = jobs.batch(job_overrides, self.config, self.task_function)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)  # sweepers leave their findings there
        return returned


class WdrunSweeper(Sweeper):
    """Takes a sweep apart as `wdrun -m` does and hands groups of its runs to any launcher."""

    def __init__(self, group: int | None = None) -> None:
        self.group = group

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        from wdrun.sweep.launch import groups

        return groups.grouped(arguments, self.config, self.context, self.task_function, self.group)


ConfigStore.instance().store(group="hydra/launcher", name="wdrun", node=LauncherConf, provider="wdrun")
ConfigStore.instance().store(group="hydra/sweeper", name="wdrun", node=SweeperConf, provider="wdrun")

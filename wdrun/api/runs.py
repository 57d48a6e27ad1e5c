"""Runs from Python: `run` trains one, `sweep` many, as the same words do from a shell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from torch import nn

from wdrun import data
from wdrun.accepts import check
from wdrun.api import arguments, notebook
from wdrun.api.arguments import Folder
from wdrun.api.process import turn
from wdrun.config import experiments, targets
from wdrun.config.axes import is_axis
from wdrun.config.commands import WEIGHTS
from wdrun.config.run import Job, Run, SweepOptions
from wdrun.errors import ConfigError
from wdrun.sweep import own_code
from wdrun.sweep.execute import execute
from wdrun.sweep.outcome import Outcome
from wdrun.tables.columns import TABLES
from wdrun.tables.read import Results, load, read_run, read_table
from wdrun.terminal.progress import say
from wdrun.training import network
from wdrun.wording import counted


@dataclass(frozen=True, repr=False)
class Result:
    """A run's outcome: `status` is done or diverged, `run.iloc[0]` its row, the tables typed as the READMEs say.

    A notebook shows it as its scores and learning curves.
    """

    directory: Path
    status: str
    run: pd.DataFrame
    metrics: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame
    timing: pd.DataFrame
    definition: Run

    def module(self, weights: str = "last") -> nn.Module:
        """The model built anew, on the CPU in evaluation mode, with a state of its training.

        "last", "best" (on validation) or "ema" (averaged): parameters, buffers and extra state. It is built with the
        run's seed, so that what its class draws beside them is the run's too; a plain attribute that forward changed is
        as built.
        Where the run's own code has changed since, stderr says so. FileNotFoundError when the run diverged and so has
        no weights, or kept no average (`ema=`); ValueError where they are not those of the model as it is built now.
        """
        check("weights", weights, WEIGHTS.accepts)
        state = safetensors.torch.load_file(self.directory / f"{weights}.safetensors")
        run = self.definition
        with turn():
            what = own_code.change(self.directory, (read_run(self.directory) or {}).get("code", ""), run)
            since = f"{what} since it was trained" if what else ""
            if since:
                say(f"warning: {self.directory}: {since}; its module is built by the code as it is now")
            dataset = data.load(run.data, run.fold)
            try:
                return network.rebuilt(run.model, dataset.input_shape, dataset.classes, run.seed, state)
            except ValueError as error:
                raise ValueError(f"{self.directory}: {error}{since and '; '}{since}") from error

    def state_dict(self, weights: str = "last") -> dict[str, Any]:
        """The state dict of `module(weights)`: the model's own class takes it in plain torch, strictly."""
        return self.module(weights).state_dict()

    def __repr__(self) -> str:
        return f"Result({self.status}, {notebook.scores(self.run.iloc[0])}{self.directory})"

    def _repr_html_(self) -> str:
        return notebook.of_run(self.run, self.metrics, repr(self))


@dataclass(frozen=True, repr=False)
class Sweep:
    """The runs of a sweep: `runs` has a row each, diverged and failed ones too, with the column `dir`, its folder.

    `folders` hold them, one unless `name` varied; `outcomes` are as they ended, with the error of one that failed. The
    other tables are read when they are asked for. A notebook shows the table and the curve of validation over λ.
    """

    folders: tuple[Path, ...]
    outcomes: tuple[Outcome, ...]
    runs: pd.DataFrame

    @property
    def folder(self) -> Path:
        """The folder of the runs' folders; the first of several."""
        return self.folders[0]

    @property
    def metrics(self) -> pd.DataFrame:
        """A row an epoch and split of every run."""
        return self._own("metrics")

    @property
    def layers(self) -> pd.DataFrame:
        """A row an epoch and weight tensor of every run."""
        return self._own("layers")

    @property
    def histograms(self) -> pd.DataFrame:
        """The weights' distributions of the runs that recorded them."""
        return self._own("histograms")

    @property
    def timing(self) -> pd.DataFrame:
        """A row an epoch of every run, in seconds."""
        return self._own("timing")

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each run folder that could not be read."""
        return self._results.problems

    @cached_property
    def _results(self) -> Results:
        return load(self.folders)

    def _own(self, name: str) -> pd.DataFrame:
        table: pd.DataFrame = getattr(self._results, name)
        return table[table["id"].isin(self.runs["id"])].reset_index(drop=True)

    def __repr__(self) -> str:
        counts = Counter(outcome.status for outcome in self.outcomes)
        endings = ", ".join(f"{number} {status}" for status, number in counts.items())
        return f"Sweep({counted(len(self.outcomes), 'run')}: {endings}; {', '.join(map(str, self.folders))})"

    def _repr_html_(self) -> str:
        return notebook.of_sweep(self.runs, repr(self))


def run(*overrides: str, config_dir: Folder | None = None, quiet: bool = False, **options: Any) -> Result:
    """Train one run as `wdrun` with these words would, or read it back when it is already finished.

    Positional words are as on the command line. A keyword's value arrives as it is given: `data="synthetic"`,
    `lam=1e-3` for lambda, `model__hidden=[64]` for model.hidden, `data__root=Path("my data")`, numbers of numpy and
    torch. A string for a key that takes a number, a truth or a list is read as on the command line. Tables are written
    below `output_dir`; nothing is printed on stdout, and with `quiet` nothing on stderr.

    Calls of several threads take turns, and each gives the bits it would have given alone. ConfigError for what is
    wrong with the words, BusyError where another process trains this run, StorageError for the disk; the error of a
    failing run is raised; a diverged run is a result with that status. Ctrl-C saves the run, which the same call
    resumes, and is KeyboardInterrupt.
    """
    words, folder = arguments.split(overrides, config_dir)
    words += arguments.words(options)
    if several := next(filter(is_axis, words), None):
        raise ConfigError(f"{several}: several values make a sweep; wdrun.run trains one run, wdrun.sweep trains many")
    with turn(quiet=quiet):
        jobs, asked = experiments.sweep(experiments.lines(words, False, folder), folder)
        if len(jobs) > 1:
            raise ConfigError(
                f"{' '.join(words)}: is a sweep of {len(jobs)} runs; wdrun.run trains one, wdrun.sweep trains many"
            )
        targets.announce(jobs)
        (outcome,) = execute(jobs, asked)
    if outcome.error is not None:
        raise outcome.error
    tables = {name: read_table(outcome.directory / f"{name}.csv") for name in ("run", *TABLES)}
    return Result(outcome.directory, outcome.status, definition=outcome.job.run, **tables)


def sweep(*overrides: str, config_dir: Folder | None = None, quiet: bool = False, **options: Any) -> Sweep:
    """Train every combination, as `wdrun -m` with these words would.

    `wdrun.sweep("decay=l2", lam=[0, 1e-3], seed=[0, 1])` is four runs. A list is an axis, unless its key takes one, as
    model.hidden: there a list of lists is an axis. Words with commas and range(…) are axes too, and an experiment
    brings its own. Finished runs are read back, interrupted ones go on; `parallel` and `fail_fast` are as on the
    command line. Failed and diverged runs are rows of `runs`. Otherwise as `run`.
    """
    words, folder = arguments.split(overrides, config_dir)
    words += arguments.words(options, axes=True)
    with turn(quiet=quiet):
        jobs, asked = experiments.sweep(experiments.lines(words, True, folder), folder)
        targets.announce(jobs)
        outcomes = _trained(jobs, asked)
    if all(outcome.status == "busy" for outcome in outcomes) and outcomes[0].error is not None:
        raise outcomes[0].error
    folders = tuple(dict.fromkeys(outcome.directory.parent for outcome in outcomes))
    order = {str(outcome.directory): number for number, outcome in enumerate(outcomes)}
    runs = load(folders, tables=()).runs
    runs = runs[runs["dir"].isin(order)].sort_values("dir", key=lambda column: column.map(order), ignore_index=True)
    return Sweep(folders, tuple(outcomes), runs)


def _trained(jobs: Sequence[Job], asked: SweepOptions) -> list[Outcome]:
    if current_process().daemon and asked.parallel != 1:
        raise ConfigError(
            f"parallel={asked.parallel}: this process is a worker of multiprocessing, which may start none of its own; "
            "use parallel=1"
        )
    return execute(jobs, asked)

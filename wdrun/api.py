"""wdrun from Python: one call a run, the tables as pandas frames and the trained module."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import nn

from wdrun import data, models
from wdrun.config import experiments
from wdrun.config.run import Run
from wdrun.errors import ConfigError
from wdrun.sweep.execute import execute
from wdrun.tables.columns import TABLES
from wdrun.tables.read import read_table


@dataclass(frozen=True)
class Result:
    """A run's outcome: its tables, typed; `run.iloc[0]` is its row."""

    directory: Path
    status: str
    run: pd.DataFrame
    metrics: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame
    timing: pd.DataFrame
    definition: Run

    def module(self, weights: str = "last") -> nn.Module:
        """The trained model on the CPU in evaluation mode, with its "last" or "best" (on validation) weights.

        FileNotFoundError when the run diverged and so has no weights.
        """
        state = safetensors.torch.load_file(self.directory / f"{weights}.safetensors")
        dataset = data.load(self.definition.data, self.definition.fold)
        model = models.build(self.definition.model, dataset.input_shape, dataset.classes, seed=0)
        model.to(next(w.dtype for w in state.values() if w.is_floating_point())).load_state_dict(state)
        return model.to(torch.device("cpu")).eval()


def run(*overrides: str, config_dir: str | None = None, **options: Any) -> Result:
    """Train one run as `wdrun` with these overrides would, or read it back when it is already finished.

    Keyword options are overrides too: `data="synthetic"`, `lam=1e-3` for lambda, `**{"model.hidden": [64]}`.
    Tables are written below `output_dir` as from the command line. ConfigError (a WdrunError) for what is wrong with
    the overrides; the error of a failing run is raised; a diverged run is a result with that status.
    """
    words = [*overrides]
    words += [f"{'lambda' if key == 'lam' else key}={_value(value)}" for key, value in options.items()]
    jobs, asked = experiments.sweep(experiments.lines(words, False, config_dir), config_dir)
    if len(jobs) > 1:
        raise ConfigError(f"{' '.join(words)}: is a sweep of {len(jobs)} runs; wdrun.run trains one")
    (outcome,) = execute(jobs, asked)
    if outcome.error is not None:
        raise outcome.error
    tables = {name: read_table(outcome.directory / f"{name}.csv") for name in ("run", *TABLES)}
    return Result(outcome.directory, outcome.status, definition=outcome.job.run, **tables)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

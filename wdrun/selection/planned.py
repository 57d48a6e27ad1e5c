"""What the folders' plans mean to train and has no table yet, facet by facet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from wdrun.selection.cells import Grid, rows_of
from wdrun.selection.overrides import STRENGTH, Line, as_words
from wdrun.tables.plan import Planned

WITHIN = {
    *STRENGTH,
    "decay.lambda",
    "seed",
    "fold",
    "lr",
    "optimizer.lr",
}  # a facet's runs differ in these and nuisance


def waiting(plan: Sequence[Planned], grid: Grid, choices: pd.DataFrame) -> list[list[Line]]:
    """For each row of `choices` what was typed for the runs that wait and differ from a run of its facet in λ, seed …

    A run of a facet that no run has started yet belongs to none of them.
    """
    if not any(run.waits for run in plan):
        return [[] for _ in choices.index]
    inside = {*WITHIN, *grid.nuisance}
    typed = {run.name: _without(run.overrides, inside) for run in plan}
    found = []
    for _, row in choices.iterrows():
        own = rows_of(grid.replicates[~grid.replicates["lent"]], row, grid.facets)
        alike = {typed[name] for name in map(_name, own["dir"]) if name in typed}
        found.append([run.overrides for run in plan if run.waits and typed[run.name] in alike])
    return found


def _name(folder: str) -> str:
    return Path(folder).name


def _without(overrides: Iterable[str], keys: set[str]) -> frozenset[tuple[str, tuple[str, ...]]]:
    return frozenset((key, value) for key, value in as_words(overrides).items() if key.lstrip("+~") not in keys)

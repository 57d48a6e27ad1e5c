"""The runs of a folder that belong to a question: of which cell each is, with which seed, and how it scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wdrun.config.run import LATER, OUTSIDE, Job, canonical
from wdrun.errors import ConfigError
from wdrun.tables.identity import NO_KNOBS, knob
from wdrun.tables.siblings import rungs
from wdrun.tuning.question import Cell, Facet, Question, Seen
from wdrun.wording import shown

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
UNDER_WAY = ("running", "interrupted")
ASKED_OF_ALL = ("data.", "epochs")  # knobs in which all runs of the folder must be the question's


def observed(
    runs: pd.DataFrame, question: Question, jobs: Sequence[Job], timing: pd.DataFrame | None = None
) -> list[Seen]:
    """The runs of a typed runs table (see `read.load`) that are of a cell of the question, in the table's order.

    A run is of a facet where it has all knobs of the facet's job but the tuned ones and the seed; with λ = 0, all that
    are not the decay's. Of one cell and seed the first run that ended counts. A run that failed is left out: it is
    tried again. `timing` gives the seconds. ConfigError where the folder's runs are of other data or epochs.
    """
    table = _Table(runs)
    _check_folder(table, jobs)
    seconds = _seconds(runs, timing)
    scores = _scores(runs, question)
    status, seeds = list(runs["status"]), list(runs["seed"])
    cells = _cells(table, question, jobs)
    found: dict[tuple[Cell, int], Seen] = {}
    for row in sorted(cells, key=lambda row: (status[row] in UNDER_WAY, row)):
        if status[row] != "failed":
            key = cells[row], int(seeds[row])
            found.setdefault(key, Seen(*key, float(scores[row]), float(seconds[row])))
    order = {(cells[row], int(seeds[row])): row for row in sorted(cells, reverse=True)}
    return sorted(found.values(), key=lambda run: order[run.cell, run.seed])


def cells(runs: pd.DataFrame, question: Question, jobs: Sequence[Job]) -> dict[int, Cell]:
    """Of which cell of the question a run is, by its place in the table, whether it has ended or not."""
    return _cells(_Table(runs), question, jobs)


def _cells(table: _Table, question: Question, jobs: Sequence[Job]) -> dict[int, Cell]:
    found: dict[int, Cell] = {}
    for place, (facet, job) in enumerate(zip(question.facets, jobs, strict=True)):
        for row, setting in _settings(table, facet, job):
            found.setdefault(row, question.cell(place, setting))
    return found


class _Table:
    """The knobs of the runs, each value read once however many runs have it."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self.runs = runs
        self.knobs = [str(column) for column in runs.columns if column not in (*NO_KNOBS, *OUTSIDE)]
        self._known: dict[str, tuple[NDArray[np.intp], list[Any]]] = {}

    def has(self, key: str, value: Any) -> Mask:
        """Which runs have this value of a knob.

        None, and an empty cell, is null, a knob that the run has not, or what one that came later always was.
        """
        always = canonical(LATER.get(key))
        wanted = always if value is None else canonical(value)
        if key not in self.runs:
            return np.full(len(self.runs), wanted == always)
        if key not in self._known:
            import pandas as pd

            codes, cells = pd.factorize(self.runs[key], use_na_sentinel=False)
            self._known[key] = codes, [knob(cell) for cell in cells]
        codes, found = self._known[key]
        equal = [(always if one is None else one) == wanted for one in found]
        return np.array(equal, dtype=bool)[codes]

    def alike(self, knobs: dict[str, Any], but: Sequence[str]) -> Mask:
        """Which runs have these knobs and no others, but for some keys; one that ends in a dot stands for its group."""
        groups = tuple(key for key in but if key.endswith("."))
        keys = dict.fromkeys([*knobs, *self.knobs])
        left = [k for k in keys if k not in but and k not in OUTSIDE and not (groups and k.startswith(groups))]
        found = np.ones(len(self.runs), dtype=bool)
        for key in left:
            found &= self.has(key, knobs.get(key))
        return found


def _settings(table: _Table, facet: Facet, job: Job) -> list[tuple[int, tuple[float, ...]]]:
    """The rows of a facet's runs with the values of its axes, those within the bounds that were given."""
    tuned = [axis.key for axis in facet.space.axes]
    zero = table.has("lambda", 0)
    alike = table.alike(job.run.knobs, ["seed", *tuned]) & ~zero if job.run.lam else zero & False
    if facet.decays or not job.run.lam:
        alike = alike | (table.alike(job.run.knobs, ["seed", "lambda", "decay.", *tuned]) & zero)
    rows = np.flatnonzero(alike)
    columns = []
    for axis in facet.space.axes:
        of_decay = axis.key.startswith("decay.")
        always = LATER.get(axis.key)
        values = np.full(len(rows), axis.start if always is None else float(always))
        if axis.key in table.runs:
            told = table.runs[axis.key].to_numpy(dtype=float, na_value=math.nan if always is None else always)[rows]
            values = np.where(zero[rows], axis.start, told) if of_decay else told
        columns.append(values)
    inside = np.ones(len(rows), dtype=bool)
    for axis, values in zip(facet.space.axes, columns, strict=True):
        inside &= (values >= axis.low) & (values <= axis.high) | ((axis.key == "lambda") & zero[rows])
    settings = zip(*columns, strict=True) if columns else [()] * len(rows)
    return [(int(row), tuple(map(float, s))) for row, s, ok in zip(rows, settings, inside, strict=True) if ok]


def _scores(runs: pd.DataFrame, question: Question) -> NDArray[np.float64]:
    """How the runs scored, lower is better: inf of one that diverged, nan of one that has not ended."""
    scores = question.sign * runs[question.objective].to_numpy(dtype=float)
    scores = np.where((runs["status"] == "done").to_numpy() & np.isfinite(scores), scores, math.inf)
    return np.where(runs["status"].isin(UNDER_WAY).to_numpy(), math.nan, scores)


def _seconds(runs: pd.DataFrame, timing: pd.DataFrame | None) -> NDArray[np.float64]:
    """The seconds that each run took to train and evaluate, nan where its timing is not there."""
    if timing is None or timing.empty:
        return np.full(len(runs), math.nan)
    took = (timing["train_seconds"] + timing["evaluate_seconds"]).groupby(timing["id"]).sum()
    return runs["id"].map(took).to_numpy(dtype=float)


def _check_folder(table: _Table, jobs: Sequence[Job]) -> None:
    """ConfigError where the folder has runs of other data, epochs than the jobs have, rungs of halving apart."""
    run = jobs[0].run
    folders = {str(Path(folder).parent) for folder in table.runs["dir"]}
    short = {epochs for folder in folders for epochs in rungs(Path(folder)) if epochs < run.epochs}
    counted = ~table.runs["epochs"].isin(short).to_numpy()
    for key, value in run.knobs.items():
        if not key.startswith(ASKED_OF_ALL) or key in OUTSIDE:
            continue
        if (odd := counted & ~table.has(key, value)).any():
            other = shown(knob(table.runs.loc[odd, key].iloc[0])) if key in table.runs else "another"
            word, where = f"{key.removesuffix('.name')}={shown(value)}", ", ".join(sorted(folders))
            if key == "data.digest" and run.data["root"]:
                word, other = f"data.root={run.data['root']}", "other images"
            raise ConfigError(f"{word}: {where} holds runs of {other}, which do not compare; give another name=")

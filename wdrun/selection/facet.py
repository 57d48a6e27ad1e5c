"""One facet of a sweep: its rows in every table, and the lines of further runs of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from wdrun.accepts import SHARES
from wdrun.config.keys import KEYS
from wdrun.selection import overrides
from wdrun.selection.cells import NO_DECAY, Grid, rows_of, seeds_and_folds
from wdrun.selection.line import Typed
from wdrun.selection.names import name
from wdrun.selection.overrides import Line
from wdrun.tables.place import name_of

SEEDS = 5  # replicates that say something about noise
MOST_SEEDS = 50  # beyond this a difference is too small to be worth its runs

Point = dict[str, Any]  # what differs from the facet's other runs: a value of lambda, lr … or a list of seeds, folds


class Facet:
    """One facet's choice (`row`), its own `cells`, best cells by λ (`curve`) and `runs`.

    `lam` is lambda_min, nan where nothing could be chosen; `here` the nuisance knobs there; `positive` the curve at
    λ > 0 and `tried` its λ, ascending; `replicates` every seed and fold of the runs, `shared` those that its candidates
    are compared over; `typed` gives what was typed for a run; `decays`: some run has a decay.
    """

    def __init__(self, grid: Grid, points: pd.DataFrame, row: pd.Series, margin: float, typed: Typed) -> None:
        self.grid, self.row, self.margin, self.typed = grid, row, margin, typed
        self.name = name(row, grid.facets, grid.replicates)
        self.curve, self.cells, self.runs = (
            rows_of(f, row, grid.facets) for f in (points, grid.cells, grid.replicates)
        )
        self.lam = float(row["lambda_min"])
        self.positive = self.curve[self.curve["lambda"] > 0].sort_values("lambda")
        self.tried = list(self.positive["lambda"])
        self.here = {knob: row[f"{knob}_min"] for knob in grid.nuisance}
        self.decays = bool((self.runs["decay"] != NO_DECAY).any())
        self.replicates = _replicates(self.runs)
        self.shared = list(dict.fromkeys(seeds_and_folds(self.runs[self.runs["compared"]])))

    @cached_property
    def recorded(self) -> tuple[str, ...] | None:
        """What was typed for a run of this facet: one with decay first, and none that another facet lent."""
        own = self.runs[~self.runs["lent"]]
        strength = own["lambda"].where(own["decay"] != NO_DECAY, -1.0)
        own = own.loc[strength.sort_values(ascending=False, kind="stable").index]
        return next(_recorded(own, self.typed), None)

    @property
    def at_min(self) -> Point:
        return {"lambda": self.lam} | self.here

    @property
    def at_zero(self) -> Point:
        return {"lambda": 0.0} | {knob: self.row[f"{knob}_zero"] for knob in self.grid.nuisance}

    @property
    def pull(self) -> float:
        """D/λ at the chosen nuisance knobs: D is proportional to λ; nan where it is not defined."""
        cells = rows_of(self.cells[self.cells["lambda"] > 0], self.here, self.here)
        return float((cells["total_decay"] / cells["lambda"]).median())

    def settings(self, cells: pd.DataFrame) -> list[Point]:
        """The cells as points without seed and fold."""
        return cells[["lambda", *self.grid.nuisance]].to_dict("records")  # type: ignore[return-value]

    def at(self, lambdas: Iterable[float]) -> list[Point]:
        """These λ at the chosen nuisance knobs with every replicate of the facet."""
        return [{"lambda": lam} | self.here | replicate for lam in lambdas for replicate in self.replicates]

    def seeded(self, seeds: Sequence[int], settings: Sequence[Point]) -> list[Point]:
        """These settings with these seeds and all folds."""
        replicates = {"seed": seeds, "fold": sorted(self.runs["fold"].unique())}
        return [setting | replicates for setting in settings] if seeds else []

    def more_seeds(self, times: float = math.nan) -> list[int]:
        """The seeds there are and new ones: SEEDS, or `times` as many, at least two more; none beyond MOST_SEEDS."""
        used = sorted(self.runs["seed"].unique())
        wanted = SEEDS if math.isnan(times) else max(times * len(used), len(used) + 2, SEEDS)
        if wanted > MOST_SEEDS:
            return []
        missing = max(math.ceil(wanted) - len(used), 0)
        return sorted([*used, *[seed for seed in range(math.ceil(wanted) + len(used)) if seed not in used][:missing]])

    def fresh_seeds(self) -> list[int]:
        """SEEDS seeds that no run of the facet has, the first ones beyond those there are."""
        first = int(self.runs["seed"].max()) + 1
        return list(range(first, first + SEEDS))

    @property
    def folder(self) -> str:
        """The name of the folder that holds the facet's runs, as `name=` takes it."""
        return name_of(Path(self.runs["dir"].iloc[0]).absolute().parent)

    def lower_lr(self) -> list[float]:
        """Two learning rates below those tried; none where lr is no nuisance knob."""
        return beyond(sorted(self.runs["lr"].unique()), -1, "lr") if "lr" in self.grid.nuisance else []

    def further(self, points: Sequence[Point]) -> tuple[Line, ...]:
        """The lines of these runs of the facet; none where what was typed is not known."""
        return overrides.further(self.recorded, points) if self.recorded is not None and points else ()


def beyond(values: Sequence[float], direction: int, knob: str = "lambda", step: float | None = None) -> list[Any]:
    """Two values beyond the end of a grid, by `step` or its own last one; by a decade where there is one value only.

    Whole numbers stay whole, shares (momentum, β) below 1, and what the knob does not accept is left out.
    """
    positive = [v for v in values if v > 0]
    if not positive:
        return []
    end, other = (positive[-1], positive[-2:][0]) if direction > 0 else (positive[0], positive[:2][-1])
    if step:
        step **= direction
    else:
        step = end / other if end != other else 10.0**direction
    share = direction > 0 and knob in SHARES and end < 1
    proposed: list[Any] = [1 - (1 - end) / 2**i if share else end * step**i for i in (1, 2)]
    if all(isinstance(plain(v), int) for v in values):
        proposed = [round(v) for v in proposed if round(v) not in (0, end)]
    else:
        short = [rounded(v) for v in proposed]
        finer = share and not end < short[0] < short[1] < 1  # two digits of what is left to 1, then
        proposed = [round(1 - rounded(1 - v), 9) for v in proposed] if finer else short
    accepts = KEYS.get(knob)
    return [v for v in dict.fromkeys(proposed) if accepts is None or accepts.fits(v)]


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def plain(value: Any) -> Any:
    """A number that no library made; nan is always the same one, so that equal findings are equal."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    number = value.item() if hasattr(value, "item") else value
    return math.nan if number != number else number


def _replicates(runs: pd.DataFrame) -> list[Point]:
    """Every seed and fold of the runs: one point where they are a grid."""
    pairs = dict.fromkeys(seeds_and_folds(runs))
    seeds, folds = sorted({seed for seed, _ in pairs}), sorted({fold for _, fold in pairs})
    if len(pairs) == len(seeds) * len(folds):
        return [{"seed": seeds, "fold": folds}]
    return [{"seed": seed, "fold": fold} for seed, fold in pairs]


def again(runs: pd.DataFrame, typed: Typed) -> tuple[Line, ...]:
    """The lines of these very runs, as far as what was typed is known."""
    return overrides.again(_recorded(runs, typed))


def _recorded(runs: pd.DataFrame, typed: Typed) -> Iterator[tuple[str, ...]]:
    """What was typed for each of the runs of which it is known."""
    for folder in runs.get("dir", ()):
        if (words := typed(folder)) is not None:
            yield words

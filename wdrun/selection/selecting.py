"""select(): the runs of a sweep -> cells, curve, choice of λ, leaderboard and findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from wdrun.accepts import is_number
from wdrun.config.commands import MARGINS
from wdrun.errors import ConfigError
from wdrun.selection import cells as cells_
from wdrun.selection import names, planned
from wdrun.selection.choice import choose
from wdrun.selection.comparison import leaderboard
from wdrun.selection.finding import Finding
from wdrun.selection.findings import findings
from wdrun.selection.line import Typed
from wdrun.selection.looks import looks
from wdrun.tables.plan import Planned
from wdrun.wording import counted, listed, shown, typed


@dataclass(frozen=True, repr=False)
class Selection:
    """What a sweep says about λ. Tables are sorted by facet, nuisance, λ, whatever the order of the runs.

    `metric`, `margin` (in its unit) and `confidence` (of every interval) are as asked of `select`.
    `facets` are the knobs compared (text values); `nuisance` those optimised away; seed and fold are replicates.
    `cells`: one row a (facets…, nuisance…, lambda): n, mean, sd, se, low, high (t interval of the mean) of the metric,
    means of the losses and accuracies and of total_decay, counts diverged, failed (interrupted and running ones too),
    missing (replicates that finished in other cells of the facet and have no run here), whether it is a candidate, and
    `spare` (finished replicates beyond those compared). Of a candidate n and the means are of the replicates that all
    candidates of its facet have, so that they can be compared (see `evidence`); of another cell, of its own.
    `points`: one row a (facets…, lambda), the best cell over the nuisance knobs. `choices`: selection.csv, see
    `choice.choose`. `leaderboard`: leaderboard.csv, see `comparison.leaderboard`; where the runs are of different data,
    the leaderboards of each one under another (`boards`), since their scores do not compare. `findings`: what is open
    or doubtful and the runs that would settle it. `replicates`: the runs that count, see `cells.Grid`.
    Intervals are about the seeds and folds: which images are in the validation split is not in them.
    """

    metric: str
    margin: float
    facets: tuple[str, ...]
    nuisance: tuple[str, ...]
    cells: pd.DataFrame
    points: pd.DataFrame
    choices: pd.DataFrame
    leaderboard: pd.DataFrame
    findings: tuple[Finding, ...]
    replicates: pd.DataFrame
    confidence: float

    def name(self, row: pd.Series) -> str:
        """The facet of a row of any of the tables in words: `decay=l2, optimizer=adam`."""
        return names.name(row, self.facets, self.replicates)

    def values(self, row: pd.Series) -> dict[str, str]:
        """The facets of such a row as they are typed, see `names.values_of`."""
        return names.values_of(row, self.facets, self.replicates)

    @property
    def names(self) -> list[str]:
        """The facets in words, as `choices` has them."""
        return [self.name(row) for _, row in self.choices.iterrows()]

    @property
    def boards(self) -> list[tuple[str, pd.DataFrame]]:
        """The leaderboard of each data, with its name; one, with "", where all runs have the same data."""
        data = [names.data(row, self.facets, self.replicates) for _, row in self.leaderboard.iterrows()]
        return [(str(name), part) for name, part in self.leaderboard.groupby(data, sort=False)]

    def of(self, frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
        """The rows of one of the tables that have the facet of this row of another."""
        return cells_.rows_of(frame, row, self.facets)

    def __repr__(self) -> str:
        lams = [typed(lam) or "none" for lam in self.choices["lambda_min"]]
        found = listed([f"{name}: λ = {lam}" for name, lam in zip(self.names, lams, strict=True)])
        return f"Selection(by {self.metric}, {found}; {counted(len(self.findings), 'finding')})"

    def _repr_html_(self) -> str:
        """For a notebook: the choice for each facet, and what is open."""
        knobs = [f"{name}_min" for name in self.nuisance]
        shown = [*self.facets, "lambda_min", "lambda_1se", *knobs, "n", "mean", "se", "difference", "total_decay"]
        table = self.choices[shown].to_html(index=False, na_rep="", border=0)
        return table + "".join(f"<p>{escape(found.whole)}</p>\n" for found in self.findings)


def select(
    runs: pd.DataFrame,
    *,
    metric: str = "val_loss",
    margin: float | None = None,
    nuisance: Sequence[str] = ("lr",),
    confidence: float = 0.95,
    config_dir: str | None = None,
    plan: Sequence[Planned] = (),
    before: pd.DataFrame | None = None,
    left_out: pd.DataFrame | None = None,
) -> Selection:
    """Choose λ for every facet of the runs (a typed runs table, `read.load(…).runs`) on validation alone.

    `margin`: the difference that does not matter, in the unit of the metric; `config_dir` holds the user's own options,
    if the lines of findings need them; `plan` is what the last sweep means to train (`read.load(…).plan`), `before` the
    selection.csv of an earlier look at these results, `left_out` the runs there that are not looked at: what they tried
    counts as tried. ConfigError for what is out of range.
    """
    if not (is_number(confidence) and 0 < confidence < 1):
        raise ConfigError(f"confidence={shown(confidence)}: must be a number between 0 and 1, such as 0.95")
    if margin is not None and not (is_number(margin) and margin > 0):
        raise ConfigError(f"margin={shown(margin)}: must be a number > 0, in the unit of {metric}")
    grid = cells_.grid(runs, metric, nuisance, confidence, left_out)
    if margin is None:
        margin = MARGINS[metric]
    points = cells_.isolate(grid)
    choices = choose(grid, points, confidence)
    choices = choices.join(looks(choices, grid.facets, before))
    waiting = planned.waiting(plan, grid, choices)
    choices["missing"] = [max(missing, len(own)) for missing, own in zip(choices["missing"], waiting, strict=True)]
    data = [names.data(row, grid.facets, grid.replicates) for _, row in choices.iterrows()]
    boards = [leaderboard(grid, points, own, margin, confidence) for _, own in choices.groupby(data, sort=False)]
    asked: dict[str, Any] = {"margin": margin, "confidence": confidence, "config_dir": config_dir}
    asked["typed"] = Typed(runs, config_dir)
    found = findings(grid, points, choices, boards, waiting=waiting, plan=plan, **asked)
    return Selection(
        metric=metric,
        margin=margin,
        facets=grid.facets,
        nuisance=grid.nuisance,
        cells=grid.cells,
        points=points,
        choices=choices,
        leaderboard=pd.concat(boards, ignore_index=True),
        findings=found,
        replicates=grid.replicates,
        confidence=confidence,
    )

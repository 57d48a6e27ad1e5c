"""The tables that figures are made of: cells over replicates, and the facets with the runs to look at closely.

A facet is one setting of everything compared (decay, optimizer, …); replicates are runs of a facet with the same
(lr, λ) that differ in seed or fold. Only finished runs enter a mean. Intervals are t intervals at 95 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from scipy.special import stdtrit

from wdrun.report.figures.style import literal, some
from wdrun.selection.cells import SCORES, best_first
from wdrun.wording import typed

if TYPE_CHECKING:
    from wdrun.selection import Selection

COUNTS = ("diverged", "failed", "missing")
PLAIN = ("model", "decay", "coupling", "optimizer", "schedule", "augment", "data")


def replicates(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """For each group of `by`: of every value v its mean `v`, interval `v.low`, `v.high` and number `v.n`.

    mean ± t(0.975, n − 1)·sd/√n over the finite values; without an interval (nan) where n = 1.
    """
    grouped = frame.groupby(list(by), dropna=False, sort=True)[list(values)]
    mean, sd, n = grouped.mean(), grouped.std(), grouped.count()
    half = sd / n**0.5 * stdtrit((n - 1).clip(lower=1), 0.975)
    parts = [mean, (mean - half).add_suffix(".low"), (mean + half).add_suffix(".high"), n.add_suffix(".n")]
    return pd.concat(parts, axis=1).reset_index()


@dataclass(frozen=True)
class FacetTables:
    """A facet as figures draw it: label, coupling of its decay, cells, and its finished runs at its chosen lr.

    `cells` has one row a (lr, λ): the outcomes as `replicates` has them, counts of runs that came to nothing,
    total_decay, `best` (this lr is the best for this λ) and `setting`, the lr (and other nuisance knobs) in words.
    `finished` is all its finished runs, `close` those to look at closely: with the chosen lr. λ chosen are nan where
    nothing could be.
    """

    label: str
    coupling: str
    cells: pd.DataFrame
    finished: pd.DataFrame
    close: pd.DataFrame
    setting: str
    lambda_min: float
    lambda_1se: float

    def lams(self, most: int) -> list[float]:
        """At most `most` of the λ at the chosen lr, the chosen ones among them."""
        return some(list(self.close["lambda"]), most, keep=[0.0, self.lambda_min, self.lambda_1se])

    def thinned(self, most: int) -> str:
        """Which λ are shown, where not all are."""
        every, shown = self.close["lambda"].nunique(), len(self.lams(most))
        return f" {shown} of {every} λ shown: the chosen, the outermost, the others evenly spaced." * (shown < every)


def facets(selection: Selection) -> list[FacetTables]:
    """The facets of a selection that have a choice, the best on validation first."""
    chosen = selection.choices[selection.choices["lambda_min"].notna()]
    return [_facet(selection, row) for _, row in best_first(chosen, selection.metric).iterrows()]


def _facet(selection: Selection, choice: pd.Series) -> FacetTables:
    nuisance, key = selection.nuisance, [*selection.nuisance, "lambda"]
    own = selection.of(selection.replicates, choice)
    done = own[own["outcome"] == "done"]
    cells = selection.of(selection.cells, choice)[[*key, *COUNTS, "total_decay", "candidate"]]
    counted = done.merge(cells[[*key, "candidate"]], on=key)
    counted = counted[counted["compared"] | ~counted["candidate"]]  # as the means of the choice are
    cells = cells.merge(replicates(counted, key, SCORES), on=key, how="left").drop(columns="candidate")
    points = selection.of(selection.points, choice)[key]
    best = pd.MultiIndex.from_frame(cells[key]).isin(pd.MultiIndex.from_frame(points))
    cells = cells.assign(best=best, setting=_settings(cells, nuisance)).sort_values(key, ignore_index=True)
    done = done.assign(setting=_settings(done, nuisance))
    setting = _words(nuisance, [choice[f"{name}_min"] for name in nuisance])
    return FacetTables(
        label=_label(selection, choice),
        coupling=_coupling(own),
        cells=cells,
        finished=done,
        close=done[done["setting"] == setting],
        setting=setting,
        lambda_min=float(choice["lambda_min"]),
        lambda_1se=float(choice["lambda_1se"]),
    )


def _label(selection: Selection, choice: pd.Series) -> str:
    """The facet in words, short: `coupled, sgd`; knobs whose values do not speak for themselves with their name."""
    if not selection.facets:
        return literal(selection.name(choice))
    words = [(k.removesuffix(".name").rpartition(".")[2], value) for k, value in selection.values(choice).items()]
    return literal(", ".join(value if word in PLAIN else f"{word}={value}" for word, value in words))


def _settings(frame: pd.DataFrame, nuisance: Sequence[str]) -> pd.Series:
    words = [_words(nuisance, values) for values in zip(*(frame[name] for name in nuisance), strict=True)]
    return pd.Series(words, index=frame.index, dtype=object)


def _words(names: Sequence[str], values: Iterable[object]) -> str:
    return literal(" ".join(f"{name}={typed(value)}" for name, value in zip(names, values, strict=True)))


def _coupling(own: pd.DataFrame) -> str:
    """The coupling of the facet's runs with decay; "" where there is none or more than one."""
    names = own.loc[own["lambda"] > 0, "coupling"].unique()
    return str(names[0]) if len(names) == 1 else ""


def of_close(frame: pd.DataFrame, facet: FacetTables, most: int) -> pd.DataFrame:
    """Rows of a table that belong to the facet's runs at its chosen lr, with λ to show."""
    return frame[frame["id"].isin(facet.close["id"]) & frame["lambda"].isin(facet.lams(most))]

"""From runs to cells: the mean over replicates at each setting of the knobs that are compared, tuned away, and λ.

A *cell* is one setting of (facets…, nuisance…, λ); its replicates differ in seed and fold only. A run is in a mean when
it is done and its score is finite; every other run is counted as diverged or as failed, never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wdrun.errors import ConfigError
from wdrun.selection import evidence
from wdrun.selection.intervals import spread, t_interval
from wdrun.selection.question import LeftOut, data_of, made_apart, of_one_question, texts
from wdrun.selection.varying import REPLICATE, elsewhere_of, facets_of, is_outcome
from wdrun.wording import nearest

METRICS = ("val_loss", "val_accuracy")
OUTCOME = ("test_loss", "test_accuracy", "total_decay", "dir")
SCORES = (*METRICS, "train_loss", "train_accuracy")
NO_DECAY = "none"  # the option without decay


@dataclass(frozen=True)
class Grid:
    """The runs that count, by cell. `replicates` has one row a run: facets (as text), nuisance, lambda, seed, fold,
    `outcome` (done, diverged, failed), the scores, `dir`, its `data` in words ("" where all have the same), whether it
    is `lent` (a λ = 0 of another facet), and whether it is `compared`: of a candidate, and one of the replicates that
    all candidates of its facet have (see `evidence`). `cells` is documented in `Selection`. Left out are `repeated`
    runs and those of another question; `notes` are findings (kind, numbers) on these and on what runs were made with.
    """

    metric: str
    facets: tuple[str, ...]
    nuisance: tuple[str, ...]
    replicates: pd.DataFrame
    cells: pd.DataFrame
    notes: Sequence[LeftOut]
    repeated: int
    elsewhere: pd.DataFrame

    @property
    def key(self) -> list[str]:
        """The columns that name a cell."""
        return [*self.facets, *self.nuisance, "lambda"]

    @property
    def sign(self) -> int:
        """sign × score is lower for the better run."""
        return 1 if lower_is_better(self.metric) else -1

    def matrix(self, facet: Mapping[str, Any] | pd.Series) -> pd.DataFrame:
        """The scores that a facet's choice is made from: a row a (seed, fold), a column a candidate cell, no holes.

        `facet` has a value of each of `facets` (a row of any table does). The columns are a MultiIndex of
        (nuisance…, lambda), sorted; the column means are the `mean` of the cells. Empty where there is no candidate.
        """
        rows = rows_of(self.replicates[self.replicates["compared"]], facet, self.facets)
        found = rows.pivot(index=REPLICATE, columns=[*self.nuisance, "lambda"], values=self.metric).astype(float)
        return found.set_axis(pd.MultiIndex.from_frame(found.columns.to_frame(index=False)), axis=1)

    def finished(self, cell: pd.Series, column: str | None = None) -> pd.Series:
        """A column (the metric) of the finished runs of a cell, compared or not, by (seed, fold), sorted."""
        rows = rows_of(self.replicates[self.replicates["outcome"] == "done"], cell, self.key)
        return rows.set_index(REPLICATE)[column or self.metric].sort_index()


def grid(
    runs: pd.DataFrame,
    metric: str,
    nuisance: Sequence[str],
    confidence: float,
    left_out: pd.DataFrame | None = None,
) -> Grid:
    """The cells of the runs (a typed runs table); `left_out` are runs that were there too and are not looked at."""
    if metric not in METRICS:
        raise ConfigError(f"metric={metric}: must be {' or '.join(METRICS)}{nearest(metric, METRICS)}")
    for name in nuisance:
        if name not in runs.columns or name in ("lambda", *REPLICATE) or is_outcome(name):
            knobs = [c for c in runs.columns if not is_outcome(c) and c not in ("lambda", *REPLICATE)]
            raise ConfigError(f"nuisance={name}: must name knobs of the runs, such as lr{nearest(name, knobs)}")
    runs = runs.reset_index(drop=True)
    runs, notes = of_one_question(runs, _finished(runs, metric))
    if apart := made_apart(runs):
        notes.append(("made apart", {"columns": apart, "runs": len(runs)}))
    facets = facets_of(runs, nuisance)
    elsewhere = elsewhere_of(runs, runs[:0] if left_out is None else left_out, nuisance)
    frame = _prepared(runs, metric, facets, nuisance)
    frame, facets = _shared_zero(frame, facets, nuisance)
    key = [*facets, *nuisance, "lambda"]
    order = ["_rank", "id"] if "id" in frame else ["_rank"]
    frame["_rank"] = frame["outcome"].map({"done": 0, "diverged": 1, "failed": 2})
    distinct = frame.sort_values(order, kind="stable").drop_duplicates([*key, *REPLICATE])
    distinct = _sorted(distinct, [*key, *REPLICATE]).drop(columns="_rank")
    distinct["compared"] = _compared(distinct, facets, key)
    cells = _cells(distinct, metric, facets, key, confidence)
    return Grid(metric, tuple(facets), tuple(nuisance), distinct, cells, notes, len(frame) - len(distinct), elsewhere)


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a score is the better one."""
    return "accuracy" not in metric


def best_first(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows from best to worst `mean` of the metric; ties in their own order, those without a mean last."""
    return frame.sort_values("mean", ascending=lower_is_better(metric), kind="stable")


def rows_of(frame: pd.DataFrame, values: Mapping[str, Any] | pd.Series, names: Iterable[str]) -> pd.DataFrame:
    """The rows that have these values in the columns `names`: those of a facet, of a cell."""
    for name in names:
        frame = frame[frame[name] == values[name]]
    return frame


def seeds_and_folds(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """(seed, fold) of each row."""
    return list(zip(frame["seed"], frame["fold"], strict=True))


def isolate(found: Grid) -> pd.DataFrame:
    """One row a (facets…, λ): its best candidate over the nuisance knobs; where none is one, its best other cell."""
    rows = []
    for _, cells in groups(found.cells, [*found.facets, "lambda"]):
        candidates = cells[cells["candidate"]]
        rows.append(best_first(candidates if len(candidates) else cells, found.metric).iloc[0])
    columns = found.cells.columns
    return pd.DataFrame(rows, columns=columns).astype(found.cells.dtypes).reset_index(drop=True)


def groups(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The groups of the frame with their key, in order of appearance; the whole frame where there is no key."""
    if not by:
        return [({}, frame)]
    return [(dict(zip(by, key, strict=True)), part) for key, part in frame.groupby(list(by), sort=False, dropna=False)]


def _finished(runs: pd.DataFrame, metric: str) -> pd.Series:
    """Whether a run is done and its score is finite."""
    return (runs["status"] == "done") & np.isfinite(runs[metric].astype(float))


def _prepared(runs: pd.DataFrame, metric: str, facets: Sequence[str], nuisance: Sequence[str]) -> pd.DataFrame:
    """A copy with facets as text and the outcome of each run; a done run without a finite score has failed."""
    kept = ["id", *facets, *nuisance, "lambda", *REPLICATE, "decay", "coupling", "status", *SCORES, *OUTCOME]
    frame = runs[[c for c in dict.fromkeys(kept) if c in runs]].copy()
    for name in facets:
        frame[name] = texts(frame[name])
    for name in nuisance:
        if not pd.api.types.is_numeric_dtype(frame[name]) or frame[name].isna().any():
            frame[name] = texts(frame[name])
    frame["outcome"] = np.where(
        _finished(frame, metric), "done", np.where(frame["status"] == "diverged", "diverged", "failed")
    )
    frame["lent"] = False
    frame["data"] = data_of(runs)
    return frame


def _shared_zero(frame: pd.DataFrame, facets: list[str], nuisance: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Runs at λ = 0 stand in for that replicate of every facet that differs in its decay only and lacks it.

    λ = 0 is the same training whatever decay it was typed with (laws: bit for bit). `decay=none` is thereby the λ = 0
    of the other decays and no facet of its own, and a facet knob it alone made vary is one no more.
    """
    ours = [f for f in facets if f in ("decay", "coupling") or f.startswith("decay.")]
    if not ours:
        return frame, facets
    others = [f for f in facets if f not in ours]
    parts = [frame]
    unused = frame["decay"] == NO_DECAY if "decay" in ours else pd.Series(False, index=frame.index)
    absorbed = pd.Series(False, index=frame.index)
    at = [*nuisance, *REPLICATE]
    for values, part in groups(frame[~unused], facets):
        same = rows_of(frame, values, others)
        zeros = same[same["lambda"] == 0]
        absorbed[same.index] |= unused[same.index]
        held = pd.MultiIndex.from_frame(part.loc[part["lambda"] == 0, at])
        # A finished stand-in before another, and always the same one.
        zeros = zeros.assign(_late=zeros["outcome"] != "done").sort_values(["_late", *facets], kind="stable")
        lent = (
            zeros[~pd.MultiIndex.from_frame(zeros[at]).isin(held)]
            .drop_duplicates(at)
            .drop(columns="_late")
            .assign(lent=True)
        )
        for facet in ours:
            lent[facet] = values[facet]
        parts.append(lent)
    frame = pd.concat([frame[~absorbed], *(p for p in parts[1:] if len(p))], ignore_index=True)
    return frame, [f for f in facets if f not in ours or frame[f].nunique() > 1]


def _sorted(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By these columns, texts that are numbers as numbers."""

    def rank(column: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(column):
            return column
        numbers = pd.to_numeric(column, errors="coerce")
        return column if numbers.isna().any() else numbers

    return frame.sort_values(list(by), key=rank, kind="stable").reset_index(drop=True)


def _compared(frame: pd.DataFrame, facets: Sequence[str], key: Sequence[str]) -> np.ndarray:
    """Of each run whether it is compared: a diverged replicate puts its whole cell out, then see `evidence`."""
    cell = frame.groupby(list(key), sort=False, dropna=False).ngroup()
    replicate = frame.groupby(REPLICATE).ngroup()
    open_ = ~cell.isin(cell[frame["outcome"] == "diverged"]) & (frame["outcome"] == "done")
    found = np.zeros(len(frame), dtype=bool)
    for _, part in groups(frame[open_], facets):
        held = pd.crosstab(cell[part.index], replicate[part.index]).astype(bool)
        shared = evidence.compared(held)
        found[part.index] = cell[part.index].isin(shared.index) & replicate[part.index].isin(shared.columns)
    return found


def _cells(
    frame: pd.DataFrame, metric: str, facets: Sequence[str], key: Sequence[str], confidence: float
) -> pd.DataFrame:
    done = frame[frame["outcome"] == "done"]
    expected = {tuple(values.values()): set(seeds_and_folds(part)) for values, part in groups(done, facets)}
    rows = []
    for values, part in groups(frame, key):
        shared = part[part["compared"]]
        finished = shared if len(shared) else part[part["outcome"] == "done"]
        x = finished[metric].to_numpy(dtype=float)
        sd = spread(x)
        low, high, _ = t_interval(x, confidence)
        row = values | {"n": len(x), "mean": x.mean() if len(x) else math.nan, "sd": sd}
        row |= {"se": sd / math.sqrt(len(x)) if len(x) else math.nan, "low": low, "high": high}
        row |= {name: finished[name].astype(float).mean() for name in SCORES}
        row["total_decay"] = part["total_decay"].astype(float).mean()
        row |= {name: int((part["outcome"] == name).sum()) for name in ("diverged", "failed")}
        wanted = expected.get(tuple(values[f] for f in facets), set())
        row["missing"] = len(wanted - set(seeds_and_folds(part)))
        row["candidate"] = bool(len(shared))
        row["spare"] = int((part["outcome"] == "done").sum()) - len(x)
        rows.append(row)
    return pd.DataFrame(rows)

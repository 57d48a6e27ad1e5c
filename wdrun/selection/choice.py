"""Which λ: the best mean, the strongest λ within one standard error of it, and what that gains over λ = 0."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from wdrun.selection.cells import Grid, groups, rows_of
from wdrun.selection.intervals import NONE, narrower, pairs_needed, picked_interval, pool, spread, t_interval

FRESH = "fresh replicates"  # the method of an interval over replicates that had no part in the choice


def choose(grid: Grid, points: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row a facet: `selection.csv`. Empty cells are nan: nothing to choose from, or not known from one replicate.

    lambda_min is the λ of the best mean among the candidates. A cell with a diverged replicate is no candidate: the
    mean over the seeds that happened to survive looks better than the λ is, and a λ that loses one run in three is
    not one to take. Failed and interrupted runs end for reasons outside the training, so they only lower n.
    lambda_1se (glmnet's rule; Breiman et al. 1984) is the strongest λ whose mean is within one standard error, that
    at lambda_min, of the best mean. Ties go to the stronger λ too. Stronger is larger, but for the projected
    coupling, where λ is a radius: there it is smaller, and 0 is off.

    The difference is mean(lambda_min) − mean(λ = 0), each at its own best nuisance knobs. Its interval knows that
    lambda_min was picked as the best of all cells with λ > 0 (`intervals.picked_interval`); those count too that have
    too few replicates to be chosen, or that filter words leave out. Where the two have replicates that had no part in
    the choice, such as fresh seeds, and these promise a narrower interval (by their number, never by their scores),
    difference and interval are theirs. Of several facets each interval has the level 1 − α/facets, so that all of them
    hold at once with `confidence`.
    """
    rows = []
    told = groups(points, grid.facets)
    confidence = 1 - (1 - confidence) / max(sum(_tells(curve) for _, curve in told), 1)
    for values, curve in told:
        runs = rows_of(grid.replicates, values, values)
        cells = rows_of(grid.cells, values, values)
        row: dict[str, Any] = dict(values) | {"metric": grid.metric}
        candidates = curve[curve["candidate"]]
        low, one, zero = _best(grid, runs, candidates), None, _zero(candidates)
        if low is not None:
            one = _one_se(grid, runs, candidates, low)
        row |= _named(grid, low, "min") | _scores(grid, low)
        row |= _named(grid, one, "1se") | {"mean_1se": math.nan if one is None else one["mean"]}
        row |= _named(grid, zero, "zero") | {"mean_zero": math.nan if zero is None else zero["mean"]}
        row |= _gain(grid, values, low, zero, confidence)
        for name in ("test_loss", "test_accuracy"):
            row[name] = math.nan if low is None else float(grid.finished(low, name).astype(float).mean())
        outcomes = runs["outcome"].value_counts()
        row |= {"cells": len(cells), "runs": len(runs)}
        row |= {name: int(outcomes.get(name, 0)) for name in ("diverged", "failed")}
        row |= {"missing": int(cells["missing"].sum()), "edge": "" if low is None else _edge(curve, low)}
        rows.append(row)
    return pd.DataFrame(rows)


def strength(lam: float, projected: bool) -> float:
    """Orders λ by how much it holds the weights back."""
    return (-math.inf if lam == 0 else -lam) if projected else lam


def is_projected(runs: pd.DataFrame) -> bool:
    """Whether λ is a radius in these runs."""
    return bool((runs.loc[runs["lambda"] > 0, "coupling"] == "projected").any())


def ties(grid: Grid, points: pd.DataFrame) -> list[float]:
    """The λ of one facet's curve that share the best mean, ascending."""
    candidates = points[points["candidate"]]
    best = (grid.sign * candidates["mean"]).min()
    return sorted(candidates.loc[grid.sign * candidates["mean"] == best, "lambda"])


def within_one_se(grid: Grid, points: pd.DataFrame, low: pd.Series) -> pd.DataFrame:
    """The candidates of one facet's curve within one standard error, that at lambda_min, of the best mean."""
    candidates = points[points["candidate"]]
    return candidates[grid.sign * candidates["mean"] <= grid.sign * low["mean"] + low["se"]]


def _strongest(cells: pd.DataFrame, projected: bool) -> pd.Series:
    return max((cell for _, cell in cells.iterrows()), key=lambda cell: strength(cell["lambda"], projected))


def _best(grid: Grid, runs: pd.DataFrame, candidates: pd.DataFrame) -> pd.Series | None:
    if candidates.empty:
        return None
    best = candidates[candidates["lambda"].isin(ties(grid, candidates))]
    return _strongest(best, is_projected(runs))


def _one_se(grid: Grid, runs: pd.DataFrame, candidates: pd.DataFrame, low: pd.Series) -> pd.Series | None:
    if math.isnan(low["se"]):
        return None
    return _strongest(within_one_se(grid, candidates, low), is_projected(runs))


def _zero(candidates: pd.DataFrame) -> pd.Series | None:
    at = candidates[candidates["lambda"] == 0]
    return at.iloc[0] if len(at) else None


def _named(grid: Grid, cell: pd.Series | None, suffix: str) -> dict[str, Any]:
    row = {} if suffix == "zero" else {f"lambda_{suffix}": math.nan if cell is None else cell["lambda"]}
    return row | {f"{name}_{suffix}": math.nan if cell is None else cell[name] for name in grid.nuisance}


def _scores(grid: Grid, low: pd.Series | None) -> dict[str, Any]:
    names = ("n", "mean", "sd", "se", "low", "high", "total_decay")
    return dict.fromkeys(names, math.nan) | {"n": 0} if low is None else {name: low[name] for name in names}


def _tells(curve: pd.DataFrame) -> bool:
    """Whether a facet has something to compare with λ = 0."""
    at = curve.loc[curve["candidate"], "lambda"]
    return bool((at == 0).any() and (at > 0).any())


def _gain(
    grid: Grid, facet: dict[str, Any], low: pd.Series | None, zero: pd.Series | None, confidence: float
) -> dict[str, Any]:
    interval, mean, pairs, needed = NONE, math.nan, 0, math.nan
    if low is not None and zero is not None and low["lambda"] > 0:
        key = [*grid.nuisance, "lambda"]
        scores, cells = grid.matrix(facet), rows_of(grid.cells, facet, facet)
        others = rows_of(grid.elsewhere, facet, facet)
        seen = pd.concat([cells.loc[cells["n"] > 0, key], others.loc[others["status"] == "done", key]])
        tried = len(seen[seen["lambda"] > 0].drop_duplicates())
        d = scores.loc[:, scores.columns.get_level_values("lambda") > 0]
        noise = pool(d.sub(scores[tuple(zero[key])], axis=0).to_numpy())
        told = grid.finished(low).sub(grid.finished(zero)).dropna()
        fresh = told[~told.index.isin(scores.index)]
        if narrower(len(fresh), len(told), tried, noise, confidence):
            told, interval = fresh, t_interval(fresh.to_numpy(), confidence)._replace(method=FRESH)
        else:
            interval = picked_interval(told.to_numpy(), tried, noise, confidence)
        mean, pairs = float(told.mean()), len(told)
        needed = pairs_needed(mean, spread(told.to_numpy()), confidence)
    return {
        "difference": mean,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "pairs": pairs,
        "method": interval.method,
        "needed": needed,
    }


def _edge(curve: pd.DataFrame, low: pd.Series) -> str:
    """upper or lower where lambda_min is the largest or smallest λ > 0 tried, diverged ones too; both; or nothing."""
    tried = curve.loc[curve["lambda"] > 0, "lambda"]
    if low["lambda"] == 0 or tried.empty:
        return ""
    ends = [name for name, end in (("lower", tried.min()), ("upper", tried.max())) if end == low["lambda"]]
    return "both" if len(ends) == 2 else "".join(ends)

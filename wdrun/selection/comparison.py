"""The leaderboard: facets against the best one, at their own lambda_min, paired by (seed, fold)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from wdrun.selection import evidence
from wdrun.selection.cells import Grid, rows_of
from wdrun.selection.intervals import Interval, pairs_needed, pooled_noise, ranked_interval, ranked_p, spread


def leaderboard(
    grid: Grid, points: pd.DataFrame, choices: pd.DataFrame, margin: float, confidence: float
) -> pd.DataFrame:
    """One row a facet, by its mean at lambda_min: `leaderboard.csv`. The difference is facet − best.

    Facets are ranked by their means over the replicates that they share at lambda_min (see `evidence`); one that lacks
    some of these is not compared.

    Its interval and p know that the best one was read from the same runs, and that a facet which tried more cells than
    another had more luck to pick from (`intervals.ranked_interval`, with settings = Σ cells/fewest cells). The verdict
    is read off the interval: equivalent where all of it lies within the margin (even where 0 is not in it: the margin
    says what matters), else worse where it excludes 0, else cannot tell. `needed` pairs of both would tell, if mean and
    spread stayed as they are.

    Tuning budget: `cells` is how many cells a facet tried, and the best of more tries looks better. `expected` is the
    expected best mean of k of its cells drawn without replacement, k the smallest `cells` of all (Dodge et al. 2019
    with replacement): equal to the mean where budgets are equal, and what to compare where they are not.
    """
    chosen = choices[choices["lambda_min"].notna()]
    at = chosen.assign(**{"lambda": chosen["lambda_min"]})
    cells = {i: rows_of(points, row, [*grid.facets, "lambda"]).iloc[0] for i, row in at.iterrows()}
    scores = {i: grid.finished(cell) for i, cell in cells.items()}
    shared = evidence.compared(pd.DataFrame({i: score.notna() for i, score in scores.items()}).notna().T)
    mean = {i: float(scores[i][shared.columns].mean()) for i in shared.index}
    ranked = sorted(mean, key=lambda i: grid.sign * mean[i])
    noise = pooled_noise(np.array([scores[i][shared.columns] for i in ranked], dtype=float).T) if ranked else None
    budget = min(choices["cells"], default=0)
    tries = [n for i, n in chosen["cells"].items() if i in mean]
    settings = sum(tries) / min(tries, default=1)
    rows = []
    for rank, i in enumerate([*ranked, *choices.index.difference(ranked)], start=1):
        tried = rows_of(grid.cells, choices.loc[i], grid.facets)
        row: dict[str, Any] = {"rank": rank if i in mean else math.nan}
        row |= {name: choices.loc[i, name] for name in grid.facets}
        row |= {"lambda": choices.loc[i, "lambda_min"]}
        row |= {name: choices.loc[i, f"{name}_min"] for name in grid.nuisance}
        n = len(shared.columns) if i in mean else choices.loc[i, "n"]
        row |= {"n": n, "mean": mean.get(i, choices.loc[i, "mean"]), "cells": len(tried)}
        row |= {"expected": expected_best(grid, tried, budget)}
        d = np.array([])
        if i in mean and i != ranked[0]:
            d = (scores[i] - scores[ranked[0]]).dropna().to_numpy(dtype=float)
        asked = (d, noise, settings, len(ranked) - 1)
        interval, p = ranked_interval(*asked, confidence), ranked_p(*asked)
        row |= {"difference": float(d.mean()) if len(d) else math.nan, "low": interval.low, "high": interval.high}
        row |= {"pairs": len(d), "method": interval.method, "p": p}
        row["needed"] = pairs_needed(row["difference"], spread(d), 1 - (1 - confidence) / max(len(ranked) - 1, 1))
        if ranked and i == ranked[0]:
            row |= {"difference": 0.0, "verdict": "best"}
        elif i in cells and i not in mean:
            row["verdict"] = "not compared"
        else:
            row["verdict"] = _verdict(interval, grid.sign, margin)
        rows.append(row)
    return pd.DataFrame(rows)


def expected_best(grid: Grid, cells: pd.DataFrame, k: int) -> float:
    """E of the best mean among k of the cells drawn without replacement; draws that hold no candidate do not count.

    The i-th best of N is the best drawn with probability C(N−i, k−1)/C(N, k), i from 1.
    """
    values = sorted(grid.sign * cells.loc[cells["candidate"], "mean"])
    weights = [math.comb(len(cells) - i, k - 1) for i in range(1, len(values) + 1)]
    if not sum(weights):
        return math.nan
    return grid.sign * sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _verdict(interval: Interval, sign: int, margin: float) -> str:
    if max(-interval.low, interval.high) < margin:
        return "equivalent"
    against = interval.low if sign > 0 else -interval.high
    return "worse" if against > 0 else "cannot tell"

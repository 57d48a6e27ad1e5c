"""The leaderboard: facets against the best one, at their own lambda_min, paired by (seed, fold)."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from wdrun.selection import evidence
from wdrun.selection.cells import Grid, paired, rows_of
from wdrun.selection.intervals import equivalence_p, holm, paired_interval, paired_p


def leaderboard(
    grid: Grid, points: pd.DataFrame, choices: pd.DataFrame, margin: float, confidence: float
) -> pd.DataFrame:
    """One row a facet, by its mean at lambda_min: `leaderboard.csv`. The difference is facet − best.

    Facets are ranked by their means over the replicates that they share at lambda_min (see `evidence`); one that lacks
    some of these is not compared.

    p is of the paired t-test, p_equivalence of TOST with the margin; p_holm corrects p over *all* pairs of facets,
    because which one is best, and so which pairs are shown, was read from the same runs (of 8 equal facets with five
    replicates one is called worse in 2 % of sweeps; in 8 % if the pairs shown were all that is corrected for).
    p_equivalence is corrected alike. The verdict at level 1 − confidence: equivalent when the difference is shown to
    be inside the margin (even where it is significant: the margin says what matters), else worse when p_holm is below
    the level, else cannot tell.

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
    pairs = list(combinations(ranked, 2))
    apart = {(i, j): paired(scores[j], scores[i]) for i, j in pairs}
    p = {pair: paired_p(d) for pair, d in apart.items()}
    corrected = dict(zip(pairs, holm(list(p.values())), strict=True))
    equivalence = dict(zip(pairs, holm([equivalence_p(d, margin) for d in apart.values()]), strict=True))
    budget = min(choices["cells"], default=0)
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
        pair = (ranked[0] if ranked else i, i)
        d = apart.get(pair, np.array([]))
        interval = paired_interval(d, confidence)
        row |= {"difference": float(d.mean()) if len(d) else math.nan, "low": interval.low, "high": interval.high}
        row |= {"pairs": len(d), "method": interval.method, "p": p.get(pair, math.nan)}
        row |= {"p_holm": corrected.get(pair, math.nan), "p_equivalence": equivalence.get(pair, math.nan)}
        if ranked and i == ranked[0]:
            row |= {"difference": 0.0, "verdict": "best"}
        elif i in cells and i not in mean:
            row["verdict"] = "not compared"
        else:
            row["verdict"] = _verdict(row, grid.sign, 1 - confidence)
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


def _verdict(row: dict[str, Any], sign: int, level: float) -> str:
    if row["p_equivalence"] < level:
        return "equivalent"
    return "worse" if row["p_holm"] < level and sign * row["difference"] > 0 else "cannot tell"

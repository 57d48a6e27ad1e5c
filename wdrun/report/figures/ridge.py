"""Where the best λ goes as lr grows: the slope of log λ on log lr along the ridge of a grid.

If what matters is the share a weight loses per step, the best λ follows from how the decay enters it. Where that
share is lr·λ (coupled without a preconditioner, decoupled as torch writes it, cautious, proximal), the same share at
every lr means λ ∝ 1/lr: slope −1, a diagonal. Where it is s·λ (independent, the "decoupled" of Loshchilov & Hutter
2019, figure 2), lr does not enter: slope 0, a ridge along the lr axis. Under an adaptive optimizer a coupled penalty
is rescaled by the gradients, so −1 is a first guess only; a projection's λ is a radius, and no share at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

PRODUCT, FREE = -1.0, 0.0  # slopes: lr·λ is constant; λ does not depend on lr


@dataclass(frozen=True)
class Ridge:
    """log10 λ = intercept + slope·log10 lr with the slope's 95 % interval, from `n` lr; `reason` where there is none.

    `at` is the best λ of each lr, `inside` which of them entered the fit.
    """

    slope: float
    low: float
    high: float
    intercept: float
    n: int
    reason: str
    at: pd.DataFrame

    @property
    def reading(self) -> str:
        """What the interval can tell."""
        if self.reason:
            return f"cannot be told: {self.reason}"
        product, free = (self.low <= slope <= self.high for slope in (PRODUCT, FREE))
        if product and free:
            return "cannot be told: the interval holds both −1 and 0"
        if product:
            return "lr·λ constant"
        return "λ independent of lr" if free else "neither −1 nor 0"


def ridge(cells: pd.DataFrame, *, lower: bool) -> Ridge:
    """The ridge of cells with columns lr, lambda and score; a nan score is one that diverged, the worst there is.

    Least squares over the lr whose best λ is inside the grid: neither 0 nor the smallest or largest λ > 0 tried at that
    lr, where the true best may be beyond. Interval: ± t(0.975, n − 2)·√(v/Σ(log lr − mean)²), where v is the residual
    variance, but at least Δ²/12, what rounding to a grid with steps of Δ in log10 λ gives alone. At least three lr.
    """
    at = _best(cells, lower)
    inside = at[at["inside"]]
    n, edge, off = len(inside), int((at["edge"]).sum()), int((at["lambda"] == 0).sum())
    if n < 3:
        why = [f"{edge} at the grid's edge"] * (edge > 0) + [f"{off} at λ = 0"] * (off > 0)
        counted = f"best λ inside the grid for {n} of {len(at)} lr, 3 needed"
        return Ridge(math.nan, math.nan, math.nan, math.nan, n, ", ".join([counted, *why]), at)
    x, y = np.log10(inside["lr"].to_numpy()), np.log10(inside["lambda"].to_numpy())
    spread = ((x - x.mean()) ** 2).sum()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    intercept = float(y.mean() - slope * x.mean())
    residual = float(((y - intercept - slope * x) ** 2).sum()) / (n - 2)
    half = float(stdtrit(n - 2, 0.975)) * math.sqrt(max(residual, _step(cells) ** 2 / 12) / spread)
    return Ridge(slope, slope - half, slope + half, intercept, n, "", at)


def _best(cells: pd.DataFrame, lower: bool) -> pd.DataFrame:
    """One row a lr with any score: its best λ (the larger of equals), whether at an edge of the grid or inside it."""
    rows = []
    for lr, row in cells.groupby("lr"):
        scores = row["score"] if lower else -row["score"]
        if scores.notna().any():
            best = row.loc[scores == scores.min(), "lambda"].max()
            tried = row.loc[row["lambda"] > 0, "lambda"]
            edge = bool(best > 0 and best in (tried.min(), tried.max()))
            rows.append({"lr": lr, "lambda": best, "edge": edge, "inside": bool(best > 0 and not edge)})
    return pd.DataFrame(rows, columns=["lr", "lambda", "edge", "inside"]).astype({"edge": bool, "inside": bool})


def _step(cells: pd.DataFrame) -> float:
    """The median step of log10 λ."""
    lams = np.sort(cells.loc[cells["lambda"] > 0, "lambda"].unique())
    return float(np.median(np.diff(np.log10(lams))))

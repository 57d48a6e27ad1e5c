"""Intervals on few replicates that know what was picked: Student's t, Dunnett's and Tukey's. Pure numbers.

Legend: x replicates of one cell, d paired differences, n their count, s their standard deviation (n − 1), s̄ the root of
the mean of s² over several differences, k how many differences were tried, α = 1 − confidence.

Where the best of k was picked, its interval has half the width

    max(min(c·max(s̄, s), b·s), t_{1−α/2, n−1}·s)/√n

The noise of a handful of replicates is hardly known, so that of all k differences is pooled; c answers for the best
of k under equal noise (max(s̄, s): unless its own is larger). Where its own noise is far smaller, Bonferroni's
b = t_{1−β/2k, n−1} is narrower; c has the level 0.8 α and b the level β = 0.2 α, so either may be taken. And it is
never narrower than the plain interval of the two cells, which is right where one noisy cell was bound to be picked.
tests/bench/selected.py shows the level of all this, under unequal and skewed noise too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.optimize import brentq

Numbers = NDArray[np.float64]


class Interval(NamedTuple):
    """A two-sided interval of a mean and how it was made; nan and "" for n < 2."""

    low: float
    high: float
    method: str


NONE = Interval(math.nan, math.nan, "")
POOLED = 0.8  # the part of the error that goes to the pooled noise, the rest to Bonferroni


def t_interval(x: Numbers, confidence: float) -> Interval:
    """x̄ ± t_{1−α/2, n−1}·s/√n; of zero width where all values are equal."""
    return _around(x, _t(len(x), confidence) * spread(x), "t") if len(x) > 1 else NONE


class Pool(NamedTuple):
    """s̄ of several differences to one control, how many they are, and the replicates that all of them share."""

    spread: float
    columns: int
    replicates: int


def pool(d: Numbers) -> Pool | None:
    """The noise of the columns of d (n, k), differences to one control; None where there is nothing to pool."""
    n, k = d.shape
    if n < 2 or k < 2:
        return None
    return Pool(math.sqrt(float(np.mean([spread(column) ** 2 for column in d.T]))), k, n)


def picked_interval(d: Numbers, tried: int, noise: Pool | None, confidence: float) -> Interval:
    """The interval of the mean of d, the difference to a control that was picked as the best of so many tried.

    Half its width is in the head of this module, with Dunnett's c (`dunnett`) for the noise of those of them that share
    replicates. It holds whatever picked it, all of them being covered at once. Of one it is Student's t.
    """
    n = len(d)
    if n < 2 or tried < 2:
        return t_interval(d, confidence)
    own = spread(d)
    width = _t(n, _shared(confidence, 1 - POOLED if noise else 1, tried)) * own
    if noise:
        c = dunnett(tried, noise.columns, noise.replicates, _shared(confidence, POOLED))
        width = min(width, c * max(noise.spread, own))
    return _around(d, max(width, _t(n, confidence) * own), f"best of {tried} cells")


def narrower(fresh: int, n: int, tried: int, noise: Pool | None, confidence: float) -> bool:
    """Whether Student's t over so many fresh pairs promises a narrower interval than n pairs of the best tried.

    By the counts alone: a look at the differences would be one more way to pick what pleases.
    """
    if fresh < 2 or n < 2:
        return fresh >= 2
    c = _t(n, _shared(confidence, 1, tried))
    if noise and tried > 1:
        c = min(c, dunnett(tried, noise.columns, noise.replicates, _shared(confidence, POOLED)))
    return _t(fresh, confidence) / math.sqrt(fresh) < max(c, _t(n, confidence)) / math.sqrt(n)


@lru_cache(maxsize=256)
def dunnett(k: int, m: int, n: int, confidence: float) -> float:
    """c with P(max_i |d̄_i|/(s̄/√n) ≤ c) = confidence for k differences d_i = y_i − y_0, s̄ pooled over m ≥ 2 of them.

    y_0 … y_k are normal with equal noise and n replicates each. As Dunnett (1955), but the noise is that of the
    paired differences, which the control's replicates share; so unequal noise of the control is in it. With
    z_i = √n·ȳ_i, and the control's residuals of length u ~ χ_{n−1},

        max_i |z_i − z_0| ≤ c·s̄,    m·(n−1)·s̄² = m·(w − u)² + v²,    w ~ N(0, 1/m),    v ~ χ_{m(n−1)−1}

    whose parts are independent: z_0, w by Gauss-Hermite, u, v by Gauss-Legendre quadrature.
    """
    x = np.linspace(0, 12, 4801)
    z, of_z = _normal(64)
    reached = of_z @ (special.ndtr(z[:, None] + x) - special.ndtr(z[:, None] - x)) ** k  # P(max |z_i − z_0| ≤ x)
    (w, of_w), (u, of_u), (v, of_v) = _normal(20), _chi(n - 1), _chi(m * (n - 1) - 1)
    w = w[:, None, None] / math.sqrt(m)
    s = np.sqrt((m * (w - u[:, None]) ** 2 + v**2) / (m * (n - 1)))
    of_s = of_w[:, None, None] * of_u[:, None] * of_v
    return float(brentq(lambda c: np.vdot(of_s, np.interp(c * s, x, reached)) - confidence, 0.5, 1e4, xtol=1e-6))


def pairs_needed(mean: float, s: float, confidence: float) -> float:
    """The fewest pairs whose interval, Student's t of this mean and spread s, excludes 0; nan where s is not known."""
    if math.isnan(s) or mean == 0:
        return math.nan if math.isnan(s) else math.inf

    def tells(n: float) -> bool:
        return float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * s < abs(mean) * math.sqrt(n)

    enough = 2
    while not tells(enough):
        enough *= 2
        if enough > 1e6:
            return math.inf
    return 2 + bisect_left(range(2, enough), True, key=tells)


class Noise(NamedTuple):
    """s̄ of the differences between settings and its degrees of freedom, from the replicates that all of them have."""

    spread: float
    freedom: int


def pooled_noise(scores: Numbers) -> Noise | None:
    """s̄ = √(2·MSE) of scores (n, m) of m settings, replicates as blocks, with (n − 1)(m − 1) degrees of freedom."""
    n, m = scores.shape
    if n < 2 or m < 2:
        return None
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    freedom = (n - 1) * (m - 1)
    return Noise(math.sqrt(2 * float((rest**2).sum()) / freedom), freedom)


def ranked_interval(d: Numbers, noise: Noise | None, settings: float, others: int, confidence: float) -> Interval:
    """The interval of the difference between the best of several settings and one of the `others`.

    Which is best was read from the same runs: c = q/√2 of Tukey's studentized range of `settings` settings (one that
    tried m times as many cells as the poorest counts m times) with the noise of all of them, its own where they share
    no replicates; b is Bonferroni's over all pairs of them, t that of the others. Of two settings it is Student's t.
    """
    n = len(d)
    if n < 2:
        return NONE
    if settings == 2:
        return t_interval(d, confidence)
    own, (s, freedom) = spread(d), _noise(d, noise)
    width = _range(settings, freedom, _shared(confidence, POOLED)) * s
    width = min(width, _t(n, _shared(confidence, 1 - POOLED, math.comb(math.ceil(settings), 2))) * own)
    width = max(width, _t(n, _shared(confidence, 1, others)) * own)
    return _around(d, width, f"best of {1 + others} settings")


def ranked_p(d: Numbers, noise: Noise | None, settings: float, others: int) -> float:
    """The smallest α at which `ranked_interval` excludes 0."""
    n = len(d)
    if n < 2:
        return math.nan
    own, (s, freedom) = spread(d), _noise(d, noise)
    distance = abs(float(d.mean())) * math.sqrt(n)
    if own == 0:
        return float(distance == 0)
    single = 2 * float(stats.t.sf(distance / own, n - 1))
    if settings == 2:
        return single
    ranged = float(stats.studentized_range.sf(math.sqrt(2) * distance / s, settings, freedom))
    corrected = min(ranged / POOLED, math.comb(math.ceil(settings), 2) * single / (1 - POOLED))
    return min(1.0, max(corrected, others * single))


def _noise(d: Numbers, noise: Noise | None) -> Noise:
    """The noise of a difference: that of all settings, unless it is noisier itself."""
    own = Noise(spread(d), len(d) - 1)
    return own if noise is None else noise._replace(spread=max(noise.spread, own.spread))


def spread(x: Numbers) -> float:
    """s; exactly 0 where all values are equal but for rounding, nan for n < 2."""
    if len(x) < 2:
        return math.nan
    equal = float(np.ptp(x)) <= 4 * np.finfo(float).eps * float(np.abs(x).max())
    return 0.0 if equal else float(x.std(ddof=1))


def _around(d: Numbers, width: float, method: str) -> Interval:
    half = width / math.sqrt(len(d))
    return Interval(float(d.mean()) - half, float(d.mean()) + half, method)


def _shared(confidence: float, part: float, several: int = 1) -> float:
    """The confidence of one of several intervals that together may miss in this part of the cases."""
    return 1 - (1 - confidence) * part / several


def _t(n: int, confidence: float) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, n - 1))


@lru_cache(maxsize=256)
def _range(settings: float, freedom: int, confidence: float) -> float:
    """q/√2: the largest difference of so many equal means in units of the spread of a difference."""
    return float(stats.studentized_range.ppf(confidence, settings, freedom)) / math.sqrt(2)


def _normal(nodes: int) -> tuple[Numbers, Numbers]:
    """Nodes and weights for an expectation over N(0, 1)."""
    at, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return at, weights / weights.sum()


def _chi(freedom: int, nodes: int = 40) -> tuple[Numbers, Numbers]:
    """Nodes and weights for an expectation over χ with so many degrees of freedom."""
    law = stats.chi(freedom)
    low, high = law.ppf(1e-13), law.isf(1e-13)
    at, weights = np.polynomial.legendre.leggauss(nodes)
    at = low + (high - low) * (at + 1) / 2
    weights = weights * law.pdf(at)
    return at, weights / weights.sum()

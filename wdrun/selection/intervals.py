"""Intervals and tests on a handful of replicates: Student's t, BCa bootstrap, Holm, TOST. Pure numbers.

Legend: x replicates of one cell, d paired differences, n their count, s their standard deviation (n − 1).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST_FOR_BOOTSTRAP = 5  # pairs; of fewer there are too few distinct resamples to read a tail from
RESAMPLES = 9999
SEED = 0  # equal tables give equal intervals, bit for bit

Numbers = NDArray[np.float64]


class Interval(NamedTuple):
    """A two-sided interval of a mean and how it was made; nan and "" for n < 2."""

    low: float
    high: float
    method: str


NONE = Interval(math.nan, math.nan, "")


def t_interval(x: Numbers, confidence: float) -> Interval:
    """x̄ ± t_{1−α/2, n−1}·s/√n; of zero width where all values are equal."""
    n = len(x)
    if n < 2:
        return NONE
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * spread(x) / math.sqrt(n))
    return Interval(float(x.mean()) - half, float(x.mean()) + half, "t")


def paired_interval(d: Numbers, confidence: float) -> Interval:
    """Interval of the mean difference: BCa bootstrap of d from five pairs on, below that Student's t.

    The bootstrap of a small sample is too short: it takes s with 1/n and the normal for the t. Its level is expanded
    to 1 − 2Φ(−√(n/(n−1))·t_{1−α/2, n−1}), which undoes both for normal data (Hesterberg 2015, section 5.2).
    Measured cover of a 95 % interval of five normal pairs: 91 % (ten: 95 %), without the expansion 85 %.
    """
    n = len(d)
    if n < FEWEST_FOR_BOOTSTRAP or spread(d) == 0:
        return t_interval(d, confidence)
    t = stats.t.ppf(0.5 + confidence / 2, n - 1)
    level = 1 - 2 * stats.norm.cdf(-math.sqrt(n / (n - 1)) * t)
    rng = np.random.default_rng(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # answered below
        found = stats.bootstrap((d,), np.mean, n_resamples=RESAMPLES, confidence_level=level, random_state=rng)
    low, high = map(float, found.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        return t_interval(d, confidence)
    return Interval(low, high, "BCa bootstrap")


def paired_p(d: Numbers) -> float:
    """Two-sided p of the paired t-test of mean difference 0; nan for n < 2."""
    return math.nan if len(d) < 2 else min(1.0, 2 * _tail(abs(float(d.mean())), d))


def equivalence_p(d: Numbers, margin: float) -> float:
    """p of TOST: the larger of the one-sided p of mean ≤ −margin and of mean ≥ margin (Schuirmann 1987)."""
    return math.nan if len(d) < 2 else _tail(margin - abs(float(d.mean())), d)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p: running maximum of (m − i)·p_(i), at most 1; a nan stays and is not counted."""
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    adjusted, largest = [math.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[i] = largest
    return adjusted


def spread(x: Numbers) -> float:
    """s; exactly 0 where all values are equal but for rounding, nan for n < 2."""
    if len(x) < 2:
        return math.nan
    equal = float(np.ptp(x)) <= 4 * np.finfo(float).eps * float(np.abs(x).max())
    return 0.0 if equal else float(x.std(ddof=1))


def _tail(distance: float, d: Numbers) -> float:
    """P(T ≥ distance/(s/√n)) with n − 1 degrees of freedom; its limit where s = 0."""
    error = spread(d) / math.sqrt(len(d))
    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(stats.t.sf(distance / error, len(d) - 1))

"""Numbers, counts and lists as a reader wants them in a sentence or a cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wdrun.wording import listed, short, sort_key, typed

if TYPE_CHECKING:
    import pandas as pd


def score(value: float, metric: str) -> str:
    """A score in the unit of its metric: an accuracy in per cent, a loss as it is."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if metric.endswith("accuracy") else f"{value:.4f}"


def difference(value: float, metric: str) -> str:
    """A signed difference of scores: of accuracies in percentage points."""
    if not math.isfinite(value):
        return "–"
    return ("−" if value < 0 else "+") + amount(abs(value), metric)


def amount(value: float, metric: str) -> str:
    """The size of a difference of scores."""
    return f"{100 * value:.2f} points" if metric.endswith("accuracy") else f"{value:.4f}"


def rough(value: float) -> str:
    """Two significant digits."""
    return "–" if math.isnan(value) else short(float(f"{value:.2g}"))


def interval(low: float, high: float, metric: str, *, signed: bool = False) -> str:
    """The ends of an interval of scores, or of a difference of scores."""
    show = difference if signed else score
    return "–" if math.isnan(low) else f"{show(low, metric)} to {show(high, metric)}"


def values(column: pd.Series, at_most: int = 8) -> str:
    """The distinct values of a column, all of them when few, else their number and range."""
    ordered = sorted({typed(value) or "none" for value in column}, key=sort_key)
    if len(ordered) > at_most:
        return f"{len(ordered)} values from {ordered[0]} to {ordered[-1]}"
    return listed(ordered, at_most)

"""The verdict on a difference, in one word and in words; the word of a leaderboard's row is `comparison`'s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from wdrun.selection.cells import lower_is_better
from wdrun.wording import counted, difference, interval

SAYS = {
    "zero": "no λ > 0 that was tried does better than λ = 0",
    "no zero": "there is no λ = 0 with the same replicates to compare it with",
    "one pair": " (one pair, so no interval): whether that is more than chance cannot be told",
    "cannot tell": "; the interval includes 0, so this may be chance",
    "equal": "; all of the interval lies within the margin of {margin}: no difference that matters",
    "slightly better": "; all of the interval is in favour of decay, by less than the margin of {margin}",
    "better": "; all of the interval is in favour of decay",
    "worse": "; all of the interval is against decay",
}
GAINS = ("better", "slightly better")


def verdict(row: pd.Series, margin: float) -> str:
    """What a choice's paired difference to λ = 0 says; `row` is of `choices` and has a lambda_min.

    zero (λ = 0 is the choice), no zero (nothing to compare with), one pair, cannot tell (the interval includes 0),
    equal (and lies within the margin), slightly better (excludes 0, within the margin), better, worse.
    """
    low, high = row["difference_low"], row["difference_high"]
    if row["lambda_min"] == 0:
        return "zero"
    if math.isnan(row["difference"]):
        return "no zero"
    if math.isnan(low):
        return "one pair"
    inside = max(-low, high) < margin
    if low <= 0 <= high:
        return "equal" if inside else "cannot tell"
    if (row["difference"] < 0) != lower_is_better(row["metric"]):
        return "worse"
    return "slightly better" if inside else "better"


def apart(row: Mapping[str, Any] | pd.Series, metric: str, confidence: float) -> str:
    """A facet's difference to the best one; `row` is of the leaderboard."""
    if math.isnan(row["difference"]):
        return "no common replicate"
    ends = f"{counted(int(row['pairs']), 'pair')}, no interval"
    if not math.isnan(row["low"]):
        ends = f"{100 * confidence:g} % interval {interval(row['low'], row['high'], metric, signed=True)}"
    return f"{difference(row['difference'], metric)}, {ends}"

"""What a choice's difference to λ = 0, and a leaderboard, say: one word each, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from wdrun.selection.cells import lower_is_better
from wdrun.wording import amount, counted, difference, interval, listed, score, typed

if TYPE_CHECKING:
    from wdrun.selection.selecting import Selection

MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}
MOST = 6  # facets named after a verdict; the leaderboard has all
SAYS = {
    "zero": "no λ > 0 that was tried does better than λ = 0",
    "no zero": "there is no λ = 0 to compare it with",
    "one pair": " (one pair, so no interval): whether that is more than chance cannot be told",
    "cannot tell": "; the interval includes 0, so this may be chance",
    "equal": "; all of the interval lies within the margin of {margin}: no difference that matters",
    "slightly better": "; all of the interval is in favour of decay, by less than the margin of {margin}",
    "better": "; all of the interval is in favour of decay",
    "worse": "; all of the interval is against decay",
}


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


def gain(selection: Selection, row: pd.Series) -> str:
    """What a choice gains over λ = 0, as far as its interval lets one say; without a capital and a full stop."""
    word = verdict(row, selection.margin)
    if word in ("zero", "no zero"):
        return SAYS[word]
    change = f"its difference to λ = 0 is {difference(row['difference'], selection.metric)}"
    if word != "one pair":
        ends = interval(row["difference_low"], row["difference_high"], selection.metric, signed=True)
        change += f" ({100 * selection.confidence:g} % interval {ends}, {row['method']}, "
        change += f"{counted(int(row['pairs']), 'pair')})"
    return change + SAYS[word].format(margin=amount(selection.margin, selection.metric))


def at(selection: Selection, row: pd.Series, suffix: str = "_min") -> str:
    """`λ = 0.01 with lr = 0.02`: a setting of `choices`, of the leaderboard where `suffix` is ""."""
    knobs = [f"{name} = {typed(row[f'{name}{suffix}'])}" for name in selection.nuisance]
    return f"λ = {typed(row[f'lambda{suffix}'])}" + (f" with {listed(knobs)}" if knobs else "")


def ranking(selection: Selection) -> Iterator[str]:
    """Of several facets which has the best mean, and which are shown to be worse or equal; others are findings."""
    board, metric = selection.leaderboard, selection.metric
    ranked = board[board["rank"].notna()]
    if len(board) < 2 or ranked.empty:
        return
    best = ranked.iloc[0]
    yield (
        f"Of {len(board)} settings {selection.name(best)} has the best mean {MEASURES[metric]}, "
        f"{score(best['mean'], metric)} at {at(selection, best, '')}."
    )
    margin = amount(selection.margin, metric)
    says = {"worse": "Worse than it", "equivalent": f"Equal to it within the margin of {margin}"}
    for word, phrase in says.items():
        rows = ranked[ranked["verdict"] == word]
        parts = [f"{selection.name(row)} ({apart(row, metric, selection.confidence)})" for _, row in rows.iterrows()]
        more = f"; and {len(parts) - MOST} more" if len(parts) > MOST else ""
        if parts:
            yield f"{phrase}: {'; '.join(parts[:MOST])}{more}."


def apart(row: Mapping[str, Any] | pd.Series, metric: str, confidence: float) -> str:
    """A facet's difference to the best one; `row` is of the leaderboard."""
    if math.isnan(row["difference"]):
        return "no common replicate"
    ends = f"{counted(int(row['pairs']), 'pair')}, no interval"
    if not math.isnan(row["low"]):
        ends = f"{100 * confidence:g} % interval {interval(row['low'], row['high'], metric, signed=True)}"
    return f"{difference(row['difference'], metric)}, {ends}"

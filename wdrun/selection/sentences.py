"""What a selection says in sentences: the gain of a choice over λ = 0, its setting, and the ranking of the facets."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from wdrun.selection.selecting import Selection
from wdrun.selection.verdicts import SAYS, apart, verdict
from wdrun.wording import amount, counted, difference, interval, listed, score, typed

MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}
MOST = 6  # facets named after a verdict; the leaderboard has all


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
    for data, board in selection.boards:
        if len(board) > 1 and board["rank"].notna().any():
            yield from _ranking(selection, board, f"On {data}, of" if data else "Of")


def _ranking(selection: Selection, board: pd.DataFrame, of: str) -> Iterator[str]:
    metric, ranked = selection.metric, board[board["rank"].notna()]
    best = ranked.iloc[0]
    yield (
        f"{of} {len(board)} settings {selection.name(best)} has the best mean {MEASURES[metric]}, "
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

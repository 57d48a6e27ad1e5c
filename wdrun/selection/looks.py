"""How often a difference was looked at while pairs of runs were added to it.

An interval that is waited for excludes 0 more often than it promises. So selection.csv keeps of each facet how often it
was looked at, and the next look is told of in a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wdrun.tables.read import read_table
from wdrun.wording import typed

NAME = "selection.csv"


def last_look(folder: Path) -> pd.DataFrame | None:
    """The folder's selection.csv, None where there is none that can be read."""
    try:
        return read_table(folder / NAME)
    except (OSError, ValueError):  # pandas' own errors are ValueErrors
        return None


def looks(choices: pd.DataFrame, facets: Sequence[str], before: pd.DataFrame | None) -> list[int]:
    """Of each choice the look this is, from 1: one more than before where its interval is the same with other pairs.

    An interval of another method, as that of fresh replicates, begins anew; so does one of which nothing is known.
    """
    needed = {*facets, "metric", "method", "pairs", "looks"}
    if before is None or not needed <= {*before.columns}:
        return [1] * len(choices)
    key = [*facets, "metric", "method"]
    known = {
        tuple(typed(row[name]) for name in key): (int(row["pairs"]), int(row["looks"]))
        for row in before[before["looks"].notna() & before["pairs"].notna()].to_dict("records")
    }
    found = []
    for _, row in choices.iterrows():
        pairs, times = known.get(tuple(typed(row[name]) for name in key), (row["pairs"], 1))
        found.append(times + (row["pairs"] != pairs))
    return found

"""How often a difference was looked at while pairs of runs were added to it.

An interval that is waited for excludes 0 more often than it promises. So selection.csv keeps of each facet how often it
was looked at and over how many pairs, and the next look is told of in a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wdrun.selection.choice import FRESH
from wdrun.tables.read import read_table
from wdrun.wording import typed

NAME = "selection.csv"


def last_look(folder: Path) -> pd.DataFrame | None:
    """The folder's selection.csv, None where there is none that can be read."""
    try:
        return read_table(folder / NAME)
    except (OSError, ValueError):  # pandas' own errors are ValueErrors
        return None


def looks(choices: pd.DataFrame, facets: Sequence[str], before: pd.DataFrame | None) -> pd.DataFrame:
    """Of each choice `looks`, the look this is, from 1, and `looked`, the most pairs that any of them had.

    A look counts where it has more pairs than every one before, by whatever metric; a look at as many or fewer (filter
    words) does not. Fresh replicates begin anew; so does a facet of which nothing is known.
    """
    needed = {*facets, "method", "looks", "looked"}
    known: dict[tuple[str, ...], tuple[int, int]] = {}
    if before is not None and needed <= {*before.columns}:
        counts = before[["looks", "looked"]].apply(pd.to_numeric, errors="coerce")
        sound = np.isfinite(counts).all(axis=1)
        keys = (_key(row, facets) for _, row in before[sound].iterrows())
        known = dict(zip(keys, counts[sound].astype(int).itertuples(index=False, name=None), strict=True))
    found = []
    for _, row in choices.iterrows():
        times, most = known.get(_key(row, facets), (1, 0))
        found.append((times + (0 < most < row["pairs"]), max(most, row["pairs"])))
    return pd.DataFrame(found, columns=["looks", "looked"], index=choices.index)


def _key(row: pd.Series, facets: Sequence[str]) -> tuple[str, ...]:
    return (*(typed(row[name]) for name in facets), "fresh" if row["method"] == FRESH else "")

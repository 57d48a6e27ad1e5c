"""Which cells are compared, and over which replicates: the largest full table that the finished runs hold.

A mean over four seeds and a mean over one of them answer different questions, so cells are compared only over
replicates that all of them have. Of a facet's cells × replicates, full of holes, the largest part without a hole counts
(cells times replicates; replicates beyond the number that the middle cell has do not count, so that seeds added to two
λ push no other λ out). Scores have no say in it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST = 200  # sets of replicates looked at side by side; more are there only where many failures are scattered

Mask = NDArray[np.bool_]


def compared(held: pd.DataFrame) -> pd.DataFrame:
    """The part that is compared of a table of booleans: a row a cell or facet, a column a replicate, True: finished."""
    rows, columns = largest(held.to_numpy(dtype=bool))
    return held.loc[rows, columns]


def largest(held: Mask) -> tuple[Mask, Mask]:
    """The rows and columns of the largest part of the table without a hole; no columns where the table is empty.

    Size is rows × min(columns, lower median of the rows' counts); ties: more rows, more columns, the earlier columns.
    Every set of columns worth a look is an intersection of rows; of more than MOST such sets the largest so far go on.
    """
    counts = held.sum(axis=1)
    if not counts.any():
        return np.zeros(len(held), dtype=bool), np.zeros(held.shape[1], dtype=bool)
    enough = float(np.quantile(counts[counts > 0], 0.5, method="lower"))
    patterns, times = np.unique(held[counts > 0], axis=0, return_counts=True)
    patterns = patterns[np.argsort(-times, kind="stable")][:MOST]
    sets: Mask = patterns[:0]
    for pattern in patterns:
        sets = np.unique(np.concatenate([sets, sets & pattern, pattern[None]]), axis=0)
        sets = sets[sets.any(axis=1)]
        sets = sets[_largest_first(held, sets, enough)[:MOST]]
    columns: Mask = sets[0]
    return np.asarray(held[:, columns].all(axis=1)), columns


def _largest_first(held: Mask, sets: Mask, enough: float) -> NDArray[np.intp]:
    """The order of the sets of columns: by the size of the table that each has."""
    widths = sets.sum(axis=1)
    rows = (sets.astype(np.float32) @ held.T.astype(np.float32) == widths[:, None]).sum(axis=1)
    return np.lexsort((*(~sets.T)[::-1], -widths, -rows, -rows * np.minimum(widths, enough)))

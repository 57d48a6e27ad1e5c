"""What the averaged weights (`ema=`) of the runs behind a choice are worth on test, beside their plain ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wdrun.selection.cells import rows_of

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.selection import Selection
    from wdrun.tables.read import Results

COLUMNS = {"test_accuracy": "accuracy", "test_loss": "data_loss"}  # of a choice -> of evaluation.csv


def on_test(found: Results, selection: Selection, choice: pd.Series, score: str) -> float:
    """Mean `score` (a key of COLUMNS) of the averaged weights, over the runs whose plain one the choice has.

    nan where one of these runs kept no average: means over different runs do not compare.
    """
    if found.averaged is None:
        return math.nan
    cell = {"lambda": choice["lambda_min"]} | {knob: choice[f"{knob}_min"] for knob in selection.nuisance}
    runs = rows_of(selection.of(selection.replicates, choice), cell, cell)
    test = found.averaged[found.averaged["split"] == "test"].set_index("id")[COLUMNS[score]]
    return float(test.reindex(runs.loc[runs["outcome"] == "done", "id"]).astype(float).mean(skipna=False))

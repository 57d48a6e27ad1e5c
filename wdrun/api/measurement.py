"""Finished runs measured later, from Python."""

from __future__ import annotations

from typing import Any

import pandas as pd

from wdrun.api.answers import Place, Where, typed_words
from wdrun.api.arguments import Folder
from wdrun.api.process import turn
from wdrun.sweep.evaluate import measure


def evaluate(
    *places: Place, where: Where = (), config_dir: Folder | None = None, quiet: bool = False, **settings: Any
) -> pd.DataFrame:
    """Measure finished runs without training, as `wdrun evaluate`: the rows of evaluation.csv, with the column `dir`.

    `settings`: evaluate="calibration", evaluate__blur=[1, 2], diagnostics=["histograms"], weights="best", and the
    others of `wdrun evaluate`. What was measured before is read back. stderr says which runs are left out, and why.
    """
    with turn(quiet=quiet):
        return measure(
            *typed_words(places, where, settings), config_dir=None if config_dir is None else str(config_dir)
        )

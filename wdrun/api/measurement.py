"""Finished runs measured later, from Python."""

from __future__ import annotations

from typing import Any

import pandas as pd

from wdrun.api.answers import Place, Where, typed_words
from wdrun.api.arguments import Folder, text_of, words
from wdrun.api.process import turn
from wdrun.config.commands import MEASURES
from wdrun.sweep.evaluate import measure

MEASURED = {setting.key for setting in MEASURES}  # knobs of a run; the other settings are of the command


def evaluate(
    *places: Place, where: Where = (), config_dir: Folder | None = None, quiet: bool = False, **settings: Any
) -> pd.DataFrame:
    """Measure finished runs without training, as `wdrun evaluate`: the rows of evaluation.csv, with the column `dir`.

    `settings`: evaluate="calibration", evaluate__blur=[1, 2], diagnostics=["histograms"], weights="best", and the
    others of `wdrun evaluate`. What was measured before is read back. stderr says which runs are left out, and why.
    """
    others, measures = dict(settings), {}
    for name in settings:
        key = name.replace("__", ".")
        if key.startswith("evaluate.") or (key in MEASURED and settings[name] is not None):
            measures[name] = others.pop(name)
    with turn(quiet=quiet):
        given = [*typed_words(places, where, others), *words(measures)]
        return measure(*given, config_dir=text_of(config_dir))

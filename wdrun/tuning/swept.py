"""A folder of runs -> the lines that its sweep compared: as they were typed, without what a question tunes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wdrun.config import typed
from wdrun.config.axes import key_of
from wdrun.config.keys import STRENGTH
from wdrun.errors import ConfigError
from wdrun.selection.line import Typed
from wdrun.selection.question import of_one_question, texts
from wdrun.selection.varying import facets_of
from wdrun.tables.read import load, run_folders
from wdrun.wording import typed as shown

if TYPE_CHECKING:
    import pandas as pd

TUNED = ("lr",)  # beside λ, where it varies
FLAG = "--config-dir="


def lines(folder: Path, config_dir: str | None = None) -> tuple[list[list[str]], str | None]:
    """The words of each facet of the folder's runs, and the folder of the user's own options that they were typed with.

    Runs without decay are the λ = 0 of the others, where there are others.
    """
    if not run_folders([folder]):
        raise ConfigError(
            f"{folder}: no folders of runs there; wdrun tune goes on with runs, tables alone are not enough"
        )
    runs = load([folder], tables=()).runs
    runs, _ = of_one_question(runs, (runs["status"] == "done") & np.isfinite(runs["val_loss"].astype(float)))
    if runs["fold"].nunique() > 1:
        raise ConfigError(f"{folder}: its runs are of several folds; wdrun tune compares by seeds alone")
    facets = facets_of(runs, TUNED)
    decaying = runs[runs["decay"] != "none"]
    chosen = decaying if len(decaying) else runs
    told = Typed(runs, config_dir)
    found = []
    # Those without decay tell too that lr was tuned: a search varies it there first.
    tuned = [key for key in TUNED if any(own[key].nunique() > 1 for own in _groups(runs, facets))]
    for own in _groups(chosen, facets):
        row = own.sort_values("lambda", ascending=False, kind="stable").iloc[0]
        words = told(row["dir"])
        if words is None:
            raise ConfigError(f"{row['dir']}: what was typed for it is not known, so it cannot be gone on with")
        flags = [word for word in words if word.startswith(FLAG)]
        config_dir = config_dir or next((word.removeprefix(FLAG) for word in flags), None)
        plain = typed.one_name([word for word in words if word not in flags])
        kept = [word for word in plain if key_of(word) not in (*STRENGTH, *tuned, "seed")]
        given = {key_of(word) for word in kept}
        found.append([*kept, *(f"{key}={shown(row[key])}" for key in TUNED if key not in (*tuned, *given))])
    return found, config_dir


def _groups(runs: pd.DataFrame, facets: Sequence[str]) -> list[pd.DataFrame]:
    """The runs of each facet, its knobs in words."""
    named = runs.assign(**{facet: texts(runs[facet]) for facet in facets})
    return [own for _, own in named.groupby(list(facets), sort=False)] if facets else [named]

"""Which knobs vary from run to run, and so are compared: the facets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wdrun.config.run import OUTSIDE
from wdrun.selection.question import CIRCUMSTANCES, ROOT, texts, unsaid
from wdrun.tables.columns import CODE, RUN

REPLICATE = ["seed", "fold"]
# Where several knobs say the same, these name it.
FIRST = ("decay", "decay.coupling", "optimizer", "model", "coupling", "data.name")
# Knobs that measure, or keep an average beside, and so leave the scores that runs are compared by as they are.
WATCHING = ("diagnostics", "evaluate.", "ema", *(key for key in OUTSIDE if key != ROOT))


def is_outcome(column: str) -> bool:
    """Whether a column of a runs table says what came of a run, or which it is, and not how it was set up."""
    return column in ("id", "dir", *(c.name for c in (*RUN, CODE)))


def facets_of(runs: pd.DataFrame, nuisance: Sequence[str]) -> list[str]:
    """The knobs that vary, without λ, seed, fold, nuisance and those that follow from the ones before."""
    knobs = knobs_of(runs, nuisance)
    preferred = {name: i for i, name in enumerate(FIRST)}
    knobs.sort(key=lambda c: (preferred.get(c, len(FIRST)), not c.endswith(".name")))
    facets: list[str] = []
    settled = np.zeros(len(runs), dtype=int)  # a number for each combination of the facets so far
    for knob in knobs:
        values = pd.factorize(texts(runs[knob]))[0]
        refined = pd.factorize(settled * (values.max() + 1) + values)[0]
        if refined.max() > settled.max():
            facets.append(knob)
            settled = refined
    return facets


def knobs_of(runs: pd.DataFrame, nuisance: Sequence[str]) -> list[str]:
    """The knobs in which facets may differ, sorted."""
    out = ("lambda", *REPLICATE, *nuisance, *CIRCUMSTANCES, unsaid(runs))
    return sorted(c for c in runs.columns if c not in out and not is_outcome(c) and not c.startswith(WATCHING))


def elsewhere_of(runs: pd.DataFrame, left_out: pd.DataFrame, nuisance: Sequence[str]) -> pd.DataFrame:
    """The runs left out that differ from one of these in λ, seed, fold and nuisance knobs only, knobs as text."""
    decays = runs[runs["lambda"] > 0]
    if left_out.empty or decays.empty:
        return left_out[:0]
    knobs = [knob for knob in knobs_of(runs, nuisance) if knob in left_out]
    shown = left_out.assign(**{knob: texts(left_out[knob]) for knob in knobs})
    return shown[pd.MultiIndex.from_frame(shown[knobs]).isin(pd.MultiIndex.from_frame(decays[knobs].apply(texts)))]

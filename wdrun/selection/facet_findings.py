"""What the choice of λ in one facet leaves open, or should make one careful, with the runs that would settle it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import pandas as pd

from wdrun.conventions import CANNOT_ACT, DOMINATES, USEFUL
from wdrun.selection.cells import seeds_and_folds
from wdrun.selection.choice import FRESH, is_projected, ties, within_one_se
from wdrun.selection.facet import SEEDS, Facet, again, beyond, rounded
from wdrun.selection.overrides import Line
from wdrun.selection.varying import REPLICATE
from wdrun.selection.verdicts import GAINS, verdict

FEW = 3  # replicates below which a spread is hardly known
MANY_CELLS = 10  # the best of so many cells with fewer than SEEDS replicates is flattered
CLAIMS = (*GAINS, "worse")  # verdicts that a patient look would find in noise
ZERO_ONLY = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # λ to try where none was

Found = tuple[str, dict[str, Any], tuple[Line, ...]]  # kind, numbers, settles


def found_in(facet: Facet) -> Iterator[Found]:
    """Its findings, but for those that compare it with other facets."""
    row = facet.row
    counts = dict(row[["runs", "diverged", "failed"]])
    unfinished = again(facet.runs[(facet.runs["outcome"] == "failed") & (facet.runs["status"] != "done")], facet.typed)
    if math.isnan(facet.lam):
        lower = facet.lower_lr() if row["diverged"] else []
        cells = [cell | {"lr": lr} for cell in facet.settings(facet.cells) for lr in lower]
        points = [cell | replicate for cell in cells for replicate in facet.replicates]
        numbers = counts | {"metric": facet.grid.metric, "knob": "lr", "add": lower}
        yield "nothing", numbers, (*unfinished, *facet.further(points))
        return
    if row["failed"]:
        yield "failed", counts, unfinished
    yield from (*_zero(facet), *_edges(facet), *_weak(facet), *_seeds(facet), *_holes(facet))
    if row["diverged"]:
        at = sorted(facet.cells.loc[facet.cells["diverged"] > 0, "lambda"].unique())
        yield "diverged", counts | {"lambdas": at}, ()


def _zero(facet: Facet) -> Iterator[Found]:
    """Whether there is a λ = 0 to compare with."""
    zeros = facet.curve[facet.curve["lambda"] == 0]
    if zeros.empty:
        yield "no zero", {"lambda": facet.lam}, facet.further(facet.at([0.0]))
    elif not zeros["candidate"].any() and (zeros["n"] * ~zeros["diverged"].astype(bool)).any():
        (cell,) = facet.settings(zeros)
        points = [cell | dict(zip(REPLICATE, r, strict=True)) for r in facet.shared]
        yield "no pair", {}, facet.further(points)
    elif math.isnan(facet.row["mean_zero"]):
        lost = facet.runs[(facet.runs["lambda"] == 0) & (facet.runs["outcome"] == "failed")]
        lower = facet.lower_lr() if zeros["diverged"].any() else []
        points = [point | {"lr": lr} for point in facet.at([0.0]) for lr in lower]
        settles = (*again(lost[lost["status"] != "done"], facet.typed), *facet.further(points))
        yield "zero lost", {"knob": "lr", "add": lower}, settles


def _edges(facet: Facet) -> Iterator[Found]:
    """Whether the grid of λ and those of the nuisance knobs reach far enough."""
    acts = not facet.row["total_decay"] < CANNOT_ACT  # nan: D is not defined, so no reason against a smaller λ
    if facet.row["edge"] == "both":
        down, up = (_wider(facet, "one lambda", direction) for direction in (-1, 1))
        add = sorted([*(down[1]["add"] if acts else []), *up[1]["add"]])
        yield "one lambda", {"lambda": facet.lam, "add": add}, facet.further(facet.at(add))
    for kind, end, direction in (("upper edge", "upper", 1), ("lower edge", "lower", -1)):
        if facet.row["edge"] == end and (acts or direction > 0):
            yield _wider(facet, kind, direction)
    all_act = not facet.positive["total_decay"].head(1).lt(CANNOT_ACT).any()
    if facet.lam == 0 and facet.tried and all_act and not is_projected(facet.runs):
        kind, numbers, settles = _wider(facet, "weaker", -1)
        if numbers["add"]:  # else the grid reaches down to where decay cannot act
            yield kind, numbers, settles
    for knob in facet.grid.nuisance:
        numeric = pd.api.types.is_numeric_dtype(facet.cells[knob])
        values, at = sorted(facet.cells[knob].unique()) if numeric else [], facet.row[f"{knob}_min"]
        if len(values) > 1 and at in (values[0], values[-1]):
            end, direction = ("largest", 1) if at == values[-1] else ("smallest", -1)
            add = beyond(values, direction, knob)
            points = [point | {knob: value} for point in facet.at([facet.lam]) for value in add]
            numbers = {"knob": knob, "at": at, "end": end, "add": add}
            yield "knob edge", numbers, facet.further(points)


def _wider(facet: Facet, kind: str, direction: int) -> Found:
    """A finding that one or two λ beyond an end of the grid would settle, none where D says decay is off or absurd.

    Where the grid's own step leads out of the range in which decay acts, the step is 2; not where λ = 0 is best.
    """
    pull = facet.pull
    for step in (None, 2.0)[: 1 + (facet.lam > 0)]:
        proposed = beyond(facet.tried, direction, step=step)
        if add := [lam for lam in proposed if not (lam * pull < CANNOT_ACT or lam * pull > DOMINATES)]:
            break
    return kind, {"lambda": facet.lam, "add": add}, facet.further(facet.at(add))


def _weak(facet: Facet) -> Iterator[Found]:
    """Whether the chosen λ, and any λ, can act."""
    total, strongest = float(facet.row["total_decay"]), float(facet.positive["total_decay"].max())
    if not facet.tried:
        decay = {} if facet.decays else {"decay": "l2"}
        points = [point | decay for point in facet.at(ZERO_ONLY)]
        yield "only zero", {"add": list(ZERO_ONLY)}, facet.further(points)
    elif strongest < CANNOT_ACT:
        add = [rounded(facet.tried[-1] * USEFUL / strongest)] if strongest > 0 else []
        numbers = {"strongest": strongest, "add": add}
        yield "weak grid", numbers, facet.further(facet.at(add))
    if facet.lam > 0 and total < CANNOT_ACT:
        acts = rounded(facet.lam * USEFUL / total) if total > 0 else None
        yield "weak choice", {"lambda": facet.lam, "total_decay": total, "acts": acts}, ()


def _seeds(facet: Facet) -> Iterator[Found]:
    """Whether there are enough replicates to tell."""
    row, curve, n = facet.row, facet.curve, int(facet.row["n"])
    word = verdict(row, facet.margin)
    if word in ("one pair", "cannot tell"):
        acts = not row["total_decay"] < CANNOT_ACT
        seeds = facet.more_seeds(1 + row["needed"] / row["pairs"]) if acts else []
        needed = int(row["needed"]) if acts and row["needed"] < 10_000 else None
        numbers = {"lambda": facet.lam, "pairs": int(row["pairs"]), "seeds": len(seeds), "needed": needed}
        yield word, numbers, facet.further(facet.seeded(seeds, [facet.at_zero, facet.at_min]))
    if row["looks"] > 1 and word in CLAIMS:
        apart = {"name": f"{facet.folder}-fresh"}
        points = [point | apart for point in facet.seeded(facet.fresh_seeds(), [facet.at_zero, facet.at_min])]
        yield "looked", {"looks": int(row["looks"]), "lambda": facet.lam}, facet.further(points)
    if n < FEW:
        yield "few replicates", {"n": n}, facet.further(facet.seeded(facet.more_seeds(), facet.settings(facet.cells)))
    tied = ties(facet.grid, curve)
    if len(tied) > 1:
        rows = curve[curve["lambda"].isin(tied)]
        seeds = [] if (rows["total_decay"] < CANNOT_ACT).all() else facet.more_seeds(2)
        says = {"lambdas": tied, "radius": is_projected(facet.runs)}
        yield "tie", says, facet.further(facet.seeded(seeds, facet.settings(rows)))
    candidates = curve[curve["candidate"]]
    low = curve[curve["lambda"] == facet.lam].iloc[0]
    alike = within_one_se(facet.grid, curve, low) if n > 1 else candidates[:0]
    if len(alike) == len(candidates) > 1 and (alike["lambda"] == 0).any():
        seeds = facet.more_seeds(2)
        numbers = {"n": n, "seeds": len(seeds)}
        yield "all alike", numbers, facet.further(facet.seeded(seeds, facet.settings(candidates)))
    if row["cells"] >= MANY_CELLS and 1 < n + low["spare"] < SEEDS and row["method"] != FRESH:
        both = [facet.at_min] if math.isnan(row["mean_zero"]) else [facet.at_zero, facet.at_min]
        numbers = {"n": n, "cells": int(row["cells"])}
        yield "flattered", numbers, facet.further(facet.seeded(facet.more_seeds(), both))


def _holes(facet: Facet) -> Iterator[Found]:
    """What was not run, first what a cell lacks to be a candidate."""
    key = [*facet.grid.nuisance, "lambda"]
    done = facet.runs[facet.runs["outcome"] == "done"]
    held = set(facet.runs[[*key, *REPLICATE]].itertuples(index=False, name=None))
    settings = list(facet.cells[key].itertuples(index=False, name=None))
    lacking = facet.cells[~facet.cells["candidate"] & (facet.cells["n"] > 0) & (facet.cells["diverged"] == 0)]
    if facet.row["missing"] or len(lacking):
        short = list(lacking[key].itertuples(index=False, name=None))
        wanted = facet.shared if short else list(dict.fromkeys(seeds_and_folds(done)))
        absent = [s + r for s in short or settings for r in wanted if s + r not in held]
        points = [dict(zip([*key, *REPLICATE], point, strict=True)) for point in absent]
        counts = {"missing": int(facet.row["missing"]), "shared": len(facet.shared)}
        lists = {"lambdas": list(lacking["lambda"]), "n": list(lacking["n"])}
        yield "missing", counts | lists, facet.further(points)
    whole = math.prod(facet.cells[k].nunique() for k in key)
    if 0 < whole - len(settings) < whole / 2:  # a random or zipped design is no grid with holes
        known = {*settings}
        empty = [
            dict(zip(key, s, strict=True)) for s in product(*(facet.cells[k].unique() for k in key)) if s not in known
        ]
        numbers = {"holes": len(empty), "cells": whole, "knobs": facet.grid.nuisance}
        yield "holes", numbers, facet.further([e | r for e in empty for r in facet.replicates])

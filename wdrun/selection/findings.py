"""What a choice of λ leaves open, or should make one careful, with the runs that would settle it.

Every judgement about a choice is made here, once: `wdrun select` prints the findings, the report words them. What each
kind says is in `kinds`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from wdrun.config.keys import RULES
from wdrun.conventions import CANNOT_ACT, USEFUL
from wdrun.selection import overrides
from wdrun.selection.cells import NO_DECAY, REPLICATE, Grid, best_first, name, rows_of
from wdrun.selection.choice import is_projected, ties, within_one_se
from wdrun.selection.kinds import KINDS, Finding
from wdrun.selection.overrides import Line
from wdrun.selection.verdicts import verdict

FEW = 3  # replicates below which a spread is hardly known
SEEDS = 5  # replicates that say something about noise
MOST_SEEDS = 50  # beyond this a difference is too small to be worth its runs
MANY_CELLS = 10  # the best of so many cells with fewer than SEEDS replicates is flattered
ZERO_ONLY = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # λ to try where none was

Point = dict[str, Any]  # the keys of a run that differ from those of its facet's others: lambda, lr, seed, fold
Found = tuple[str, dict[str, Any], tuple[Line, ...]]  # kind, numbers, settles


def findings(
    grid: Grid,
    points: pd.DataFrame,
    choices: pd.DataFrame,
    board: pd.DataFrame,
    *,
    margin: float,
    confidence: float,
    config_dir: str | None = None,
) -> tuple[Finding, ...]:
    """The findings of every facet in the order of KINDS, then those of the whole sweep; see `selecting.select`."""
    facets = [_Facet(grid, points, row, margin) for _, row in choices.iterrows()]
    order = list(KINDS)
    found: list[tuple[str, Found]] = []
    for facet in facets:
        own = [*facet.found(), *_rival(facet, facets, board, confidence)]
        found += [(facet.name, one) for one in sorted(own, key=lambda one: order.index(one[0]))]
    found += [("all", one) for one in [*_budgets(grid, board, facets), *_notes(grid)]]
    end = (f"--config-dir={config_dir}",) if config_dir else ()
    return tuple(
        Finding(who, kind, {key: _plain(value) for key, value in numbers.items()}, tuple((*x, *end) for x in settles))
        for who, (kind, numbers, settles) in found
    )


class _Facet:
    """One facet's choice (`row`), its own `cells`, best cells by λ (`curve`) and `runs`."""

    def __init__(self, grid: Grid, points: pd.DataFrame, row: pd.Series, margin: float) -> None:
        self.grid, self.row, self.margin = grid, row, margin
        self.name = name(row, grid.facets, grid.replicates)
        self.curve, self.cells, self.runs = (
            rows_of(f, row, grid.facets) for f in (points, grid.cells, grid.replicates)
        )
        self.lam = float(row["lambda_min"])
        self.positive = self.curve[self.curve["lambda"] > 0].sort_values("lambda")
        self.tried = list(self.positive["lambda"])
        self.here = {knob: row[f"{knob}_min"] for knob in grid.nuisance}
        self.replicates = list(dict.fromkeys(zip(self.runs["seed"], self.runs["fold"], strict=True)))

    @cached_property
    def typed(self) -> tuple[str, ...] | None:
        """What was typed for a run of this facet: one with decay first, and none that another facet lent."""
        own = self.runs[~self.runs["lent"]].sort_values("lambda", ascending=False, kind="stable")
        return next(filter(None, map(overrides.typed, _folders(own))), None)

    def found(self) -> Iterator[Found]:
        """Its findings."""
        row = self.row
        counts = {"runs": int(row["runs"]), "diverged": int(row["diverged"]), "failed": int(row["failed"])}
        unfinished = self.again(self.runs[(self.runs["outcome"] == "failed") & (self.runs["status"] != "done")])
        if math.isnan(self.lam):
            lower = self.lower_lr() if row["diverged"] else []
            points = [p | {"lr": lr} for p in self.every({*self.curve["lambda"]}) for lr in lower]
            numbers = counts | {"metric": self.grid.metric, "knob": "lr", "add": lower}
            yield "nothing", numbers, (*unfinished, *self.further(points))
            return
        if row["failed"]:
            yield "failed", counts, unfinished
        yield from (*self.zero(), *self.edges(), *self.weak(), *self.seeds(), *self.holes())
        if row["diverged"]:
            at = sorted(self.cells.loc[self.cells["diverged"] > 0, "lambda"].unique())
            yield "diverged", counts | {"lambdas": at}, ()

    def zero(self) -> Iterator[Found]:
        """Whether there is a λ = 0 to compare with."""
        zeros = self.curve[self.curve["lambda"] == 0]
        both = {"lambda": self.lam}
        if zeros.empty:
            yield "no zero", both, self.further(self.every([0.0], self.here))
        elif math.isnan(self.row["mean_zero"]):
            lost = self.runs[(self.runs["lambda"] == 0) & (self.runs["outcome"] == "failed")]
            lower = self.lower_lr() if zeros["diverged"].any() else []
            points = [point | {"lr": lr} for point in self.every([0.0], self.here) for lr in lower]
            settles = (*self.again(lost[lost["status"] != "done"]), *self.further(points))
            yield "zero lost", {"knob": "lr", "add": lower}, settles
        elif self.lam > 0 and not self.row["pairs"]:
            points = [setting | r for setting in (self.at_zero, self.at_min) for r in self.each(self.replicates)]
            yield "no pair", both, self.further(points)

    def edges(self) -> Iterator[Found]:
        """Whether the grid of λ and those of the nuisance knobs reach far enough."""
        acts = not self.row["total_decay"] < CANNOT_ACT  # nan: D is not defined, so no reason against a smaller λ
        for kind, end, direction in (("upper edge", "upper", 1), ("lower edge", "lower", -1)):
            if self.row["edge"] in (end, "both") and (acts or direction > 0):
                yield self.wider(kind, direction)
        all_act = not self.positive["total_decay"].head(1).lt(CANNOT_ACT).any()
        if self.lam == 0 and self.tried and all_act and not is_projected(self.runs):
            yield self.wider("weaker", -1)
        for knob in self.grid.nuisance:
            numeric = pd.api.types.is_numeric_dtype(self.cells[knob])
            values, at = sorted(self.cells[knob].unique()) if numeric else [], self.row[f"{knob}_min"]
            if len(values) > 1 and at in (values[0], values[-1]):
                end, direction = ("largest", 1) if at == values[-1] else ("smallest", -1)
                add = beyond(values, direction, knob)
                points = [point | {knob: value} for point in self.every([self.lam], self.here) for value in add]
                numbers = {"knob": knob, "at": _plain(at), "end": end, "add": add}
                yield "knob edge", numbers, self.further(points)

    def wider(self, kind: str, direction: int) -> Found:
        """A finding that two λ beyond an end of the grid would settle."""
        add = beyond(self.tried, direction)
        return kind, {"lambda": self.lam, "add": add}, self.further(self.every(add, self.here))

    def weak(self) -> Iterator[Found]:
        """Whether the chosen λ, and any λ, can act."""
        total, strongest = float(self.row["total_decay"]), float(self.positive["total_decay"].max())
        if not self.tried:
            typed = tuple(w.replace(f"decay={NO_DECAY}", "decay=l2") for w in self.typed or ())
            yield "only zero", {"add": list(ZERO_ONLY)}, self.further(self.every(ZERO_ONLY, self.here), typed)
        elif strongest < CANNOT_ACT:
            add = [rounded(self.tried[-1] * USEFUL / strongest)] if strongest > 0 else []
            numbers = {"strongest": strongest, "add": add}
            yield "weak grid", numbers, self.further(self.every(add, self.here))
        if self.lam > 0 and total < CANNOT_ACT:
            acts = rounded(self.lam * USEFUL / total) if total > 0 else None
            yield "weak choice", {"lambda": self.lam, "total_decay": total, "acts": acts}, ()

    def seeds(self) -> Iterator[Found]:
        """Whether there are enough replicates to tell."""
        row, curve, n = self.row, self.curve, int(self.row["n"])
        word = verdict(row, self.margin)
        if word in ("one pair", "cannot tell"):
            acts = not row["total_decay"] < CANNOT_ACT
            half = pairs_needed(row["pairs"], row["difference"], row["difference_low"], row["difference_high"])
            seeds = self.more_seeds(half / row["pairs"]) if acts else []
            needed = math.ceil(half) if acts and half < 10_000 else None
            numbers = {"lambda": self.lam, "pairs": int(row["pairs"]), "seeds": len(seeds), "needed": needed}
            yield word, numbers, self.further(self.seeded(seeds, [self.at_zero, self.at_min]))
        if n < FEW:
            yield "few replicates", {"n": n}, self.further(self.seeded(self.more_seeds(), self.settings(self.cells)))
        tied = ties(self.grid, curve)
        if len(tied) > 1:
            rows = curve[curve["lambda"].isin(tied)]
            seeds = [] if (rows["total_decay"] < CANNOT_ACT).all() else self.more_seeds(2)
            says = {"lambdas": tied, "radius": is_projected(self.runs)}
            yield "tie", says, self.further(self.seeded(seeds, self.settings(rows)))
        candidates = curve[curve["candidate"]]
        low = curve[curve["lambda"] == self.lam].iloc[0]
        alike = within_one_se(self.grid, curve, low) if n > 1 else candidates[:0]
        if len(alike) == len(candidates) > 1 and (alike["lambda"] == 0).any():
            seeds = self.more_seeds(2)
            numbers = {"n": n, "seeds": len(seeds)}
            yield "all alike", numbers, self.further(self.seeded(seeds, self.settings(candidates)))
        if row["cells"] >= MANY_CELLS and 1 < n < SEEDS:
            both = [self.at_min] if math.isnan(row["mean_zero"]) else [self.at_zero, self.at_min]
            numbers = {"n": n, "cells": int(row["cells"])}
            yield "flattered", numbers, self.further(self.seeded(self.more_seeds(), both))

    def holes(self) -> Iterator[Found]:
        """What was not run."""
        key = [*self.grid.nuisance, "lambda"]
        done = self.runs[self.runs["outcome"] == "done"]
        wanted = dict.fromkeys(zip(done["seed"], done["fold"], strict=True))
        held = set(self.runs[[*key, *REPLICATE]].itertuples(index=False, name=None))
        settings = list(self.cells[key].itertuples(index=False, name=None))
        if self.row["missing"]:
            lacking = [s + r for s in settings for r in wanted if s + r not in held]
            points = [dict(zip([*key, *REPLICATE], point, strict=True)) for point in lacking]
            yield "missing", {"missing": len(points)}, self.further(points)
        whole = list(product(*(self.cells[k].unique() for k in key)))
        if 0 < len(whole) - len(settings) < len(whole) / 2:  # a random or zipped design is no grid with holes
            empty = [dict(zip(key, setting, strict=True)) for setting in whole if setting not in {*settings}]
            numbers = {"holes": len(empty), "cells": len(whole), "knobs": self.grid.nuisance}
            yield "holes", numbers, self.further([e | r for e in empty for r in self.each(self.replicates)])

    @property
    def at_min(self) -> Point:
        return {"lambda": self.lam} | self.here

    @property
    def at_zero(self) -> Point:
        return {"lambda": 0.0} | {knob: self.row[f"{knob}_zero"] for knob in self.grid.nuisance}

    def settings(self, cells: pd.DataFrame) -> list[Point]:
        """The cells as points without seed and fold."""
        return cells[["lambda", *self.grid.nuisance]].to_dict("records")  # type: ignore[return-value]

    def each(self, replicates: Iterable[tuple[int, int]]) -> list[Point]:
        return [dict(zip(REPLICATE, replicate, strict=True)) for replicate in replicates]

    def every(self, lambdas: Iterable[float], here: Mapping[str, Any] | None = None) -> list[Point]:
        """These λ at this setting (all there are unless given) with every replicate of the facet."""
        settings = [here] if here is not None else self.settings(self.cells.drop_duplicates(list(self.grid.nuisance)))
        return [{**s, "lambda": lam} | r for lam in lambdas for s in settings for r in self.each(self.replicates)]

    def seeded(self, seeds: Iterable[int], settings: Sequence[Point]) -> list[Point]:
        """These settings with these seeds and all folds."""
        replicates = list(product(seeds, sorted(self.runs["fold"].unique())))
        return [setting | r for setting in settings for r in self.each(replicates)]

    def more_seeds(self, times: float = math.nan) -> list[int]:
        """The seeds there are and new ones: SEEDS, or `times` as many, at least two more; none beyond MOST_SEEDS."""
        used = sorted(self.runs["seed"].unique())
        wanted = SEEDS if math.isnan(times) else max(times * len(used), len(used) + 2, SEEDS)
        if wanted > MOST_SEEDS:
            return []
        missing = max(math.ceil(wanted) - len(used), 0)
        return sorted([*used, *[seed for seed in range(math.ceil(wanted) + len(used)) if seed not in used][:missing]])

    def lower_lr(self) -> list[float]:
        """Two learning rates below those tried; none where lr is no nuisance knob."""
        return beyond(sorted(self.runs["lr"].unique()), -1, "lr") if "lr" in self.grid.nuisance else []

    def further(self, points: Sequence[Point], typed: tuple[str, ...] = ()) -> tuple[Line, ...]:
        """The lines of these runs of the facet; none where what was typed is not known."""
        return overrides.further(given, points) if (given := typed or self.typed) and points else ()

    def again(self, runs: pd.DataFrame) -> tuple[Line, ...]:
        """The lines of these very runs."""
        return overrides.again(filter(None, map(overrides.typed, _folders(runs))))


def _rival(facet: _Facet, facets: Sequence[_Facet], board: pd.DataFrame, confidence: float) -> Iterator[Found]:
    """Whether the facet can be told from the best one: seeds for both."""
    names = list(facet.grid.facets)
    row = rows_of(board, facet.row, names).iloc[0]
    if row["verdict"] != "cannot tell" or math.isnan(row["rank"]):
        return
    best = next(f for f in facets if all(f.row[name] == board.iloc[0][name] for name in names))
    settles: list[Line] = []
    needed = pairs_needed(row["pairs"], row["difference"], row["low"], row["high"]) / (row["pairs"] or math.nan)
    seeds = sorted({*best.more_seeds(needed), *facet.more_seeds(needed)})
    for one in (best, facet):
        settles += one.further(one.seeded(seeds, [one.at_min]))
    numbers = dict(row[["difference", "low", "high", "p_holm"]])
    numbers |= {"best": best.name, "pairs": int(row["pairs"]), "seeds": len(seeds), "metric": facet.grid.metric}
    yield "rival", numbers | {"confidence": confidence, "margin": facet.margin}, tuple(settles)


def _budgets(grid: Grid, board: pd.DataFrame, facets: Sequence[_Facet]) -> Iterator[Found]:
    """Whether the facets were tuned alike: those of fewer cells get the best ones of the others that they lack."""
    ranked = board[board["rank"].notna()]
    if len(ranked) < 2 or ranked["cells"].nunique() < 2:
        return
    key, most = [*grid.nuisance, "lambda"], int(ranked["cells"].max())
    known = best_first(grid.cells, grid.metric)
    known = known.assign(_zero=known["lambda"] == 0).sort_values("_zero", kind="stable").drop_duplicates(key)
    settles: list[Line] = []
    for facet in facets:
        if not math.isnan(facet.lam):
            own = set(facet.cells[key].itertuples(index=False, name=None))
            others = [s for s in known[key].itertuples(index=False, name=None) if s not in own][: most - len(own)]
            points = [dict(zip(key, s, strict=True)) | r for s in others for r in facet.each(facet.replicates)]
            settles += facet.further(points)
    fair = (grid.sign * ranked["expected"]).idxmin() == ranked.index[0]
    yield "unequal budgets", {"fewest": int(ranked["cells"].min()), "most": most, "same": bool(fair)}, tuple(settles)


def _notes(grid: Grid) -> Iterator[Found]:
    """What holds for the whole sweep and no further run changes."""
    if grid.short:
        yield "short runs", dict(grid.short), ()
    if grid.repeated:
        yield "repeats", {"repeated": grid.repeated}, ()
    if grid.replicates["fold"].nunique() > 1:
        yield "shared images", {}, ()


def pairs_needed(n: int, difference: float, low: float, high: float) -> float:
    """n·(half width/difference)²: so many pairs exclude 0 if difference and spread stay as they are; inf, nan."""
    return n * ((high - low) / 2 / difference) ** 2 if difference else math.inf


def beyond(values: Sequence[float], direction: int, knob: str = "lambda") -> list[Any]:
    """Two values beyond the end of a grid, its last step on; a decade where there is one value only.

    Whole numbers stay whole, shares (momentum, β) below 1, and what the knob does not accept is left out.
    """
    positive = [v for v in values if v > 0]
    if not positive:
        return []
    end, other = (positive[-1], positive[-2:][0]) if direction > 0 else (positive[0], positive[:2][-1])
    step = end / other if end != other else 10.0**direction
    share = direction > 0 and knob not in RULES and end < 1
    proposed = [rounded(1 - (1 - end) / 2**i) if share else rounded(end * step**i) for i in (1, 2)]
    if all(isinstance(_plain(v), int) for v in values):
        proposed = [round(v) for v in proposed if round(v) not in (0, end)]
    rule = RULES.get(knob)
    return [v for v in dict.fromkeys(proposed) if rule is None or rule.check(v)]


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _plain(value: Any) -> Any:
    """A number that no library made; nan is always the same one, so that equal findings are equal."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    plain = value.item() if hasattr(value, "item") else value
    return math.nan if plain != plain else plain


def _folders(runs: pd.DataFrame) -> list[Path]:
    return [Path(folder) for folder in runs["dir"]] if "dir" in runs else []

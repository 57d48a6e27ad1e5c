"""What a choice of λ leaves open, or should make one careful, with the runs that would settle it.

Every judgement about a choice is made here, once: `wdrun select` prints the findings, the report words them. What each
kind says is in `kinds`; what is found in a facet by itself, in `facet_findings`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from wdrun.selection import overrides
from wdrun.selection.cells import Grid, best_first, rows_of
from wdrun.selection.facet import Facet, plain
from wdrun.selection.facet_findings import Found, found_in
from wdrun.selection.finding import Finding
from wdrun.selection.kinds import KINDS
from wdrun.selection.line import Typed
from wdrun.selection.overrides import Line
from wdrun.tables.plan import Planned
from wdrun.wording import command_line

PLANNED = (
    "no zero", "one lambda", "upper edge", "lower edge", "weaker", "only zero", "weak grid", "knob edge",
    "few replicates", "holes",
)  # fmt: skip


def findings(
    grid: Grid,
    points: pd.DataFrame,
    choices: pd.DataFrame,
    boards: Sequence[pd.DataFrame],
    *,
    margin: float,
    confidence: float,
    typed: Typed,
    config_dir: str | None = None,
    waiting: Sequence[Sequence[Line]] = (),
    plan: Sequence[Planned] = (),
) -> tuple[Finding, ...]:
    """The findings of every facet in the order of KINDS, then those of the whole sweep; see `selecting.select`.

    `boards` are the leaderboards, one for each data; `typed` gives what was typed for a run. Of a facet of which
    planned runs wait (`waiting`, as `choices` has the facets) nothing is said that the plan may answer.
    """
    facets = [Facet(grid, points, row, margin, typed) for _, row in choices.iterrows()]
    order = list(KINDS)
    found: list[tuple[str, Found]] = []
    for i, facet in enumerate(facets):
        own = [*found_in(facet), *(one for board in boards for one in _rival(facet, facets, board, confidence))]
        own = [one for one in own if not (waiting and waiting[i] and _may_be_planned(*one[:2]))]
        found += [(facet.name, one) for one in sorted(own, key=lambda one: order.index(one[0]))]
    found += [("all", one) for board in boards for one in _budgets(grid, board, facets)]
    end = (f"--config-dir={config_dir}",) if config_dir else ()  # in place of the one the runs were typed with
    found += [("all", one) for one in [*_plan(plan, end), *_notes(grid)]]
    shown = lambda x: (*(word for word in x if not (end and word.startswith("--config-dir="))), *end)  # noqa: E731
    return tuple(
        Finding(who, kind, {key: plain(value) for key, value in numbers.items()}, tuple(map(shown, settles)))
        for who, (kind, numbers, settles) in found
    )


def _may_be_planned(kind: str, numbers: dict[str, Any]) -> bool:
    return kind in PLANNED or (kind == "missing" and not numbers["lambdas"])


def _plan(plan: Sequence[Planned], end: Line) -> Iterator[Found]:
    """What of the plan has not begun, with the line that goes on."""
    waits = [run.overrides for run in plan if run.waits]
    if waits:
        lines = overrides.again(waits)
        shown = [command_line((*words, *end)) for words in lines]
        yield "plan", {"waiting": len(waits), "planned": len(plan), "lines": shown}, lines


def _rival(facet: Facet, facets: Sequence[Facet], board: pd.DataFrame, confidence: float) -> Iterator[Found]:
    """Whether the facet can be told from the best one: seeds for both."""
    names = list(facet.grid.facets)
    rows = rows_of(board, facet.row, names)
    if not rows["verdict"].isin(["cannot tell", "not compared"]).any() or math.isnan(facet.lam):
        return
    row = rows.iloc[0]
    best = next(f for f in facets if all(f.row[name] == board.iloc[0][name] for name in names))
    if row["verdict"] == "not compared":
        seeds = sorted({seed for seed, _ in best.shared})
        yield "not ranked", {"n": int(row["n"])}, facet.further(facet.seeded(seeds, [facet.at_min]))
        return
    settles: list[Line] = []
    times = row["needed"] / row["pairs"] if row["pairs"] else math.nan
    seeds = sorted({*best.more_seeds(times), *facet.more_seeds(times)})
    for one in (best, facet):
        settles += one.further(one.seeded(seeds, [one.at_min]))
    numbers = dict(row[["difference", "low", "high"]])
    numbers |= {"best": best.name, "pairs": int(row["pairs"]), "seeds": len(seeds), "metric": facet.grid.metric}
    yield "rival", numbers | {"confidence": confidence, "margin": facet.margin}, tuple(settles)


def _budgets(grid: Grid, board: pd.DataFrame, facets: Sequence[Facet]) -> Iterator[Found]:
    """Whether the facets were tuned alike: those of fewer cells get the best ones of the others that they lack."""
    ranked = board[board["rank"].notna()]
    if len(ranked) < 2 or ranked["cells"].nunique() < 2:
        return
    key, most = [*grid.nuisance, "lambda"], int(ranked["cells"].max())
    here = pd.concat([rows_of(grid.cells, row, grid.facets) for _, row in board.iterrows()])
    known = best_first(here, grid.metric)
    known = known.assign(_zero=known["lambda"] == 0).sort_values("_zero", kind="stable").drop_duplicates(key)
    settles: list[Line] = []
    for facet in facets:
        if not math.isnan(facet.lam) and len(rows_of(board, facet.row, grid.facets)):
            own = set(facet.cells[key].itertuples(index=False, name=None))
            others = [s for s in known[key].itertuples(index=False, name=None) if s not in own][: most - len(own)]
            points = [dict(zip(key, s, strict=True)) | r for s in others for r in facet.replicates]
            settles += facet.further(points)
    fair = (grid.sign * ranked["expected"]).idxmin() == ranked.index[0]
    yield "unequal budgets", {"fewest": int(ranked["cells"].min()), "most": most, "same": bool(fair)}, tuple(settles)


def _notes(grid: Grid) -> Iterator[Found]:
    """What holds for the whole sweep and no further run changes."""
    for kind, numbers in grid.notes:
        yield kind, dict(numbers), ()
    if len(data := sorted({*grid.replicates["data"]})) > 1:
        yield "other data", {"data": data}, ()
    if grid.repeated:
        yield "repeats", {"repeated": grid.repeated}, ()
    if grid.replicates["fold"].nunique() > 1:
        yield "shared images", {}, ()

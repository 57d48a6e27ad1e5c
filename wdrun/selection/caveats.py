"""What to beware of in a choice of λ, and what to run next: whole sentences, the facet named first."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from wdrun.conventions import CANNOT_ACT, USEFUL
from wdrun.selection.cells import Grid, groups, name
from wdrun.selection.choice import is_projected, ties, within_one_se
from wdrun.wording import typed

FEW = 3  # replicates below which a spread is hardly known
MANY_CELLS, FEW_FOR_MANY = 10, 5  # the best of so many cells with fewer replicates than that is flattered


def caveats(grid: Grid, points: pd.DataFrame, choices: pd.DataFrame, board: pd.DataFrame) -> tuple[str, ...]:
    """The sentences of every facet, then those of the whole sweep."""
    found = []
    for (values, curve), (_, row) in zip(groups(points, grid.facets), choices.iterrows(), strict=True):
        cells, runs = grid.cells, grid.replicates
        for facet, value in values.items():
            cells, runs = cells[cells[facet] == value], runs[runs[facet] == value]
        who = name(row, grid.facets, grid.replicates)
        sentences = [*_choice(grid, curve, row, runs), *_edges(grid, curve, cells, row, runs)]
        found += [f"{who}: {sentence}" for sentence in [*sentences, *_holes(grid, cells, row)]]
    return (*found, *(f"all: {sentence}" for sentence in [*_budgets(grid, board), *grid.notes]))


def _choice(grid: Grid, curve: pd.DataFrame, row: pd.Series, runs: pd.DataFrame) -> Iterator[str]:
    """How sure the choice is."""
    if math.isnan(row["lambda_min"]):
        why = f"{row['diverged']} of {row['runs']} runs diverged, {row['failed']} failed or have no {grid.metric}"
        yield f"nothing to choose from: no cell is without a diverged replicate and has a finished one ({why})"
        return
    low = curve[curve["lambda"] == row["lambda_min"]].iloc[0]
    tied = ties(grid, curve)
    if len(tied) > 1:
        rule = "smaller radius" if is_projected(runs) else "larger λ"
        yield f"λ = {', '.join(map(typed, tied))} have the same best mean; the {rule} is taken as lambda_min"
    n, few = int(row["n"]), "run more seeds, such as seed=range(0,5)"
    if n == 1:
        yield f"one replicate at lambda_min: its standard error is unknown and so is lambda_1se; {few}"
    elif n < FEW:
        yield f"only {n} replicates at lambda_min, too few to tell how much they vary; {few}"
    candidates = curve[curve["candidate"]]
    alike = within_one_se(grid, curve, low) if n > 1 else candidates[:0]
    if len(alike) == len(candidates) > 1 and (alike["lambda"] == 0).any():
        yield "every λ, 0 too, is within one standard error of the best: these runs cannot tell whether decay matters"
    if row["cells"] >= MANY_CELLS and 1 < n < FEW_FOR_MANY:
        yield (
            f"lambda_min was picked from {row['cells']} cells of few replicates for looking best, so its mean and its "
            "difference to λ = 0 flatter it; confirm it with fresh seeds"
        )


def _edges(grid: Grid, curve: pd.DataFrame, cells: pd.DataFrame, row: pd.Series, runs: pd.DataFrame) -> Iterator[str]:
    """Whether the grid reaches far enough, and what to add to it."""
    lam = row["lambda_min"]
    if math.isnan(lam):
        return
    positive = curve[curve["lambda"] > 0]
    tried = sorted(positive["lambda"])
    strongest = positive["total_decay"].max()
    total = row["total_decay"]
    acts = not (total < CANNOT_ACT)  # nan: D is not defined here, so it is no reason against a smaller λ
    if lam > 0 and not acts:
        more = f"lambda={_round(lam * USEFUL / total)}" if total > 0 else "a larger lambda"
        yield (
            f"the chosen λ = {typed(lam)} is too small to act (total decay D = {total:.2g} < {CANNOT_ACT}): "
            f"it is λ = 0 by another name; {more} would act (D ≈ {USEFUL})"
        )
    if lam == 0 and tried:
        first = positive[positive["lambda"] == tried[0]]["total_decay"].iloc[0]
        if strongest < CANNOT_ACT:
            more = _round(tried[-1] * USEFUL / strongest) if strongest > 0 else ""
            yield f"λ = 0 is best, but no λ tried can act (D ≤ {strongest:.2g} < {CANNOT_ACT}); add lambda={more}"
        elif not is_projected(runs) and not first < CANNOT_ACT:
            weaker = beyond(tried, -1)
            yield f"λ = 0 is best, and every λ > 0 tried acts: a weaker one may still help; add lambda={weaker}"
    elif lam == 0:
        yield "only λ = 0 was tried; add lambda=… (`wdrun explain` proposes a range)"
    if row["edge"] in ("upper", "both"):
        yield f"best λ = {typed(lam)} is the largest tried: the optimum may lie above; add lambda={beyond(tried, 1)}"
    if row["edge"] in ("lower", "both") and (acts or row["edge"] == "both"):
        yield f"best λ = {typed(lam)} is the smallest λ > 0 tried; add lambda={beyond(tried, -1)}"
    if not (curve["lambda"] == 0).any():
        yield "λ = 0 is missing, so what decay gains cannot be told; add lambda=0"
    elif math.isnan(row["mean_zero"]):
        yield "no usable run at λ = 0 (failed or diverged), so what decay gains cannot be told"
    for knob in grid.nuisance:
        values = sorted(cells[knob].unique()) if pd.api.types.is_numeric_dtype(cells[knob]) else []
        at = row[f"{knob}_min"]
        if len(values) > 1 and at in (values[0], values[-1]):
            end, direction = ("largest", 1) if at == values[-1] else ("smallest", -1)
            yield f"the best {knob} = {typed(at)} at that λ is the {end} tried; add {knob}={beyond(values, direction)}"


def _holes(grid: Grid, cells: pd.DataFrame, row: pd.Series) -> Iterator[str]:
    """What did not run, or not to its end."""
    if math.isnan(row["lambda_min"]):
        return
    if row["diverged"]:
        at = ", ".join(typed(lam) for lam in sorted(cells.loc[cells["diverged"] > 0, "lambda"].unique()))
        yield (
            f"{row['diverged']} of {row['runs']} runs diverged (at λ = {at}); a cell with a diverged replicate is not "
            "chosen, since the mean of the survivors flatters it"
        )
    if row["failed"]:
        yield f"{row['failed']} of {row['runs']} runs failed or did not finish and are in no mean; run them again"
    if row["missing"]:
        yield f"{row['missing']} replicates are missing: cells are compared over unequal seeds or folds; run the rest"
    whole = math.prod(cells[k].nunique() for k in [*grid.nuisance, "lambda"])
    if 0 < whole - len(cells) < whole / 2:  # a random or zipped design is no grid with holes
        knobs = " × ".join([*grid.nuisance, "λ"])
        yield f"{whole - len(cells)} of the {whole} cells of the {knobs} grid were never run"


def _budgets(grid: Grid, board: pd.DataFrame) -> Iterator[str]:
    """Whether the facets were tuned alike."""
    ranked = board[board["rank"].notna()]
    if len(ranked) < 2 or ranked["cells"].nunique() < 2:
        return
    fair = (grid.sign * ranked["expected"]).idxmin()
    same = "at equal budget the same one leads" if fair == ranked.index[0] else "at equal budget another one leads"
    counts = f"{ranked['cells'].min()} to {ranked['cells'].max()}"
    yield f"facets were tuned with unequal budgets ({counts} cells): compare by the column expected; {same}"


def beyond(values: list[float], direction: int) -> str:
    """Two values beyond the end of a grid, its last step on; a decade where there is one value only."""
    positive = [v for v in values if v > 0]
    end, other = (positive[-1], positive[-2:][0]) if direction > 0 else (positive[0], positive[:2][-1])
    step = end / other if end != other else 10.0**direction
    return ",".join(_round(end * step**i) for i in (1, 2))


def _round(value: float) -> str:
    return typed(float(f"{value:.2g}"))

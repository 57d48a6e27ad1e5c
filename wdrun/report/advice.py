"""What to run next: command lines in the user's own keys, made from what the runs leave open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wdrun.conventions import CANNOT_ACT, USEFUL
from wdrun.report import reproduce
from wdrun.selection.caveats import beyond
from wdrun.wording import counted, short, sort_key, typed

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.selection import Selection
    from wdrun.tables.read import Results

MOST = 5  # steps
FACETS = 3  # the best so many facets are worth more runs
SEEDS = 5  # replicates that say something about noise
MOST_SEEDS = 50  # beyond this a difference is too small to be worth its runs
STRENGTH = ("lambda", "budget", "tau")  # keys that say how strong the decay is: one replaces another


class Step(NamedTuple):
    """A line to run and what it would tell."""

    why: str
    command: str


def verdict(selection: Selection, row: pd.Series) -> str:
    """What a choice's paired difference to λ = 0 says; `row` is of `choices` and has a lambda_min.

    zero (λ = 0 is the choice), no zero (nothing to compare with), one pair, cannot tell (the 95 % interval includes 0),
    equal (and lies within the margin), slightly better (excludes 0, within the margin), better, worse.
    """
    low, high = row["difference_low"], row["difference_high"]
    if row["lambda_min"] == 0:
        return "zero"
    if math.isnan(row["difference"]):
        return "no zero"
    if math.isnan(low):
        return "one pair"
    inside = max(-low, high) < selection.margin
    if low <= 0 <= high:
        return "equal" if inside else "cannot tell"
    if (row["difference"] < 0) != (selection.metric == "val_loss"):
        return "worse"
    return "slightly better" if inside else "better"


def best_first(selection: Selection) -> pd.DataFrame:
    """The choices, best mean first, those without one last."""
    return selection.choices.sort_values("mean", ascending=selection.metric == "val_loss", kind="stable")


def steps(found: Results, selection: Selection) -> list[Step]:
    """The steps worth most, those of the best facets first; each command once."""
    rows = [row for _, row in best_first(selection).head(FACETS).iterrows()]
    proposed = [*_unfinished(found.runs), *_rivals(selection), *(step for row in rows for step in _of(selection, row))]
    distinct = {step.command: step for step in reversed(proposed)}
    return [step for step in proposed if distinct.pop(step.command, None)][:MOST]


def _unfinished(runs: pd.DataFrame) -> Iterator[Step]:
    unfinished = runs[runs["status"].isin(["failed", "interrupted", "running"])]
    if len(unfinished):
        lines = [line for line in reproduce.commands(map(Path, unfinished["dir"])) if line.startswith("wdrun")]
        why = f"{counted(len(unfinished), 'run')} did not finish: what no process trains any more goes on with this"
        yield from (Step(why, line) for line in lines[:2])


def _of(selection: Selection, row: pd.Series) -> Iterator[Step]:
    """The steps of one facet."""
    who, runs = selection.name(row), _runs(selection, row)
    if math.isnan(row["lambda_min"]):
        if row["diverged"] and "lr" in selection.nuisance:
            lower = further(sorted(runs["lr"].unique()), -1)
            yield from _step(f"{who}: a lower lr, since runs diverged at every one tried", runs, lr=lower)
        return
    lam, total = row["lambda_min"], row["total_decay"]
    here = {knob: [typed(row[f"{knob}_min"])] for knob in selection.nuisance}
    tried = sorted(runs.loc[runs["lambda"] > 0, "lambda"].unique())
    chosen = typed(lam)
    if verdict(selection, row) == "no zero":
        yield from _step(f"{who}: λ = 0, so that a gain can be told", runs, lambda_=["0"], **here)
    if row["edge"] in ("upper", "both"):
        why = f"{who}: larger λ, since the best one is the largest tried"
        yield from _step(why, runs, lambda_=further(tried, 1), **here)
    weakest = _of_facet(selection, selection.points, row).set_index("lambda")["total_decay"]
    if lam == 0 and tried and not weakest[tried[0]] < CANNOT_ACT:
        why = f"{who}: smaller λ, since λ = 0 is best and every λ > 0 tried acts"
        yield from _step(why, runs, lambda_=further(tried, -1), **here)
    if row["edge"] in ("lower", "both") and not total < CANNOT_ACT:
        why = f"{who}: smaller λ, since the best one is the smallest tried"
        yield from _step(why, runs, lambda_=further(tried, -1), **here)
    if tried and 0 < (most := strongest(selection, row)) < CANNOT_ACT:
        acting = typed(float(f"{tried[-1] * USEFUL / most:.2g}"))
        yield from _step(f"{who}: a λ that can act (total decay about {USEFUL})", runs, lambda_=[acting], **here)
    for knob in selection.nuisance:
        yield from _further(who, runs, knob, row[f"{knob}_min"], chosen)
    if verdict(selection, row) in ("one pair", "cannot tell") and not total < CANNOT_ACT:
        seeds = _enough(runs, row["difference"], row["difference_low"], row["difference_high"])
        why = f"{who}: {len(seeds)} seeds at λ = {short(lam)} and at λ = 0, to tell them apart"
        both = {knob: sorted({*here[knob], *_zero(row, knob)}, key=sort_key) for knob in selection.nuisance}
        yield from _step(why, runs, lambda_=["0", chosen], **both, seed=seeds) if seeds else ()


def strongest(selection: Selection, row: pd.Series) -> float:
    """The largest total decay of any λ > 0 of the facet; nan where it is not defined."""
    points = _of_facet(selection, selection.points, row)
    return float(points.loc[points["lambda"] > 0, "total_decay"].max())


def _rivals(selection: Selection) -> Iterator[Step]:
    """More seeds for the best facet and the first one that could not be told from it."""
    board = selection.leaderboard
    open_ = board[(board["verdict"] == "cannot tell") & board["difference"].notna()]
    if open_.empty:
        return
    rival = open_.iloc[0]
    for row, other in ((board.iloc[0], rival), (rival, board.iloc[0])):
        runs = _runs(selection, row)
        if seeds := _enough(runs, rival["difference"], rival["low"], rival["high"]):
            here = {knob: [typed(row[knob])] for knob in selection.nuisance}
            why = f"{selection.name(row)}: {len(seeds)} seeds, to tell it from {selection.name(other)}"
            yield from _step(why, runs, lambda_=[typed(row["lambda"])], **here, seed=seeds)


def further(values: Sequence[float], direction: int) -> list[str]:
    """Two values beyond the end of a grid."""
    return beyond(list(values), direction).split(",")


def _further(who: str, runs: pd.DataFrame, knob: str, at: object, lam: str) -> Iterator[Step]:
    """More of a nuisance knob where its best value is the largest or smallest tried."""
    values = sorted(runs[knob].unique())
    if len(values) > 1 and all(isinstance(v, int | float) for v in values) and at in (values[0], values[-1]):
        direction, word = (1, "larger") if at == values[-1] else (-1, "smaller")
        why = f"{who}: {word} {knob}, since the best one is at the end of those tried"
        yield from _step(why, runs, **{knob: further(values, direction)}, lambda_=[lam])


def pairs_needed(n: int, difference: float, low: float, high: float) -> float:
    """n·(half width/difference)²: so many pairs exclude 0 if difference and spread stay as they are; inf, nan."""
    return n * ((high - low) / 2 / difference) ** 2 if difference else math.inf


def _enough(runs: pd.DataFrame, difference: float, low: float, high: float) -> list[str]:
    """The seeds there are and some new ones; none where too many would be needed."""
    used = sorted(runs["seed"].unique())
    wanted = float(SEEDS)
    if not math.isnan(low):
        wanted = max(pairs_needed(len(used), difference, low, high), len(used) + 2, SEEDS)
    if wanted > MOST_SEEDS:
        return []
    missing = math.ceil(wanted) - len(used)
    new = [seed for seed in range(math.ceil(wanted) + len(used)) if seed not in used][: max(missing, 0)]
    return sorted(map(str, [*used, *new]), key=sort_key)


def _step(why: str, runs: pd.DataFrame, lambda_: Sequence[str] = (), **changed: Sequence[str]) -> Iterator[Step]:
    """The line of these runs with other values; nothing where what was typed is not recorded."""
    given = next(filter(None, (reproduce.typed(Path(directory)) for directory in runs["dir"])), None)
    if given is None:
        return
    words = reproduce.as_words(given)
    if lambda_:
        words = {key: value for key, value in words.items() if key not in STRENGTH} | {"lambda": tuple(lambda_)}
    words |= {key: _all(runs[key]) for key in ("seed", "fold") if key not in changed and runs[key].nunique() > 1}
    yield Step(why, reproduce.line(words | {key: tuple(values) for key, values in changed.items()}))


def _runs(selection: Selection, row: pd.Series) -> pd.DataFrame:
    """The facet's own runs: those with decay first, since λ = 0 may be lent by another decay."""
    return _of_facet(selection, selection.replicates, row).sort_values("lambda", ascending=False, kind="stable")


def _of_facet(selection: Selection, frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    for facet in selection.facets:
        frame = frame[frame[facet] == row[facet]]
    return frame


def _zero(row: pd.Series, knob: str) -> list[str]:
    value = row[f"{knob}_zero"]
    return [] if value != value else [typed(value)]


def _all(values: Iterable[int]) -> tuple[str, ...]:
    return tuple(map(str, sorted(set(values))))

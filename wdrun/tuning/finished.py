"""A finished sweep or tuned question -> the best λ of each facet there, and which λ were as good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config.commands import METRIC
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.config.run import Run
from wdrun.selection import line, select, sentences, tuned
from wdrun.selection.cells import lower_is_better, rows_of
from wdrun.selection.selecting import Selection
from wdrun.selection.verdicts import GAINS, verdict
from wdrun.tables.verdicts import Records
from wdrun.tuning.question import is_fresh
from wdrun.tuning.swept import FLAG

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.tables.read import Results

ZERO = "λ = 0 was best there, so there is nothing to carry"
Curve = Sequence[tuple[float, float]]  # (λ, score), lower for the better, of each λ > 0


@dataclass(frozen=True)
class Best:
    """The best λ of a facet, and the λ beside it that are no worse than it by more than the margin: `low` to `high`.

    `low` is 0, and `high` inf, where no worse λ was tried on that side; `edge` says of which ends of what was tried the
    best λ is one: lower, upper, both, or "". `words` are those of its `run`, without seed and fold, with the
    user's own options in `config_dir`. `unproven` is what is known of its gain over λ = 0, in a sentence, where that is
    not a gain; "" where it is. `refused` is why there is nothing to carry, in one sentence; "" where there is.
    """

    facet: str
    values: Mapping[str, str]  # the knobs that tell it from other facets, as they are typed
    lam: float = math.nan
    low: float = math.nan
    high: float = math.nan
    edge: str = ""
    tried: int = 0
    metric: str = ""
    margin: float = math.nan
    run: Run | None = None
    words: tuple[str, ...] = ()
    config_dir: str | None = None
    lr: float = math.nan
    bare: float = math.nan
    unproven: str = ""
    refused: str = ""


def bests(
    found: Results,
    *,
    metric: str | None = None,
    margin: float | None = None,
    nuisance: Sequence[str] = ("lr",),
    config_dir: str | None = None,
) -> list[Best]:
    """The best of each facet of these results: of a tuned question that of its verdicts, else what `select` chooses.

    `metric` and `margin` are those of the question, else the usual ones, unless given. ConfigError for what is out of
    range.
    """
    records = tuned.of(found.folders)
    if records is not None and len(records.verdicts):
        asked = records.verdicts.iloc[0]
        if metric in (None, asked["objective"]):  # by another metric the margin is the usual one of that
            metric, margin = asked["objective"], margin or float(asked["margin"])
        return [_tuned(found, records, facet, metric, margin, config_dir) for facet in tuned.facets_of(records)]
    metric = metric or METRIC.default
    chosen = select(
        found.runs, metric=metric, margin=margin, nuisance=nuisance, config_dir=config_dir, left_out=found.left_out
    )
    return [_swept(found, chosen, choice, config_dir) for _, choice in chosen.choices.iterrows()]


def as_good(curve: Curve, best: float, most: float) -> tuple[float, float]:
    """The λ around the `best` whose scores are at `most` that: halfway, in log λ, to the first that is worse.

    0 and inf where there is none on that side.
    """
    below = [point for point in sorted(curve, reverse=True) if point[0] < best]
    above = [point for point in sorted(curve) if point[0] > best]
    return _end(below, best, most) or 0.0, _end(above, best, most) or math.inf


def _end(outward: Curve, best: float, most: float) -> float | None:
    last = best
    for lam, score in outward:
        if score > most:
            return math.sqrt(last * lam)
        last = lam
    return None


def _swept(found: Results, selection: Selection, choice: pd.Series, config_dir: str | None) -> Best:
    """The choice of λ of a facet of a sweep."""
    name, values = selection.name(choice), selection.values(choice)
    lam = float(choice["lambda_min"])
    points = selection.of(selection.points, choice)
    if not (points["lambda"] > 0).any():
        return Best(name, values, refused="no λ > 0 was tried there, so there is none to carry")
    if math.isnan(lam):
        return Best(name, values, refused="no λ can be chosen there: its runs diverged, failed or are not finished")
    if lam == 0:
        return Best(name, values, refused=ZERO)
    point = rows_of(points, {"lambda": lam}, ["lambda"]).iloc[0]
    runs = selection.of(selection.replicates[selection.replicates["outcome"] == "done"], choice)
    setting = {knob: point[knob] for knob in (*selection.nuisance, "lambda")}
    row = _row(found, str(rows_of(runs, setting, setting).iloc[0]["dir"]))
    unproven = "" if verdict(choice, selection.margin) in GAINS else sentences.gain(selection, choice)
    return replace(_of(name, values, row, selection, config_dir), unproven=unproven)


def _tuned(
    found: Results, records: Records, facet: str, metric: str, margin: float | None, config_dir: str | None
) -> Best:
    """The setting of a facet of a tuned question, and what the runs of its search say of others."""
    values = dict(word.partition("=")[::2] for word in facet.split(" "))
    own = records.verdicts[(records.verdicts["facet"] == facet) & (records.verdicts["against"] == tuned.ZERO)]
    told: dict[str, Any] = next(iter(own.to_dict("records")), {})  # type: ignore[arg-type]
    settings = tuned.settings_of(records)
    if not told:
        return Best(facet, values, refused="its λ was not tuned there, so there is none to carry")
    if told["verdict"] == "worse":
        return Best(facet, values, refused=ZERO)
    chosen = (
        tuned.run_of(found.runs, records, tuned.Chosen(facet, settings[facet], False)) if facet in settings else None
    )
    if chosen is None:
        return Best(facet, values, refused="no λ was found there yet")
    runs = tuned.runs_of(found.runs, records, facet)
    runs = runs[~runs["seed"].map(is_fresh)]
    keys = [word.partition("=")[0] for word in settings[facet].split(" ")]
    selection = select(runs, metric=metric, margin=margin, nuisance=[key for key in keys if key != "lambda"])
    row = {str(key): value for key, value in chosen.to_dict().items()}
    best = _of(facet, values, row, selection, config_dir)
    if told["verdict"] != "better":
        best = replace(best, unproven=tuned.said(told, nats=tuned.in_nats(found.runs)))
    bare = _lr(told["against_setting"])
    return best if math.isnan(best.lr) or math.isnan(bare) else replace(best, bare=bare)


def _lr(setting: str) -> float:
    """The lr of a setting as it is typed; nan where it has none."""
    return next((float(word[3:]) for word in setting.split(" ") if word.startswith("lr=")), math.nan)


def _of(
    name: str, values: Mapping[str, str], row: Mapping[str, Any], selection: Selection, config_dir: str | None
) -> Best:
    """The best of a facet: the λ of this run, beside the others that were tried."""
    lam = float(row["lambda"])
    own = selection.replicates[selection.replicates["dir"] == row["dir"]]
    if own.empty:  # left out as of another machine, precision or length than most of them
        return Best(name, values, refused="the run of its best λ does not compare with the others there")
    chosen = own.iloc[0]
    tried = _curve(selection.of(selection.points, chosen), selection)
    here = _curve(rows_of(selection.of(selection.cells, chosen), chosen, selection.nuisance), selection)
    if not tried:
        return Best(name, values, refused=f"no run there has a {selection.metric}")
    least = min(score for _, score in tried)
    low, high = as_good(here, lam, least + selection.margin)
    other = as_good(tried, lam, least + selection.margin)  # each λ at its best lr
    low, high = low or other[0], high if math.isfinite(high) else other[1]
    lams = [each for each, _ in tried]
    ends = [side for side, end in (("lower", min(lams)), ("upper", max(lams))) if end == lam]
    edge = "both" if len(ends) == 2 else "".join(ends)
    words = line.words(Path(row["dir"]), config_dir, row)
    plain = tuple(word for word in words if not word.startswith(FLAG))
    options = next((word.removeprefix(FLAG) for word in words if word.startswith(FLAG)), None)
    run = parse(compose(plain, options), plain).run
    asked = (selection.metric, selection.margin)
    return Best(name, values, lam, low, high, edge, len(lams), *asked, run, plain, options, *_rates(selection, chosen))


def _rates(selection: Selection, chosen: pd.Series) -> tuple[float, float]:
    """The lr of this run, and the best of its facet with λ = 0; nan where one alone was tried with decay."""
    own = selection.of(selection.replicates, chosen)
    if "lr" not in selection.nuisance or own.loc[own["lambda"] > 0, "lr"].nunique() < 2:
        return math.nan, math.nan
    lr, points = float(chosen["lr"]), selection.of(selection.points, chosen)
    bare = points.loc[points["lambda"] == 0, "lr"].astype(float).dropna()
    return lr, float(bare.iloc[0]) if len(bare) else lr


def _curve(cells: pd.DataFrame, selection: Selection) -> Curve:
    """λ > 0 of these cells and their scores, lower for the better; inf where a run diverged."""
    cells = cells[(cells["lambda"] > 0) & (cells["candidate"] | (cells["diverged"] > 0))]
    sign = 1 if lower_is_better(selection.metric) else -1
    scores = (sign * cells["mean"]).where(cells["candidate"], math.inf)
    return list(zip(cells["lambda"].astype(float), scores.astype(float), strict=True))


def _row(found: Results, directory: str) -> dict[str, Any]:
    """The row of the run in this folder."""
    return {str(key): value for key, value in found.runs[found.runs["dir"] == directory].to_dict("records")[0].items()}

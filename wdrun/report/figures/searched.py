"""What a tuned folder's search tried, facet by facet: its scores over λ, in the order tried, and its lr × λ plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wdrun.report.figures import style
from wdrun.report.figures.curve import MIN, unit
from wdrun.report.figures.lambda_axis import LambdaAxis
from wdrun.report.figures.style import INK, ORANGE, SOFT
from wdrun.selection.cells import lower_is_better
from wdrun.selection.tuned import ZERO, facets_of, runs_of, settings_of
from wdrun.tuning.question import is_fresh
from wdrun.wording import rough

if TYPE_CHECKING:
    from wdrun.tables.verdicts import Records

ORDER = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.0, 0.87, 256)), "order")
DOT: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 5}
LOST: dict[str, Any] = {"marker": "x", "ls": "none", "ms": 5, "mec": ORANGE, "mew": 1.3}
LEVEL: dict[str, Any] = {"color": SOFT, "lw": 0.9, "ls": (0, (8, 4))}
RING: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 14, "mfc": "none", "mec": INK, "mew": 1.3}
ON_DOT = style.outlined("#333333", 1.6)


@dataclass(frozen=True)
class Searched:
    """A facet as it was searched: `points` are its search runs (order, lambda, lr, score), a run that diverged nan.

    `order` counts the settings of the facet from 1; those of an earlier sweep come first. `chosen` is its setting's λ
    and lr, `mean` that of its fresh runs, of which there are `fresh`, and `zero` the mean of λ = 0 over the same pairs;
    `low` and `high` are that plus the ends of the verdict's interval. Each is nan where it is not known.
    """

    label: str
    points: pd.DataFrame
    chosen: tuple[float, float]
    fresh: int
    mean: float
    zero: float
    low: float
    high: float


def searched(found: Records, runs: pd.DataFrame) -> list[Searched]:
    """The facets with a search run, in the order in which they are asked about."""
    rows = [_searched(found, runs, facet) for facet in facets_of(found)]
    return [one for one in rows if len(one.points)]


def _searched(found: Records, runs: pd.DataFrame, facet: str) -> Searched:
    objective = found.verdicts["objective"].iloc[0]
    own = runs_of(runs, found, facet)
    step = found.decisions.set_index("id")["step"]
    own = own.assign(score=own[objective].where(own["status"] == "done"), step=own["id"].map(step).fillna(0))
    own = own[own["status"].isin(["done", "diverged"])].sort_values(["step", "id"])
    tells = own["seed"].map(is_fresh).astype(bool)
    tried = own[~tells][["lambda", "lr", "score"]]
    points = tried.assign(order=tried.groupby(["lambda", "lr"], sort=False).ngroup() + 1).reset_index(drop=True)
    here = found.decisions[found.decisions["setting"] == settings_of(found).get(facet)]
    fresh = own[tells & own["id"].isin(here["id"]) & own["score"].notna()].sort_values("seed")
    rows = found.verdicts[(found.verdicts["facet"] == facet) & (found.verdicts["against"] == ZERO)]
    mean = zero = low = high = math.nan
    if len(fresh):
        pairs = int(rows["pairs"].iloc[0]) if len(rows) else 0
        paired = fresh["score"].iloc[: pairs or None]
        mean = float(paired.mean())
        if 0 < pairs <= len(paired):
            zero, low, high = (
                mean - rows["difference"].iloc[0] + x for x in (0, rows["low"].iloc[0], rows["high"].iloc[0])
            )
    at = (float(fresh["lambda"].iloc[0]), float(fresh["lr"].iloc[0])) if len(fresh) else (math.nan, math.nan)
    return Searched(style.literal(facet), points, at, len(fresh), mean, float(zero), float(low), float(high))


@style.styled
def curve(found: Sequence[Searched], objective: str, margin: float, classes: bool) -> Figure:
    """The score of each search run over λ, darker the earlier, with what the fresh runs of the chosen setting gave."""
    figure, axes = style.panels(len(found), columns=2 if len(found) > 1 else 1, height=2.1, extra=0.9)
    lam = LambdaAxis(value for one in found for value in one.points["lambda"])
    norm = Normalize(1, max(2, max(int(one.points["order"].max()) for one in found)))
    lower = lower_is_better(objective)
    for place, (ax, one) in enumerate(zip(axes, found, strict=True)):
        worst = _worst(one, margin, lower)
        scores = one.points["score"].to_numpy()
        x, colours = lam(one.points["lambda"]), ORDER(norm(one.points["order"]))
        for at, score, colour in zip(x, scores, colours, strict=True):
            if math.isnan(score):
                ax.plot(at, worst, **LOST)
            else:
                outside = score > worst if lower else score < worst
                marker = ("^" if lower else "v") if outside else "o"
                ax.plot(at, worst if outside else score, **DOT | {"color": colour, "marker": marker})
        if not math.isnan(one.zero):
            ax.axhline(one.zero, zorder=1, **LEVEL)
        if one.fresh:
            ax.vlines(lam(one.chosen[0]), one.low, one.high, color=INK, lw=2, zorder=4)
            ax.plot(lam(one.chosen[0]), one.mean, zorder=5, **MIN)
        lam.dress(ax)
        ticks = [0.0] * lam.has_zero + _ticks(lam.positive, 4 if len(found) > 1 else 8)
        ax.set_xticks(lam(ticks), [rough(value) for value in ticks])
        ax.set_title(style.wrapped(one.label, 30 if len(found) > 1 else 60))
        if place % 2 == 0:
            ax.set_ylabel(f"validation {unit(objective.removeprefix('val_'), classes)}")
    bar = figure.colorbar(ScalarMappable(norm, ORDER), ax=axes, location="bottom", aspect=40, pad=0.02, fraction=0.06)
    bar.locator = MaxNLocator(nbins=8, integer=True)
    bar.set_label("settings in the order in which they were tried")
    bar.outline.set_visible(False)
    style.key(figure, _handles(found), columns=2)
    return figure


def _worst(one: Searched, margin: float, lower: bool) -> float:
    """The worst score that is drawn as it is: what is far worse than the others would flatten them."""
    sign = 1 if lower else -1
    values = sign * one.points["score"].dropna().to_numpy()
    if not len(values):
        return 1.0 if math.isnan(one.mean) else one.mean
    best = values.min()
    room = max(8 * margin, 2.5 * float(np.median(values) - best))
    return float(sign * min(values.max(), best + room))


def _handles(found: Sequence[Searched]) -> list[Line2D]:
    handles = [Line2D([], [], **DOT | {"color": style.GREEN, "label": "search run, one seed"})]
    if any(one.fresh for one in found):
        handles.append(Line2D([], [], **MIN | {"label": "chosen: its fresh runs, interval to λ = 0"}))
    if any(not math.isnan(one.zero) for one in found):
        handles.append(Line2D([], [], label="λ = 0 at its best, on the same seeds", **LEVEL))
    if any(one.points["score"].isna().any() for one in found):
        handles.append(Line2D([], [], label="diverged", **LOST))
    return handles


def planar(one: Searched) -> bool:
    """Whether a facet has a plane: two lr or more, and some λ > 0."""
    return bool(one.points["lr"].nunique() > 1 and (one.points["lambda"] > 0).any())


@style.styled
def plane(found: Sequence[Searched], objective: str, classes: bool) -> Figure:
    """Each setting tried at its lr and λ, numbered in the order tried, its score as colour; the chosen one ringed."""
    lower = lower_is_better(objective)
    figure, axes = style.panels(len(found), columns=2 if len(found) > 1 else 1, height=2.6, extra=0.9)
    lam = LambdaAxis(value for one in found for value in one.points["lambda"])
    scores = np.concatenate([one.points["score"].dropna().to_numpy() for one in found])
    norm = _norm(scores, lower)
    colours = mpl.colormaps["viridis_r" if lower else "viridis"]
    lrs = sorted({value for one in found for value in one.points["lr"]})
    for place, (ax, one) in enumerate(zip(axes, found, strict=True)):
        settings = one.points.groupby("order", sort=True).agg({"lambda": "first", "lr": "first", "score": "mean"})
        for number, row in settings.iterrows():
            at = math.log10(row["lr"]), float(lam(row["lambda"]))
            known = not math.isnan(row["score"])
            look: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 10.5, "mec": "white", "mew": 0.6}
            ax.plot(
                *at, **look | ({"color": colours(norm(row["score"]))} if known else {"mfc": "white", "mec": ORANGE})
            )
            ink: dict[str, Any] = {"color": "white", "path_effects": ON_DOT} if known else {"color": ORANGE}
            ax.text(*at, str(number), ha="center", va="center_baseline", fontsize=7, **ink)
        if one.fresh:
            ax.plot(math.log10(one.chosen[1]), lam(one.chosen[0]), zorder=1, **RING)
        ticks = _ticks(lrs, 4 if len(found) > 1 else 7)
        ax.set_xticks(np.log10(ticks), [rough(value) for value in ticks])
        ax.set_xlim(math.log10(lrs[0]) - 0.15, math.log10(lrs[-1]) + 0.15)
        _lambdas(ax, lam)
        ax.set_xlabel("peak lr")
        ax.set_title(style.wrapped(one.label, 30 if len(found) > 1 else 60))
        if place % 2 == 0:
            ax.set_ylabel("λ")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, location="bottom", aspect=40, pad=0.02, fraction=0.06)
    kind = unit(objective.removeprefix("val_"), classes)
    bar.set_label(f"validation {kind}, {'lower' if lower else 'higher'} is better")
    bar.outline.set_visible(False)
    handles = [Line2D([], [], **RING | {"ms": 9, "label": "chosen for the fresh runs"})] * any(
        one.fresh for one in found
    )
    if any(one.points["score"].isna().any() for one in found):
        handles.append(Line2D([], [], marker="o", ls="none", ms=8, mfc="white", mec=ORANGE, label="diverged"))
    style.key(figure, handles, columns=2)
    return figure


def _norm(scores: np.ndarray, lower: bool) -> Normalize:
    """Colours from the best to the worst, but no further than three times the median's distance from the best."""
    if not len(scores):
        return Normalize(0, 1)
    best, worst = (scores.min(), scores.max()) if lower else (scores.max(), scores.min())
    bound = best + 3 * (float(np.median(scores)) - best)
    return Normalize(*sorted([best, worst if abs(worst - best) <= abs(bound - best) or bound == best else bound]))


def _lambdas(ax: Axes, lam: LambdaAxis) -> None:
    ticks = [0.0] * lam.has_zero + _ticks(lam.positive, 6)
    ax.set_yticks(lam(ticks), [rough(value) for value in ticks])
    room = 0.06 * (lam.high - min(lam.zero, lam.low)) or 0.5
    ax.set_ylim((lam.zero if lam.has_zero else lam.low) - room, lam.high + room)


def _ticks(values: Sequence[float], most: int) -> list[float]:
    """Whole decades among positive values to label, at most so many; the ends where there are not two."""
    if not values:
        return []
    low, high = math.log10(min(values)), math.log10(max(values))
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(decades) < 2:
        return sorted({min(values), max(values)})
    return [10.0**k for k in decades[:: max(1, -(-len(decades) // most))]]

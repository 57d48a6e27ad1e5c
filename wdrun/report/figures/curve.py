"""The weight-decay curve (article 001): data loss and accuracy against λ, best over lr for every λ, one row a facet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdrun.report.figures import style
from wdrun.report.figures.lambda_axis import LambdaAxis
from wdrun.report.figures.style import BLUE, INK, ORANGE, SOFT
from wdrun.report.figures.tables import FacetTables
from wdrun.wording import rough

SPLITS = {"val": (BLUE, "o", "-"), "train": (ORANGE, "s", style.DASHES[1])}
LR_LINES = 8  # thin lines of single lr in a panel
LEVEL = (0, (8, 4))
ONE_LR: dict[str, Any] = {"color": BLUE, "lw": 0.6, "alpha": 0.6}
MIN: dict[str, Any] = {"marker": "*", "ms": 11, "mfc": "white", "mec": INK, "mew": 1.0, "ls": "none"}
ONE_SE: dict[str, Any] = {"marker": "D", "ms": 7.5, "mfc": "none", "mec": INK, "mew": 1.0, "ls": "none"}


def unit(kind: str, classes: bool) -> str:
    """The label of a loss or accuracy axis; `classes`: it is a classification (a regression's loss is a square)."""
    if kind == "accuracy":
        return "accuracy (0 to 1)"
    return "data loss (nats)" if classes else "data loss (squared error)"


def extrema(means: Sequence[float]) -> tuple[list[int], list[int]]:
    """Indices of the strict local minima and maxima inside a sequence, a plateau counted once, at its middle."""
    means = list(means)
    runs = [(i, v) for i, v in enumerate(means) if i == 0 or v != means[i - 1]]  # where each plateau starts
    starts = [i for i, _ in runs] + [len(means)]
    lows, highs = [], []
    for k in range(1, len(runs) - 1):
        before, here, after = (runs[j][1] for j in (k - 1, k, k + 1))
        middle = (starts[k] + starts[k + 1] - 1) // 2
        if here < min(before, after):
            lows.append(middle)
        elif here > max(before, after):
            highs.append(middle)
    return lows, highs


@style.styled
def curve(facets: Sequence[FacetTables]) -> Figure:
    """Loss and accuracy against λ: a facet is a row of validation panels, total decay on top, and one of training."""
    kinds = [k for k in ("loss", "accuracy") if any(f.cells[f"val_{k}"].notna().any() for f in facets)]
    rows, columns = 2 * len(facets), len(kinds)
    figure = Figure(figsize=(style.WIDTH, 3.15 * len(facets) + 0.95), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=[2, 1] * len(facets))
    lam = LambdaAxis(v for f in facets for v in f.cells["lambda"])
    for i, facet in enumerate(facets):
        for kind, val, train in zip(kinds, grid[2 * i], grid[2 * i + 1], strict=True):
            _validation(val, facet, kind, lam)
            _replicated(train, best(facet.cells, f"train_{kind}"), f"train_{kind}", lam)
            val.set_ylabel(f"validation\n{unit(kind, 'accuracy' in kinds)}")
            train.set_ylabel(f"training\n{kind}")
            for ax, title in ((val, ""), (train, "λ")):
                lam.dress(ax, most=7 if columns == 1 else 4, label=title)
            val.tick_params(labelbottom=False)
            _total_decay(val, facet.cells, lam, most=7 if columns == 1 else 4)
        least, one_se = (rough(lam, 3, "not known") for lam in (facet.lambda_min, facet.lambda_1se))
        grid[2 * i][0].set_title(f"{style.wrapped(facet.label, 60)}\nlambda_min = {least}, lambda_1se = {one_se}")
    for j in range(columns):
        _same_limits([grid[2 * i][j] for i in range(len(facets))])
        _same_limits([grid[2 * i + 1][j] for i in range(len(facets))])
    style.key(figure, _handles(facets), columns=2)
    return figure


def best(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """The cells of the best lr for each λ where the column has a value, by λ."""
    return cells[cells["best"] & cells[column].notna()].sort_values("lambda")


def _validation(ax: Axes, facet: FacetTables, kind: str, lam: LambdaAxis) -> None:
    column = f"val_{kind}"
    rows = best(facet.cells, column)
    _single_lrs(ax, facet.cells, column, lam)
    _replicated(ax, rows, column, lam)
    on, off = rows[rows["lambda"] > 0], rows.loc[rows["lambda"] == 0, column]
    for level in off:
        ax.axhline(level, color=SOFT, lw=0.7, ls=LEVEL, zorder=1)
    for i in sorted(i for group in extrema(on[column].to_list()) for i in group):
        ax.axvline(float(lam(on["lambda"])[i]), color=SOFT, lw=0.7, ls=":", alpha=0.8, zorder=1)
    for value, mark in ((facet.lambda_1se, ONE_SE), (facet.lambda_min, MIN)):
        row = rows[rows["lambda"] == value]
        ax.plot(lam(row["lambda"]), row[column], zorder=4, **mark)


def _replicated(ax: Axes, rows: pd.DataFrame, column: str, lam: LambdaAxis) -> None:
    """Means with their interval as a band over λ > 0 and as a bar at λ = 0, which no line joins to the others."""
    colour, marker, dash = SPLITS[column.partition("_")[0]]
    off, on = rows[rows["lambda"] == 0], rows[rows["lambda"] > 0]
    ax.fill_between(
        lam(on["lambda"]),
        on[f"{column}.low"],
        on[f"{column}.high"],
        color=colour,
        alpha=0.18,
        lw=0,
        label=f"{column} 95 %",
    )
    ax.plot(lam(on["lambda"]), on[column], color=colour, ls=dash, marker=marker, label=column, zorder=3)
    ax.vlines(lam(off["lambda"]), off[f"{column}.low"], off[f"{column}.high"], color=colour, alpha=0.3, lw=4)
    ax.plot(lam(off["lambda"]), off[column], color=colour, marker=marker, ls="none", zorder=3, label=f"{column} λ=0")
    _focus(ax, rows, column)


def _focus(ax: Axes, rows: pd.DataFrame, column: str) -> None:
    """Limits that give the means and intervals at least two fifths of the height; single lr may leave the panel."""
    held = rows[[column, f"{column}.low", f"{column}.high"]].to_numpy().ravel()
    held = held[np.isfinite(held)]
    if not len(held):
        return
    low, high = held.min(), held.max()
    room = max(high - low, 1e-3 * abs(high), 1e-9)
    every = np.concatenate([held, *(np.asarray(line.get_ydata(), float) for line in ax.lines)])
    every = every[np.isfinite(every)]
    bottom, top = max(every.min(), low - 0.75 * room), min(every.max(), high + 0.75 * room)
    ax.set_ylim(bottom - 0.08 * room, top + 0.08 * room)


def _single_lrs(ax: Axes, cells: pd.DataFrame, column: str, lam: LambdaAxis) -> None:
    lrs = cells.loc[cells[column].notna(), "setting"].unique()
    for lr in style.some(list(lrs), LR_LINES) if len(lrs) > 1 else []:
        rows = cells[(cells["setting"] == lr) & cells[column].notna() & (cells["lambda"] > 0)].sort_values("lambda")
        ax.plot(lam(rows["lambda"]), rows[column], label=lr, zorder=2, **ONE_LR)


def _total_decay(ax: Axes, cells: pd.DataFrame, lam: LambdaAxis, *, most: int) -> None:
    """A second axis on top: total decay D of the run behind each point, where it is defined."""
    rows = cells[cells["best"] & cells["total_decay"].notna()].set_index("lambda")["total_decay"]
    shown = [v for v in lam.ticks(most) if v in rows.index]
    if not any(rows.get(v, 0.0) > 0 for v in shown):
        return
    top = ax.secondary_xaxis("top")
    top.set_xticks(lam(shown), [rough(rows[v]) for v in shown])
    top.tick_params(labelsize=7.5, length=2.5, pad=1.5)
    top.set_xlabel("total decay D", fontsize=7.5, labelpad=2)
    top.spines["top"].set_visible(False)


def _same_limits(axes: Sequence[Axes]) -> None:
    """The same limits for panels to compare; a log axis where the largest value would flatten all others."""
    limits = [ax.get_ylim() for ax in axes]
    bottom, top = min(low for low, _ in limits), max(high for _, high in limits)
    values = np.concatenate(
        [np.asarray(line.get_ydata(), float) for ax in axes for line in ax.lines if line.get_zorder() == 3]
    )
    values = values[np.isfinite(values) & (values > 0)]
    steep = len(values) > 0 and values.max() > 10 * np.median(values)
    for ax in axes:
        if steep:
            style.log_y(ax)
        ax.set_ylim(values.min() / 1.2 if steep else bottom, values.max() * 1.2 if steep else top)


def _handles(facets: Sequence[FacetTables]) -> list[Line2D]:
    words = {"val": "validation, best lr for each λ", "train": "training, at the same lr"}
    handles = [
        Line2D([], [], color=colour, marker=marker, ls=dash, label=words[split])
        for split, (colour, marker, dash) in SPLITS.items()
    ]
    if any(f.cells["setting"].nunique() > 1 for f in facets):
        handles.append(Line2D([], [], label="validation, a single lr", **ONE_LR))
    handles += [Line2D([], [], label="lambda_min", **MIN), Line2D([], [], label="lambda_1se", **ONE_SE)]
    handles.append(Line2D([], [], color=SOFT, lw=0.8, ls=":", label="local minimum or maximum"))
    if any((f.cells["lambda"] == 0).any() for f in facets):
        handles.append(Line2D([], [], color=SOFT, lw=0.7, ls=LEVEL, label="validation without decay"))
    return handles

"""The lr × λ map (Loshchilov & Hutter 2019, figure 2): validation as colour, the best circled, the ridge's slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from wdrun.report.figures import style
from wdrun.report.figures.curve import unit
from wdrun.report.figures.ridge import Ridge, ridge
from wdrun.report.figures.style import INK, SOFT
from wdrun.report.figures.tables import FacetTables
from wdrun.selection.cells import lower_is_better
from wdrun.wording import rough, short

GAP = 0.45  # rows between λ = 0 and the smallest λ > 0
HATCHES = {"diverged": ("////", "#f2d5c4"), "failed": ("....", "#ececec")}
PRODUCTS = 5  # lines of constant lr·λ
ON_WHITE, ON_DARK = style.outlined("white", 2.6), style.outlined("#4d4d4d", 1.7)
BEST: dict[str, Any] = {"marker": "o", "ms": 10, "mfc": "none", "mec": INK, "mew": 1.3, "ls": "none"}
RIDGE: dict[str, Any] = {"marker": "x", "ms": 4.5, "mec": INK, "mew": 1.2, "ls": "none"}
FIT: dict[str, Any] = {"color": INK, "lw": 1.4}
PRODUCT: dict[str, Any] = {"color": "white", "lw": 0.9, "ls": (0, (4, 2)), "path_effects": ON_DARK}


def drawable(facet: FacetTables) -> bool:
    """Whether there is a map: two lr or more, two λ > 0 or more, and any score."""
    cells = facet.cells
    if "lr" not in cells or not cells["val_loss"].notna().any():
        return False
    return bool(cells["lr"].nunique() > 1 and cells.loc[cells["lambda"] > 0, "lambda"].nunique() > 1)


def scores(facet: FacetTables, metric: str) -> pd.DataFrame:
    """lr, lambda, score, `diverged` and `failed` runs, a row a (lr, λ): the cell of the other knobs' best values.

    The best is that of the best score among those without a diverged run; where all have one, among all.
    """
    every = facet.cells.assign(score=facet.cells[metric])
    every["doubtful"] = every["score"].isna() | (every["diverged"] > 0)
    order = every.sort_values(["doubtful", "score", "diverged"], ascending=[True, lower_is_better(metric), True])
    best = order.drop_duplicates(["lr", "lambda"]).sort_values(["lr", "lambda"], ignore_index=True)
    return best[["lr", "lambda", "score", "diverged", "failed"]]


def measured(table: pd.DataFrame, *, lower: bool) -> Ridge:
    """The ridge of the cells that can tell: with a score, or diverged; what only failed says nothing about its λ.

    A cell that lost any run to divergence counts as diverged, as it does in the choice of λ.
    """
    told = table[table["score"].notna() | (table["diverged"] > 0)]
    return ridge(told.assign(score=told["score"].where(told["diverged"] == 0)), lower=lower)


class MapAxes:
    """Positions of cells: lr by rank along x, λ by rank along y with λ = 0 below a gap; log-linear in between."""

    def __init__(self, tables: Sequence[pd.DataFrame]) -> None:
        every = pd.concat(tables)
        self.lrs = sorted(every["lr"].unique())
        self.lams = sorted(every.loc[every["lambda"] > 0, "lambda"].unique())
        self.has_zero = bool((every["lambda"] == 0).any())

    def x(self, lr: Any) -> Any:
        return _rank(np.log10(lr), np.log10(self.lrs))

    def across(self) -> np.ndarray:
        """lr to draw a line through, from one edge of the map to the other."""
        return np.geomspace(self.lrs[0] ** 1.5 / self.lrs[1] ** 0.5, self.lrs[-1] ** 1.5 / self.lrs[-2] ** 0.5, 101)

    def y(self, lam: Any) -> Any:
        lam = np.asarray(lam, dtype=float)
        logs = np.log10(np.where(lam > 0, lam, np.nan))
        return np.where(lam > 0, _rank(logs, np.log10(self.lams)), -1 - GAP)


def _rank(values: Any, knots: np.ndarray) -> Any:
    """Rank among the sorted knots, linear between them and half a cell beyond the outermost; nan further out."""
    if len(knots) < 2:
        return np.where(np.isclose(values, knots[0] if len(knots) else np.nan), 0.0, np.nan)
    first, last = (knots[1] - knots[0]) / 2, (knots[-1] - knots[-2]) / 2
    wider = np.concatenate([[knots[0] - first], knots, [knots[-1] + last]])
    ranks = np.concatenate([[-0.5], np.arange(len(knots)), [len(knots) - 0.5]])
    return np.interp(values, wider, ranks, left=np.nan, right=np.nan)


@style.styled
def heatmap(facets: Sequence[FacetTables], metric: str) -> Figure:
    """One panel a facet, one colour scale; the largest scores share a colour when they would flatten the rest."""
    tables = [scores(f, metric) for f in facets]
    lower, grid = lower_is_better(metric), MapAxes(tables)
    ridges = [measured(table, lower=lower) for table in tables]
    tall = len(grid.lams) + grid.has_zero * (1 + GAP)
    height = float(np.clip(0.27 * tall, 1.5, 3.0))
    figure, axes = style.panels(len(facets), columns=2 if len(facets) > 1 else 1, height=height + 0.75, extra=1.1)
    norm, extend = _scale(tables, lower)
    for ax, facet, table, found in zip(axes, facets, tables, ridges, strict=True):
        mesh = _panel(ax, table, grid, norm, lower)
        _ridge(ax, found, grid)
        ax.set_title(style.wrapped(facet.label, 30 if len(facets) > 1 else 60), pad=16)
        ax.annotate(slope(found), (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7.5)
    bar = figure.colorbar(mesh, ax=axes, location="bottom", aspect=40, extend=extend, pad=0.02, fraction=0.06)
    kind = "loss" if lower else "accuracy"
    words = unit(kind, any(f.cells["val_accuracy"].notna().any() for f in facets))
    bar.set_label(f"validation {words}, {'lower' if lower else 'higher'} is better")
    bar.outline.set_visible(False)
    style.key(figure, _handles(tables, ridges), columns=2)
    return figure


def _scale(tables: Sequence[pd.DataFrame], lower: bool) -> tuple[Normalize, str]:
    """Colours from best to worst, but no further from the median than three times the best is from it."""
    values = pd.concat(tables)["score"].dropna().to_numpy()
    if not len(values):
        return Normalize(0, 1), "neither"
    best, middle = (values.min() if lower else values.max()), float(np.median(values))
    worst, bound = (values.max() if lower else values.min()), middle + 3 * (middle - best)
    if bound != middle and (worst > bound if lower else worst < bound):
        return Normalize(*sorted([best, bound])), "max" if lower else "min"
    return Normalize(*sorted([best, worst])), "neither"


def _panel(ax: Axes, table: pd.DataFrame, grid: MapAxes, norm: Normalize, lower: bool) -> QuadMesh:
    cmap = "viridis_r" if lower else "viridis"
    values = table.pivot(index="lambda", columns="lr", values="score").reindex(index=grid.lams, columns=grid.lrs)
    edges: dict[str, Any] = {"edgecolors": "white", "linewidth": 0.6}
    across = np.arange(len(grid.lrs) + 1) - 0.5
    mesh = ax.pcolormesh(across, np.arange(len(grid.lams) + 1) - 0.5, values, cmap=cmap, norm=norm, **edges)
    if grid.has_zero:
        off = table[table["lambda"] == 0].set_index("lr")["score"].reindex(grid.lrs).to_numpy()[None]
        ax.pcolormesh(across, np.array([-1.5, -0.5]) - GAP, off, cmap=cmap, norm=norm, **edges)
    _hatched(ax, table, grid)
    _products(ax, grid)
    sound = table[table["score"].notna() & (table["diverged"] == 0)]
    best = sound[sound["score"] == (sound["score"].min() if lower else sound["score"].max())]
    ax.plot(grid.x(best["lr"]), grid.y(best["lambda"]), path_effects=ON_WHITE, zorder=5, **BEST)
    _dress(ax, grid)
    return mesh


def slope(found: Ridge) -> str:
    """The ridge's slope and interval, or that there is none, in few words."""
    lrs = f"({found.n}/{len(found.at)} lr)"
    if found.reason:
        return f"no slope {lrs}"
    return f"slope {found.slope:.2f} [{found.low:.2f}, {found.high:.2f}] {lrs}".replace("-", "−")


def _hatched(ax: Axes, table: pd.DataFrame, grid: MapAxes) -> None:
    """A cell without a score is hatched on a plain ground, one that lost some of its runs over its colour."""
    for kind, (hatch, ground) in HATCHES.items():
        for row in table[table[kind] > 0].itertuples():
            empty = bool(np.isnan(row.score))  # type: ignore[arg-type]
            corner = (float(grid.x(row.lr)) - 0.5, float(grid.y(row[2])) - 0.5)
            ax.add_patch(
                Rectangle(
                    corner, 1, 1, hatch=hatch, fc=ground if empty else "none", ec=SOFT if empty else "white",
                    lw=0, label=kind,
                )
            )  # fmt: skip


def _products(ax: Axes, grid: MapAxes) -> None:
    """lr·λ = 10^k for at most PRODUCTS whole k, evenly spaced."""
    if len(grid.lams) < 2 or len(grid.lrs) < 2:
        return
    low, high = np.log10(grid.lrs[0] * grid.lams[0]), np.log10(grid.lrs[-1] * grid.lams[-1])
    lrs = grid.across()
    powers = range(int(np.ceil(low)), int(np.floor(high)) + 1)
    for k in powers[:: max(1, -(-len(powers) // PRODUCTS))]:
        ax.plot(grid.x(lrs), grid.y(10.0**k / lrs), label=f"lr·λ = {short(10.0**k)}", **PRODUCT)


def _ridge(ax: Axes, found: Ridge, grid: MapAxes) -> None:
    ax.plot(grid.x(found.at["lr"]), grid.y(found.at["lambda"]), path_effects=ON_WHITE, zorder=4, **RIDGE)
    if not found.reason:
        lrs = grid.across()
        fit = 10 ** (found.intercept + found.slope * np.log10(lrs))
        ax.plot(grid.x(lrs), grid.y(fit), label="fit", path_effects=ON_WHITE, **FIT)


def _dress(ax: Axes, grid: MapAxes) -> None:
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=2)
    lrs, lams = style.labelled(grid.lrs, 5), style.labelled(grid.lams, 8)
    ax.set_xticks(grid.x(lrs), [rough(v) for v in lrs])
    zero = [0.0] if grid.has_zero else []
    ax.set_yticks(np.concatenate([grid.y(zero), grid.y(lams)]), [rough(v) for v in [*zero, *lams]])
    ax.set_xlim(-0.5, len(grid.lrs) - 0.5)
    ax.set_ylim(-1.5 - GAP if grid.has_zero else -0.5, len(grid.lams) - 0.5)
    ax.set_xlabel("peak lr")
    ax.set_ylabel("λ")


def _handles(tables: Sequence[pd.DataFrame], ridges: Sequence[Ridge]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], label="best of the panel", **BEST),
        Line2D([], [], label="best λ at this lr", **RIDGE),
        Line2D([], [], label="lr·λ constant", **PRODUCT),
    ]
    if any(not r.reason for r in ridges):
        handles.append(Line2D([], [], label="ridge (least squares)", **FIT))
    for kind, (hatch, colour) in HATCHES.items():
        if any((t[kind] > 0).any() for t in tables):
            handles.append(Patch(fc=colour, ec=SOFT, lw=0, hatch=hatch, label=f"{kind} runs"))
    if any(len(t) < t["lr"].nunique() * t["lambda"].nunique() for t in tables):
        handles.append(Patch(fc="white", ec=style.FAINT, label="not run"))
    return handles

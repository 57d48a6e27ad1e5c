"""The weights themselves: their distribution over training and across λ, and the first layer's filters as images.

Legend: F filters, H W pixels of a filter, 3 colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wdrun.report.figures import style
from wdrun.report.figures.layers import tensors
from wdrun.report.figures.tables import FacetTables, of_close
from wdrun.wording import rough

MOST = 6  # λ, or epochs
PANELS = 4  # tensors
ACROSS = 8  # filters in a row
LAST = 250  # the outermost bins, ±LAST, are open
FILL, MERGED = 30, (1, 3, 5, 9, 15, 25)  # weights wanted in a bin on average; how many bins may become one


def densities(histograms: pd.DataFrame, layers: pd.DataFrame, by: str) -> pd.DataFrame:
    """parameter, `by` (lambda or epoch), bin, weight (its centre), width and density: count/(all weights · width).

    Counts of replicates are pooled, and bins merged by an odd number a tensor until they hold some FILL weights on
    average. The outermost bins are open, so they count among all weights but have no density.
    """
    names = tensors(layers[layers["parameter"].isin(histograms["parameter"])], PANELS)
    parts = [_density(histograms[histograms["parameter"] == name], by).assign(parameter=name) for name in names]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["parameter", by, "density"])


def _density(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    whole = rows.groupby(by)["count"].sum()
    width = float((rows["right"] - rows["left"]).median())
    inside = rows[rows["bin"].abs() < LAST]
    held = inside.groupby([by, "bin"])["count"].sum().groupby(by).agg(["mean", "size"])
    few = float(held["mean"].min()) if len(held) else FILL
    merged = next((m for m in MERGED if m * few >= FILL), MERGED[-1])
    bins = (inside["bin"] + merged // 2) // merged
    table = inside.assign(bin=bins).groupby([by, "bin"])["count"].sum().reset_index()
    table = table[(table["bin"].abs() + 0.5) * merged <= LAST]
    density = table["count"] / table[by].map(whole) / (merged * width)
    return table.assign(weight=table["bin"] * merged * width, width=merged * width, density=density)


def across_lambda(histograms: pd.DataFrame, layers: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """Densities after the last epoch of each run at the facet's chosen lr, by lambda."""
    rows = of_close(histograms, facet, MOST)
    rows = rows[rows["epoch"] == rows.groupby("id")["epoch"].transform("max")]
    return densities(rows, of_close(layers, facet, MOST), "lambda")


def over_training(histograms: pd.DataFrame, layers: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """Densities of the facet's chosen runs, at lambda_min, by epoch."""
    rows = of_close(histograms, facet, MOST)
    rows = rows[rows["lambda"] == facet.lambda_min]
    rows = rows[rows["epoch"].isin(style.some(list(rows["epoch"].unique()), MOST))]
    return densities(rows, of_close(layers, facet, MOST), "epoch")


@style.styled
def histogram(table: pd.DataFrame) -> Figure:
    """Density of the weights of each tensor (of `densities`), log axis, one line a λ or an epoch."""
    by = "lambda" if "lambda" in table else "epoch"
    names = list(dict.fromkeys(table["parameter"]))
    figure, axes = style.panels(len(names), height=1.75)
    series = sorted(table[by].unique())
    lines = _lines(series, by)
    for ax, name in zip(axes, names, strict=True):
        own = table[table["parameter"] == name]
        for value, look in lines.items():
            rows = own[own[by] == value].set_index("bin")["density"].reindex(range(-LAST, LAST + 1))
            seen = np.flatnonzero(rows.notna())  # between its ends, a gap where there is no weight
            rows = rows.iloc[seen[0] : seen[-1] + 1] if len(seen) else rows.iloc[:0]
            centres = rows.index.to_numpy() * own["width"].iloc[0]
            ax.plot(centres, rows, ds="steps-mid", lw=0.9, color=look["color"], ls=look["ls"])
        style.log_y(ax)
        reach = _reach(own, by)
        ax.set_xlim(-reach, reach)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.set_title(style.literal(name, 28))
        ax.set_xlabel("weight")
        ax.set_ylabel("density")
    word = {"lambda": "λ =", "epoch": "epoch"}[by]
    handles = [Line2D([], [], label=f"{word} {rough(value, 3)}", **look) for value, look in lines.items()]
    style.key(figure, handles, columns=3)
    return figure


def _lines(values: Sequence[float], by: str) -> dict[float, dict[str, Any]]:
    """Colour and line style of each; the last one solid, λ = 0 black."""
    off = [v for v in values if v == 0 and by == "lambda"]
    colours = [style.BLACK] * len(off) + style.shades(len(values) - len(off))
    dashes = style.DASHES[: len(values)][::-1]
    return {v: {"color": c, "ls": d} for v, c, d in zip(values, colours, dashes, strict=True)}


def _reach(rows: pd.DataFrame, by: str) -> float:
    """The |w| within which 99.9 % of every line's weights are."""
    reach = 0.0
    for _, own in rows.groupby(by):
        sizes = own.assign(size=own["weight"].abs()).sort_values("size")
        inside = sizes["count"].cumsum() <= 0.999 * sizes["count"].sum()
        reach = max(reach, float(sizes.loc[inside, "size"].max()) if inside.any() else float(sizes["size"].iloc[0]))
    return 1.1 * reach + float(rows["width"].iloc[0])


def filters(facet: FacetTables, layers: pd.DataFrame) -> dict[float, NDArray[np.float32]]:
    """For each λ to show the first layer's weights as images (F, H, W, 3), of one seed and fold, from last.safetensors.

    A first layer that sees pixels, RGB or grey: a convolution of 3 channels or 1, or a matrix with a column a pixel of
    a square image, 3·s² or s². Files that are not there or cannot be read, and other first layers, are left out.
    """
    own = layers[layers["id"].isin(facet.close["id"])]
    if own.empty or facet.close.empty:
        return {}
    first = own["parameter"].iloc[0]
    runs = facet.close.sort_values(["seed", "fold"])
    runs = runs[(runs["seed"] == runs["seed"].iloc[0]) & (runs["fold"] == runs["fold"].iloc[0])]
    found = {}
    for lam, directory in zip(runs["lambda"], runs["dir"], strict=True):
        images = _images(Path(directory) / "last.safetensors", first) if lam in facet.lams(MOST) else None
        if images is not None:
            found[float(lam)] = images
    return dict(sorted(found.items()))


def _images(path: Path, name: str) -> NDArray[np.float32] | None:
    try:
        with safe_open(path, framework="numpy") as file:
            w = np.asarray(file.get_tensor(name), dtype=np.float32)
    except (OSError, SafetensorError, TypeError, ValueError):
        return None
    if w.ndim == 2:
        columns = w.shape[1]
        for channels in (3, 1):
            edge = math.isqrt(columns // channels)
            w = w.reshape(-1, channels, edge, edge) if edge > 1 and channels * edge**2 == columns else w
    if w.ndim != 4 or w.shape[1] not in (1, 3) or not np.isfinite(w).all():
        return None
    return np.broadcast_to(w.transpose(0, 2, 3, 1), (len(w), *w.shape[2:], 3))


def strongest(images: NDArray[np.float32], most: int = ACROSS) -> list[int]:
    """The filters of largest norm, in their own order."""
    sizes = np.square(images).sum(axis=(1, 2, 3))
    return sorted(int(i) for i in np.argsort(-sizes, kind="stable")[:most])


def mosaic(images: NDArray[np.float32], largest: float) -> NDArray[np.float32]:
    """Images (F, H, W, 3) side by side, white between them: w = 0 is mid grey, ±largest black and white."""
    count, height, width, _ = images.shape
    gap = max(1, width // 8)
    canvas = np.ones((height, count * (width + gap) - gap, 3), dtype=np.float32)
    for i, image in enumerate(images):
        at = i * (width + gap)
        canvas[:, at : at + width] = 0.5 + 0.5 * image / largest if largest > 0 else 0.5
    return canvas


@style.styled
def first_layer(found: dict[float, NDArray[np.float32]]) -> Figure:
    """A row a λ: the same filters (those largest at the smallest λ), each row on its own scale, written beside it."""
    lams = list(found)
    chosen = strongest(found[lams[0]])
    figure, axes = style.panels(len(lams), columns=1, height=0.58, extra=0.05)
    for ax, lam in zip(axes, lams, strict=True):
        images = found[lam][chosen]
        largest = float(np.abs(images).max())
        ax.imshow(mosaic(images, largest), interpolation="nearest", aspect="equal")
        ax.set_axis_off()
        text = f"λ = {rough(lam, 3)}\n|w| ≤ {rough(largest)}"
        ax.text(-0.02, 0.5, text, transform=ax.transAxes, ha="right", va="center")
    return figure

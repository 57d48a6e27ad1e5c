"""Learning curves and their gap for each λ, and how fast training was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdrun.report.figures import style
from wdrun.report.figures.curve import unit
from wdrun.report.figures.tables import FacetTables, of_close, replicates
from wdrun.wording import rough

MOST = 6  # λ in a panel
ROWS = (("val", "validation"), ("train", "training"), ("gap", "gap"))


def looks(lams: Sequence[float]) -> Iterator[tuple[float, dict[str, Any]]]:
    """For each λ its colour, line style and marker: black for λ = 0, then dark to light as λ grows."""
    positive = [lam for lam in lams if lam > 0]
    for i, (lam, colour) in enumerate(zip(positive, style.shades(len(positive)), strict=True)):
        yield lam, {"color": colour, "marker": style.MARKERS[i % len(style.MARKERS)], "ls": "-"}
    if len(positive) < len(lams):
        yield 0.0, {"color": style.BLACK, "marker": "", "ls": style.DASHES[1]}


def lambda_key(figure: Figure, lams: Sequence[float], extra: Sequence[Line2D] = ()) -> None:
    """The legend of `looks`, λ = 0 first."""
    handles = [
        Line2D([], [], label=f"λ = {rough(lam, 3)}", **look) for lam, look in sorted(looks(lams), key=lambda x: x[0])
    ]
    style.key(figure, [*handles, *extra], columns=4)


def spaced(count: int) -> int:
    """Every how many points a marker is drawn, for some eight of them on a line."""
    return max(1, count // 8)


def epochs(metrics: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """lambda, epoch and the means over replicates of val_loss, train_loss, gap_loss and the same of accuracy.

    The gap is validation − training loss, and training − validation accuracy: what overfitting makes larger.
    """
    rows = of_close(metrics, facet, MOST)
    rows = rows[(rows["corruption"] == "") & rows["split"].isin(["train", "val"])]
    wide = rows.pivot_table(index=["id", "lambda", "epoch"], columns="split", values=["data_loss", "accuracy"])
    table = pd.DataFrame(index=wide.index)
    for kind, name in (("loss", "data_loss"), ("accuracy", "accuracy")):
        for split in ("val", "train"):
            table[f"{split}_{kind}"] = wide.get((name, split), float("nan"))
        sign = 1 if kind == "loss" else -1
        table[f"gap_{kind}"] = sign * (table[f"val_{kind}"] - table[f"train_{kind}"])
    return replicates(table.reset_index(), ["lambda", "epoch"], list(table.columns))


@style.styled
def learning(table: pd.DataFrame) -> Figure:
    """Validation, training and their gap over epochs (of `epochs`), one line a λ."""
    kinds = [k for k in ("loss", "accuracy") if table[f"val_{k}"].notna().any()]
    figure, axes = style.panels(len(ROWS) * len(kinds), columns=len(kinds), height=1.6, sharex=True)
    lams = sorted(table["lambda"].unique())
    for i, ax in enumerate(axes):
        (split, words), kind = ROWS[i // len(kinds)], kinds[i % len(kinds)]
        for lam, look in looks(lams):
            rows = table[table["lambda"] == lam].sort_values("epoch")
            ax.plot(rows["epoch"], rows[f"{split}_{kind}"], markevery=spaced(len(rows)), ms=3.2, **look)
        ax.set_ylabel(f"{words}\n{unit(kind, 'accuracy' in kinds)}" if split == "val" else f"{words}\n{kind}")
        if split == "gap":
            ax.axhline(0, color=style.SOFT, lw=0.7)
        if i >= len(axes) - len(kinds):
            style.whole_x(ax, "epoch")
    lambda_key(figure, lams)
    return figure


def speeds(timing: pd.DataFrame) -> pd.DataFrame:
    """One row a run: setting (model, decay, coupling, optimizer) and the median images/s of its epochs.

    The first epoch, which warms up, is left out of runs that have others.
    """
    rows = timing[timing["images_per_second"].notna()]
    epochs = rows.groupby("id")["epoch"]
    rows = rows[(rows["epoch"] > epochs.transform("min")) | (epochs.transform("size") == 1)]
    keys = ["id", "model", "decay", "coupling", "optimizer"]
    table = rows.groupby(keys, sort=True)["images_per_second"].median().reset_index()
    words = [style.literal(" ".join(map(str, row[1:5]))) for row in table.itertuples(index=False)]
    return table[["id", "images_per_second"]].assign(setting=pd.Series(words, index=table.index, dtype=object))


@style.styled
def speed(table: pd.DataFrame, most: int = 20) -> Figure:
    """A dot a run, a bar at the median of each setting; the fastest settings on top."""
    medians = table.groupby("setting")["images_per_second"].median().sort_values(ascending=False, kind="stable")[:most]
    figure, [ax] = style.panels(1, height=0.26 * len(medians), extra=0.75)
    for i, (setting, median) in enumerate(medians.items()):
        values = table.loc[table["setting"] == setting, "images_per_second"]
        ax.plot(values, [i] * len(values), marker="o", ms=3.5, ls="none", color=style.BLUE, alpha=0.35, mew=0)
        ax.plot([median, median], [i - 0.3, i + 0.3], color=style.INK, lw=1.6)
    ax.set_yticks(range(len(medians)), [str(name) for name in medians.index])
    ax.set_ylim(len(medians) - 0.5, -0.5)
    ax.set_xlim(0, table["images_per_second"].max() * 1.05)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", visible=True)
    style.whole_x(ax, "training images per second (median over a run's epochs)")
    return figure

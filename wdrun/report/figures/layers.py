"""What the decay did to each layer: norms over time, rotation against its equilibrium, sparsity against accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdrun.report.figures import style
from wdrun.report.figures.learning import MOST, lambda_key, looks, spaced
from wdrun.report.figures.tables import FacetTables, of_close, replicates

PANELS = 6  # tensors
LOOKS = tuple(zip(style.CATEGORIES, style.MARKERS, strict=True))
ROTATION_MOST = 4  # λ, two lines each


def tensors(layers: pd.DataFrame, most: int = PANELS) -> list[str]:
    """The largest weight tensors in the order of the model; vectors (biases …) only where there is nothing else."""
    sizes = layers.drop_duplicates("parameter")
    matrices = sizes[sizes["dead_filters"].notna()]
    kept = (matrices if len(matrices) else sizes).nlargest(most, "numel", keep="first")
    return [name for name in sizes["parameter"] if name in set(kept["parameter"])]


def over_time(layers: pd.DataFrame, facet: FacetTables, columns: Sequence[str], most: int = MOST) -> pd.DataFrame:
    """Means over replicates of these columns: one row a (parameter, lambda, epoch), of the tensors to show."""
    rows = of_close(layers, facet, most)
    rows = rows[rows["parameter"].isin(tensors(rows))]
    order = pd.Categorical(rows["parameter"], tensors(rows))
    table = replicates(rows.assign(parameter=order.codes), ["parameter", "lambda", "epoch"], columns)
    return table.assign(parameter=[order.categories[i] for i in table["parameter"]])


@style.styled
def norms(table: pd.DataFrame) -> Figure:
    """‖w‖₂ of each tensor over epochs (of `over_time`), a line a λ; a log axis where they differ thirtyfold."""
    names = list(dict.fromkeys(table["parameter"]))
    figure, axes = style.panels(len(names), height=1.75)
    lams = sorted(table["lambda"].unique())
    for ax, name in zip(axes, names, strict=True):
        own = table[table["parameter"] == name]
        for lam, look in looks(lams):
            rows = own[own["lambda"] == lam]
            ax.plot(rows["epoch"], rows["l2_norm"], markevery=spaced(len(rows)), ms=3.2, **look)
        positive = own.loc[own["l2_norm"] > 0, "l2_norm"]
        if len(positive) and positive.max() > 30 * positive.min():
            style.log_y(ax)
        else:
            ax.set_ylim(bottom=0)
        _dress(ax, name, "‖w‖₂")
    lambda_key(figure, lams)
    return figure


@style.styled
def rotation(table: pd.DataFrame) -> Figure:
    """Measured angle of the last step of each epoch and its predicted equilibrium (dotted), degrees, log axis."""
    names = list(dict.fromkeys(table["parameter"]))
    figure, axes = style.panels(len(names), height=1.75)
    lams = sorted(table["lambda"].unique())
    for ax, name in zip(axes, names, strict=True):
        own = table[table["parameter"] == name]
        for lam, look in looks(lams):
            rows = own[(own["lambda"] == lam) & (own["last_rotation"] > 0)]
            ax.plot(rows["epoch"], rows["last_rotation"], markevery=spaced(len(rows)), ms=3.2, **look)
            rows = rows[rows["last_rotation_equilibrium"] > 0]
            ax.plot(rows["epoch"], rows["last_rotation_equilibrium"], color=look["color"], ls=":", lw=1.3)
        style.log_y(ax)
        top = own[["last_rotation", "last_rotation_equilibrium"]].max().max()
        if top > 0:  # nan of a tensor of zeros that never moves
            ax.set_ylim(top / 1000, top * 1.5)  # where the schedule ends at lr = 0 nothing turns
        _dress(ax, name, "rotation of the last step (°)")
    lambda_key(figure, lams, [Line2D([], [], color=style.INK, ls=":", lw=1.3, label="equilibrium")])
    return figure


def sparse(layers: pd.DataFrame, facets: Sequence[FacetTables]) -> pd.DataFrame:
    """facet, lambda, sparsity (share of exact zeros of all weights after the last epoch), val_accuracy; a row a run."""
    last = layers[layers["epoch"] == layers.groupby("id")["epoch"].transform("max")]
    last = last.assign(zeros=last["sparsity"] * last["numel"])
    sums = last.groupby("id")[["zeros", "numel"]].sum()
    share = (sums["zeros"] / sums["numel"]).rename("sparsity")
    parts = [f.close[["id", "lambda", "val_accuracy"]].assign(facet=f.label) for f in facets]
    return pd.concat(parts).merge(share, left_on="id", right_index=True).dropna(subset=["val_accuracy"])


@style.styled
def sparsity(table: pd.DataFrame) -> Figure:
    """A mark a run: share of exact zeros across, validation accuracy up; facets by colour and marker, λ by size."""
    figure, [ax] = style.panels(1, height=2.9, extra=0.8)
    ranks = table["lambda"].rank(method="dense")
    sizes = 8 + 50 * (ranks - 1) / max(ranks.max() - 1, 1)
    handles = []
    for i, label in enumerate(dict.fromkeys(table["facet"])):
        own = table["facet"] == label
        colour, marker = LOOKS[i]
        rows = table[own]
        ax.scatter(rows["sparsity"], rows["val_accuracy"], s=sizes[own], c=colour, marker=marker, alpha=0.7, lw=0)
        handles.append(Line2D([], [], color=colour, marker=marker, ls="none", label=style.wrapped(label, 30)))
    ax.set_xlabel("exact zeros after the last epoch (share of all weights)")
    ax.set_ylabel("validation accuracy (0 to 1)")
    style.key(figure, handles, columns=2)
    return figure


def _dress(ax: Axes, name: str, label: str) -> None:
    ax.set_title(style.literal(name, 28))
    ax.set_ylabel(label)
    style.whole_x(ax, "epoch")

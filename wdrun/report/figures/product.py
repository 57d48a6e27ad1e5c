"""What lr·λ does to a normalised network: validation loss and the weights' rotation over it, a line a learning rate.

The loss does not feel the length of a weight that a normalisation follows. Decay then acts through the effective
learning rate η/‖w‖²: where training is long enough for ‖w‖ to settle, the rotation of a step is a function of lr·λ
alone (van Laarhoven 2017, Kosson et al. 2024), and lines of different lr fall on one.
"""

from __future__ import annotations

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdrun.report.figures import style
from wdrun.report.figures.curve import unit
from wdrun.report.figures.tables import FacetTables, replicates
from wdrun.wording import rough

MOST = 6  # lr, a line each
NORM = re.compile(r"(?:^|[._])(?:\w*norm|bn|ln|gn)\w*\.weight$", re.IGNORECASE)  # how norms are called in tables
LEAST = 0.5  # of the peak lr: a schedule's end tells nothing, as there is no lr left to turn a weight
PANELS = (
    ("val_loss", ""),
    ("last_rotation", "rotation of a step (°)"),
    ("reached", "rotation / its equilibrium"),
)


def rotations(layers: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """Of each finished run: id, last_rotation, last_rotation_equilibrium (degrees), medians over its weight tensors.

    Taken in the last epoch whose last step had half of the peak lr or more, η being last_effective_lr·‖w‖². The last
    weight tensor is left out, which no normalisation follows. Empty where no tensor is a norm's, or none has an
    equilibrium.
    """
    found = layers[layers["id"].isin(facet.finished["id"])]
    columns = ["id", "last_rotation", "last_rotation_equilibrium"]
    vectors = found["dead_filters"].isna()
    if not any(map(NORM.search, map(str, found["parameter"][vectors].unique()))):
        return pd.DataFrame(columns=columns)
    weights = found[~vectors]
    names = list(dict.fromkeys(weights["parameter"]))
    weights = weights[weights["parameter"].isin(names[:-1]) & (weights["last_rotation_equilibrium"] > 0)]
    weights = weights[weights["last_effective_lr"] * weights["l2_norm"] ** 2 >= LEAST * weights["lr"]]
    latest = weights[weights["epoch"] == weights.groupby("id")["epoch"].transform("max")]
    return latest.groupby("id")[columns[1:]].median().reset_index()


def table(layers: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """A row a cell with λ > 0: lr, lambda, product = lr·λ, means over replicates of val_loss, the rotations, reached.

    Empty unless the rotations are known of two lr or more at two λ or more each, as in a grid: these are the lines.
    """
    found = facet.finished[facet.finished["lambda"] > 0].merge(rotations(layers, facet), on="id")
    found = found.astype({"last_rotation": float, "last_rotation_equilibrium": float})
    found = found[found.groupby("lr")["lambda"].transform("nunique") > 1]
    if found["lr"].nunique() < 2:
        return pd.DataFrame()
    found["reached"] = found["last_rotation"] / found["last_rotation_equilibrium"]
    values = ["val_loss", "last_rotation", "last_rotation_equilibrium", "reached"]
    cells = replicates(found, ["lr", "lambda"], values)
    return cells.assign(product=cells["lr"] * cells["lambda"]).sort_values(["lr", "product"], ignore_index=True)


@style.styled
def product(cells: pd.DataFrame, classes: bool) -> Figure:
    """Three panels over lr·λ of a `table`: loss; rotation, the predicted one dotted; their ratio, 1 where reached."""
    figure, axes = style.panels(3, columns=3, height=2.3)
    lrs = style.some(list(cells["lr"]), MOST)
    looks = list(zip(lrs, style.shades(len(lrs)), style.MARKERS, strict=False))
    for ax, (column, label) in zip(axes, PANELS, strict=True):
        for lr, colour, marker in looks:
            own = cells[cells["lr"] == lr]
            ax.plot(own["product"], own[column], color=colour, marker=marker, ms=3.5)
            if column == "last_rotation":
                ax.plot(own["product"], own["last_rotation_equilibrium"], color=colour, ls=":", lw=1.3)
        _dress(ax, column, label or f"validation {unit('loss', classes)}")
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=3.5, label=f"lr = {rough(lr, 3)}")
        for lr, colour, marker in looks
    ]
    style.key(figure, [*handles, Line2D([], [], color=style.INK, ls=":", lw=1.3, label="equilibrium")], columns=4)
    return figure


def _dress(ax: Axes, column: str, label: str) -> None:
    style.log_x(ax)
    ax.set_xlabel("lr·λ")
    ax.set_ylabel(label)
    if column != "val_loss":
        style.log_y(ax)
    if column == "reached":
        ax.axhline(1.0, color=style.INK, ls=":", lw=1.3)

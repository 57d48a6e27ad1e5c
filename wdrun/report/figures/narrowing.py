"""How the interval of each question narrowed while pairs of fresh runs were added to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wdrun.report.figures import style
from wdrun.report.figures.style import BLUE, FAINT, INK
from wdrun.selection.cells import lower_is_better

Question = tuple[str, pd.DataFrame]  # how it stands in two lines, and its looks


def questions(looks: pd.DataFrame, verdicts: pd.DataFrame) -> list[Question]:
    """Of each question with a look its name with its verdict, and its rows of looks.csv by pairs."""
    found = []
    for row in verdicts.to_dict("records"):
        own = looks[(looks["facet"] == row["facet"]) & (looks["against"] == row["against"])].sort_values("pairs")
        if len(own):
            lines = (f"{row['facet']}: {row['verdict']}", f"against {row['against']}")
            found.append(("\n".join(style.literal(line, 34) for line in lines), own))
    return found


@style.styled
def narrowing(found: Sequence[Question], objective: str, margin: float, classes: bool) -> Figure:
    """Difference and interval over the number of pairs, a panel a question, with 0 and the margin."""
    figure, axes = style.panels(len(found), columns=2 if len(found) > 1 else 1, height=1.75, extra=0.6)
    unit = "accuracy" if objective.endswith("accuracy") else "nats" if classes else "squared error"
    for place, (ax, (title, rows)) in enumerate(zip(axes, found, strict=True)):
        ax.axhspan(-margin, margin, color=FAINT, alpha=0.6, lw=0, zorder=0)
        ax.axhline(0, color=INK, lw=0.8, zorder=1)
        ax.fill_between(rows["pairs"], rows["low"], rows["high"], color=BLUE, alpha=0.18, lw=0)
        ax.vlines(rows["pairs"], rows["low"], rows["high"], color=BLUE, lw=1.0, alpha=0.7)
        ax.plot(rows["pairs"], rows["difference"], color=BLUE, marker="o", zorder=3)
        _focus(ax, rows, margin)
        style.whole_x(ax, "pairs of fresh runs")
        ax.set_xlim(0.5, max(3, rows["pairs"].max()) + 0.5)
        ax.set_title(title)
        if place % 2 == 0:
            ax.set_ylabel(f"difference ({unit})")
    better = "below" if lower_is_better(objective) else "above"
    handles = [
        Line2D([], [], color=BLUE, marker="o", label=f"difference and its interval; {better} 0: better"),
        Patch(fc=FAINT, alpha=0.6, label="within the margin"),
    ]
    style.key(figure, handles, columns=2)
    return figure


def _focus(ax: Axes, rows: pd.DataFrame, margin: float) -> None:
    """Limits that hold 0, the margin, all differences and the last interval; the first intervals may leave them."""
    last = rows.iloc[-1]
    held = np.array([-1.3 * margin, 1.3 * margin, *rows["difference"], last["low"], last["high"]], dtype=float)
    held = held[np.isfinite(held)]
    room = 0.25 * (held.max() - held.min())
    if math.isfinite(room):
        ax.set_ylim(held.min() - room, held.max() + room)

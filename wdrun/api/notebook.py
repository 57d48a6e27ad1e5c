"""Results as a notebook shows them: a table, and the figure that belongs to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from wdrun.errors import ConfigError
from wdrun.tables.columns import FACTORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOMES = ("status", "cause", "epochs_done", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "total_decay")
MOST = 30  # rows of a table; pandas leaves out those in the middle


def scores(row: pd.Series) -> str:
    """`val_accuracy=0.71, test_accuracy=0.7, ` of a run's row; losses where there is no accuracy, "" without either."""
    kinds = ("accuracy", "loss") if pd.notna(row["val_accuracy"]) else ("loss",)
    names = [f"{split}_{kinds[0]}" for split in ("val", "test")]
    return "".join(f"{name}={row[name]:.4g}, " for name in names if pd.notna(row[name]))


def of_run(run: pd.DataFrame, metrics: pd.DataFrame, title: str) -> str:
    """A run's row and its learning curves."""
    from wdrun.api.figures import learning_curves

    return _heading(title) + table(run[_columns(run)]) + _picture(lambda: learning_curves(metrics))


def of_sweep(runs: pd.DataFrame, title: str) -> str:
    """The runs of a sweep, what differs and how each ended, and the curve of validation over λ."""
    from wdrun.api.figures import decay_curve

    return _heading(title) + table(runs[_columns(runs)]) + _picture(lambda: decay_curve(runs))


def table(frame: pd.DataFrame) -> str:
    """A frame as HTML."""
    return frame.to_html(index=False, max_rows=MOST, na_rep="", border=0)


def _columns(runs: pd.DataFrame) -> list[str]:
    """λ and lr, what differs from run to run, and how each ended, where there is anything to tell."""
    factors = [c.name for c in FACTORS if c.name != "id" and (runs[c.name].nunique() > 1 or c.name in ("lambda", "lr"))]
    return [*factors, *(name for name in OUTCOMES if (runs[name].notna() & (runs[name] != "")).any())]


def _heading(text: str) -> str:
    return f"<p><b>{escape(text)}</b></p>\n"


def _picture(draw: Callable[[], Figure]) -> str:
    """The figure as an image in the page; nothing where there is nothing to draw."""
    from wdrun.report.figures import style

    try:
        figure = draw()
    except ConfigError:
        return ""
    content: Any = base64.b64encode(style.render(figure, "png")).decode()
    return f'<img style="max-width: 48em; width: 100%" alt="figure" src="data:image/png;base64,{content}">\n'

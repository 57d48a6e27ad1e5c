"""A frame of wdrun's tables -> a matplotlib Figure, as the report draws it: `wdrun.figures.decay_curve(sweep.runs)`.

Each leaves pyplot and its settings alone. `figure.savefig("curve.pdf")` writes one; a notebook shows it. ConfigError
where the frame has nothing to draw.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import nan
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from wdrun.api.answers import Source, select
from wdrun.errors import ConfigError
from wdrun.report.figures import curve, drawings, heatmap, layers, learning, robustness, style
from wdrun.report.figures.tables import FacetTables, facets
from wdrun.selection.selecting import Selection
from wdrun.tables.columns import FACTORS, TABLES

__all__ = ["corruptions", "decay_curve", "learning_curves", "lr_lambda", "norms", "rotation", "sparsity", "speed"]

VARIES = ("id", "lambda", "seed", "fold")  # columns in which the runs of one panel may differ
Drawn = TypeVar("Drawn", pd.DataFrame, list[FacetTables])


def decay_curve(runs: Source | Selection, metric: str = "val_loss", nuisance: Sequence[str] | str = "lr") -> Figure:
    """Data loss and accuracy over λ, at the best `nuisance` knobs of each λ by `metric`: means, 95 % t intervals.

    `runs`: a frame of runs (`load(…).runs`, `Sweep.runs`), anything `select` takes, or what it gave. Two rows of panels
    a setting compared, the best `CURVES` of them.
    """
    found = [facet for facet in _facets(runs, metric, nuisance) if facet.cells["val_loss"].notna().any()]
    return curve.curve(_some(found, "a finished run")[: drawings.CURVES])


def lr_lambda(runs: Source | Selection, metric: str = "val_loss") -> Figure:
    """Mean validation score of each (lr, λ) as colour, the best circled, with the ridge's slope; a panel a setting.

    Needs two lr or more and two λ > 0 or more.
    """
    found = [facet for facet in _facets(runs, metric, "lr") if heatmap.drawable(facet)]
    return heatmap.heatmap(_some(found, "two lr and two λ > 0")[: drawings.MAPS], _metric(runs, metric))


def learning_curves(metrics: pd.DataFrame) -> Figure:
    """Data loss, accuracy and their gap over epochs, a line a λ, means over seeds: `load(…).metrics` of one setting."""
    metrics = _rows(metrics, "metrics")
    return learning.learning(_some(learning.epochs(metrics, _one(metrics)), "a measured epoch"))


def norms(layers_table: pd.DataFrame) -> Figure:
    """‖w‖₂ of the largest weight tensors over epochs (`load(…).layers` of one setting), a line a λ."""
    layers_table = _rows(layers_table, "layers")
    table = layers.over_time(layers_table, _one(layers_table), ["l2_norm"])
    return layers.norms(_some(table, "a measured epoch"))


def rotation(layers_table: pd.DataFrame) -> Figure:
    """Degrees by which an epoch's last step turned each tensor, and its equilibrium: layers of one setting."""
    layers_table = _rows(layers_table, "layers")
    columns = ["last_rotation", "last_rotation_equilibrium"]
    table = layers.over_time(layers_table, _one(layers_table), columns, layers.ROTATION_MOST)
    return layers.rotation(_some(table, "a measured epoch"))


def corruptions(metrics: pd.DataFrame) -> Figure:
    """Test accuracy under corruptions and attacks over λ: metrics of one setting with evaluate=robustness."""
    metrics = _rows(metrics, "metrics")
    return robustness.robustness(_some(robustness.corrupted(metrics, _one(metrics)), "a corruption; see evaluate="))


def sparsity(runs: Source | Selection, layers_table: pd.DataFrame, metric: str = "val_loss") -> Figure:
    """The share of weights that are exactly zero against validation accuracy, a mark a run at its setting's best lr."""
    layers_table = _rows(layers_table, "layers")
    found = _facets(runs, metric, "lr")[: len(layers.LOOKS)]
    return layers.sparsity(_some(layers.sparse(layers_table, _some(found, "a finished run")), "a measured epoch"))


def speed(timing: pd.DataFrame) -> Figure:
    """Training images per second of each run (`load(…).timing`), a bar at the median of a setting."""
    return learning.speed(_some(learning.speeds(_rows(timing, "timing")), "a timed epoch"))


def _rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with its empty text as `load` has it, also where pandas read it; ConfigError where it is another."""
    columns = TABLES[name]
    missing = [c.name for c in columns if c.name not in table] if isinstance(table, pd.DataFrame) else []
    if missing or not isinstance(table, pd.DataFrame):
        odd = f"a frame without {missing[0]}" if missing else type(table).__name__
        raise ConfigError(f"{odd}: must be a frame of {name}, such as wdrun.load(…).{name}")
    return table.fillna({c.name: "" for c in columns if c.kind is str})


def _facets(runs: Source | Selection, metric: str, nuisance: Sequence[str] | str) -> list[FacetTables]:
    return facets(runs if isinstance(runs, Selection) else select(runs, metric=metric, nuisance=nuisance))


def _metric(runs: Source | Selection, metric: str) -> str:
    return runs.metric if isinstance(runs, Selection) else metric


def _one(table: pd.DataFrame) -> FacetTables:
    """The runs of a table as one setting; ConfigError where they are of several, whose mean would say nothing."""
    differing = [c.name for c in FACTORS if c.name not in VARIES and table[c.name].nunique() > 1]
    if differing:
        name = differing[0]
        value = table[name].iloc[0]
        raise ConfigError(
            f"the runs differ in {', '.join(differing)}: pick one, as table[table[{name!r}] == {value!r}]"
        )
    runs = table[[name for name in VARIES if name in table]].drop_duplicates("id")
    return FacetTables("", "", pd.DataFrame(), runs, runs, "", nan, nan)


def _some(found: Drawn, needed: str) -> Drawn:
    if not len(found):
        raise ConfigError(f"nothing to draw: no {needed.removeprefix('a ')} among these rows")
    return found


def show_figures() -> None:
    """Let the notebook that runs, where one does, show matplotlib's figures, as it would once pyplot was imported."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    display = getattr(shell, "display_formatter", None)
    if display is not None and Figure not in (pictures := display.formatters["image/png"]).type_printers:
        pictures.for_type(Figure, lambda figure: style.render(figure, "png"))


show_figures()

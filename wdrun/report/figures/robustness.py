"""Robustness and calibration against λ, at each facet's chosen lr."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdrun.report.figures import style
from wdrun.report.figures.lambda_axis import LambdaAxis
from wdrun.report.figures.tables import FacetTables, replicates

SCORES = {"ece": "ECE (0 to 1)", "brier": "Brier score (0 to 2)"}
FACETS = 7  # lines in a panel


def corrupted(metrics: pd.DataFrame, facet: FacetTables) -> pd.DataFrame:
    """corruption, severity, lambda and test accuracy over replicates; severity 0 is clean, for each corruption."""
    rows = metrics[metrics["id"].isin(facet.close["id"]) & (metrics["split"] == "test")]
    worse, clean = rows[rows["corruption"] != ""], rows[rows["corruption"] == ""]
    kinds = list(dict.fromkeys(worse["corruption"]))
    rows = pd.concat([worse, *(clean.assign(corruption=kind) for kind in kinds)])
    table = replicates(rows, ["corruption", "severity", "lambda"], ["accuracy"])
    return table.assign(rank=table["corruption"].map({k: i for i, k in enumerate(kinds)})).sort_values(
        ["rank", "severity", "lambda"], ignore_index=True
    )


@style.styled
def robustness(table: pd.DataFrame) -> Figure:
    """Test accuracy against λ, a panel a corruption (of `corrupted`), a line a severity: darker is stronger."""
    kinds = list(dict.fromkeys(table["corruption"]))
    figure, axes = style.panels(len(kinds), height=1.8, sharey=True)
    severities = sorted(table["severity"].unique())
    colours = dict(zip(severities, style.shades(len(severities))[::-1], strict=True))
    lam = LambdaAxis(table["lambda"])
    for i, (ax, kind) in enumerate(zip(axes, kinds, strict=True)):
        for j, severity in enumerate(severities):
            rows = table[(table["corruption"] == kind) & (table["severity"] == severity)]
            look = {"color": colours[severity], "marker": style.MARKERS[j % 7], "ms": 3.2}
            on, off = rows[rows["lambda"] > 0], rows[rows["lambda"] == 0]
            ax.plot(lam(on["lambda"]), on["accuracy"], **look)
            ax.plot(lam(off["lambda"]), off["accuracy"], ls="none", **look)
        lam.dress(ax, most=4)
        ax.set_title(style.literal(kind.replace("_", " "), 28))
        if i % 2 == 0:
            ax.set_ylabel("test accuracy (0 to 1)")
    handles = [
        Line2D([], [], color=colours[s], marker=style.MARKERS[j % 7], label=f"severity {s}" if s else "clean")
        for j, s in enumerate(severities)
    ]
    style.key(figure, handles, columns=3)
    return figure


def calibrated(metrics: pd.DataFrame, facets: Sequence[FacetTables]) -> pd.DataFrame:
    """facet, lambda, and validation ece and brier over replicates after the last epoch."""
    parts = []
    for facet in facets[:FACETS]:
        rows = metrics[
            metrics["id"].isin(facet.close["id"]) & (metrics["split"] == "val") & (metrics["corruption"] == "")
        ]
        last = rows[rows["epoch"] == rows.groupby("id")["epoch"].transform("max")]
        parts.append(replicates(last, ["lambda"], list(SCORES)).assign(facet=facet.label))
    return pd.concat(parts, ignore_index=True)


@style.styled
def calibration(table: pd.DataFrame) -> Figure:
    """ECE and Brier score against λ with their intervals, a line a facet (of `calibrated`)."""
    names = [name for name in SCORES if table[name].notna().any()]
    figure, axes = style.panels(len(names), height=2.0, extra=0.8)
    labels = list(dict.fromkeys(table["facet"]))
    lam = LambdaAxis(table["lambda"])
    for ax, name in zip(axes, names, strict=True):
        for i, label in enumerate(labels):
            rows = table[(table["facet"] == label) & table[name].notna()]
            on, off = rows[rows["lambda"] > 0], rows[rows["lambda"] == 0]
            colour, marker = style.CATEGORIES[i % 7], style.MARKERS[i % 7]
            ax.fill_between(lam(on["lambda"]), on[f"{name}.low"], on[f"{name}.high"], color=colour, alpha=0.15, lw=0)
            ax.plot(lam(on["lambda"]), on[name], color=colour, marker=marker, ls=style.DASHES[i % 7])
            ax.vlines(lam(off["lambda"]), off[f"{name}.low"], off[f"{name}.high"], color=colour, alpha=0.3, lw=4)
            ax.plot(lam(off["lambda"]), off[name], color=colour, marker=marker, ls="none")
        lam.dress(ax, most=4)
        ax.set_ylabel(f"validation {SCORES[name]}")
    looks = zip(labels, style.CATEGORIES, style.MARKERS, style.DASHES, strict=False)
    handles = [Line2D([], [], color=c, marker=m, ls=d, label=style.wrapped(label, 30)) for label, c, m, d in looks]
    style.key(figure, handles if len(labels) > 1 else [], columns=2)
    return figure
